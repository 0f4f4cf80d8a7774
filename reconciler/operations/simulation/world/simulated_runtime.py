"""A runtime under virtual time: of the program's threads one runs at a time, and a seed decides which.

Each simulated thread is a real one that waits for its turn, so that what libraries do beneath (SQLite, git) is as ever.
Where a thread would wait, another one goes on; when all wait, the clock jumps to the next moment at which one wakes.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from reconciler.runtime import Runtime

T = TypeVar("T")
VIRTUAL_START = datetime(2026, 1, 1, tzinfo=UTC)
_DIGESTED_TOGETHER = 1000
"""Turns: one at a time takes longer than the turn."""
_END_SECONDS = 60.0
"""Real ones, for a thread that has only to end."""


class _Over(BaseException):
    """The simulation has ended while the thread waited."""


class SimulatedProcess:
    """The threads that end together when it is killed, and that stand still together while it is stopped."""

    def __init__(self, name: str) -> None:
        self.name, self.is_dead, self.is_stopped = name, False, False
        self.threads = 0


class _Turn:
    """A simulated thread's place in the order of things."""

    def __init__(self, name: str, process: SimulatedProcess) -> None:
        self.name, self.process, self.baton = name, process, threading.Lock()
        self.baton.acquire()  # Released by who hands over to it.
        self.waits, self.woken = 0, False


class SimulatedRuntime(Runtime):
    """Who uses it steps through time with `run_for`, and calls `close` in the end.

    `trace`: a digest of who ran when. `errors`: what ended a thread whose result is not asked for. `clock_error`: by
    how many seconds the wall clock is wrong. The thread that makes it must never have to wait for another one but by
    `run_for`.
    """

    def __init__(self, seed: int) -> None:
        self.chance, self.elapsed, self.switches = random.Random(seed), 0.0, 0  # noqa: S311  the same for each seed
        self.clock_error = 0.0
        self.errors: list[BaseException] = []
        self._world = SimulatedProcess("world")
        self._stopped: list[_Turn] = []
        self._digest, self._undigested = hashlib.sha256(), list[str]()
        self._ready: list[_Turn] = []
        self._sleepers: list[tuple[float, int, int, _Turn]] = []
        self._running: _Turn | None = None
        self._outside = threading.Lock()
        self._outside.acquire()
        self._until, self._last_switch = 0.0, math.inf
        self._count, self._over = 0, False
        self._threads: list[threading.Thread] = []

    @property
    def trace(self) -> str:
        """Equal for two runs in which the same happened in the same order at the same times."""
        self._digest_turns()
        return self._digest.hexdigest()

    def _digest_turns(self) -> None:
        self._digest.update("".join(self._undigested).encode())
        self._undigested.clear()

    @property
    def running_process(self) -> SimulatedProcess:
        """Whose thread runs now."""
        return self._world if self._running is None else self._running.process

    def kill(self, process: SimulatedProcess) -> None:
        """End its threads where they are: none of them runs again, and nothing is put in order."""
        process.is_dead = True
        self._ready = [turn for turn in self._ready if turn.process is not process]
        self._stopped = [turn for turn in self._stopped if turn.process is not process]

    def stop(self, process: SimulatedProcess) -> None:
        """Let none of its threads run until `go_on` (SIGSTOP)."""
        process.is_stopped = True
        self._stopped += [turn for turn in self._ready if turn.process is process]
        self._ready = [turn for turn in self._ready if turn.process is not process]

    def go_on(self, process: SimulatedProcess) -> None:
        """Let them run again (SIGCONT)."""
        process.is_stopped = False
        self._ready += [turn for turn in self._stopped if turn.process is process]
        self._stopped = [turn for turn in self._stopped if turn.process is not process]

    def run_for(self, seconds: float, switches: int | None = None) -> None:
        """Let so much time pass; with `switches`, no more than so many changes of the running thread."""
        self._until = self.elapsed + seconds
        self._last_switch = math.inf if switches is None else self.switches + switches
        first = self._next()
        if first is not None:
            self._hand_over(first)
            self._outside.acquire()

    def _next(self) -> _Turn | None:
        """Whose turn it is now. None: that of who called `run_for`."""
        while self.switches < self._last_switch:
            if ready := self._ready:
                turn = ready.pop(int(self.chance.random() * len(ready)) if len(ready) > 1 else 0)
                self.switches += 1
                self._undigested.append(f"{turn.name} {self.elapsed:.6f};")
                if len(self._undigested) >= _DIGESTED_TOGETHER:
                    self._digest_turns()
                return turn
            if not self._sleepers or self._sleepers[0][0] > self._until:
                self.elapsed = self._until
                return None
            at, _, wait, turn = heapq.heappop(self._sleepers)
            self.elapsed = max(self.elapsed, at)
            if turn.waits == wait:
                self._rouse(turn, woken=False)
        return None

    def _hand_over(self, turn: _Turn | None) -> None:
        self._running = turn
        (self._outside if turn is None else turn.baton).release()

    def close(self) -> None:
        """End what is left."""
        self._over = True
        for thread in self._threads:
            for turn in [thread.turn]:  # type: ignore[attr-defined]
                turn.baton.release()
            thread.join(_END_SECONDS)
            if thread.is_alive():
                raise RuntimeError(f"the simulated thread {thread.name} does not end")

    # -- what the primitives are made of -----------------------------------------------------------------------------

    def begin(self, run: Callable[[], object], name: str, process: SimulatedProcess | None = None) -> None:
        """Start a thread, of the process whose thread runs now if none is given."""
        self._count += 1
        turn = _Turn(f"{name}#{self._count}", process or self.running_process)
        turn.process.threads += 1

        def body() -> None:
            turn.baton.acquire()
            try:
                if not self._over:
                    run()
            except _Over:
                pass
            except BaseException as error:  # noqa: BLE001  for who simulates to look at
                if not self._over:
                    self.errors.append(error)
            finally:
                turn.process.threads -= 1
                if not self._over:
                    self._hand_over(self._next())

        thread = threading.Thread(target=body, name=turn.name, daemon=True)
        thread.turn = turn  # type: ignore[attr-defined]
        self._threads.append(thread)
        thread.start()
        self._make_ready(turn)

    def turn(self) -> tuple[_Turn, int]:
        """The running thread, and its wait to come: what `wake` needs."""
        if self._running is None:
            raise RuntimeError("the thread that steps through time must not wait")
        return self._running, self._running.waits

    def wait(self, timeout: float | None = None) -> bool:
        """Let others go on until woken, `timeout` seconds at most; False when the time ran out."""
        if self._over:
            raise _Over
        turn, number = self.turn()
        if timeout is not None:
            self._count += 1
            heapq.heappush(self._sleepers, (self.elapsed + max(0.0, timeout), self._count, number, turn))
        following = self._next()
        if following is not turn:
            self._hand_over(following)
            turn.baton.acquire()
            if self._over:
                raise _Over
        return turn.woken

    def wake(self, waiting: list[tuple[_Turn, int]]) -> None:
        """Let these go on, as far as they wait still."""
        for turn, number in waiting:
            if turn.waits == number:
                self._rouse(turn, woken=True)
        waiting.clear()

    def _rouse(self, turn: _Turn, *, woken: bool) -> None:
        turn.waits, turn.woken = turn.waits + 1, woken
        self._make_ready(turn)

    def _make_ready(self, turn: _Turn) -> None:
        if not turn.process.is_dead:
            (self._stopped if turn.process.is_stopped else self._ready).append(turn)

    def perhaps_let_others_go_first(self) -> None:
        """Where a thread may be interrupted."""
        if self._running is not None and not self._over and self.chance.random() < 0.05:
            self.wait(0.0)

    # -- the door ----------------------------------------------------------------------------------------------------

    def lock(self) -> Any:
        return _Lock(self, again=False)

    def rlock(self) -> Any:
        return _Lock(self, again=True)

    def flag(self) -> _Flag:
        return _Flag(self)

    def condition_variable(self) -> Any:
        return _ConditionVariable(self)

    def semaphore(self, free: int) -> Any:
        raise AssertionError(f"no simulated part takes one of {free}")

    def thread(self, run: Callable[[], object], name: str) -> Any:
        return _Thread(self, run, name)

    def timer(self, seconds: float, run: Callable[[], object]) -> Any:
        flag = self.flag()
        self.begin(lambda: flag.wait(seconds) or run(), "timer")
        flag.cancel = flag.set  # type: ignore[attr-defined]
        return flag

    def future(self) -> Future[Any]:
        return _Future(self)

    def pool(self, workers: int, name: str) -> Any:
        return _Pool(self, name)

    def first_done(self, running: Collection[Future[T]], timeout: float | None = None) -> set[Future[T]]:
        until = None if timeout is None else self.elapsed + timeout
        while running and not any(one.done() for one in running) and (until is None or self.elapsed < until):
            for one in running:
                one.flag.waiting.append(self.turn())  # type: ignore[attr-defined]
            self.wait(None if until is None else until - self.elapsed)
        return {one for one in running if one.done()}

    def all_done(self, running: Collection[Future[T]], timeout: float | None = None) -> bool:
        left = set(running)
        while left and (done := self.first_done(left, timeout)):
            left -= done
        return not left

    def as_done(self, running: Collection[Future[T]]) -> Iterator[Future[T]]:
        left = list(running)
        while left:
            done = self.first_done(left)
            yield from [one for one in left if one in done]
            left = [one for one in left if one not in done]

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def now(self) -> datetime:
        return VIRTUAL_START + timedelta(seconds=self.elapsed + self.clock_error)

    def random(self) -> float:
        return self.chance.random()

    def entropy(self, count: int) -> bytes:
        return self.chance.randbytes(count)

    def on_one_processor(self) -> AbstractContextManager[None]:
        return nullcontext()

    def local_host_name(self) -> str:
        return "simulated"

    def process_id(self) -> int:
        return 1


class _Block:
    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError


class _Lock(_Block):
    def __init__(self, runtime: SimulatedRuntime, *, again: bool) -> None:
        self._runtime, self._again = runtime, again
        self._holder: object = None
        self.depth = 0
        self._waiting: list[tuple[_Turn, int]] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = self._runtime._running or self._runtime
        if self._again and self._holder is me:
            self.depth += 1
            return True
        self._runtime.perhaps_let_others_go_first()
        while self._holder is not None:
            if not blocking:
                return False
            self._waiting.append(self._runtime.turn())
            self._runtime.wait()
        self._holder, self.depth = me, 1
        return True

    def release(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self._holder = None
            self._runtime.wake(self._waiting)


class _Flag:
    def __init__(self, runtime: SimulatedRuntime) -> None:
        self._runtime, self._set = runtime, False
        self.waiting: list[tuple[_Turn, int]] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._runtime.wake(self.waiting)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self.waiting.append(self._runtime.turn())
            self._runtime.wait(timeout)
        return self._set


class _ConditionVariable(_Block):
    def __init__(self, runtime: SimulatedRuntime) -> None:
        self._runtime, self._lock = runtime, _Lock(runtime, again=True)
        self._waiting: list[tuple[_Turn, int]] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        self._waiting.append(self._runtime.turn())
        depth, self._lock.depth = self._lock.depth, 1
        self._lock.release()
        woken = self._runtime.wait(timeout)
        self._lock.acquire()
        self._lock.depth = depth
        return woken

    def notify_all(self) -> None:
        self._runtime.wake(self._waiting)


class _Thread:
    def __init__(self, runtime: SimulatedRuntime, run: Callable[[], object], name: str) -> None:
        self._runtime, self._run, self.name = runtime, run, name
        self._ended, self.ident = runtime.flag(), None

    def start(self) -> None:
        self._runtime.begin(self._body, self.name)

    def _body(self) -> None:
        try:
            self._run()
        finally:
            self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return not self._ended.is_set()


class _Future(Future[Any]):
    """Who asks for the result waits by the simulation's clock before asking the real one."""

    def __init__(self, runtime: SimulatedRuntime) -> None:
        super().__init__()
        self.flag = runtime.flag()

    def set_result(self, result: Any) -> None:
        super().set_result(result)
        self.flag.set()

    def set_exception(self, exception: BaseException | None) -> None:
        super().set_exception(exception)
        self.flag.set()

    def result(self, timeout: float | None = None) -> Any:
        self.flag.wait(timeout)
        return super().result(0.0)


class _Pool:
    """Of as many threads as there is work."""

    def __init__(self, runtime: SimulatedRuntime, name: str) -> None:
        self._runtime, self._name = runtime, name

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> _Future:
        future = _Future(self._runtime)

        def run() -> None:
            try:
                future.set_result(work(*args, **named))
            except Exception as error:  # noqa: BLE001  raised where the result is asked for
                future.set_exception(error)

        self._runtime.begin(run, self._name)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
