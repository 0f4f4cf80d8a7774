"""Who is taken down next: a step sees one change, and guards must judge it beside the others that want the same.

Machines go in the order of their names, as in the plan. For that the changes that would take a machine down are kept
from step to step. Only for who holds the lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.kinds import FLEET
from reconciler.kinds.kind_words import counted, nouns
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Change, Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.budgets import takes_down
from reconciler.planning.guards.guard import Guard, GuardWorld, Lifted, hold_back
from reconciler.planning.guards.policy import policy
from reconciler.planning.override_scope import in_force
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
        """Since when each may go. One that has gone counts from the start when it wants to go once more."""
        self._kept: _Kept | None = None
        self._looks: tuple[dict[ResourceKey, Change], set[ResourceKey]] | None = None

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
                self._allowed.pop(key, None)
            if new is not None and (old is None or _kind_of(new) != _kind_of(old)):
                self._kept = None

    def judge(
        self, changes: tuple[Change, ...], world: GuardWorld, transient_guards: tuple[Guard, ...], lifted: Lifted
    ) -> tuple[Change, ...]:
        """The changes of a step, with what the guards hold of them beside all others."""
        self._follow(world.desired)
        self.planned([change.key for change in changes], changes)
        mine = [change.key for change in changes if change.key in self._wanting]
        if not mine:
            return judge_changes(changes, world, transient_guards, lifted)
        self._plan_others()
        judged = self._judged(mine, world, transient_guards, lifted)
        until_observed = self._waits_for_observations(mine, judged, world, transient_guards, lifted)
        # The other guards judge anew each time: a window may have closed just now.
        own = hold_back(changes, (*policy(world).guards, *transient_guards), world, lifted)
        return tuple(
            _as_judged(one, judged[one.key], until_observed.get(one.key)) if one.key in mine else one
            for one in judge_rest(own, mine, world, lifted)
        )

    def _follow(self, desired: DesiredState) -> None:
        if desired is not self._desired:
            self._desired, self._wanting = desired, {}
            self._unplanned = {one.key for kind in FLEET for one in desired.of_kind(kind)}
            self._kept = None

    def _plan_others(self) -> None:
        """Plan whatever was not planned since the state took force. What was not observed yet is left for later."""
        due = {key for key in self._unplanned if key in self._state.observed}
        if due:
            self.planned(due, self._plan_wanting(due))

    def _judged(
        self, mine: list[ResourceKey], world: GuardWorld, transient_guards: tuple[Guard, ...], lifted: Lifted
    ) -> dict[ResourceKey, Change]:
        """Each that wants to go, as the guards judge it beside the others; kept as long as nothing changes."""
        # By what lifts now: one that ends leaves its row as it is.
        now, overrides, kept = world.now, in_force(world.standing.overrides, world.now), self._kept
        if kept is None or kept.overrides != overrides or not kept.is_fresh(now) or not kept.found.keys() >= set(mine):
            some = tuple(self._wanting[key] for key in sorted(self._wanting) if key in mine or self._counts(key, now))
            found = {one.key: one for one in judge_changes(some, world, transient_guards, lifted)}
            kept = self._kept = _Kept(now, overrides, found)
            self._allowed = {key: self._allowed.get(key, now) for key, one in found.items() if one.goes}
        return kept.found

    def _counts(self, key: ResourceKey, now: datetime) -> bool:
        """Whether the change still counts: the resource can be read, is reconciled here, and has not failed for
        good."""
        seen = self._state.observed.get(key)
        since = self._allowed.get(key)
        alive = seen is not None and seen.error is None and self._context.follows(key)
        return alive and (since is None or now - since < STUCK)

    def _waits_for_observations(
        self,
        mine: list[ResourceKey],
        judged: dict[ResourceKey, Change],
        world: GuardWorld,
        transient_guards: tuple[Guard, ...],
        lifted: Lifted,
    ) -> dict[ResourceKey, Hold]:
        """The holds on what would go too early if machines before it, which were not observed yet, want to go too."""
        unseen = [key for key in self._unplanned if key < max(mine) and self._context.follows(key)]
        going = [key for key in mine if key in judged and judged[key].goes]
        if not unseen or not going:
            return {}
        if self._looks is None or self._looks[0] is not judged:
            model = self._wanting[going[0]]
            some = {**self._wanting, **{key: msgspec.structs.replace(model, key=key) for key in unseen}}
            every = tuple(some[key] for key in sorted(some))
            found = judge_changes(every, world, transient_guards, lifted)
            self._looks = (judged, {one.key for one in found if not one.goes})
        these = nouns(key.kind for key in unseen)
        number = counted(Counter(key.kind for key in unseen))
        reason = (
            f"{nouns([going[0].kind])} are taken down in the order of their names, and {number} with an earlier name "
            "must be observed first"
        )
        hint = f"continues automatically when these {these} have been observed"
        hold = Hold(HoldKind.BLOCKED, HoldName.FIRST_LOOK, reason, hint)
        return {key: hold for key in going if key in self._looks[1]}


class _Kept(msgspec.Struct, frozen=True):
    """All that wanted to go at one time, as they were judged beside each other.

    It stays right while those that may go begin, as they count as down from then on. After a machine is in service
    again, the order is too strict for a while. The more machines there are, the less often it is computed again.
    """

    at: datetime
    overrides: tuple[Override, ...]
    found: dict[ResourceKey, Change]

    def is_fresh(self, now: datetime) -> bool:
        """Whether it is used again; not after a clock was put back."""
        return timedelta() <= now - self.at < timedelta(seconds=max(1.0, len(self.found) / 500))


def judge_rest(
    changes: tuple[Change, ...], mine: list[ResourceKey], world: GuardWorld, lifted: Lifted
) -> tuple[Change, ...]:
    """The changes, of which those that take nothing down are judged by the budgets by themselves."""
    rest = tuple(one for one in changes if one.key not in mine)
    judged = {one.key: one for one in hold_back(rest, policy(world).budgets, world, lifted)}
    return tuple(judged.get(one.key, one) for one in changes)


def _kind_of(change: Change) -> object:
    """What guards look at beside the key."""
    return change.cause.kind, change.source is None, [action.name for action in change.actions]


def _as_judged(change: Change, judged: Change, wait: Hold | None) -> Change:
    """The change with the holds that the guards put on its like beside the others."""
    known = {hold.by for hold in (*change.held_by, *change.advice)} | set(change.passes)
    pairs = [pair for pair in zip(judged.passes, judged.lifted_by, strict=True) if pair[0] not in known]
    return msgspec.structs.replace(
        change,
        held_by=(
            *change.held_by,
            *(hold for hold in judged.held_by if hold.by not in known),
            *((wait,) if wait is not None else ()),
        ),
        passes=(*change.passes, *(name for name, _ in pairs)),
        lifted_by=(*change.lifted_by, *(name for _, name in pairs)),
        advice=(*change.advice, *(hold for hold in judged.advice if hold.by not in known)),
    )
