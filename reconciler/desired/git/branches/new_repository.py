"""Repositories that groundstate begins itself, by GitPython."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import SourceError

_PATIENCE = 60.0
"""Seconds that `git init` may take."""


def is_in_repository(folder: Path) -> bool:
    """Whether the folder is a repository's, or is in one. Raises SourceError when there is no git."""
    with _gitpython():
        from git import InvalidGitRepositoryError, Repo

        try:
            Repo(folder, search_parent_directories=True, expand_vars=False).close()
        except InvalidGitRepositoryError:
            return False
    return True


def begin_repository(folder: Path) -> None:
    """`git init`, with the branch's name and the template that a person's settings give. Raises SourceError."""
    with _gitpython():
        from git import Repo

        Repo.init(folder, expand_vars=False, kill_after_timeout=_PATIENCE).close()


def begin_with_commit(folder: Path, files: Sequence[str], message: str, name: str, email: str) -> None:
    """A repository with the branch main and one commit of these files, whatever a person's settings say. There is no
    template, so that no hooks of a template are in it, and no hook, filter or signature. Raises SourceError."""
    with _gitpython():
        from git import Actor, Repo

        options: dict[str, Any] = {"initial_branch": "main", "kill_after_timeout": _PATIENCE}
        with Repo.init(folder, expand_vars=False, env={"GIT_TEMPLATE_DIR": ""}, **options) as repo:
            repo.index.add(list(files))
            who = Actor(name, email)
            repo.index.commit(message, author=who, committer=who, skip_hooks=True)


@contextmanager
def _gitpython() -> Iterator[None]:
    """GitPython without what a calling git left in the environment, which would lead it to another repository; its
    errors as SourceError. It is imported here, as that takes longer than most commands do."""
    left = {name: os.environ.pop(name) for name in plumbing.INHERITED if name in os.environ}
    try:
        try:
            from git.exc import GitError
        except ImportError as error:  # It asks for git when it is imported.
            raise SourceError("git cannot be run", "", "install git") from error
        try:
            yield
        except (GitError, OSError) as error:
            raise SourceError("git cannot create the repository", str(error), "read the message of git") from error
    finally:
        os.environ.update(left)
