"""The only door to threads, locks, clocks, waiting, chance and the host's name, so that all of it can be simulated.

A module that needs one of these uses `from reconciler import runtime` and `runtime.lock()`. The functions ask the
`Runtime` that is in use. Python's own, or that of a simulation, which derives from `Runtime`, overrides what it decides
itself, and is in use within `with runtime.replaced(by):`. What drivers use of it is in
`drivers/base/support/scheduling.py`.

Processes, files, sockets and signals are not here: a simulation has real ones, or gives other values where they are
used.
"""

from __future__ import annotations

import os
import random as chance
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import ParamSpec, Protocol, Self, TypeVar

from drivers.base.support.scheduling import Flag as Flag
from drivers.base.support.scheduling import Future as Future
from drivers.base.support.scheduling import Lock as Lock
from drivers.base.support.scheduling import Scheduling, scheduling_replaced
from drivers.base.support.scheduling import Thread as Thread
from drivers.base.support.scheduling import flag as flag
from drivers.base.support.scheduling import future as future
from drivers.base.support.scheduling import lock as lock
from drivers.base.support.scheduling import monotonic as monotonic
from drivers.base.support.scheduling import on_one_processor as on_one_processor
from drivers.base.support.scheduling import rlock as rlock
from drivers.base.support.scheduling import sleep as sleep
from drivers.base.support.scheduling import thread as thread

_P = ParamSpec("_P")
T = TypeVar("T")

_RANDOM = chance.SystemRandom()


class ConditionVariable(Protocol):
    """`threading.Condition`. `Condition` is the word of Kubernetes for what is so of a resource."""

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock until notified, `timeout` seconds at most; False when the time ran out."""
        ...

    def notify_all(self) -> None:
        """Let all go on that wait."""
        ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Semaphore(Protocol):
    """`threading.BoundedSemaphore`."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Whether one was free."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Timer(Protocol):
    """`threading.Timer`, started."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class ThreadPool(Protocol):
    """`concurrent.futures.ThreadPoolExecutor`."""

    def submit(self, work: Callable[_P, T], /, *args: _P.args, **named: _P.kwargs) -> Future[T]:
        """Have one of the threads do it."""
        ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take on nothing more."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


class Runtime(Scheduling):
    """Python's own threads and clocks, the system's entropy, this host."""

    def condition_variable(self) -> ConditionVariable:
        """A condition variable with a lock of its own."""
        return threading.Condition()

    def semaphore(self, free: int) -> Semaphore:
        """One that lets so many in at once."""
        return threading.BoundedSemaphore(free)

    def timer(self, seconds: float, run: Callable[[], object]) -> Timer:
        """Calls `run` after so many seconds, in a thread of its own, unless it is cancelled before that."""
        timer = threading.Timer(seconds, run)
        timer.daemon = True
        timer.start()
        return timer

    def pool(self, workers: int, name: str) -> ThreadPool:
        """So many threads that share what is submitted."""
        return futures.ThreadPoolExecutor(workers, thread_name_prefix=name)

    def first_done(self, running: Collection[Future[T]], timeout: float | None = None) -> set[Future[T]]:
        """Those that are done, as soon as one is; none when `timeout` seconds have passed."""
        return set(futures.wait(running, timeout, futures.FIRST_COMPLETED).done)

    def all_done(self, running: Collection[Future[T]], timeout: float | None = None) -> bool:
        """Wait until all are done, `timeout` seconds at most; whether all are."""
        return not futures.wait(running, timeout).not_done

    def as_done(self, running: Collection[Future[T]]) -> Iterator[Future[T]]:
        """Each result, as soon as it is done."""
        return futures.as_completed(running)

    def now(self) -> datetime:
        """The time of day, in UTC. It may go back."""
        return datetime.now(UTC)

    def random(self) -> float:
        """Any number from 0 up to 1, as for jitter."""
        return _RANDOM.random()

    def entropy(self, count: int) -> bytes:
        """Random bytes that cannot be guessed, for tokens."""
        return secrets.token_bytes(count)

    def local_host_name(self) -> str:
        """The name of this host."""
        return socket.gethostname()

    def process_id(self) -> int:
        """The number of this process on its host."""
        return os.getpid()


_in_use = [Runtime()]
"""The last one counts."""


@contextmanager
def replaced(by: Runtime) -> Iterator[None]:
    """Within the block all locks, threads, times and chance are of `by`, in every thread of the process."""
    _in_use.append(by)
    try:
        with scheduling_replaced(by):
            yield
    finally:
        _in_use.remove(by)


def thread_failure(error: BaseException) -> BaseException:
    """The error that ended one thread, to be raised in another one. `sys.exit` and Ctrl-C are wrapped. They would end
    that thread silently, or the process with the exit code of success."""
    if isinstance(error, Exception) or not isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return error
    wrapped = RuntimeError(f"{type(error).__name__} ended a thread: {error}")
    wrapped.__cause__ = error
    return wrapped


def in_a_copy(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a copy of this process (fork(2)), which ends then. Raises RuntimeError if the copy ends
    without an answer.

    Only for a process of one thread. The copy would have the locks that other threads hold, and not the threads."""
    source, to = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(source)
            with os.fdopen(to, "wb") as pipe:
                pipe.write(work())
            code = 0
        except BaseException:  # noqa: BLE001  the copy must not go on with what the original does
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(to)
    with os.fdopen(source, "rb") as pipe:
        answer = pipe.read()
    if status := os.waitpid(child, 0)[1]:
        raise RuntimeError(f"the copy of the process ended with status {os.waitstatus_to_exitcode(status)}")
    return answer


def reporting(work: Callable[[], object], ended: Callable[[BaseException], None]) -> None:
    """Do the work of a thread. `ended` is informed of whatever ends the work but its own return."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001  a thread that ends must be heard of
        ended(error)


def condition_variable() -> ConditionVariable:
    """See Runtime."""
    return _in_use[-1].condition_variable()


def semaphore(free: int) -> Semaphore:
    """See Runtime."""
    return _in_use[-1].semaphore(free)


def timer(seconds: float, run: Callable[[], object]) -> Timer:
    """See Runtime."""
    return _in_use[-1].timer(seconds, run)


def pool(workers: int, name: str) -> ThreadPool:
    """See Runtime."""
    return _in_use[-1].pool(workers, name)


def first_done(running: Collection[Future[T]], timeout: float | None = None) -> set[Future[T]]:
    """See Runtime."""
    return _in_use[-1].first_done(running, timeout)


def all_done(running: Collection[Future[T]], timeout: float | None = None) -> bool:
    """See Runtime."""
    return _in_use[-1].all_done(running, timeout)


def as_done(running: Collection[Future[T]]) -> Iterator[Future[T]]:
    """See Runtime."""
    return _in_use[-1].as_done(running)


def now() -> datetime:
    """See Runtime."""
    return _in_use[-1].now()


def random() -> float:
    """See Runtime."""
    return _in_use[-1].random()


def entropy(count: int) -> bytes:
    """See Runtime."""
    return _in_use[-1].entropy(count)


def local_host_name() -> str:
    """See Runtime."""
    return _in_use[-1].local_host_name()


def process_id() -> int:
    """See Runtime."""
    return _in_use[-1].process_id()
