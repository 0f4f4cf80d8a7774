"""Overrides of guards: begun, listed and revoked through the store, also while a daemon is at work on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from drivers.base import clean
from reconciler import runtime
from reconciler.kinds.selectors import select
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import typed
from reconciler.model.resource import ResourceKey
from reconciler.operations.operation_error import OperationError
from reconciler.operations.stored_facts import derived_labels, facts_of, observed_types, standing_of, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.guards_in_force import declared_guard_key, is_absolute_guard
from reconciler.planning.guards.standing import CommandLimits
from reconciler.planning.override_scope import OVERRIDABLE, lifts_only_held, override_refusal
from reconciler.planning.planner import plan
from reconciler.planning.universe import universe
from reconciler.runtime import now


class OverrideRequest(msgspec.Struct, frozen=True):
    """Which guard, for which resources (neither targets nor selector: all), how long, and why. `by`: who decided it,
    where that is not the user whose process asks."""

    guard: str
    targets: tuple[str, ...] = ()
    selector: str = ""
    lasting: timedelta | None = None
    reason: str = ""
    by: str = ""


class OverrideList(msgspec.Struct, frozen=True):
    """All overrides that are known at `at`, the oldest first; those that are over too."""

    overrides: tuple[Override, ...]
    at: datetime
    notes: tuple[str, ...] = ()


class OverrideBegun(msgspec.Struct, frozen=True):
    """A new override, how many resources it covers now (None: all), and what happens while it lasts."""

    override: Override
    covered: int | None
    effect: str
    notes: tuple[str, ...] = ()


def list_overrides(where: Where) -> OverrideList:
    """Raises OperationError."""
    with Workspace(where) as at, at.store() as store:
        return OverrideList(store.overrides.all(), now(), at.notes)


def begin_override(where: Where, request: OverrideRequest) -> OverrideBegun:
    """It is in force when this returns, and its event is in the ledger. Raises OperationError."""
    refusal = override_refusal(request.guard, narrowed=bool(request.targets or request.selector))
    if refusal is not None:
        raise OperationError(refusal)
    if request.lasting is None:
        raise OperationError(
            "the duration is missing: say how long the override lasts, such as 30m; the override ends automatically"
        )
    if not request.reason.strip():
        raise OperationError(
            "the reason is missing: say why, such as INC-7; the reason is shown in every plan and in the ledger"
        )
    with Workspace(where) as at:
        _refuse_absolute(at, request.guard)
        narrowed = _of_held(at, request)
        covered = _covered(at, narrowed)
        begins = now()
        one = Override(
            runtime.entropy(3).hex(),
            request.guard,
            clean(request.reason),
            _decided_by(where, request.by),
            begins,
            begins + request.lasting,
            narrowed.targets,
            narrowed.selector,
        )
        with at.changing(create=True) as store:
            store.overrides.add(one)
        return OverrideBegun(one, covered, _effect(one.guard), at.notes)


def revoke_override(where: Where, name: str, by: str = "") -> Override:
    """The override, which is over now. Raises OperationError where there is none in force."""
    with Workspace(where) as at, at.changing() as store:
        return store.overrides.revoke(name, _decided_by(where, by), now())


def _covered(at: Workspace, request: OverrideRequest) -> int | None:
    """How many resources are meant now; None: all. Raises Unmatched for what matches nothing, which is mistyped."""
    if not request.targets and not request.selector:
        return None
    with at.store() as store:
        desired, facts = at.read(at.source(), store), facts_of(store)
        everything = universe(desired, facts)
        return len(
            select(request.targets, request.selector, desired, everything, lambda: derived_labels(store, desired))
        )


def _of_held(at: Workspace, request: OverrideRequest) -> OverrideRequest:
    """The request for what the guard holds now, by name, if the guard is overridden for such resources only. So an
    override accepts nothing that a BMC reports later of a machine that was not held. Raises OperationError."""
    if not lifts_only_held(request.guard):
        return request
    with at.store() as store:
        desired, facts = state_and_facts(at, store)
        observed = {one.key: one for one in store.observations(observed_types())}
        standing, _ = standing_of(store, CommandLimits())
    chosen = select(request.targets, request.selector, desired, universe(desired, facts))
    changes = plan(desired, observed, facts, now(), standing).changes
    held = {change.key for change in changes if any(hold.by == request.guard for hold in change.held_by)}
    missed = sorted(chosen - held) if request.targets else []
    if missed or not chosen & held:
        raise OperationError(
            f"guard {request.guard} does not hold {_those(missed) or request.selector}, as far as groundstate has "
            "observed. Without a daemon, run `groundstate apply` for these resources, which observes them. Then give "
            "the override again"
        )
    return msgspec.structs.replace(request, targets=tuple(map(typed, sorted(chosen & held))), selector="")


def _those(keys: Sequence[ResourceKey]) -> str:
    return ", ".join(map(str, keys[:3])) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _refuse_absolute(at: Workspace, guard: str) -> None:
    """Raise OperationError for a declared guard that there is not, or that no override lifts."""
    key = declared_guard_key(guard)
    if key is None:
        return
    with at.store() as store:
        desired, facts = state_and_facts(at, store)  # As every plan will judge the override.
    if key not in desired.resources and key not in facts.resources:
        select([guard], "", desired)  # Raises Unmatched, with the nearest name.
    if is_absolute_guard(guard, desired, facts):
        why = (
            f"the guard {key} cannot be overridden, because it has the level Absolute, or had this level within "
            "the last hour; change the document of the guard"
        )
        raise OperationError(why)


def _effect(guard: str) -> str:
    return OVERRIDABLE.get(guard, f"changes that guard {guard} holds are carried out")


def _decided_by(where: Where, by: str) -> str:
    mine = where.by("override")
    return f"{by}, as {mine}" if by else mine
