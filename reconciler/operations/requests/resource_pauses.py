"""Pauses of resources: begun, listed and ended through the store, also while a daemon is at work on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from drivers.base import clean
from reconciler import runtime
from reconciler.desired.git.plumbing import SourceError
from reconciler.kinds.selectors import filter_words, select
from reconciler.model.facts import Facts
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.resource import DesiredState, ResourceKey, Revision
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import derived_labels, facts_of
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.pauses import pauses, standing_pauses
from reconciler.planning.universe import universe
from reconciler.runtime import now

if TYPE_CHECKING:
    from reconciler.store import Store


class PauseRequest(msgspec.Struct, frozen=True):
    """Which resources (`everything`, or targets and selector), how long (None: until it is resumed), and why."""

    targets: tuple[str, ...] = ()
    selector: str = ""
    everything: bool = False
    lasting: timedelta | None = None
    reason: str = ""


class PauseList(msgspec.Struct, frozen=True):
    """All pauses that are known at `at`, the oldest first; those that are over too."""

    pauses: tuple[ResourcePause, ...]
    at: datetime
    notes: tuple[str, ...] = ()


class PauseBegun(msgspec.Struct, frozen=True):
    """A new pause, how many resources it covers now, and those of them with an action in flight, which is observed to
    its end."""

    pause: ResourcePause
    covered: int
    in_flight: tuple[ResourceKey, ...]
    notes: tuple[str, ...] = ()


class PausesEnded(msgspec.Struct, frozen=True):
    """The pauses that ended, and those that still stand."""

    ended: tuple[ResourcePause, ...]
    left: tuple[ResourcePause, ...]
    notes: tuple[str, ...] = ()


def list_pauses(where: Where) -> PauseList:
    """Raises OperationError."""
    with Workspace(where) as at, at.store() as store:
        return PauseList(store.pauses.all(), now(), at.notes)


def begin_pause(where: Where, request: PauseRequest) -> PauseBegun:
    """It stands when this returns, and its event is in the ledger. Raises OperationError."""
    if request.everything == bool(request.targets or request.selector):
        raise OperationError(
            "name the resources to pause, such as machine/r12-01, or select them with -l, or pass --all"
        )
    if not request.reason.strip():
        raise OperationError(
            "the reason is missing: say why, such as INC-7; the reason is shown in every plan and in the ledger"
        )
    with Workspace(where) as at:
        with at.store() as store:
            facts = facts_of(store)
            desired = _desired(at, store, facts, request)
            keys = universe(desired, facts)
            chosen = select(request.targets, request.selector, desired, keys, lambda: derived_labels(store, desired))
        begins = now()
        one = ResourcePause(
            runtime.entropy(3).hex(),
            clean(request.reason),
            where.by("pause"),
            begins,
            begins + request.lasting if request.lasting is not None else None,
            request.targets,
            request.selector,
            frozenset(map(str, chosen)) if request.selector else frozenset(),
        )
        with at.changing(create=True) as store:
            store.pauses.add(one)
            flying = store.in_flight()
        covered = tuple(sorted(key for key in flying if pauses(one, key, desired, facts)))
        return PauseBegun(one, len(chosen), covered, at.notes)


def end_pauses(where: Where, targets: tuple[str, ...], selector: str, *, everything: bool) -> PausesEnded:
    """End the pauses of these ids, or those that were begun for just this. Raises OperationError where there is none;
    then none ends."""
    if not targets and not selector and not everything:
        raise OperationError(
            "name the same resources as in `groundstate pause`, or give the id of the pause; `groundstate get "
            "pauses` lists the ids"
        )
    with Workspace(where) as at:
        with at.store() as store:
            stand = standing_pauses(store.pauses.all(), now())
        names = [one.id for one in _meant(stand, targets, selector, everything=everything)]
        with at.changing() as store:
            ended = store.pauses.end(names, where.by("resume"), now())
        return PausesEnded(ended, tuple(one for one in stand if one.id not in names), at.notes)


def _desired(at: Workspace, store: Store, facts: Facts, request: PauseRequest) -> DesiredState:
    """The desired state. Without labels, a pause needs none: a git server that is down must not prevent the pause. A
    store without facts is not the store of the fleet, and a pause in it would stop nothing."""
    try:
        return at.read(at.source(), store)
    except (SourceError, OperationError) as error:
        if request.selector or not facts.resources:
            raise
        at.note(f"{error}; the pause does not need the repository: groundstate counts the resources on record")
    return DesiredState(Revision("", "", ""), {})


def _meant(
    stand: Sequence[ResourcePause], targets: tuple[str, ...], selector: str, *, everything: bool
) -> list[ResourcePause]:
    by_id = {one.id: one for one in stand}
    if targets and not selector and not everything and all(target in by_id for target in targets):
        return [by_id[target] for target in dict.fromkeys(targets)]
    wanted = "everything" if everything else filter_words(targets, selector)
    found = [one for one in stand if one.covers == wanted]
    if not found:
        known = "; ".join(f"{one.id} of {one.covers}" for one in stand)
        how = f"active pauses: {known}; to end one of these pauses, run `groundstate resume ID`"
        why = f"{wanted} is not paused; {how if known else 'no pause is active'}"
        raise OperationError(why, FailureReason.NOT_FOUND)
    return found
