"""Where a fleet's store is by default: in the repository's git directory, which `git clean` does not touch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from reconciler.model.values.redact import redacted
from reconciler.operations.operation_error import OperationError

OLD_FOLDER = ".groundstate"
"""Where stores were at first: in the work tree, from which `git clean -fdx` took them."""
FOLDER, FILE, KNOWN = "groundstate", "state.db", "groundstate-store"


def default_store(repo: str, state: Path | None = None) -> Path:
    """The store of the fleet that is declared in a folder, or at a URL.

    Of a repository it is `groundstate/state.db` in its git directory (the common one, where it has several work trees).
    Of a folder in one, in a folder of that name below. Of a URL or a folder without git it is in `state`, the user's
    folder, by the place's hash. Raises OperationError where there is no such folder."""
    if (found := _in_git_dir(repo)) is not None:
        git_dir, below = found
        return git_dir / FOLDER / below / FILE
    if state is None:
        raise OperationError("the store has no default place here; name the store with --store")
    return state / FOLDER / _digest(repo) / FILE


def known_store_file(repo: str, cache: Path | None) -> Path | None:
    """Where it is remembered which store the fleet has: in the git directory, outside of the store's own folder. Of a
    URL or a folder without git, in the user's cache. None where there is no place for it."""
    if (found := _in_git_dir(repo)) is not None:
        git_dir, below = found
        return git_dir / KNOWN / below / "known.json"
    return None if cache is None else cache / "stores" / f"{_digest(repo)}.json"


def _in_git_dir(repo: str) -> tuple[Path, Path] | None:
    """The git directory of a folder, and the way from the top of its work tree to the folder."""
    folder = Path(repo).expanduser()
    if not folder.is_dir():
        return None
    folder = folder.resolve()
    for top in (folder, *folder.parents):
        if (found := _git_dir(top)) is not None:
            return found, folder.relative_to(top)
    return None


def _digest(repo: str) -> str:
    folder = Path(repo).expanduser()
    place = str(folder.resolve()) if folder.is_dir() else repo
    return hashlib.sha256(redacted(place).encode()).hexdigest()[:20]


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
