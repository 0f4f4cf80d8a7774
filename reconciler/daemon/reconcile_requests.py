"""What people asked the daemon to reconcile now: events of the ledger, which other processes write."""

from __future__ import annotations

from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.store import Store


class ReconcileRequests:
    """Reads on in the ledger. Requests from before it was made are left out: at its start a daemon reconciles all."""

    def __init__(self, store: Store) -> None:
        self._store, self._cursor = store, store.last_event()

    def are_there(self) -> bool:
        """Whether there is anything that `take` would read. Raises StoreError."""
        return self._store.last_event() > self._cursor

    def take(self) -> list[ResourceKey]:
        """The resources that were asked for since the last call. Raises StoreError."""
        asked: list[ResourceKey] = []
        while found := self._store.follow(self._cursor):
            self._cursor = found[-1].seq
            events = (entry.event for entry in found)
            asked += [one.key for one in events if one.reason is EventReason.RECONCILE_REQUESTED and one.key]
        return asked
