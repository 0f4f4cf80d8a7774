"""Undeclared machines that the boot service found, kept over a restart."""

from __future__ import annotations

import msgspec

from reconciler.onboarding.undeclared import UndeclaredMachine, remembered
from reconciler.store import Store

UNDECLARED = "met-machines"
_FORM = msgspec.json.Decoder(tuple[UndeclaredMachine, ...])


class UndeclaredMachines:
    """What the boot service met. May be shared by threads. Every call may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, one: UndeclaredMachine) -> None:
        """Keep it; durable when this returns. No lock is held meanwhile: if another write was first,
        its value is read again."""
        swapped = False
        while not swapped:
            before = self._store.get_meta(UNDECLARED)
            kept = remembered(_read(before), one)
            swapped = self._store.swap_meta(UNDECLARED, before, msgspec.json.encode(kept).decode())

    def all(self) -> tuple[UndeclaredMachine, ...]:
        """All that are kept, the newest last."""
        return _read(self._store.get_meta(UNDECLARED))


def _read(text: str | None) -> tuple[UndeclaredMachine, ...]:
    try:
        return _FORM.decode(text or "[]")
    except msgspec.DecodeError:  # Another version wrote it. They come again.
        return ()
