"""Recordings in a thread of their own: a disk that is full, slow or hangs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.services.console.recording import Recorder, read_marks, read_recording, recordings
from reconciler.services.console.recording_queue import MOST_WAITING, RETRY, RecordingQueue


class Disk:
    """A recording whose thread works when the test says so, on a disk that may be full."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder / "r1-01", datetime(2026, 11, 30, tzinfo=UTC)
        self.waiting: list[Callable[[], None]] = []
        self.told: list[str] = []
        self.is_full = False
        disk = self

        class Full(Recorder):
            def write(self, data: bytes) -> None:
                if disk.is_full:
                    raise OSError(28, "No space left on device")
                super().write(data)

        self.recorder = Full(self.folder, lambda: self.now)
        self.queue = RecordingQueue(self.recorder, self.waiting.append, lambda: self.now, self.tell)

    def tell(self, why: OSError | None) -> None:
        self.told.append("again" if why is None else why.strerror or str(why))

    def work(self) -> None:
        """The thread has done all."""
        while self.waiting:
            self.waiting.pop(0)()

    def recorded(self, name: str) -> bytes:
        found = {one.name: one for one in recordings(self.folder)}
        return read_recording(self.folder, found[name])


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_nothing_is_written_in_the_thread_of_the_consoles(disk: Disk) -> None:
    disk.queue.begin("claim-web-0", 1 << 20)
    disk.queue.write(b"login: ")
    disk.queue.mark("order Install 1")
    disk.queue.opened("handle")
    assert not disk.folder.exists()
    assert disk.queue.former() == "handle"
    disk.work()
    assert disk.recorded("claim-web-0") == b"login: "
    assert [one.words for one in read_marks(disk.folder, "claim-web-0")] == ["order Install 1"]
    assert (disk.folder / "session").read_text() == "handle"


def test_a_full_disk_is_told_of_once_and_tried_again_every_minute(disk: Disk) -> None:
    disk.queue.begin("claim-web-0", 1 << 20)
    disk.is_full = True
    for _ in range(5):
        disk.queue.write(b"lost")
        disk.work()
        disk.now += RETRY
    assert disk.told == ["No space left on device"]
    disk.is_full = False
    disk.queue.write(b"kept")
    disk.work()
    assert disk.told == ["No space left on device", "again"]
    assert disk.recorded("claim-web-0") == b"kept"


def test_a_tenancy_that_begins_while_the_disk_is_full_has_its_own_recording(disk: Disk) -> None:
    disk.queue.begin("claim-web-0", 1 << 20)
    disk.is_full = True
    disk.queue.write(b"of the last")
    disk.work()
    disk.is_full = False
    disk.queue.begin("claim-next-0", 1 << 20)
    disk.queue.write(b"within the minute")
    disk.work()
    disk.now += RETRY + timedelta(seconds=1)
    disk.queue.write(b"of the next")
    disk.work()
    assert disk.recorded("claim-next-0") == b"of the next"
    assert disk.recorded("claim-web-0") == b""


def test_a_disk_that_hangs_costs_a_bounded_amount_of_memory(disk: Disk) -> None:
    disk.queue.begin("claim-web-0", 16 << 20)
    piece = b"x" * 65536
    for _ in range(100):
        disk.queue.write(piece)
    assert len(disk.waiting) == 1 + MOST_WAITING // len(piece)
    assert disk.told == ["the disk does not keep up"]
    disk.work()
    disk.queue.write(b"later")
    disk.work()
    assert disk.told == ["the disk does not keep up", "again"]
    assert disk.recorded("claim-web-0") == piece * (MOST_WAITING // len(piece)) + b"later"
    lost = 100 * len(piece) - MOST_WAITING
    assert f"{lost} bytes before this are not recorded" in read_marks(disk.folder, "claim-web-0")[-1].words
