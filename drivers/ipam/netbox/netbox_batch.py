"""Group commit: what threads ask for one at a time is sent together.

NetBox lets one allocation in at a time, whatever it is for, and a request for fifty takes it little longer than one for
one. So a thread that finds no request under way sends all waiting items of the same kind, and later items are the next
batch. There is no timer: alone, an item is sent at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from drivers.base.support import scheduling

LARGEST = 100
"""Items in a batch. 100 addresses are about 0.7 s of NetBox's time, and all other requests wait for it."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Sends items in batches of one key each, one batch a key at a time. Safe for several threads.

    `send` gets a key and the items, and returns for each, by position, its result or its error. What it raises is the
    error of all of them.
    """

    def __init__(self, send: Callable[[Hashable, Sequence[Item]], Sequence[Result | Exception]]) -> None:
        self._send, self._lock = send, scheduling.lock()
        self._waiting: dict[Hashable, deque[tuple[Item, scheduling.Future[Result]]]] = {}

    def do(self, key: Hashable, item: Item) -> Result:
        """Have the item sent, by this thread or by the one that sends already; its result. Raises its error."""
        future: scheduling.Future[Result] = scheduling.future()
        with self._lock:
            leads = key not in self._waiting
            self._waiting.setdefault(key, deque()).append((item, future))
        if leads:
            while batch := self._next(key):
                self._complete(key, batch)
        return future.result()

    def _next(self, key: Hashable) -> list[tuple[Item, scheduling.Future[Result]]]:
        with self._lock:
            waiting = self._waiting[key]
            batch = [waiting.popleft() for _ in range(min(LARGEST, len(waiting)))]
            if not batch:
                del self._waiting[key]
            return batch

    def _complete(self, key: Hashable, batch: Sequence[tuple[Item, scheduling.Future[Result]]]) -> None:
        try:
            results: Sequence[Result | Exception] = self._send(key, [item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            if not isinstance(error, Exception):
                self._abandon(key)
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _abandon(self, key: Hashable) -> None:
        """The thread that sends is ended (Ctrl-C): no thread may wait for it for ever."""
        with self._lock:
            waiting = self._waiting.pop(key)
        for _, future in waiting:
            future.set_exception(
                RuntimeError("another request, for which this request waited, was interrupted; try again")
            )
