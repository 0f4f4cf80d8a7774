"""Threads of which so many work at any time. One that hangs on a silent BMC gives up its place to another thread.

A hang costs a sleeping thread then, and no other resource waits for it. Whether a piece of work hangs is judged by how
long others take just now. On a busy host all are slow, and more threads would make them slower."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

from reconciler import runtime

T = TypeVar("T")
U = TypeVar("U")

LATE_SECONDS, TIMES_USUAL = 1.0, 4.0
"""A piece of work hangs, as far as others are concerned, after this long and this many times the usual time."""
CHECK_SECONDS = 0.25
MOST_APART = 512
"""Threads beside those that work: 1,000 BMCs that hang for 15 s each are through within 30 s."""
_REMEMBERED = 64


class CrewTask:
    """One piece of work of a thread. `answered`: whether its duration is typical for such work."""

    __slots__ = ("answered", "begun")

    def __init__(self, begun: float) -> None:
        self.begun, self.answered = begun, True


class Crew:
    """Calls `serve` in threads, each until it returns False. `serve` does its work within `at_work`.

    `most_apart`: how many threads may hang beside the `size` that do not.
    """

    def __init__(self, serve: Callable[[Crew], bool], size: int, name: str, most_apart: int = MOST_APART) -> None:
        self._serve, self._size, self._name, self._most = serve, size, name, size + most_apart
        self._lock = runtime.lock()
        self._at_work = set[CrewTask]()
        self._usual: deque[float] = deque(maxlen=_REMEMBERED)
        self._threads: list[runtime.Thread] = []
        self._alive = self._begun = 0

    @property
    def is_idle(self) -> bool:
        """Whether none of the threads has work in hand."""
        return not self._at_work

    def fill(self) -> None:
        """Start as many threads as are missing. To be called again every CHECK_SECONDS while there is work in hand."""
        with self._lock:
            missing = min(self._size - (self._alive - self._late()), self._most - self._alive)
            if missing <= 0:
                return
            new = [runtime.thread(self._run, f"{self._name}-{self._begun + number}") for number in range(missing)]
            self._begun, self._alive = self._begun + missing, self._alive + missing
            self._threads = [one for one in self._threads if one.is_alive()] + new
        for thread in new:
            thread.start()

    @contextmanager
    def at_work(self) -> Iterator[CrewTask]:
        """One piece of work of the calling thread."""
        work = CrewTask(runtime.monotonic())
        with self._lock:
            self._at_work.add(work)
        try:
            yield work
        finally:
            with self._lock:
                self._at_work.discard(work)
                if work.answered:
                    self._usual.append(runtime.monotonic() - work.begun)

    def join(self, deadline: float) -> None:
        """Wait for the threads, until this time of `runtime.monotonic` at most."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - runtime.monotonic()))

    def _run(self) -> None:
        wanted = True
        try:
            while wanted and self._serve(self):
                wanted = self._stays()
        finally:
            if wanted:
                with self._lock:
                    self._alive -= 1

    def _stays(self) -> bool:
        """Whether the calling thread is still wanted, or others took its place while it hung."""
        with self._lock:
            if self._alive <= self._size or self._alive - self._late() <= self._size:
                return True
            self._alive -= 1
            return False

    def _late(self) -> int:
        if not self._at_work:
            return 0
        before = runtime.monotonic() - max(LATE_SECONDS, TIMES_USUAL * median(self._usual or (0.0,)))
        return sum(work.begun < before for work in self._at_work)


def each_done(
    work: Callable[[U], T], keys: Collection[U], concurrency: int, name: str, answered: Callable[[T], bool]
) -> Iterator[T]:
    """Do the work for each, so many side by side, those that hang not counted; results as they come. Raises what the
    work raises. `answered`: whether the duration of this result is typical for such work."""
    waiting = deque((key, runtime.future()) for key in keys)
    results = [future for _, future in waiting]
    over = runtime.flag()

    def serve(crew: Crew) -> bool:
        try:
            key, future = waiting.popleft()
        except IndexError:
            return False
        with crew.at_work() as task:
            try:
                result = work(key)
                task.answered = answered(result)
                future.set_result(result)
            except BaseException as error:  # noqa: BLE001  raised where the result is asked for
                future.set_exception(runtime.thread_failure(error))
        return not over.is_set()

    def watch() -> None:
        while waiting and not over.wait(CHECK_SECONDS):
            crew.fill()

    crew = Crew(serve, min(concurrency, len(results)), name)
    with runtime.on_one_processor():
        crew.fill()
        runtime.thread(watch, f"{name}-watch").start()
        try:
            for done in runtime.as_done(results):
                yield done.result()
        finally:
            over.set()
