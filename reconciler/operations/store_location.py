"""Where a fleet's store is by default: in the repository's git directory, which `git clean` does not touch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from reconciler.model.values.redact import redacted
from reconciler.operations.operation_error import OperationError

OLD_FOLDER = ".groundstate"
"""Where stores were at first: in the work tree, from which `git clean -fdx` took them."""
FOLDER, FILE = "groundstate", "state.db"


def default_store(repo: str, state: Path | None = None) -> Path:
    """The store of the fleet that is declared in a folder, or at a URL.

    Of a repository it is `groundstate/state.db` in its git directory (the common one, where it has several work trees).
    Of a folder in one, in a folder of that name below. Of a URL or a folder without git it is in `state`, the user's
    folder, by the place's hash. Raises OperationError where there is no such folder."""
    folder = Path(repo).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        for top in (folder, *folder.parents):
            if (found := _git_dir(top)) is not None:
                return found / FOLDER / folder.relative_to(top) / FILE
        repo = str(folder)
    digest = hashlib.sha256(redacted(repo).encode()).hexdigest()[:20]
    if state is None:
        raise OperationError("the store has no default place here; name the store with --store")
    return state / FOLDER / digest / FILE


def old_store(repo: str) -> Path:
    """Where an older groundstate kept it."""
    folder = Path(repo).expanduser()
    return (folder if folder.is_dir() else Path.cwd()).absolute() / OLD_FOLDER / FILE


def move_hint(old: Path, new: Path) -> str:
    """How to bring an old store to its new place."""
    return (
        f"the store {old} is in a folder that `git clean` deletes; the default place is now {new}. Stop every "
        f"groundstate that uses the store, then run: mkdir -p {new.parent.parent} && mv {old.parent} "
        f"{new.parent}. "
        f"Or keep using the old place with --store {old}"
    )


def _git_dir(top: Path) -> Path | None:
    """The git directory of a folder that has one, or is one; read as gitrepository-layout(5) says."""
    dot = top / ".git"
    if dot.is_dir():
        return dot
    if dot.is_file():
        named = dot.read_text("utf-8", "replace").removeprefix("gitdir:").strip()
        git_dir = (top / named).resolve()
        common = git_dir / "commondir"
        return (git_dir / common.read_text("utf-8").strip()).resolve() if common.is_file() else git_dir
    bare = (top / "HEAD").is_file() and (top / "objects").is_dir() and (top / "refs").is_dir()
    return top if bare else None
