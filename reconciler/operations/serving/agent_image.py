"""Where the recipe of the agent's image is."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from reconciler.operations.operation_error import OperationError

_BUILD = Path("deploy/discovery/build.py")


def image_recipe() -> Path:
    """The folder with `deploy/discovery`: the clone, or what the wheel installs. Raises OperationError."""
    clone = Path(__file__).resolve().parents[3]
    installed = Path(sysconfig.get_path("data")) / "share" / "groundstate"
    for folder in (clone, installed):
        if (folder / _BUILD).is_file():
            return folder
    raise OperationError(
        f"{installed / _BUILD} is missing; install groundstate's wheel with pip into an environment of its own"
    )
