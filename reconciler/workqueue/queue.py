"""The keyed work queue: what is to be observed, from when on, and how urgently. No clock inside: times are passed in.

The queue is only in memory: each process puts every key at its start, so no part of the queue must survive the process.

A key is in it once. Putting a key again keeps the earliest time and the best priority. A key that is put while a
worker has it in hand is handled once more afterwards, and never by two workers at once. Among what is due, the higher
priority goes first, then what was due first, then by key.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime

from reconciler import runtime
from reconciler.model.resource import ResourceKey

ANY_PRIORITY = -(2**31)
_ROOM = 8
"""Beside one for each key: how many more may be pushed before what is stale is dropped."""


class _Entry:
    """A key's time and priority. `due` None: in hand, and not asked for again."""

    __slots__ = ("due", "in_hand", "priority")

    def __init__(self, priority: int, due: datetime) -> None:
        self.priority = priority
        self.due: datetime | None = due
        self.in_hand = False

    def merge(self, priority: int, due: datetime) -> None:
        self.priority = priority if self.due is None else max(priority, self.priority)
        self.due = due if self.due is None else min(due, self.due)


class WorkQueue:
    """Calls may come from several threads. Times have a zone."""

    def __init__(self) -> None:
        self._lock = runtime.lock()
        self._entries: dict[ResourceKey, _Entry] = {}
        # A heap a priority; what no longer agrees with its entry is dropped when it comes up.
        self._waiting: dict[int, list[tuple[datetime, ResourceKey]]] = {}
        self._pushed = 0
        """Since the heaps were made."""

    def put(self, key: ResourceKey, priority: int, not_before: datetime) -> None:
        """Ask for one key."""
        self.put_all([(key, priority, not_before)])

    def put_all(self, entries: Iterable[tuple[ResourceKey, int, datetime]]) -> None:
        """Ask for many keys, all or none: (key, priority, not before)."""
        batch = list(entries)
        with self._lock:
            for key, priority, not_before in batch:
                self._put(key, priority, not_before)

    def take(self, now: datetime, *, min_priority: int = ANY_PRIORITY) -> ResourceKey | None:
        """Take the best key that is due, of this priority or higher. None: no key is.

        The key is the caller's alone until it says `done` or `retry`, each once.
        """
        with self._lock:
            for due, key in self._heads(min_priority):
                if due <= now:
                    entry = self._entries[key]
                    entry.in_hand, entry.due = True, None
                    return key
            return None

    def done(self, key: ResourceKey) -> None:
        """The key in hand needs no more. It stays when it was put meanwhile."""
        with self._lock:
            entry = self._entries[key]
            entry.in_hand = False
            if entry.due is None:
                del self._entries[key]
            else:
                self._wait(key, entry)

    def retry(self, key: ResourceKey, not_before: datetime, priority: int) -> None:
        """Give the key in hand back for later; what was put meanwhile is kept, if earlier or more urgent."""
        with self._lock:
            self._entries[key].in_hand = False
            self._put(key, priority, not_before)

    def next_due(self, *, min_priority: int = ANY_PRIORITY) -> datetime | None:
        """When the next key that no worker has in hand is due; it may be past. None: there is none."""
        with self._lock:
            return min((due for due, _ in self._heads(min_priority)), default=None)

    def _put(self, key: ResourceKey, priority: int, due: datetime) -> None:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(priority, due)
        else:
            entry.merge(priority, due)
        self._wait(key, entry)

    def _wait(self, key: ResourceKey, entry: _Entry) -> None:
        if not entry.in_hand and entry.due is not None:
            heapq.heappush(self._waiting.setdefault(entry.priority, []), (entry.due, key))
            self._pushed += 1
            if self._pushed > len(self._entries) + _ROOM:
                self._make_heaps()

    def _make_heaps(self) -> None:
        """Drop what no longer agrees. A key that is put often and then waits for long would leave much behind."""
        self._pushed = 0
        self._waiting.clear()
        for key, entry in self._entries.items():
            if not entry.in_hand and entry.due is not None:
                self._waiting.setdefault(entry.priority, []).append((entry.due, key))
        for heap in self._waiting.values():
            heapq.heapify(heap)

    def _heads(self, min_priority: int) -> Iterable[tuple[datetime, ResourceKey]]:
        """What waits first at each priority, from the top."""
        for priority in sorted(self._waiting, reverse=True):
            if priority < min_priority:
                return
            heap = self._waiting[priority]
            while heap and not self._agrees(priority, *heap[0]):
                heapq.heappop(heap)
            if heap:
                yield heap[0]

    def _agrees(self, priority: int, due: datetime, key: ResourceKey) -> bool:
        entry = self._entries.get(key)
        return entry is not None and not entry.in_hand and (entry.priority, entry.due) == (priority, due)
