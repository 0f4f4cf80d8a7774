"""Commits new files on a branch: work tree, index and current branch stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.desired.git import plumbing
from reconciler.desired.git.commit_objects import BLOB, CommitWriter, commit_writer, git_object_id, identity_of
from reconciler.desired.git.plumbing import GitFailed, SourceError, SourceUnavailable
from reconciler.desired.git.remotes import words

PUSH_SILENCE = 120.0
"""Seconds without progress after which a push is given up: a hook of the remote may take its time."""
_NO_COMMIT = "0" * 40


def branch_exists(folder: Path, branch: str) -> bool:
    """Whether the repository has the branch. Raises SourceError for a folder without a repository, and for a name that
    no branch may have. Also for a branch that is checked out, as the work tree would then be behind it."""
    git_dir, branch = _git_dir(folder), checked(branch)
    if f"refs/heads/{branch}" in _checked_out(git_dir):
        hint = "name another branch, or leave --branch out and commit the files yourself"
        raise SourceError(f"branch {branch} is checked out", "the checked-out files would not match the branch", hint)
    if (other := _symbolic(git_dir, branch)) is not None:
        raise SourceError(f"branch {branch} is a symbolic ref to {other}", "", "name another branch")
    return _tip(git_dir, branch) is not None


def commit_on_branch(folder: Path, branch: str, start: str, files: Mapping[str, str], message: str) -> str | None:
    """Commit the files (path from the repository's root -> text) on the branch, which begins at `start` if it is new.

    Returns the commit; None when the branch holds just these files already. A file that is there with other contents
    is not written over. Raises SourceError.
    """
    is_there, git_dir = branch_exists(folder, branch), _git_dir(folder)
    tip = _tip(git_dir, branch) if is_there else None
    try:
        base = tip or _commit_of(git_dir, start, branch)
        with commit_writer(git_dir) as writer:
            _spare(writer, base, files)
            tree = writer.tree_with(base, files)
            if tree == plumbing.run(git_dir, "rev-parse", f"{base}^{{tree}}").decode().strip():
                return None
            made = writer.commit(tree, [base], message, identity_of(git_dir))
        # Somebody who moved the branch meanwhile is not undone.
        plumbing.run(
            git_dir, "update-ref", "-m", message.splitlines()[0], f"refs/heads/{branch}", made, tip or _NO_COMMIT
        )
    except GitFailed as error:
        raise SourceError(f"nothing was committed on {branch}", error.stderr, "read the message of git") from error
    return made


def push(folder: Path, branch: str, remote: str = "origin") -> None:
    """Push the branch to the remote, never by force. Raises SourceError."""
    ref = f"refs/heads/{checked(branch)}"
    what, hint = f"{branch} was not pushed to {remote}", f"`git push {remote} {branch}` tries again"
    try:
        plumbing.transfer(_git_dir(folder), "push", "--progress", remote, f"{ref}:{ref}", silence=PUSH_SILENCE)
    except GitFailed as error:
        raise SourceError(what, words(error.stderr), f"the commit is on the local branch; {hint}") from error
    except SourceUnavailable as error:
        why = f"{error.what}; {words(error.why)}"
        raise SourceUnavailable(what, why, f"the commit is on the local branch; {hint}") from error


def _commit_of(git_dir: Path, start: str, branch: str) -> str:
    try:
        found = plumbing.run(git_dir, "rev-parse", "--verify", "--end-of-options", f"{start}^{{commit}}")
    except GitFailed as error:
        what, why = f"nothing was committed on {branch}", f"{start} is not a commit of this repository"
        raise SourceError(what, why, "name a commit that exists; in a new repository, commit once first") from error
    return found.decode().strip()


def _spare(writer: CommitWriter, base: str, files: Mapping[str, str]) -> None:
    """Raises SourceError where a file would be written over with other contents."""
    for path, text in files.items():
        if writer.blob_at(base, path) not in (None, git_object_id(BLOB, text.encode())):
            raise SourceError(f"the file {path} exists already, with other contents", "", "name another --out")


def _git_dir(folder: Path) -> Path:
    try:
        return Path(plumbing.run(folder, "rev-parse", "--absolute-git-dir", discover=True).decode().rstrip("\n"))
    except GitFailed as error:
        raise SourceError(
            f"{folder} cannot be opened as a git repository", error.stderr, "--branch needs a local clone"
        ) from error


def checked(branch: str) -> str:
    """The branch's name. Raises SourceError for what cannot be one."""
    try:
        if branch.startswith("-"):
            raise GitFailed("a branch's name does not start with -")
        if branch in ("HEAD", "@") or branch.startswith("refs/"):
            # git would take the branch for the commit that is checked out, or for another reference.
            raise GitFailed(f"git has another meaning for {branch}")
        plumbing.run(Path(os.devnull), "check-ref-format", f"refs/heads/{branch}")
    except GitFailed as error:
        raise SourceError(
            (f"{branch!r} is not a valid branch name"), error.stderr, "write a name such as found-machines"
        ) from error
    return branch


def _checked_out(git_dir: Path) -> set[str]:
    """Branches that a work tree of the repository has."""
    listed = plumbing.run(git_dir, "worktree", "list", "--porcelain").decode(errors="replace")
    return {line.removeprefix("branch ") for line in listed.splitlines() if line.startswith("branch ")}


def _symbolic(git_dir: Path, branch: str) -> str | None:
    try:
        return plumbing.run(git_dir, "symbolic-ref", "--quiet", f"refs/heads/{branch}").decode().strip()
    except GitFailed:
        return None


def _tip(git_dir: Path, branch: str) -> str | None:
    try:
        found = plumbing.run(git_dir, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
    except GitFailed:
        return None
    return found.decode().strip()
