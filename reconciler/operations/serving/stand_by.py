"""A second daemon on a PostgreSQL store: it waits until the first one ends, hangs, or cannot reach the database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

from reconciler import runtime
from reconciler.services.http import Site
from reconciler.services.metrics import standby_metrics
from reconciler.store import Store
from reconciler.store.lease.instance import StoreHolder, this_process
from reconciler.store.sql.store_errors import InstanceHeld, StoreError

_LOOK_AGAIN_SECONDS = 1.0
"""How soon a daemon that has left the store is followed."""
_REPORT_EVERY = 10
"""Attempts; how often it says in the store that it stands by."""

Served = Callable[[Site], AbstractContextManager[object]]


def take_turn(store: Store, lease: float, stop: runtime.Flag, stack: ExitStack, log: Any, served: Served) -> int | None:
    """The epoch, once no other process works on the store, which `stack` then holds; None: `stop` was set before.

    `served`: answers on the address of the daemon while it stands by. Raises StoreError, and InstanceHeld on SQLite,
    where no process stands by."""
    me, tries = this_process("run"), 0
    with ExitStack() as waiting:
        while not stop.is_set():
            try:
                return stack.enter_context(store.instance("run", lease=lease))
            except InstanceHeld as held:
                if not store.has_lease:
                    raise
                if not tries:
                    log.info("StandingBy", message=f"{held.holder}; this daemon takes over when that process has ended")
                    waiting.enter_context(served(_site(held)))
                    waiting.callback(_leave, store, me)
            if tries % _REPORT_EVERY == 0:
                store.standbys.put(me, runtime.now())
            tries += 1
            stop.wait(_LOOK_AGAIN_SECONDS)
    return None


def _leave(store: Store, me: StoreHolder) -> None:
    with suppress(StoreError):  # The others forget it a minute later.
        store.standbys.leave(me)


def _site(held: InstanceHeld) -> Site:
    """It is well, and not ready: a service in front of both sends machines to the one that works."""
    return Site({"/healthz": lambda: None, "/readyz": lambda: f"standing by: {held.holder}"}, standby_metrics)
