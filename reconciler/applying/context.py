"""What the engine is given from outside: a ledger that loses nothing, and time, chance, limits and who is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Protocol

import msgspec

from reconciler.model.action import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.plan import Change
from reconciler.model.resource import Commit, ResourceKey
from reconciler.planning.guards import Guard
from reconciler.planning.standing import Standing


class Ledger(Protocol):
    """What the engine must not lose; the store. Every call is durable when it returns. Raises StoreError."""

    def put_facts(self, facts: dict[ResourceKey, ResourceFacts | None]) -> None:
        """Write, or with None remove, what is remembered of each."""

    def begin_action(self, flight: InFlight, facts: ResourceFacts, event: Event, epoch: int) -> None:
        """Write down that this is about to be sent. Raises Fenced when another instance has taken over."""

    def note_action(self, flight: InFlight, event: Event | None) -> None:
        """Write down what is known of the action by now, as long as it is under way."""

    def end_action(self, flight: InFlight, facts: ResourceFacts | None, event: Event) -> None:
        """The action is under way no more."""

    def append(self, events: Iterable[Event]) -> None:
        """Add to the ledger."""

    def put_observations(self, observations: Iterable[Observation]) -> None:
        """Keep the latest look at each."""


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
    waits: tuple[Guard, ...] = ()
    commit_of: Callable[[ResourceKey], Commit | None] = lambda _: None
    report: Callable[[Event], None] = lambda _: None
    approves: Callable[[Change], bool] = lambda _: True
    follows: Callable[[ResourceKey], bool] = lambda _: True
    """Whether the key is looked after here, and not given up: others may wait for it."""
    moved: Callable[[Collection[ResourceKey]], None] = lambda _: None
    """Is told of keys for which something is to do now because of another one."""
