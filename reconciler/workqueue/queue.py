"""The keyed work queue: what is to be looked at, from when on, and how urgently. No clock inside: times are passed in.

A key is in it once. Putting a key again keeps the earliest time and the best priority. A key that is put while a
worker has it in hand is handled once more afterwards, and never by two workers at once. Among what is due, the higher
priority goes first, then what was due first, then by key. What a worker took and never gave back is given to another
one after the lease, which is therefore far longer than any pass.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from reconciler.model.resource import ResourceKey
from reconciler.store import Store

ANY_PRIORITY = -(2**31)
LEASE = timedelta(minutes=30)


class QueueItem(msgspec.Struct, frozen=True):
    """A key in a worker's hand. `token` is good for one taking."""

    key: ResourceKey
    priority: int
    token: str


class WorkQueue(Protocol):
    """Calls may come from several threads. Times have a zone."""

    def put(self, key: ResourceKey, priority: int, not_before: datetime) -> None:
        """Ask for one key."""

    def put_all(self, entries: Iterable[tuple[ResourceKey, int, datetime]]) -> None:
        """Ask for many keys, all or none: (key, priority, not before)."""

    def take(self, now: datetime, *, min_priority: int = ANY_PRIORITY) -> QueueItem | None:
        """Take the best key that is due, of this priority or higher. None: nothing is."""

    def done(self, item: QueueItem) -> None:
        """The key needs no more. It stays when it was put meanwhile. An item that lost its lease changes nothing."""

    def retry(self, item: QueueItem, not_before: datetime, priority: int) -> None:
        """Give the key back for later; what was put meanwhile is kept, if earlier or more urgent."""

    def next_due(self, *, min_priority: int = ANY_PRIORITY) -> datetime | None:
        """When the next key that nobody has in hand is due; it may be past. None: there is none."""

    def recover(self, now: datetime) -> int:
        """Free what workers of an earlier life had in hand; returns how many. For a start, before any `take`."""


class StoredQueue:
    """Durable in the store. One instance of the program at a time uses it; `life` differs at each start (the epoch)."""

    def __init__(self, store: Store, life: str, lease: timedelta = LEASE) -> None:
        self._work, self._life, self._lease = store.work, life, lease
        self._count = 0
        # Workers would otherwise race for the same best row.
        self._taking = threading.Lock()

    def put(self, key: ResourceKey, priority: int, not_before: datetime) -> None:
        """See WorkQueue. Raises StoreError, as every call does."""
        self._work.put([(key, priority, not_before)])

    def put_all(self, entries: Iterable[tuple[ResourceKey, int, datetime]]) -> None:
        """See WorkQueue."""
        self._work.put(entries)

    def take(self, now: datetime, *, min_priority: int = ANY_PRIORITY) -> QueueItem | None:
        """See WorkQueue."""
        with self._taking:
            self._count += 1
            token = f"{self._life}-{self._count}"
            leased = self._work.lease(token, now, now + self._lease, min_priority)
        return None if leased is None else QueueItem(*leased, token)

    def done(self, item: QueueItem) -> None:
        """See WorkQueue."""
        self._work.finish(item.key, item.token)

    def retry(self, item: QueueItem, not_before: datetime, priority: int) -> None:
        """See WorkQueue."""
        self._work.retry(item.key, item.token, not_before, priority)

    def next_due(self, *, min_priority: int = ANY_PRIORITY) -> datetime | None:
        """See WorkQueue."""
        return self._work.next_due(min_priority)

    def recover(self, now: datetime) -> int:
        """See WorkQueue."""
        return self._work.recover(now)


class _Entry:
    """`due` None: in hand, and not asked for again."""

    __slots__ = ("due", "lease_until", "priority", "token")

    def __init__(self, priority: int, due: datetime) -> None:
        self.priority = priority
        self.due: datetime | None = due
        self.token: str | None = None
        self.lease_until: datetime | None = None

    def merge(self, priority: int, due: datetime) -> None:
        self.priority = priority if self.due is None else max(priority, self.priority)
        self.due = due if self.due is None else min(due, self.due)


class MemoryQueue:
    """The same in memory: for one run of `apply`, and for tests under virtual time."""

    def __init__(self, lease: timedelta = LEASE) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        self._entries: dict[ResourceKey, _Entry] = {}
        self._leased: dict[ResourceKey, _Entry] = {}
        # A heap a priority; what no longer agrees with its entry is dropped when it comes up.
        self._waiting: dict[int, list[tuple[datetime, ResourceKey]]] = {}
        self._count = 0

    def put(self, key: ResourceKey, priority: int, not_before: datetime) -> None:
        """See WorkQueue."""
        self.put_all([(key, priority, not_before)])

    def put_all(self, entries: Iterable[tuple[ResourceKey, int, datetime]]) -> None:
        """See WorkQueue."""
        batch = list(entries)
        with self._lock:
            for key, priority, not_before in batch:
                entry = self._entries.get(key)
                if entry is None:
                    entry = self._entries[key] = _Entry(priority, not_before)
                else:
                    entry.merge(priority, not_before)
                self._wait(key, entry)

    def take(self, now: datetime, *, min_priority: int = ANY_PRIORITY) -> QueueItem | None:
        """See WorkQueue."""
        with self._lock:
            key = self._best(now, min_priority)
            if key is None:
                return None
            entry = self._entries[key]
            self._count += 1
            entry.token, entry.lease_until, entry.due = str(self._count), now + self._lease, None
            self._leased[key] = entry
            return QueueItem(key, entry.priority, entry.token)

    def done(self, item: QueueItem) -> None:
        """See WorkQueue."""
        with self._lock:
            entry = self._let_go(item)
            if entry is None:
                return
            if entry.due is None:
                del self._entries[item.key]
            else:
                self._wait(item.key, entry)

    def retry(self, item: QueueItem, not_before: datetime, priority: int) -> None:
        """See WorkQueue."""
        with self._lock:
            entry = self._let_go(item)
            if entry is not None:
                entry.merge(priority, not_before)
                self._wait(item.key, entry)

    def next_due(self, *, min_priority: int = ANY_PRIORITY) -> datetime | None:
        """See WorkQueue."""
        with self._lock:
            return min((due for due, _ in self._heads(min_priority)), default=None)

    def recover(self, now: datetime) -> int:
        """See WorkQueue."""
        with self._lock:
            freed = list(self._leased.items())
            self._leased.clear()
            for key, entry in freed:
                entry.token = entry.lease_until = None
                entry.due = entry.due or now
                self._wait(key, entry)
            return len(freed)

    def _wait(self, key: ResourceKey, entry: _Entry) -> None:
        if entry.token is None and entry.due is not None:
            heapq.heappush(self._waiting.setdefault(entry.priority, []), (entry.due, key))

    def _let_go(self, item: QueueItem) -> _Entry | None:
        entry = self._entries.get(item.key)
        if entry is None or entry.token != item.token:
            return None
        entry.token = entry.lease_until = None
        del self._leased[item.key]
        return entry

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
        return entry is not None and entry.token is None and (entry.priority, entry.due) == (priority, due)

    def _best(self, now: datetime, min_priority: int) -> ResourceKey | None:
        for due, key in self._heads(min_priority):
            if due <= now:
                return key
        expired = (
            (entry.lease_until, key)
            for key, entry in self._leased.items()
            if entry.lease_until is not None and entry.lease_until <= now and entry.priority >= min_priority
        )
        return min(expired, default=(None, None))[1]
