"""What people asked the daemon to reconcile now: events of the ledger, which other processes write."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.store import Store

OVERLAP = timedelta(seconds=60)
"""So long what was read is read again: of two transactions on PostgreSQL the later one may have the lower number."""
_MOST = 100_000


class ReconcileRequests:
    """Reads on in the ledger. Requests from before it was made are left out: at its start a daemon reconciles all."""

    def __init__(self, store: Store, now: datetime) -> None:
        self._store, self._turned = store, now
        self._floor = self._next_floor = store.last_event()
        self._taken: set[int] = set()

    def take(self, now: datetime) -> list[ResourceKey]:
        """The resources that were asked for since the last call. Raises StoreError."""
        found = self._store.events(since_seq=self._floor, reason=EventReason.RECONCILE_REQUESTED, limit=_MOST)
        fresh = [entry for entry in found if entry.seq not in self._taken]
        self._taken |= {entry.seq for entry in fresh}
        if not timedelta() <= now - self._turned < OVERLAP:
            self._floor, self._next_floor, self._turned = self._next_floor, self._store.last_event(), now
            self._taken = {seq for seq in self._taken if seq > self._floor}
        return [entry.event.key for entry in fresh if entry.event.key is not None]
