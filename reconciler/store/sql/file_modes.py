"""Who may read and write an SQLite store: its owner, and the group that the folder of the store is shared with."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

_PARTS = ("", "-wal", "-shm", "-journal", ".lock")
"""What SQLite and the lock add to the file's name. SQLite gives its own the mode of the file."""
_PRIVATE = 0o600


class FileAccess(msgspec.Struct, frozen=True):
    """The mode of the files, and the group that they belong to (None: it is left alone)."""

    mode: int
    group: int | None = None


def file_access(folder: Path) -> FileAccess:
    """For the files of a store in this folder. A folder with the setgid bit is shared with its group on purpose, as
    `chmod g+s` is done for nothing else. What the group may do in the folder, it may do with the files. Raises
    OSError."""
    found = folder.stat()
    if found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IRGRP and found.st_mode & stat.S_IXGRP:
        return FileAccess(0o660 if found.st_mode & stat.S_IWGRP else 0o640, found.st_gid)
    return FileAccess(_PRIVATE)


def give_access(file: Path) -> None:
    """Make the file if there is none. Let its owner read and write the store, and the group of a shared folder as
    `file_access` says, whatever the umask is. The store has the ledger and the inventory. Files that are open to others
    are closed to them, where this user may do so."""
    with suppress(FileExistsError):
        made = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _PRIVATE)
        os.fchmod(made, _PRIVATE)  # A umask may have taken the owner's own right to it.
        os.close(made)
    real = file.resolve()  # SQLite puts its own beside what a link leads to.
    access = file_access(real.parent)
    for path in {at.with_name(at.name + end) for at in (file, real) for end in _PARTS}:
        with suppress(OSError):
            _give(path, access)


def _give(path: Path, access: FileAccess) -> None:
    found = path.stat()
    mode = access.mode
    if access.group is not None and found.st_gid != access.group:
        try:
            os.chown(path, -1, access.group)
        except OSError:
            mode = _PRIVATE  # Its present group is another one, which was not meant.
    if (found.st_mode ^ mode) & 0o077:
        path.chmod(mode)
