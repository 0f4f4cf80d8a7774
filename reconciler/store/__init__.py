"""The store: what must not be lost, on SQLite or PostgreSQL."""

from reconciler.store.store import LedgerEntry, Store
from reconciler.store.store_errors import AlreadyBound, Fenced, InstanceHeld, NoStore, StoreError

__all__ = ["AlreadyBound", "Fenced", "InstanceHeld", "LedgerEntry", "NoStore", "Store", "StoreError"]
