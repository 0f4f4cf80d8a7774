"""The state of a fleet at a glance: is a daemon alive, what is in force, how things are, and what is held."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.daemon.ancestry import LAST_GOOD, LAST_REF
from reconciler.model.event import Event, EventReason
from reconciler.model.plans.fleet_count import FleetCount
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import daemon_transient_guards, observed_types, standing_of, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.pauses import standing_pauses
from reconciler.planning.guards.standing import CommandLimits, DaemonReport, Standing
from reconciler.planning.override_scope import in_force
from reconciler.runtime import now

if TYPE_CHECKING:
    from reconciler.store import Store

_REVISIONS = 1000
"""How many of the newest events of the fleet are searched for the newest about a revision."""


class RevisionStatus(msgspec.Struct, frozen=True):
    """The revision in force (None: none yet), by which ref it was found and since when. And the event of a newer one
    that was refused or could not be read."""

    in_force: str | None
    ref: str | None
    since: datetime | None
    broken: Event | None


class FleetStatus(msgspec.Struct, frozen=True):
    """`daemon`: the last one that was at work on the store, `at_work`: whether it still is. `fleet`: as that daemon
    counted it some seconds ago. Without a daemon, a plan of the latest observations counts it. None where the desired
    state is broken. `overrides` and `pauses`: those in force. `in_flight`: actions that were sent and are not
    confirmed."""

    at: datetime
    daemon: DaemonReport | None
    at_work: bool
    revision: RevisionStatus
    fleet: FleetCount | None
    overrides: tuple[Override, ...]
    pauses: tuple[ResourcePause, ...]
    in_flight: int
    notes: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether a daemon is alive, and the newest revision is in force."""
        return self.at_work and self.revision.in_force is not None and self.revision.broken is None


def status_form(found: FleetStatus) -> dict[str, Any]:
    """The status for programs, of values that JSON and YAML have. `statuses`, `held` and `budgets` are those of the
    fleet, each None when nothing counted the fleet."""
    form: dict[str, Any] = msgspec.to_builtins(found) | {"healthy": found.healthy}
    form.pop("notes")
    if form["daemon"] is not None:
        form["daemon"].pop("fleet", None)
    for pause in form["pauses"]:
        pause.pop("known", None)
    fleet = form.pop("fleet") or {"statuses": None, "held": None, "budgets": None}
    return form | fleet


def fleet_status(where: Where, asked: CommandLimits) -> FleetStatus:
    """By the store, and by git where no daemon is at work; no BMC is asked. Raises OperationError."""
    with Workspace(where) as at, at.store() as store:
        daemon, time = store.daemon.get(), now()
        at_work = daemon is not None and daemon.at_work(time)
        standing, _ = standing_of(store, asked)
        fleet = daemon.fleet if daemon is not None and at_work and _meant(where, asked, store) else None
        return FleetStatus(
            time,
            daemon,
            at_work,
            _revision(store),
            fleet or _counted(at, store, standing, time),
            in_force(standing.overrides, time),
            standing_pauses(standing.pauses, time),
            len(store.in_flight()),
            at.notes,
        )


def _meant(where: Where, asked: CommandLimits, store: Store) -> bool:
    """Whether what the daemon counts is what was asked for."""
    return not where.work_tree and not asked.given and where.ref in ("HEAD", store.get_meta(LAST_REF))


def _counted(at: Workspace, store: Store, standing: Standing, time: datetime) -> FleetCount | None:
    from reconciler.planning.guards.fleet_survey import survey
    from reconciler.planning.guards.guard import GuardWorld
    from reconciler.planning.guards.reports.guard_report import budget_levels
    from reconciler.planning.planner import plan
    from reconciler.views.resource_tally import ResourceTally, fleet_count, guard_holds

    try:
        desired, facts = state_and_facts(at, store)
    except OperationError as error:
        if error.reason is not FailureReason.INVALID:
            raise
        at.note("the desired state has errors, so resources cannot be counted; `groundstate validate` shows the errors")
        return None
    observed = {one.key: one for one in store.observations(observed_types())}
    world = GuardWorld(desired, observed, facts, survey(desired, observed, facts), standing, time)
    planned = plan(desired, observed, facts, time, standing, transient_guards=daemon_transient_guards(store))
    budgets = tuple(budget_levels(world))
    return fleet_count(desired, ResourceTally().count(world, planned), guard_holds(planned.changes), budgets)


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
