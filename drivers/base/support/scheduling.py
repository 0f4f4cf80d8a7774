"""What may make a thread wait, and the clock that only goes forward: the door for drivers.

A driver takes locks, flags, threads and the clock from here and not from `threading` and `time`. A simulation of the
whole program replaces `Scheduling` by its own, and decides which thread runs next and what time it is. The reconciler's
door, which adds what drivers have no use for, is `reconciler/runtime.py`.

A lock that a module makes when it is imported is older than any simulation. Nothing may wait while it is held.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future as Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lock(Protocol):
    """`threading.Lock`, or `threading.RLock`."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Whether the lock was got."""
        ...

    def release(self) -> None:
        """Let the next one have it."""
        ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Flag(Protocol):
    """`threading.Event`: set once, and seen by all who wait. `Event` is the ledger's word."""

    def is_set(self) -> bool:
        """Whether it is set."""
        ...

    def set(self) -> None:
        """Set it, and let all go on that wait."""
        ...

    def clear(self) -> None:
        """Let those wait that come from now on."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, `timeout` seconds at most; whether it is set."""
        ...


class Thread(Protocol):
    """`threading.Thread`."""

    @property
    def ident(self) -> int | None:
        """None before it is started."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, `timeout` seconds at most."""
        ...

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""
        ...


class Scheduling:
    """Python's own threads, locks and clock."""

    def lock(self) -> Lock:
        """A lock; its holder must not take it again."""
        return threading.Lock()

    def rlock(self) -> Lock:
        """A lock that its holder may take again."""
        return threading.RLock()

    def flag(self) -> Flag:
        """A flag, not set."""
        return threading.Event()

    def thread(self, run: Callable[[], object], name: str) -> Thread:
        """A thread, not started. The end of the process does not wait for it."""
        return threading.Thread(target=run, name=name, daemon=True)

    def future(self) -> Future[Any]:
        """A future without a result."""
        return Future()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        # Linux's CLOCK_MONOTONIC stands still while the host is suspended, and a lease does not.
        return time.clock_gettime(_CLOCK)

    def sleep(self, seconds: float) -> None:
        """Wait. No driver does that between two requests: the reconciler comes back."""
        time.sleep(seconds)

    def on_one_processor(self) -> AbstractContextManager[None]:
        """Within the block this thread, and the threads that it begins, run on the processor that it runs on now. One
        that wakes up does not interrupt the one that runs.

        For many threads that wait most of the time: Python lets one of them run at a time anyhow. Where Linux does
        not allow it, and on other systems, nothing changes."""
        return _on_one_processor()


@contextmanager
def _on_one_processor() -> Iterator[None]:
    # By its number: a generator that was not used up is ended by whichever thread collects garbage.
    thread, undo = threading.get_native_id(), ExitStack()
    with suppress(OSError):
        _keep_together(thread, undo)
    with undo:
        yield


def _keep_together(thread: int, undo: ExitStack) -> None:
    """Raises OSError where Linux does not allow it."""
    if sys.platform != "linux":
        return
    # proc_pid_stat(5): the name, the second field, may have spaces and brackets; the processor is field 39.
    current = int(Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[36])
    allowed = os.sched_getaffinity(thread)
    os.sched_setaffinity(thread, {current})
    undo.callback(_unless_ended, os.sched_setaffinity, thread, allowed)
    if os.sched_getscheduler(thread) == os.SCHED_OTHER:
        # Else one that wakes up interrupts the one that holds Python's lock, and then waits for that lock (sched(7)).
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
        undo.callback(_unless_ended, os.sched_setscheduler, thread, os.SCHED_OTHER, os.sched_param(0))


def _unless_ended(change: Callable[..., object], thread: int, *to: object) -> None:
    with suppress(OSError):
        change(thread, *to)


_in_use = [Scheduling()]
"""The last one counts."""


@contextmanager
def scheduling_replaced(by: Scheduling) -> Iterator[None]:
    """Within the block all locks, threads and times of drivers are of `by`, in every thread of the process."""
    _in_use.append(by)
    try:
        yield
    finally:
        _in_use.remove(by)


def lock() -> Lock:
    """See Scheduling."""
    return _in_use[-1].lock()


def rlock() -> Lock:
    """See Scheduling."""
    return _in_use[-1].rlock()


def flag() -> Flag:
    """See Scheduling."""
    return _in_use[-1].flag()


def thread(run: Callable[[], object], name: str) -> Thread:
    """See Scheduling."""
    return _in_use[-1].thread(run, name)


def future() -> Future[Any]:
    """See Scheduling."""
    return _in_use[-1].future()


def monotonic() -> float:
    """See Scheduling."""
    return _in_use[-1].monotonic()


def sleep(seconds: float) -> None:
    """See Scheduling."""
    _in_use[-1].sleep(seconds)


def on_one_processor() -> AbstractContextManager[None]:
    """See Scheduling."""
    return _in_use[-1].on_one_processor()
