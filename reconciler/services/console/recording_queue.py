"""Recordings are written in a thread of their own: a disk that is slow or full costs the recording, and no console."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from reconciler.services.console.recording import Recorder

MOST_WAITING = 1 << 20
"""Bytes of one console that wait for the disk. What comes beyond these is not recorded."""
RETRY = timedelta(minutes=1)


class RecordingQueue:
    """See hub.HubRecorder. Its methods are called from one thread, wait for no disk, and raise nothing.

    `submit` has a function called in the thread of the recordings, one after the other. `tell` is called from any
    thread: with the error when the console is not recorded any more, and with None when it is recorded again.
    """

    def __init__(
        self,
        recorder: Recorder,
        submit: Callable[[Callable[[], None]], object],
        now: Callable[[], datetime],
        tell: Callable[[OSError | None], None],
    ) -> None:
        self._recorder, self._submit, self._now, self._tell = recorder, submit, now, tell
        self._former = recorder.former()
        self._given, self._skipped = 0, 0
        # Of the thread of the recordings:
        self._done = 0
        self._tenancy = ("", 0)
        self._retry_at: datetime | None = None

    @property
    def size(self) -> int:
        """See Recorder."""
        return self._recorder.size

    def begin(self, name: str, keep: int) -> None:
        """See Recorder."""

        def work() -> None:
            self._tenancy = (name, keep)
            self._run(lambda: self._recorder.begin(name, keep))

        self._submit(work)

    def write(self, data: bytes) -> None:
        """See Recorder."""
        if self._given - self._done + len(data) > MOST_WAITING:
            if not self._skipped:
                self._tell(OSError("the disk does not keep up"))
            self._skipped += len(data)
            return
        if self._skipped:
            self.mark(f"{self._skipped} bytes before this are not recorded: the disk did not keep up")
            self._skipped = 0
            self._tell(None)
        self._given += len(data)

        def work() -> None:
            self._run(lambda: self._recorder.write(data))
            self._done += len(data)

        self._submit(work)

    def mark(self, words: str) -> None:
        """See Recorder."""
        self._submit(lambda: self._run(lambda: self._recorder.mark(words)))

    def close(self) -> None:
        """See Recorder."""
        self._submit(lambda: self._run(self._recorder.close))

    def former(self) -> str:
        """See Recorder. It was read at the begin, and is kept in memory."""
        return self._former

    def opened(self, handle: str) -> None:
        """See Recorder."""
        self._former = handle
        self._submit(lambda: self._run(lambda: self._recorder.opened(handle)))

    def closed(self) -> None:
        """See Recorder."""
        self._former = ""
        self._submit(lambda: self._run(self._recorder.closed))

    def _run(self, work: Callable[[], None]) -> None:
        """Do it; a minute after an error the disk may have room again. In the thread of the recordings."""
        again = self._retry_at
        if again is not None and self._now() < again:
            return
        try:
            if again is not None:
                self._recorder.begin(*self._tenancy)
            work()
        except OSError as error:
            with suppress(OSError):
                self._recorder.close()
            self._retry_at = self._now() + RETRY
            if again is None:
                self._tell(error)
            return
        if again is not None:
            self._retry_at = None
            self._tell(None)
