"""The store: facts, actions in flight and the ledger, in SQLite or PostgreSQL."""

from reconciler.store.rows.row_values import LedgerEntry
from reconciler.store.sql.store_errors import AlreadyBound, Fenced, InstanceHeld, NoStore, StoreError
from reconciler.store.store import Store

__all__ = ["AlreadyBound", "Fenced", "InstanceHeld", "LedgerEntry", "NoStore", "Store", "StoreError"]
