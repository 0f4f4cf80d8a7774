"""A file tree in memory, and the archive that Linux unpacks as its first root directory.

The archive is cpio's "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst in Linux): entries in
sorted order, owned by root, with one time for all, so that equal trees give equal bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

TRAILER = "TRAILER!!!"


@dataclass
class Tree:
    """Entries by path without the leading slash; a directory's data is empty, a link's is its target."""

    entries: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._put(path, stat.S_IFDIR | mode, b"")

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._put(path, stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        self._put(path, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source: Path, path: str, mode: int | None = None) -> None:
        """A file of this machine; whether it may be executed is kept, other rights are the usual ones."""
        usual = 0o755 if source.stat().st_mode & 0o100 else 0o644
        self.file(path, source.read_bytes(), usual if mode is None else mode)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Regular files in order of their paths."""
        for path, (mode, data) in sorted(self.entries.items()):
            if stat.S_ISREG(mode):
                yield path, data

    def archive(self, mtime: int) -> bytes:
        """All of it as newc; `mtime` in seconds since 1970."""
        # Parents sort before what is in them, as the kernel needs.
        parts = [
            _entry(number, path, mode, data, mtime)
            for number, (path, (mode, data)) in enumerate(sorted(self.entries.items()), 1)
        ]
        return b"".join([*parts, _entry(0, TRAILER, 0, b"", 0)])

    def _put(self, path: str, mode: int, data: bytes) -> None:
        path = path.strip("/")
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                self.entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self.entries[path] = (mode, data)


def _entry(number: int, path: str, mode: int, data: bytes, mtime: int) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    numbers = (number, mode, 0, 0, links, mtime, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in numbers) + name
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
