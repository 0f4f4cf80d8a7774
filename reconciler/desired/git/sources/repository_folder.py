"""Where a repository is on disk, and how one that was moved, removed or replaced is found again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import GitFailed, SourceError, SourceUnavailable


class RepositoryFolder(msgspec.Struct, frozen=True):
    """Where a repository is. `prefix`: from its root to the folder that was asked for."""

    root: Path
    git_dir: Path
    common_dir: Path
    prefix: str


def find_repository(folder: Path) -> RepositoryFolder | SourceError:
    """The repository around a folder, or why there is none. Raises SourceError when git refuses the one there is."""
    wanted = ("--absolute-git-dir", "--git-common-dir", "--is-bare-repository", "--show-prefix")
    try:
        said = plumbing.run(folder, "rev-parse", *wanted, discover=True)
    except GitFailed as error:
        if "dubious ownership" in error.stderr:
            hint = f"if you trust the folder, run: git config --global --add safe.directory {folder}"
            raise SourceError(f"git refuses {folder}", "the folder belongs to another user", hint) from error
        if "not a git repository" not in error.stderr:
            raise SourceError(f"git cannot read {folder}", error.stderr) from error
        hint = "run `git init` in that folder, or name a folder of a repository"
        return SourceError(f"{folder} is not in a git repository", "", hint)
    git_dir, common, bare, prefix = os.fsdecode(said).split("\n")[:4]
    prefix = prefix.rstrip("/")
    root = Path(git_dir) if bare == "true" else folder.resolve()
    for _ in filter(None, prefix.split("/")):
        root = root.parent
    return RepositoryFolder(root, Path(git_dir), (folder / common).resolve(), prefix)


def folder_identity(folder: Path, place: RepositoryFolder) -> tuple[Path, int, int] | None:
    """Identifies the repository, so that a replaced one is noticed; None while it is away."""
    try:
        found = place.git_dir.stat()
        return folder.resolve(strict=True), found.st_dev, found.st_ino
    except OSError:
        return None


def folder_away(folder: Path) -> SourceUnavailable:
    return SourceUnavailable(
        f"{folder} is not a git repository any more",
        "the folder was moved or removed",
        "groundstate continues when the repository is there again",
    )


def head_name(git_dir: Path) -> str:
    head = (git_dir / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else "HEAD"


def joined_path(prefix: str, path: str) -> str:
    parts = [part for part in f"{prefix}/{path}".split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SourceError(f"{path!r} leads out of the repository", "", "name a folder of the repository")
    return "/".join(parts)
