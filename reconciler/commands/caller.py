"""What only the process of a person knows: who they are, where they are, and where their files are."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from reconciler import runtime


def caller_name() -> str:
    """`ada@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{runtime.local_host_name()}"


def top_level() -> str:
    """The repository around the current folder, as git finds it: a subfolder is not a fleet with a store of its own."""
    here = Path.cwd()
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    return "." if top == here else str(top)


def user_cache_folder() -> Path | None:
    """Where copies are kept that can be made again at any time (XDG base directories); None for a user without a
    home."""
    root = _folder("XDG_CACHE_HOME", ".cache")
    return None if root is None else root / "groundstate"


def user_state_folder() -> Path | None:
    """Where is kept what must not be lost (XDG base directories); None for a user without a home."""
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, otherwise: str) -> Path | None:
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home() / otherwise
    except RuntimeError:
        return None
