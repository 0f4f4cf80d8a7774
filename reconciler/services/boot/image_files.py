"""Files by their checksum. A file that is served under a checksum has this checksum."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import msgspec

from reconciler import runtime

_CHUNK = 1024 * 1024
_CHECKSUM = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class _Stat(msgspec.Struct, frozen=True):
    """What a file's content is remembered by: when one of these differs, it may have changed."""

    size: int
    modified: int
    inode: int


class Blob(msgspec.Struct, frozen=True):
    """An open file, which the caller closes; its size in bytes and the time of its last change in seconds."""

    file: io.FileIO
    size: int
    modified: float


class Files:
    """A folder of files that are called by their SHA-256. Safe for use by several threads and programs.

    Each file is read once before it is served, and again only if its size or time changed.
    """

    def __init__(self, folder: Path, base: str = "") -> None:
        self._folder, self._base = folder, base
        self._known: dict[str, tuple[_Stat, bool]] = {}
        self._locks: dict[str, runtime.Lock] = {}
        self._lock = runtime.lock()

    def add(self, path: Path) -> str:
        """Take in a copy of the file; its checksum, as `sha256:...`. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with path.open("rb") as source, os.fdopen(handle, "wb") as copy:
                digest = hashlib.sha256()
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            name = digest.hexdigest()
            if not self._has(name):
                Path(new).chmod(0o644)
                Path(new).replace(self._folder / name)
        finally:
            Path(new).unlink(missing_ok=True)
        return f"sha256:{name}"

    def serve_from(self, base: str) -> None:
        """From now on, URLs begin so: `http://boot.example:9809`."""
        self._base = base

    def url(self, checksum: str, name: str) -> str:
        """Where machines fetch it. `name` is what the URL ends with, for those who look at that."""
        return f"{self._base}/files/{_digits(checksum)}/{quote(name, safe='')}"

    def open(self, checksum: str) -> Blob | None:
        """The file; None when there is none, or when its content is another."""
        name = _digits(checksum)
        try:
            handle = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        # Not buffered: it is read in large pieces.
        with ExitStack() as stack:
            file = stack.enter_context(io.FileIO(handle))
            if not self._is(name, file):
                return None
            seen = os.fstat(file.fileno())
            stack.pop_all()
        return Blob(file, seen.st_size, seen.st_mtime)

    def _has(self, name: str) -> bool:
        blob = self.open(name)
        if blob is not None:
            blob.file.close()
        return blob is not None

    def _is(self, name: str, file: io.FileIO) -> bool:
        """Whether the open file is what it is called. Of several that ask at once, one reads it."""
        with self._lock:
            lock = self._locks.setdefault(name, runtime.lock())
        with lock:
            view = _stat(os.fstat(file.fileno()))
            known = self._known.get(name)
            if known is None or known[0] != view:
                good = hashlib.file_digest(file, "sha256").hexdigest() == name
                file.seek(0)
                # What was written to while it was read is read again the next time.
                known = (view, good and _stat(os.fstat(file.fileno())) == view)
                self._known[name] = known
            return known[1]


def _stat(seen: os.stat_result) -> _Stat:
    return _Stat(seen.st_size, seen.st_mtime_ns, seen.st_ino)


def _digits(checksum: str) -> str:
    """The bare hex digits. Raises ValueError for what is no checksum, so that no path is ever made of it."""
    found = _CHECKSUM.fullmatch(checksum)
    if found is None:
        raise ValueError(f"{checksum!r} is not a SHA-256: write sha256: and 64 lower-case hex digits")
    return found[1]
