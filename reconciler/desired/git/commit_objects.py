"""Trees and commits, written by GitPython in this process: no program is started to write them.

So nothing of a person's settings or of the repository has a say: no hook, filter, line ending, signature or template.
Existing objects are read by git (`plumbing`), and git moves the branches, as it compares before it sets.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_IWGRP
from typing import Any, cast

import msgspec

from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import GitFailed, SourceError

BLOB, TREE, COMMIT = b"blob", b"tree", b"commit"
_BAD_DATE = "invalid date format"
"""As git says it (ident.c); without a translation, as groundstate runs git in the locale C."""
_FILE_MODE, _FOLDER_MODE = 0o100644, 0o040000
Entries = dict[bytes, tuple[str, int]]
"""Name -> (id, mode) of what is in one folder."""


class Identity(msgspec.Struct, frozen=True):
    """Who wrote a commit and who made it: `Ada <ada@fleet.example> 1767225600 +0100`, as `git var` says it."""

    author: str
    committer: str


class CommitWriter:
    """Writes objects into one repository, which names them by SHA-1."""

    def __init__(self, git_dir: Path, objects: Path) -> None:
        self._git_dir, self._objects = git_dir, objects
        self._read: dict[str, Entries] = {}

    def tree_with(self, base: str, files: Mapping[str, str | None]) -> str:
        """The tree of a commit with these files (path -> text; None: without it). Raises SourceError."""
        changes: dict[bytes, Any] = {}
        for path, text in files.items():
            *folders, name = path.encode().split(b"/")
            inner = changes
            for folder in folders:
                inner = inner.setdefault(folder, {})
            inner[name] = text
        return self._folder(f"{base}^{{tree}}", changes, "") or self._put(TREE, b"")

    def blob_at(self, base: str, path: str) -> str | None:
        """The id of the file at a commit; None where there is nothing of that name."""
        *folders, name = path.encode().split(b"/")
        tree = f"{base}^{{tree}}"
        for folder in folders:
            found = self._entries(tree).get(folder)
            if found is None or not S_ISDIR(found[1]):
                return None
            tree = found[0]
        return self._entries(tree)[name][0] if name in self._entries(tree) else None

    def commit(self, tree: str, parents: Sequence[str], message: str, identity: Identity) -> str:
        """The commit's id. The message is stored unchanged, in UTF-8."""
        from git import Commit, Repo, Tree
        from git.objects.util import parse_actor_and_date

        author, written, author_zone = parse_actor_and_date(f"author {identity.author}")
        committer, made, committer_zone = parse_actor_and_date(f"committer {identity.committer}")
        # Commit.create_from_tree would take the encoding from a person's settings, and a Repo its place from the
        # environment; what is written depends on neither.
        nowhere = cast(Repo, None)
        one = Commit(
            nowhere,
            Commit.NULL_BIN_SHA,
            Tree(nowhere, bytes.fromhex(tree)),
            author,
            written,
            author_zone,
            committer,
            made,
            committer_zone,
            message,
            [Commit(nowhere, bytes.fromhex(parent)) for parent in parents],
            "UTF-8",
        )
        written_out = BytesIO()
        one._serialize(written_out)
        return self._put(COMMIT, written_out.getvalue())

    def _folder(self, tree: str, changes: Mapping[bytes, Any], where: str) -> str:
        """A folder's tree with the changes in it and below; empty when nothing is left of it."""
        entries = dict(self._entries(tree))
        for name, change in changes.items():
            path, before = f"{where}{os.fsdecode(name)}", entries.get(name)
            is_folder = before is not None and S_ISDIR(before[1])
            if isinstance(change, dict):
                if before is not None and not is_folder:
                    raise SourceError(
                        f"{path} is a file", "groundstate must write into a folder of this name", "name another folder"
                    )
                inner = self._folder(before[0] if before else "", change, f"{path}/")
                after = (inner, _FOLDER_MODE) if inner else None
            elif is_folder and change is not None:
                raise SourceError(
                    f"{path} is a folder", "groundstate must write a file of this name", "name another folder"
                )
            else:
                after = (self._put(BLOB, change.encode()), _FILE_MODE) if change is not None else None
            if after is None:
                entries.pop(name, None)
            else:
                entries[name] = after
        return self._put(TREE, _tree_data(entries)) if entries else ""

    def _entries(self, tree: str) -> Entries:
        from git.objects.fun import tree_entries_from_data

        if tree and tree not in self._read:
            found = tree_entries_from_data(plumbing.run(self._git_dir, "cat-file", "tree", tree))
            # GitPython decodes names; those that are no UTF-8 have to come out as they went in.
            self._read[tree] = {name.encode("utf-8", "surrogateescape"): (one.hex(), mode) for one, mode, name in found}
        return self._read.get(tree, {})

    def _put(self, kind: bytes, data: bytes) -> str:
        """Write an object, unless it is there already."""
        from gitdb import IStream, LooseObjectDB

        name = git_object_id(kind, data)
        folder = self._objects / name[:2]
        is_new = not folder.exists()
        try:
            os.utime(folder / name[2:])  # As git does: what is used again is not what `git gc` may drop.
        except OSError:
            # Not GitPython's own database, which starts a git for each object.
            LooseObjectDB(str(self._objects)).store(IStream(kind, len(data), BytesIO(data)))
            if is_new:
                _share(folder)
        return name


def git_object_id(kind: bytes, data: bytes) -> str:
    """What git calls an object of these contents."""
    return hashlib.sha1(b"%s %d\0" % (kind, len(data)) + data, usedforsecurity=False).hexdigest()


@contextmanager
def commit_writer(git_dir: Path) -> Iterator[CommitWriter]:
    """A writer for the repository. Raises SourceError, also for all that goes wrong with objects in the block."""
    from git.exc import GitError
    from gitdb.exc import ODBError

    what = f"nothing was committed in {git_dir}"
    try:
        said = plumbing.run(git_dir, "rev-parse", "--show-object-format", "--git-common-dir").decode().splitlines()
    except GitFailed as error:
        raise SourceError(what, error.stderr, "read the message of git") from error
    if said[0] != "sha1":
        why = f"the repository uses the object format {said[0]}, which groundstate can read but not write"
        raise SourceError(what, why, "commit the files yourself")
    try:
        yield CommitWriter(git_dir, git_dir / said[1] / "objects")
    except GitFailed as error:
        raise SourceError(what, error.stderr, "read the message of git") from error
    except (GitError, ODBError, OSError, ValueError) as error:
        raise SourceError(what, str(error) or type(error).__name__, plumbing.FSCK) from error


def identity_of(git_dir: Path, otherwise: Mapping[str, str] | None = None) -> Identity:
    """Who git says is at work. `otherwise`: the environment that names a person if git knows none; without it that
    raises SourceError."""
    try:
        return _identity(git_dir, {})
    except GitFailed as error:
        if otherwise is not None:
            return _identity(git_dir, otherwise)
        hint = "git config --global user.name NAME, and user.email ADDRESS"
        why = error.stderr.rpartition("\n")[2].removeprefix("fatal: ")  # The rest is what hint says.
        raise SourceError("git does not know who commits", why, hint) from error


def _identity(git_dir: Path, extra: Mapping[str, str]) -> Identity:
    return Identity(_ident(git_dir, "AUTHOR", extra), _ident(git_dir, "COMMITTER", extra))


def _ident(git_dir: Path, who: str, extra: Mapping[str, str]) -> str:
    try:
        return plumbing.run(git_dir, "var", f"GIT_{who}_IDENT", extra=extra).decode(errors="replace").strip()
    except GitFailed as error:
        if _BAD_DATE not in error.stderr:
            raise
        why = f"the environment variable GIT_{who}_DATE is not a date that git reads"
        hint = "set the variable to a date such as 2026-01-31T12:00:00Z, or unset the variable"
        raise SourceError("git cannot date the commit", why, hint) from error


def _tree_data(entries: Entries) -> bytes:
    from git.objects.fun import tree_to_stream

    # A folder sorts as if its name ended in a slash.
    ordered = sorted(entries.items(), key=lambda one: one[0] + b"/" * S_ISDIR(one[1][1]))
    written = BytesIO()
    tree_to_stream([(bytes.fromhex(found), mode, name) for name, (found, mode) in ordered], written.write)  # type: ignore[misc]
    return written.getvalue()


def _share(folder: Path) -> None:
    """Open a new folder of objects to those who may write beside it (core.sharedRepository)."""
    mode = S_IMODE(folder.parent.stat().st_mode)
    if mode & S_IWGRP:
        folder.chmod(mode)
