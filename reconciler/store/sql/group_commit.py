"""Writes that wait at the same time share one transaction: a disk, or a network, is waited for once for all of them.

The first thread leads: it writes all that waits, its own write first. Meanwhile the others queue up, and the first of
them leads the next group. A group that fails is written entry by entry, so that an odd record costs itself alone.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reconciler import runtime
from reconciler.model.ledger_write import LedgerWrite
from reconciler.store.sql.store_errors import StoreError

_OF_THE_STORE = (OperationalError, InterfaceError, PoolTimeout, OSError)
"""Behind an error, these say that the database does not work. No entry would fare better than another."""


def _nothing() -> None:
    pass


class PendingWrite:
    """Writes that are on disk together or not at all. Made by `GroupCommit.enqueue`."""

    def __init__(self, group: GroupCommit, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> None:
        self.writes = tuple(writes)
        self.error: Exception | None = None
        self.is_decided = False
        """Whether it is on disk, or never will be."""
        self._group, self._refused = group, refused
        self._turn, self._leads, self._waits = runtime.flag(), False, False
        self._others: deque[PendingWrite] = deque()

    def wait(self) -> None:
        """Return when it is on disk. Raises StoreError, or what was odd about it; then nothing of it is written.

        The thread that enqueued it must call this, and must not hold a lock that other writers need.
        """
        self._waits = True
        try:
            self._turn.wait()
        finally:
            self._waits = False
            if self._turn.is_set():
                call_next(self._others)
        if self._leads:
            self._group.lead()
        if self.error is not None:
            raise self.error

    def refuse(self, error: Exception) -> None:
        """It is not written, and never will be. For `GroupCommit`, and for callers whose write depended on a refused
        one."""
        if not self.is_decided:
            self.error = copy.copy(error)
            # Whoever looks for what is not decided yet, while this takes back what was believed, must find it.
            self._refused()
            self.is_decided = True
            self._let_go()

    def confirm(self) -> None:
        """The transaction is on disk, unless it was refused before."""
        self.is_decided = True
        self._let_go()

    def _let_go(self) -> None:
        """Drop the references to the writes. Through `_refused` they hold the facts of a fleet, which would stay in
        memory until the next garbage collection."""
        self.writes, self._refused = (), _nothing

    def lead_next(self) -> None:
        """Let its thread write the next group."""
        self._leads = True
        self._turn.set()

    def call(self, others: deque[PendingWrite]) -> bool:
        """Let its thread go on, which then calls these others; False if no thread waits for it just now."""
        self._leads, self._others = False, others
        self._turn.set()
        return self._waits


def call_next(waiting: deque[PendingWrite]) -> None:
    """Let the thread of the next decided entry go on, which lets the one after it go on when it runs.

    If all were called at once, they would all compete for the interpreter with the thread that writes the next group.
    Each of its waits would then take as long as all that they do."""
    with suppress(IndexError):
        while not waiting.popleft().call(waiting):
            pass


class GroupCommit:
    """`write` carries out all writes that it is given in one transaction, in their order."""

    def __init__(self, write: Callable[[Sequence[LedgerWrite]], None]) -> None:
        self._write = write
        self._lock = runtime.lock()
        self._waiting: list[PendingWrite] = []
        self._is_led = False

    def enqueue(self, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> PendingWrite:
        """Put the writes behind those that wait. `refused` is called, by any thread, when they are not written, before
        any later entry is: what was made from them can be refused too."""
        entry = PendingWrite(self, writes, refused)
        with self._lock:
            self._waiting.append(entry)
            leads, self._is_led = not self._is_led, True
        if leads:
            entry.lead_next()
        return entry

    def lead(self) -> None:
        """Write all that waits; then let the next one lead."""
        with self._lock:
            group, self._waiting = self._waiting, []
        try:
            self._write_group(group)
        finally:
            for entry in group:
                entry.refuse(
                    StoreError("nothing was sent: the thread that writes to the store has ended; restart groundstate")
                )
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_led = following is not None
            if following is not None:  # First, as the store waits for it: the others all want the interpreter at once.
                following.lead_next()
            call_next(deque(group))

    def _write_group(self, group: Sequence[PendingWrite]) -> None:
        writes = [write for entry in group if not entry.is_decided for write in entry.writes]
        try:
            if writes:
                self._write(writes)
        except Exception as error:  # noqa: BLE001  each entry's own thread raises it
            self._write_each(group, error)
        else:
            for entry in group:
                entry.confirm()

    def _write_each(self, group: Sequence[PendingWrite], error: Exception) -> None:
        """Write the entries one by one after `error`, up to the first one that shows the database itself broken."""
        is_broken = len(group) == 1 or _is_of_the_store(error)
        for entry in group:
            if entry.is_decided:
                continue
            if is_broken:
                entry.refuse(error)
                continue
            try:
                self._write(entry.writes)
            except Exception as own:  # noqa: BLE001  its own thread raises it
                entry.refuse(own)
                is_broken, error = _is_of_the_store(own), own
            else:
                entry.confirm()


def _is_of_the_store(error: Exception) -> bool:
    return isinstance(error.__cause__, _OF_THE_STORE)
