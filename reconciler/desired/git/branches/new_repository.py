"""Repositories that groundstate begins itself, by GitPython."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import GitFailed, SourceError

_PATIENCE = 60.0
"""Seconds that `git init` may take."""


def is_in_repository(folder: Path) -> bool:
    """Whether the folder is in the work tree of a repository. Raises SourceError when there is no git, and for a folder
    of git's own files, as a bare repository is."""
    folder = folder.absolute()  # GitPython would take a folder named ~ for the home.
    with _gitpython():
        from git import InvalidGitRepositoryError, Repo

        try:
            with Repo(folder, search_parent_directories=True, expand_vars=False) as repo:
                own = Path(repo.git_dir).resolve()
        except InvalidGitRepositoryError:
            return False
    if folder.resolve().is_relative_to(own):
        raise SourceError(
            f"{folder} holds git's own files", "a folder of git's own files is not a work tree", "name another folder"
        )
    return True


def begin_repository(folder: Path) -> None:
    """`git init`, with the branch's name and the template that a person's settings give. Raises SourceError."""
    with _gitpython():
        _begin(folder)


def begin_with_commit(folder: Path, files: Sequence[str], message: str, name: str, email: str) -> None:
    """A repository with the branch main and one commit of these files, whatever a person's settings say. There is no
    template, so that no hooks of a template are in it, and no hook, filter or signature. Raises SourceError."""
    with _gitpython():
        from git import Actor, Repo

        _begin(folder, initial_branch="main", env={"GIT_TEMPLATE_DIR": ""})
        with Repo(folder.absolute(), expand_vars=False) as repo:
            repo.index.add(list(files))
            who = Actor(name, email)
            repo.index.commit(message, author=who, committer=who, skip_hooks=True)


def _begin(folder: Path, **options: Any) -> None:
    """Not Repo.init, which puts variables of the environment into a folder's name. Git does so with its own folder."""
    from git import Git

    Git().init("--", str(folder.absolute()), kill_after_timeout=_PATIENCE, **options)


@contextmanager
def _gitpython() -> Iterator[None]:
    """GitPython without what a calling git left in the environment, which would lead it to another repository; its
    errors as SourceError. It is imported here, as that takes longer than most commands do."""
    left = {name: os.environ.pop(name) for name in plumbing.INHERITED if name in os.environ}
    try:
        try:
            from git.exc import GitError
        except ImportError as error:  # It asks for git when it is imported.
            raise _why_not() from error
        try:
            yield
        except (GitError, OSError) as error:
            raise SourceError("git cannot create the repository", str(error), "read the message of git") from error
    finally:
        os.environ.update(left)


def _why_not() -> SourceError:
    """Why git cannot be run: there is none, or a person's settings cannot be read."""
    try:
        plumbing.run(Path("/"), "config", "--list", discover=True)
    except GitFailed as error:
        return SourceError("git cannot be run", error.stderr, "read the message of git")
    except SourceError as error:
        return error
    return SourceError("git cannot be run", "", "run `git version` and read its message")
