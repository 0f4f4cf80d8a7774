"""What is done about pools and numbers."""

from __future__ import annotations

from typing import Any, assert_never

from reconciler.kinds.common.field_types.fields import DeletionPolicy
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.ipam.allocation.free_numbers import HOW_TO_RELEASE_NUMBER, holders_of_pool, number_holds
from reconciler.kinds.ipam.pool import NumberSpec, PoolSpec, number_state, number_steps, pool_state, range_words, ranges
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.ipam_actions import (
    AcquireNumber,
    DropPool,
    NumberAction,
    PoolAction,
    PutPool,
    ReleaseNumber,
)
from reconciler.model.counting import count_are
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource

RANGES, NUMBER, POOL = PutPool.path, AcquireNumber.path, "spec.pool"


class PoolRules:
    """The reconciled half of Pool."""

    def fields(self, resource: Resource[PoolSpec], view: KindView) -> tuple[Field, ...]:
        """Its numbers."""
        pool, wanted = pool_state(view.value).pool, ranges(resource.spec)
        seen = None if pool is None else range_words(pool.ranges)
        return (Field(RANGES, range_words(wanted), seen, pool is not None and pool.ranges == wanted),)

    def steps(self, resource: Resource[PoolSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """One PutPool, unless a number that is held would go."""
        if all(field.equal for field in fields):
            return Steps()
        wanted = ranges(resource.spec)
        why = (
            "does not exist yet"
            if pool_state(view.value).pool is None
            else "the declared ranges differ from the ranges of the pool"
        )
        lost = [
            f"{one.number} by {one.owner}"
            for one in holders_of_pool(view.key.name, view)
            if not any(r.first <= one.number <= r.last for r in wanted)
        ]
        holds: tuple[Hold, ...] = ()
        if lost:
            named = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            hint = f"first release these numbers ({HOW_TO_RELEASE_NUMBER}), or keep these numbers in spec.ranges"
            holds = (
                Hold(HoldKind.GUARD, "in-use", f"numbers that are in use would be removed: {named}", hint, RANGES),
            )
        return Steps((PutPool(key=view.key, ranges=wanted, reason=why),), holds)

    def removal(self, view: KindView) -> Steps:
        """Orphan leaves it; Release drops it once nothing of it is held."""
        if view.stray:
            return Steps()
        if pool_state(view.value).pool is None:
            return Steps((Forget(key=view.key, reason="no longer declared, and the pool does not exist"),))
        if view.facts.deletion_policy != DeletionPolicy.RELEASE:
            return Steps((Forget(key=view.key, reason="no longer declared; the pool stays (deletionPolicy Orphan)"),))
        held = holders_of_pool(view.key.name, view)
        holds: tuple[Hold, ...] = ()
        if held:
            named = ", ".join(f"{one.number} by {one.owner}" for one in held[:5])
            reason = f"{count_are(len(held), 'number')} in use: {named}"
            holds = (
                Hold(HoldKind.BLOCKED, "in-use", reason, ("continues automatically when these numbers are released")),
            )
        drop = DropPool(key=view.key, reason="no longer declared (deletionPolicy Release)")
        return Steps((drop, Forget(key=view.key, reason="no longer declared; deleted")), holds)

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether it is so now."""
        if not isinstance(action, PoolAction):
            return False
        pool = pool_state(value).pool
        match action:
            case PutPool(ranges=wanted):
                return pool is not None and pool.ranges == wanted
            case DropPool():
                return pool is None
            case _:
                assert_never(action)

    def patience(self, action: Action, resource: Resource[PoolSpec] | None) -> float:
        """The store answers when it is done."""
        return 1.0


class NumberRules:
    """The reconciled half of Number."""

    def fields(self, resource: Resource[NumberSpec], view: KindView) -> tuple[Field, ...]:
        """The pool that it is held of, and the number."""
        spec, state = resource.spec, number_state(view.value)
        wanted = "any" if spec.number is None else spec.number
        fits = state.pool == spec.pool and spec.number in (None, state.number)
        return (
            Field(POOL, spec.pool, state.pool, state.pool == spec.pool),
            Field(NUMBER, wanted, state.number, fits, along=POOL),
        )

    def steps(self, resource: Resource[NumberSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """Acquire the number; another number that the resource holds is released first."""
        if all(field.equal for field in fields):
            return Steps()
        spec, held = resource.spec, number_state(view.value).held(view.key)
        ephemeral = spec.deletion_policy is DeletionPolicy.RELEASE
        actions = number_steps(
            view.key, spec.pool, spec.number, held, AcquireNumber, ReleaseNumber, ephemeral=ephemeral
        )
        holds = number_holds(spec.pool, spec.number, held is not None, NUMBER, view)
        return Steps(tuple(actions), tuple(holds))

    def removal(self, view: KindView) -> Steps:
        """As its deletionPolicy says; a number with the policy Release is a leak if its owner is neither declared nor
        recorded."""
        held = number_state(view.value).held(view.key)
        if held is None:
            return (
                Steps()
                if view.stray
                else Steps((Forget(key=view.key, reason="no longer declared, and holds no number"),))
            )
        if view.stray:
            why = "leak: the owner of the number is neither declared nor recorded, so nothing uses the number"
            give = ReleaseNumber(key=view.key, pool=held.pool, number=held.number, reason=why)
            return Steps((give, Forget(key=view.key, reason="released"))) if held.ephemeral else Steps()
        if view.facts.deletion_policy == DeletionPolicy.RELEASE:
            why = "no longer declared (deletionPolicy Release)"
            give = ReleaseNumber(key=view.key, pool=held.pool, number=held.number, reason=why)
            return Steps((give, Forget(key=view.key, reason="no longer declared, and released")))
        reason = f"no longer declared; {held.number} of {held.pool} stays allocated (deletionPolicy Orphan)"
        return Steps((Forget(key=view.key, reason=reason),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether it is so now."""
        if not isinstance(action, NumberAction):
            return False
        state = number_state(value)
        match action:
            case AcquireNumber(pool=pool, number=number):
                return state.pool == pool and number in (None, state.number)
            case ReleaseNumber():
                return state.number is None
            case _:
                assert_never(action)

    def patience(self, action: Action, resource: Resource[NumberSpec] | None) -> float:
        """The store answers when it is done."""
        return 1.0
