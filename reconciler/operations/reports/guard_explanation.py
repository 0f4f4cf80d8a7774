"""What each guard says of one resource, now or at another time, by what the store knows. Asks no BMC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import KINDS, RECONCILED
from reconciler.kinds.selectors import select
from reconciler.model.plans.plan import Change
from reconciler.model.resource import ResourceKey
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.reports.built_in_views import asked_keys
from reconciler.operations.stored_facts import observed_types, standing_of, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.fleet_survey import survey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.reports.guard_report import BudgetUse, GuardVerdict, budget_uses, guard_verdicts
from reconciler.planning.guards.reports.guard_state import GuardState, guard_states
from reconciler.planning.guards.standing import CommandLimits
from reconciler.planning.planner import plan
from reconciler.planning.universe import universe
from reconciler.runtime import now


class GuardExplanation(msgspec.Struct, frozen=True):
    """The guards of a resource at a time. `change`: what is to be done with it; None: it is as declared, or unknown."""

    key: ResourceKey
    at: datetime
    change: Change | None
    verdicts: tuple[GuardVerdict, ...]
    states: tuple[GuardState, ...] = ()
    """Of a guard instead: what it is, and whom it holds."""
    notes: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether a guard holds the change; of a guard: whether it holds any."""
        return any(one.holds for one in self.verdicts) or any(one.holds for one in self.states)

    @property
    def budgets(self) -> tuple[BudgetUse, ...]:
        """How much of each budget is used: in each group that counts the resource, or in each group of the guard."""
        return budget_uses(self.states or self.verdicts)


def guard_form(found: GuardExplanation) -> dict[str, Any]:
    """The explanation for programs, of values that JSON and YAML have. A `guard` has its `specs`, any other `resource`
    has its `guards`."""
    what, said = ("guard", {"specs": found.states}) if found.states else ("resource", {"guards": found.verdicts})
    form: dict[str, Any] = msgspec.to_builtins(
        {what: str(found.key), "at": found.at, "held": found.held, **said, "budgets": found.budgets}
    )
    return form


def explain_guard(where: Where, asked: CommandLimits, target: str, at_time: datetime | None = None) -> GuardExplanation:
    """Which guards guard the resource, and what each says; of a guard, also a built-in one, the changes that it holds.
    `at_time`: judged as of another time, with the current state of all else.

    Raises OperationError, and Unmatched where nothing is meant.
    """
    with Workspace(where) as at:
        moment = at_time or now()
        with at.store() as store:
            desired, facts = state_and_facts(at, store)
            observed = {one.key: one for one in store.observations(observed_types())}
            standing, _ = standing_of(store, asked)
        chosen = select([target], "", desired, (*universe(desired, facts), *asked_keys([target], "")))
        keys = sorted(key for key in chosen if key.kind in RECONCILED)
        if len(keys) != 1:
            why = f"{target!r} does not name exactly one resource; write KIND/NAME, such as machine/r1-01"
            raise OperationError(why, FailureReason.NOT_FOUND)
        planned = plan(desired, observed, facts, moment, standing)
        change = next((one for one in planned.changes if one.key == keys[0]), None)
        world = GuardWorld(desired, observed, facts, survey(desired, observed, facts), standing, moment)
        if KINDS[keys[0].kind].is_guard:
            states = guard_states(keys[0].name, planned.changes, world)
            return GuardExplanation(keys[0], moment, change, (), states, at.notes)
        verdicts = guard_verdicts(keys[0], change, world)
        return GuardExplanation(keys[0], moment, change, verdicts, (), at.notes)
