"""Opens the source that a folder or a URL names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.git.sources.mirror import Mirror
from reconciler.desired.git.sources.repository import Repository
from reconciler.desired.git.sources.repository_folder import RepositoryFolder, find_repository, joined_path
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.desired.git.sources.worktree import WorkTree
from reconciler.model.values.redact import redacted

_REMOTE = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*://|(?!-)(?:[^/@:\s]+@)?(?:\[[^]/\s]+\]|\w[\w.-]*):(?!:).)")
"""A URL, or `[USER@]HOST:PATH` as git and scp take it, where HOST may be an alias of the SSH settings."""
_SCHEMES = ("https://", "ssh://", "file://")
_UNPROVEN = ("http", "git", "ftp", "ftps", "rsync")


def open_source(
    location: str | os.PathLike[str],
    ref: str | None = None,
    path: str = "",
    *,
    work_tree: bool = False,
    cache_dir: Path | None = None,
) -> DesiredSource:
    """The source at a folder (a repository, any folder in one, a bare one) or a URL (https, ssh, file).

    `ref`: branch, tag or commit; the default is HEAD. `path`: the folder to read, from `location`. `work_tree`: what
    is on disk, committed or not; then `location` need not be in a repository. `cache_dir`: where mirrors of remotes
    are kept; a remote needs it. Raises SourceError. Touches no network.
    """
    text = os.fspath(location)
    if _REMOTE.match(text) and not Path(text).exists():
        if work_tree:
            raise SourceError(
                f"{text} is a remote",
                "a work tree is a directory on disk",
                ("clone the repository, or leave --work-tree out"),
            )
        return _remote(text, ref, path, cache_dir)
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not a directory",
            "the directory does not exist" if not folder.exists() else "",
            "check the path",
        )
    repository = find_repository(folder)
    if isinstance(repository, RepositoryFolder):
        if work_tree and repository.root == repository.git_dir:
            raise SourceError(
                f"{folder} is a bare repository", "a bare repository has no work tree", "leave --work-tree out"
            )
        joined = joined_path(repository.prefix, path)
        if work_tree:
            return WorkTree(folder, joined, repository.prefix)
        return Repository(repository, ref, joined, folder=folder)
    if work_tree:
        return WorkTree(folder, joined_path("", path))
    raise repository


def _remote(url: str, ref: str | None, path: str, cache_dir: Path | None) -> DesiredSource:
    if "://" in url and not url.startswith(_SCHEMES):
        scheme = url.partition("://")[0]
        unproven = "this protocol does not authenticate the server or protect the data"
        why = unproven if scheme in _UNPROVEN else ""
        raise SourceError(f"groundstate does not fetch over {scheme}://", why, "use https, ssh or file")
    if cache_dir is None:
        raise SourceError(
            f"{redacted(url)} is a remote",
            "no cache folder is known for a local copy",
            ("set the environment variable XDG_CACHE_HOME or HOME"),
        )
    return Mirror(url, ref, joined_path("", path), cache_dir)
