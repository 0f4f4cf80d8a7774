"""A repository of desired state to begin with. Writes only what is not there yet, and renews the schemas."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from reconciler.desired.git.branches.new_repository import begin_repository, is_in_repository
from reconciler.desired.git.plumbing import SourceError
from reconciler.operations.operation_error import FailureReason, OperationError

SCHEMAS = ".schemas"


class InitResult(msgspec.Struct, frozen=True):
    """The files of the template that were written, and those that were there already; `began`: a git repository too.
    `schemas`: the folder of the schemas, which are those of this version now; `renewed`: how many were another."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    began: bool
    schemas: Path
    renewed: int


def init_repository(directory: Path) -> InitResult:
    """Write the template and the schemas for the editor, in a git repository. Raises OperationError."""
    wanted = dict(_walk(files("reconciler.operations") / "template"))
    schemas = {item.name: item.read_text("utf-8") for item in (files("schemas") / "v1").iterdir()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        began = not is_in_repository(directory)
        if began:
            begin_repository(directory)  # First, so that nothing is written where git refuses.
        made = {relative: _write(directory / relative, text) for relative, text in sorted(wanted.items())}
        renewed = sum(_renew(directory / SCHEMAS / name, text) for name, text in schemas.items())
    except (OSError, SourceError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OperationError(
            (f"{directory}: the repository cannot be created: {why}"), FailureReason.UNAVAILABLE
        ) from error
    return InitResult(
        tuple(directory / relative for relative, new in made.items() if new),
        tuple(directory / relative for relative, new in made.items() if not new),
        began,
        directory / SCHEMAS,
        renewed,
    )


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for item in folder.iterdir():
        name = f"{prefix}{item.name}"
        if item.is_dir():
            yield from _walk(item, f"{name}/")
        elif not name.endswith((".pyc", "__init__.py")):
            # Files that begin with a dot travel without it, as packaging tools leave those out.
            yield name.replace("dot_", "."), item.read_text("utf-8")


def _write(path: Path, text: str) -> bool:
    """False: it is there already."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _renew(path: Path, text: str) -> bool:
    """Write a file that is made from the program, whatever is there. False: it is so already."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
