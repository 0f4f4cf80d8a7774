"""The plan as of what was last observed. Every reconcile asks for it, so what is about the whole fleet is kept: the
guards' survey, and which machines claims get."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import msgspec

from reconciler.applying.budget_order import BudgetOrder
from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.kinds import FLEET
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.plans.plan import Change, Plan, Unknown, UnknownReason
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement.machine_tally import MachineTally
from reconciler.placement.place import expired_image_count, place_all
from reconciler.placement.placement_result import Placements
from reconciler.planning.guards.fleet_survey import FleetSurvey, disrupted, survey
from reconciler.planning.guards.guard import Guard, GuardWorld, Lifted
from reconciler.planning.plan_isolation import Judging, judge_changes
from reconciler.planning.planner import plan, plan_changes
from reconciler.planning.universe import keys_to_plan, sorted_keys

SURVEY_SECONDS = 1.0
"""For so long a survey is used again: it reads the whole fleet."""


class FleetPlanner:
    """Plans from what is remembered and observed. The caller holds the state's lock, but for `plan_all`."""

    def __init__(self, state: EngineState, context: Context) -> None:
        self._state, self._context = state, context
        self._last: tuple[datetime, FleetSurvey] | None = None
        self._placements = _PlacementMemo(state, context)
        self._order = BudgetOrder(state, context, self._wanting)
        self._as_declared = _AsDeclared(state)

    def plan(self, select: set[ResourceKey]) -> Plan:
        """The plan of the selected resources. Raises RuntimeError while no desired state is in
        force."""
        desired, observed, facts = self._in_force(), self._state.observed, self._state.all_facts()
        planned = self._planned(
            desired, observed, facts, select, self.fleet, self._placements.placements, self._order.judge
        )
        self._planned_keys(select, planned.changes, planned.unknown)
        return planned

    def plan_one(self, key: ResourceKey) -> Change | Unknown | None:
        """What the plan of one resource says of it; None: nothing is to be done. Every step asks, so nothing is worked
        out that is only shown. Raises RuntimeError as `plan` does."""
        changes, unknown = self._changes([key], self._order.judge)
        self._planned_keys({key}, changes, unknown)
        found: tuple[Change | Unknown, ...] = (*changes, *unknown)
        return next(iter(found), None)

    def _in_force(self) -> DesiredState:
        if self._state.desired is None:
            raise RuntimeError("no desired state is in force yet; the daemon has not read the repository")
        return self._state.desired

    def _planned_keys(self, keys: set[ResourceKey], changes: Collection[Change], unknown: Collection[Unknown]) -> None:
        """Remember what was planned of these keys."""
        self._order.planned(keys - {change.key for change in changes}, ())
        self._set_aside(unknown, self._state.observed)
        self._as_declared.note(keys, changes, unknown)

    def _changes(self, keys: list[ResourceKey], judging: Judging) -> tuple[tuple[Change, ...], tuple[Unknown, ...]]:
        context = self._context
        changes, unknown, _ = plan_changes(
            keys,
            self._in_force(),
            self._state.observed,
            self._state.all_facts(),
            context.now(),
            context.standing(),
            transient_guards=context.transient_guards,
            fleet=self.fleet,
            placements=self._placements.placements,
            judging=judging,
        )
        return changes, unknown

    def _wanting(self, select: set[ResourceKey]) -> list[Change]:
        """The changes of these resources before guards judge them."""
        found: list[Change] = []

        def noting(
            changes: tuple[Change, ...], _world: GuardWorld, _waits: tuple[Guard, ...], _lifted: Lifted
        ) -> tuple[Change, ...]:
            found[:] = changes
            return changes

        self._changes(sorted_keys(select), noting)
        return found

    def plan_all(self) -> Plan:
        """The plan of everything as of the moment of the call. The lock is free meanwhile: a plan of 10,000 machines
        takes a good part of a second, and no reconcile waits for it. Raises RuntimeError as `plan` does."""
        with self._state.lock:
            desired = self._state.desired
            if desired is None:
                raise RuntimeError("no desired state is in force yet; the daemon has not read the repository")
            observed, facts = self._state.copy()
        planned = self._planned(desired, observed, facts)
        with self._state.lock:
            self._set_aside(planned.unknown, observed)
        return planned

    def plan_rest(self) -> Plan:
        """The plan as of the moment of the call, without the machines that need none. These were as declared at their
        last reconcile, and nothing was observed or recorded of them since. What only time changes of those is seen at
        their next reconcile. The lock is free meanwhile, as in `plan_all`. Raises RuntimeError as `plan` does."""
        with self._state.lock:
            desired = self._state.desired
            if desired is None:
                raise RuntimeError("no desired state is in force yet; the daemon has not read the repository")
            observed, facts = self._state.copy()
            left_out = self._as_declared.keys()
        select = {*keys_to_plan(desired, facts, observed)} - left_out
        planned = self._planned(desired, observed, facts, select, placements=self._placed)
        with self._state.lock:
            self._set_aside(planned.unknown, observed)
        return planned

    def _placed(self) -> Placements:
        with self._state.lock:
            return self._placements.placements()

    def _planned(
        self,
        desired: DesiredState,
        observed: ObservedState,
        facts: Facts,
        select: set[ResourceKey] | None = None,
        fleet: Callable[[], FleetSurvey] | None = None,
        placements: Callable[[], Placements] | None = None,
        judging: Judging = judge_changes,
    ) -> Plan:
        now, standing, waits = self._context.now(), self._context.standing(), self._context.transient_guards
        return plan(
            desired,
            observed,
            facts,
            now,
            standing,
            transient_guards=waits,
            select=select,
            fleet=fleet,
            placements=placements,
            judging=judging,
        )

    def _set_aside(self, unknown: Iterable[Unknown], observed: ObservedState) -> None:
        """An observation that nothing can be planned from counts as unknown until the next one. Otherwise each plan
        would have to find again what to leave out."""
        for one in unknown:
            seen = observed.get(one.key) if one.reason is UnknownReason.INTERNAL else None
            if seen is not None and seen.error is None and self._state.observed.get(one.key) is seen:
                self._state.mark_unreadable(seen.key, seen.taken_at, one.message)

    def fleet(self) -> FleetSurvey:
        """The survey as of now, or of a moment ago. A desired state must be in force."""
        assert self._state.desired is not None  # noqa: S101
        now = self._context.now()
        # A clock that was put back must not keep an old one in use.
        if self._last is None or not 0 <= (now - self._last[0]).total_seconds() < SURVEY_SECONDS:
            known = self._state.all_facts()
            self._last = (now, survey(self._state.desired, self._state.observed, known))
        # The budget is counted exactly, however old the rest of the survey.
        return msgspec.structs.replace(self._last[1], disrupted=disrupted(self._state.down(now)))

    def survey_again(self) -> None:
        """What was surveyed is not so any more."""
        self._last = None


class _AsDeclared:
    """The machines that the plan of their last reconcile found as declared, and of which nothing has changed since. In
    a fleet at rest nearly all. Only for who holds the lock."""

    def __init__(self, state: EngineState) -> None:
        self._state, self._drain = state, state.watch()
        self._desired: DesiredState | None = None
        self._keys: set[ResourceKey] = set()

    def note(self, select: Iterable[ResourceKey], changes: Iterable[Change], unknown: Iterable[Unknown]) -> None:
        """These keys were planned just now, by the state in force."""
        self._follow()
        others = {change.key for change in changes} | {one.key for one in unknown}
        for key in select:
            (self._keys.discard if key in others or key.kind not in FLEET else self._keys.add)(key)

    def keys(self) -> set[ResourceKey]:
        """Which they are now."""
        self._follow()
        return self._keys.copy()

    def _follow(self) -> None:
        changed = self._drain()
        if self._state.desired is self._desired:
            self._keys -= changed
        else:
            self._desired, self._keys = self._state.desired, set()


class _PlacementMemo:
    """Which machines claims get, worked out once for each state of the fleet, as every step of a claim asks for it.
    Only for who holds the lock."""

    def __init__(self, state: EngineState, context: Context) -> None:
        self._state, self._context = state, context
        self._drain = state.watch()
        self._tally: MachineTally | None = None
        self._due = 0
        self._found: Placements = {}

    def placements(self) -> Placements:
        """What every claim has and would get now. A desired state must be in force."""
        desired, now = self._state.desired, self._context.now()
        assert desired is not None  # noqa: S101
        tally, changed, due = self._tally, self._drain(), expired_image_count(desired, now)
        if tally is None or tally.fleet.desired is not desired or changed or due != self._due:
            # A failure leaves nothing behind that could be taken for the answer.
            self._tally = None
            facts, observed = self._state.all_facts(), self._state.observed
            if tally is None or tally.fleet.desired is not desired:
                tally = MachineTally.of(desired, observed, facts)
            else:
                tally.refresh(observed, facts, changed)
            self._found = place_all(desired, observed, facts, now, tally=tally)
            self._tally, self._due = tally, due
        return self._found
