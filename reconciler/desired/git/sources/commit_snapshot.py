"""The manifests of one commit, read from git's objects: sizes first, then the contents of manifests.

Bad entries become diagnostics and do not stop the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from reconciler.desired.git import plumbing
from reconciler.desired.git.commits import entries
from reconciler.desired.git.plumbing import Damaged, GitFailed, SourceError
from reconciler.desired.manifest.manifest_files import (
    FILE,
    OTHER,
    SUBMODULE,
    SYMLINK,
    Listing,
    ManifestFile,
)
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.resource import Revision

_NO_FOLDER = ("Not a valid object name", "not a tree object")
"""What git says of a path that is not in a commit, or is a file."""
_FILE_MODES = (b"100644", b"100755", b"100664")
_MODES = {b"120000": SYMLINK, b"160000": SUBMODULE}
MAX_ENTRIES = 2_000_000
"""Of any kind: a few trees that name each other make a listing without end."""


class CommitSnapshot(msgspec.Struct, frozen=True):
    """The manifests of a commit."""

    git_dir: Path
    revision: Revision
    files: tuple[ManifestFile, ...]
    diagnostics: tuple[Diagnostic, ...]

    def read(self, files: Sequence[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """One `cat-file --batch`, fed from a file so that neither side ever waits for the other."""
        if not files:
            return
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{file.blob_id}\n" for file in files).encode())
            wanted.seek(0)
            try:
                with plumbing.stream(self.git_dir, "cat-file", "--batch", "--buffer", stdin=wanted) as output:
                    for file in files:
                        header = output.readline().split()
                        if header[1:] != [b"blob", b"%d" % file.size]:
                            raise missing_object(self.revision.repository, file.blob_id)
                        yield file, output.read(file.size + 1)[:-1]
            except GitFailed as error:
                raise Damaged("objects cannot be read from git", error.stderr, plumbing.FSCK) from error


def list_manifests(git_dir: Path, name: str, sha: str, path: str) -> Listing:
    """What is in a folder of the commit, by size and without contents. `name`: of the repository, for people.

    Raises SourceError, Damaged."""
    listing = Listing()
    prefix = f"{path}/".encode() if path else b""
    try:
        with plumbing.stream(git_dir, "ls-tree", "-r", "-z", "-l", f"{sha}:{path}") as output:
            for count, entry in enumerate(entries(output), 1):
                if count > MAX_ENTRIES:
                    raise SourceError(
                        f"{name} has more than {MAX_ENTRIES:,} files", "", "name a folder of the repository with --path"
                    )
                meta, _, file = entry.partition(b"\t")
                mode, _, blob_id, size = meta.split()
                if mode in _FILE_MODES:
                    if not size.isdigit():
                        raise missing_object(name, blob_id.decode())
                    listing.add(FILE, prefix + file, blob_id.decode(), int(size))
                else:
                    listing.add(_MODES.get(mode, OTHER), prefix + file, "", 0)
    except GitFailed as error:
        if path and any(words in error.stderr for words in _NO_FOLDER):
            raise SourceError(f"{name} has no folder {path!r} at this revision", "", "correct --path") from error
        raise Damaged(f"{name} cannot be read", error.stderr, plumbing.FSCK) from error
    return listing


def missing_object(name: str, blob_id: str) -> SourceError:
    hint = plumbing.FSCK
    return Damaged(f"{name} cannot be read", f"object {blob_id} is missing", hint)
