"""The state of a fleet at a glance: is a daemon alive, what is in force, how things are, and what is held."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from reconciler.daemon.ancestry import LAST_GOOD, LAST_REF
from reconciler.model.event import Event, EventReason
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import HoldKind
from reconciler.operations.reports.resource_views import ListRequest, list_resources
from reconciler.operations.stored_facts import observed_types, standing_of, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.budgets import group_state
from reconciler.planning.guards.builtin_guards import fleet_budget
from reconciler.planning.guards.fleet_survey import survey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.pauses import standing_pauses
from reconciler.planning.guards.standing import CommandLimits, DaemonReport, Standing
from reconciler.planning.override_scope import in_force
from reconciler.runtime import now
from reconciler.store import Store

_REVISIONS = 1000
"""How many of the newest events of the fleet are looked through for the newest about a revision."""


class RevisionStatus(msgspec.Struct, frozen=True):
    """The revision in force (None: none yet), by which ref it was found and since when. And the event of a newer one
    that was refused or could not be read."""

    in_force: str | None
    ref: str | None
    since: datetime | None
    broken: Event | None


class BudgetStatus(msgspec.Struct, frozen=True):
    """How many machines are down because of groundstate, and how many may be."""

    down: int
    allowed: int


class FleetStatus(msgspec.Struct, frozen=True):
    """`daemon`: the last one that was at work on the store, `at_work`: whether it still is. `statuses`: resources by
    kind and status. `held`: how many resources each guard keeps back, by a plan of what was seen last. `overrides`
    and `pauses`: those in force. `in_flight`: actions that were sent and are not confirmed."""

    at: datetime
    daemon: DaemonReport | None
    at_work: bool
    revision: RevisionStatus
    statuses: dict[str, dict[str, int]]
    held: dict[str, int]
    budget: BudgetStatus
    overrides: tuple[Override, ...]
    pauses: tuple[ResourcePause, ...]
    in_flight: int
    notes: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether a daemon is alive, and the newest revision is in force."""
        return self.at_work and self.revision.in_force is not None and self.revision.broken is None


def fleet_status(where: Where, asked: CommandLimits) -> FleetStatus:
    """By git and the store alone; no BMC is asked. Raises OperationError."""
    listing = list_resources(where, asked, ListRequest())
    statuses: dict[str, Counter[str]] = {}
    for view in listing.views:
        statuses.setdefault(view.key.kind, Counter())[view.status] += 1
    held = Counter(hold.by for view in listing.views for hold in view.holds if hold.kind is HoldKind.GUARD)
    with Workspace(where) as at, at.store() as store:
        daemon, time = store.daemon.get(), now()
        standing, _ = standing_of(store, asked)
        return FleetStatus(
            time,
            daemon,
            daemon is not None and daemon.at_work(time),
            _revision(store),
            {kind: dict(sorted(counts.items())) for kind, counts in statuses.items()},
            dict(held.most_common()),
            _budget(at, store, standing, time),
            in_force(standing.overrides, time),
            standing_pauses(standing.pauses, time),
            len(store.in_flight()),
            tuple(dict.fromkeys((*listing.notes, *at.notes))),
        )


def _revision(store: Store) -> RevisionStatus:
    reported = [one.event for one in store.events(of_fleet=True, limit=_REVISIONS, newest_first=True)]
    applied = next((one for one in reported if one.reason == EventReason.REVISION_APPLIED), None)
    bad = (EventReason.REVISION_REFUSED, EventReason.REVISION_UNREADABLE)
    broken = next((one for one in reported if one.reason in bad), None)
    if broken is not None and applied is not None and applied.at > broken.latest:
        broken = None
    return RevisionStatus(
        store.get_meta(LAST_GOOD), store.get_meta(LAST_REF), None if applied is None else applied.at, broken
    )


def _budget(at: Workspace, store: Store, standing: Standing, time: datetime) -> BudgetStatus:
    desired, facts = state_and_facts(at, store)
    observed = {one.key: one for one in store.observations(observed_types())}
    world = GuardWorld(desired, observed, facts, survey(desired, observed, facts), standing, time)
    state = group_state(fleet_budget(standing.limits), "", world)
    return BudgetStatus(state.counted, state.allowed)
