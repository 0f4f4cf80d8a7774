"""Who is taken down next: a step sees one change, and guards must judge it beside the others that want the same.

So that machines go in the order of their names, as in the plan, the changes that would take a machine down are kept
from step to step. Only for who holds the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.kinds import FLEET
from reconciler.model.plan import Change, Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.budgets import takes_down
from reconciler.planning.guards import Guard, GuardWorld, Lifted
from reconciler.planning.plan_isolation import judge_changes

STUCK = timedelta(minutes=2)
"""What may go and has not gone for so long keeps no other waiting."""

Wanting = Callable[[set[ResourceKey]], Iterable[Change]]
"""Plans these keys, and gives the changes as they are before guards judge them."""


class BudgetOrder:
    """The changes that want to take a machine down, as of the last plan of each."""

    def __init__(self, state: EngineState, context: Context, wanting: Wanting) -> None:
        self._state, self._context, self._plan_wanting = state, context, wanting
        self._desired: DesiredState | None = None
        self._unplanned: set[ResourceKey] = set()
        self._wanting: dict[ResourceKey, Change] = {}
        self._allowed: dict[ResourceKey, datetime] = {}
        self._version = 0

    def planned(self, keys: Iterable[ResourceKey], changes: Iterable[Change]) -> None:
        """These keys were planned, with these changes before guards judged them."""
        found = {change.key: change for change in changes if change.goes and takes_down(change)}
        for key in keys:
            self._unplanned.discard(key)
            new, old = found.get(key), self._wanting.get(key)
            if new is not None:
                self._wanting[key] = new
            else:
                self._wanting.pop(key, None)
            if (new is None) is not (old is None) or (new and old and _kind_of(new) != _kind_of(old)):
                self._version += 1

    def judge(
        self, changes: tuple[Change, ...], world: GuardWorld, waits: tuple[Guard, ...], lifted: Lifted
    ) -> tuple[Change, ...]:
        """The changes of a step, with what the guards hold of them beside all others."""
        self._follow(world.desired)
        self.planned([change.key for change in changes], changes)
        mine = [change.key for change in changes if change.key in self._wanting]
        if not mine:
            return judge_changes(changes, world, waits, lifted)
        self._plan_others()
        judged = self._judged(mine, world, waits, lifted)
        looks = self._waits_for_looks(mine, judged, world, waits, lifted)
        others = judge_changes(tuple(one for one in changes if one.key not in judged), world, waits, lifted)
        alone = {one.key: one for one in others}
        return tuple(alone.get(one.key) or _as_judged(one, judged[one.key], looks.get(one.key)) for one in changes)

    def _follow(self, desired: DesiredState) -> None:
        if desired is not self._desired:
            self._desired, self._wanting = desired, {}
            self._unplanned = {one.key for kind in FLEET for one in desired.of_kind(kind)}
            self._version += 1

    def _plan_others(self) -> None:
        """Plan whatever was not planned since the state took force. What was not observed yet is left for later."""
        due = {key for key in self._unplanned if key in self._state.observed}
        if due:
            self.planned(due, self._plan_wanting(due))

    def _judged(
        self, mine: list[ResourceKey], world: GuardWorld, waits: tuple[Guard, ...], lifted: Lifted
    ) -> dict[ResourceKey, Change]:
        """Each that wants to go, as the guards judge it beside the others; kept as long as nothing changes."""
        now = world.now
        stuck = [key for key in mine if not self._counts(key, now)]
        at = (self._version, world.survey.disrupted, world.standing.overrides, stuck)
        kept: tuple[object, dict[ResourceKey, Change]] | None = world.survey.memo.get("budget order")
        if kept is None or kept[0] != at:
            some = tuple(self._wanting[key] for key in sorted(self._wanting) if key in stuck or self._counts(key, now))
            found = {one.key: one for one in judge_changes(some, world, waits, lifted)}
            kept = world.survey.memo["budget order"] = (at, found)
            self._allowed = {key: self._allowed.get(key, now) for key, one in found.items() if one.goes}
        return kept[1]

    def _counts(self, key: ResourceKey, now: datetime) -> bool:
        """Whether it is still to be reckoned with: it can be read, it is looked after, and it is not stuck."""
        seen = self._state.observed.get(key)
        since = self._allowed.get(key)
        alive = seen is not None and seen.error is None and self._context.follows(key)
        return alive and (since is None or now - since < STUCK)

    def _waits_for_looks(
        self,
        mine: list[ResourceKey],
        judged: dict[ResourceKey, Change],
        world: GuardWorld,
        waits: tuple[Guard, ...],
        lifted: Lifted,
    ) -> dict[ResourceKey, Hold]:
        """The holds on what would go too early if machines before it, which were not observed yet, want to go too."""
        unseen = [key for key in self._unplanned if key < max(mine) and self._context.follows(key)]
        going = [key for key in mine if key in judged and judged[key].goes]
        if not unseen or not going:
            return {}
        model = self._wanting[going[0]]
        some = {**self._wanting, **{key: msgspec.structs.replace(model, key=key) for key in unseen}}
        every = tuple(some[key] for key in sorted(some))
        found = {one.key: one for one in judge_changes(every, world, waits, lifted)}
        reason = f"{len(unseen)} machines before it have not been observed yet, and may be taken down first"
        hold = Hold(HoldKind.BLOCKED, "first-look", reason, "continues automatically when they have been observed")
        return {key: hold for key in going if not found[key].goes}


def _kind_of(change: Change) -> object:
    """What guards look at beside the key."""
    return change.cause.kind, change.source is None, [action.name for action in change.actions]


def _as_judged(change: Change, judged: Change, wait: Hold | None) -> Change:
    """The change with the holds that the guards put on its like."""
    holds = tuple(hold for hold in judged.held_by if hold not in change.held_by)
    return msgspec.structs.replace(
        change,
        held_by=(*change.held_by, *holds, *((wait,) if wait is not None else ())),
        passes=judged.passes,
        lifted_by=judged.lifted_by,
        advice=judged.advice,
    )
