"""What the engine is given from outside: a ledger that loses nothing, and time, chance, limits and who is informed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from reconciler.model.event import Event
from reconciler.model.ledger_write import LedgerWrite
from reconciler.model.observation import Observation
from reconciler.model.plans.plan import Change
from reconciler.model.resource import Commit, ResourceKey
from reconciler.planning.guards.guard import Guard
from reconciler.planning.guards.standing import Standing


class Pending(Protocol):
    """Writes that were handed over, and are not known to be on disk."""

    @property
    def is_decided(self) -> bool:
        """Whether they are on disk, or never will be."""

    def wait(self) -> None:
        """Return when they are on disk. The caller that enqueued them must call this method, without the lock. Raises
        StoreError."""

    def refuse(self, error: Exception) -> None:
        """They must not be written: what they follow from was not."""


class Ledger(Protocol):
    """What the engine must not lose; the store."""

    def enqueue(self, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> Pending:
        """Write these soon, all or none, in the order of the calls. `refused` is called when they are not written."""

    def put_observations(self, observations: Iterable[Observation]) -> None:
        """Keep the latest look at each. Raises StoreError."""


class Context(msgspec.Struct, frozen=True):
    """What the engine is given: time and chance among it, so that a simulation can own them.

    `standing` is asked at every plan, as an override may begin or end while the engine works. `waits`: guards of this
    process alone, which clear by themselves.
    """

    now: Callable[[], datetime]
    random: Callable[[], float]
    by: str
    epoch: int
    standing: Callable[[], Standing] = Standing
    transient_guards: tuple[Guard, ...] = ()
    commit_of: Callable[[ResourceKey], Commit | None] = lambda _: None
    report: Callable[[Event], None] = lambda _: None
    approves: Callable[[Change], bool] = lambda _: True
    follows: Callable[[ResourceKey], bool] = lambda _: True
    """Whether the key is reconciled here and was not abandoned: others may wait for it."""
    permit: Callable[[], None] = lambda: None
    """Asked right before a write is sent. Raises LeaseEnded."""
    requeue: Callable[[Collection[ResourceKey]], None] = lambda _: None
    """Is informed of keys for which something is to do now because of another one."""
    failed: Callable[[ResourceKey, BaseException], None] = lambda _key, _error: None
    """Is informed of an error in groundstate that ended a reconcile, for the log; the ledger has an event of it."""
