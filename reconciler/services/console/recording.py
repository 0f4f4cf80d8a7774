"""What a console said, in files that only groundstate's user reads: one recording for each machine and tenancy.

FOLDER/MACHINE/TENANCY.log       the bytes, as they came; at most half of what is kept
FOLDER/MACHINE/TENANCY.log.old   those before
FOLDER/MACHINE/TENANCY.index     JSON lines: when what began, at which byte since the beginning
FOLDER/MACHINE/session           by what the BMC knows the open line; none after an orderly end
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from drivers.base import clean

KEPT = timedelta(days=90)
"""So long after its last byte, a recording is removed."""
MOST_MARKS = 1000
ROTATED = "rotated"
ORDER = "order "
_LOG, _OLD, _INDEX = ".log", ".log.old", ".index"
_SESSION = "session"


class RecordingMark(msgspec.Struct, frozen=True):
    """That something began at the byte `offset` of the recording."""

    at: datetime
    offset: int
    words: str


_MARKS = msgspec.json.Decoder(RecordingMark)


class Recorder:
    """Writes the recordings of one machine. Errors are raised as OSError; what was to be written is lost then."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self._folder, self._now = folder, now
        self._name, self._keep = "", 0
        self._file, self._size, self._begin = -1, 0, 0

    @property
    def size(self) -> int:
        """Bytes of the present recording, those that were removed included."""
        return self._begin + self._size

    def begin(self, name: str, keep: int) -> None:
        """Record for this tenancy from now on; continue its recording if there is one."""
        self.close()
        _make(self._folder)
        self._name, self._keep = name, keep
        self._file = os.open(self._path(_LOG), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._size = os.fstat(self._file).st_size
        self._begin = _begin_of(self._folder, name)

    def write(self, data: bytes) -> None:
        """Append it. Beyond half of `keep` the file becomes the old one, and the old one is gone."""
        if not self._is_recording():
            return
        self._size += os.write(self._file, data)
        if self._size > self._keep // 2:
            name, keep, at = self._name, self._keep, self._begin + self._size
            self._path(_LOG).replace(self._path(_OLD))
            self._note(RecordingMark(self._now(), at, ROTATED))
            self.begin(name, keep)

    def mark(self, words: str) -> None:
        """Note that something begins here."""
        if self._is_recording():
            self._note(RecordingMark(self._now(), self.size, words))

    def _is_recording(self) -> bool:
        """A file that was removed meanwhile is begun again: a machine can be silent for longer than files are kept."""
        if self._file >= 0 and not os.fstat(self._file).st_nlink:
            self.begin(self._name, self._keep)
        return self._file >= 0

    def close(self) -> None:
        """Record no more."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def former(self) -> str:
        """The handle of a line that was not closed in order."""
        with suppress(OSError):
            return self._session.read_text("utf-8", errors="replace").strip()
        return ""

    def opened(self, handle: str) -> None:
        """Keep the handle, in case this process is killed."""
        _make(self._folder)
        self._session.unlink(missing_ok=True)
        if handle:
            _append(self._session, handle.encode())

    def closed(self) -> None:
        """The line was closed in order."""
        self._session.unlink(missing_ok=True)

    @property
    def _session(self) -> Path:
        return self._folder / _SESSION

    def _path(self, suffix: str) -> Path:
        return self._folder / f"{self._name}{suffix}"

    def _note(self, mark: RecordingMark) -> None:
        path = self._path(_INDEX)
        marks = [*read_marks(self._folder, self._name), mark]
        if len(marks) > MOST_MARKS:
            path.unlink()
            _append(path, b"".join(msgspec.json.encode(one) + b"\n" for one in marks[-MOST_MARKS // 2 :]))
        else:
            _append(path, msgspec.json.encode(mark) + b"\n")


def _make(folder: Path) -> None:
    """It and the one above it, which names the machines, are of groundstate's user alone."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)


def _append(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def _begin_of(folder: Path, name: str) -> int:
    """At which byte of the recording its newest file begins."""
    return next((mark.offset for mark in reversed(read_marks(folder, name)) if mark.words == ROTATED), 0)


def read_marks(folder: Path, name: str) -> list[RecordingMark]:
    """The marks of a recording, in order. A line that was cut by a crash is left out."""
    found = []
    with suppress(OSError):
        for line in (folder / f"{name}{_INDEX}").read_bytes().splitlines():
            with suppress(msgspec.DecodeError):
                found.append(_MARKS.decode(line))
    return found


def last_order(folder: Path, name: str) -> int | None:
    """At which byte of a recording the last boot request began; None without one. A daemon that was restarted within a
    request has marked it again."""
    orders = [one for one in read_marks(folder, name) if one.words.startswith(ORDER)]
    return next((one.offset for one in orders if one.words == orders[-1].words), None)


class Recording(msgspec.Struct, frozen=True):
    """A recording on disk. `begin`: how many bytes of it were removed. `last`: when it was written last."""

    name: str
    begin: int
    size: int
    last: float


def recordings(folder: Path) -> list[Recording]:
    """The recordings of one machine, the oldest first."""
    found = []
    with suppress(OSError):
        for path in folder.glob(f"*{_LOG}"):
            name = path.name.removesuffix(_LOG)
            with suppress(OSError):
                sizes = [one.stat().st_size if one.exists() else 0 for one in (path, folder / f"{name}{_OLD}")]
                begin = max(0, _begin_of(folder, name) - sizes[1])
                found.append(Recording(name, begin, sum(sizes), path.stat().st_mtime))
    return sorted(found, key=lambda one: one.last)


def read_recording(folder: Path, recording: Recording, offset: int = 0) -> bytes:
    """What is kept of it from this byte on."""
    parts, skipped = [], max(0, offset - recording.begin)
    for suffix in (_OLD, _LOG):
        with suppress(FileNotFoundError), (folder / f"{recording.name}{suffix}").open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(min(skipped, size))
            skipped -= min(skipped, size)
            parts.append(file.read())
    return b"".join(parts)


def remove_old(folder: Path, now: datetime) -> Iterator[Path]:
    """Remove recordings that were last written long ago, each with all of its files; what was removed."""
    found: dict[Path, list[tuple[float, Path]]] = {}
    with suppress(OSError):
        for path in folder.glob("*/*"):
            name = path.name.removesuffix(_OLD).removesuffix(_LOG).removesuffix(_INDEX)
            with suppress(OSError):
                if path.name != _SESSION:
                    found.setdefault(path.with_name(name), []).append((path.stat().st_mtime, path))
    for files in found.values():
        if max(files)[0] >= (now - KEPT).timestamp():
            continue
        for _, path in sorted(files):
            with suppress(OSError):
                path.unlink()
                yield path


_READ_FOR_LINE = 4096
_STEERING = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")


def last_words(folder: Path) -> str:
    """Which recording a machine has of the boot request under way, and its last line, in words; empty where it has
    none. `folder`: of the machine."""
    found = recordings(folder)
    order = last_order(folder, found[-1].name) if found else None
    if order is None:
        return ""
    newest = found[-1]
    begin = max(order, newest.begin + newest.size - _READ_FOR_LINE)
    try:
        said = _STEERING.sub(b"", read_recording(folder, newest, begin))
    except OSError:
        return ""
    lines = (clean(one.decode(errors="replace")).strip() for one in reversed(re.split(rb"[\r\n]", said)))
    last = next(filter(None, lines), "")
    ends = f' and ends with "{last[-200:]}"' if last else ", and is empty"
    return f"the console was recorded as {newest.name}{ends}"
