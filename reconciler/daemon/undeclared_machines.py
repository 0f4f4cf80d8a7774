"""Undeclared machines that the boot service found, kept over a restart."""

from __future__ import annotations

import msgspec

from reconciler import runtime
from reconciler.onboarding.undeclared import UndeclaredMachine, remembered
from reconciler.store import Store

UNDECLARED = "met-machines"
_FORM = msgspec.json.Decoder(tuple[UndeclaredMachine, ...])


class UndeclaredMachines:
    """What the boot service met. May be shared by threads. Every call may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, runtime.lock()

    def add(self, one: UndeclaredMachine) -> None:
        """Keep it; durable when this returns."""
        with self._lock:
            kept = remembered(self.all(), one)
            self._store.put_meta(UNDECLARED, msgspec.json.encode(kept).decode())

    def all(self) -> tuple[UndeclaredMachine, ...]:
        """All that are kept, the newest last."""
        try:
            return _FORM.decode(self._store.get_meta(UNDECLARED) or "[]")
        except msgspec.DecodeError:  # Another version wrote it. They come again.
            return ()
