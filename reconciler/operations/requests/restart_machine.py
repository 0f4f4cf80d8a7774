"""Asking for one power cycle of a machine, through the store, also while a daemon is at work on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from drivers.base import clean
from reconciler import runtime
from reconciler.kinds import RESTARTED, find_kind
from reconciler.kinds.common.machine_facts import Restart, machine_facts
from reconciler.kinds.machine.machine_restart import restart_refusal
from reconciler.kinds.machine.rules.machine_rules import declared_power
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.restart import RestartRequest
from reconciler.model.resource import ResourceKey
from reconciler.operations.named_resource import one_resource
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import described_by, facts_of, observed_types
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.pauses import pauses, standing_pauses
from reconciler.runtime import now
from reconciler.store import Store

_TAKEN_UP_SECONDS = 10.0
"""For so long a daemon may take to notice what was cancelled."""
_POLL_SECONDS = 0.2


class RestartAsked(msgspec.Struct, frozen=True):
    """A new restart, and whether a daemon is at work that carries it out. `notes`: also what holds it for now."""

    request: RestartRequest
    at_work: bool
    notes: tuple[str, ...] = ()


def restart_machine(where: Where, target: str, reason: str, within: timedelta) -> RestartAsked:
    """The request is in the store and in the ledger when this returns. The process that works on the store carries out
    the restart, if the guards allow it, at most once. Raises OperationError, also for a machine that must not be
    restarted now."""
    if not reason.strip():
        raise OperationError("the reason is missing: say why, such as INC-7; the reason is recorded in the ledger")
    with Workspace(where) as at:
        with at.store() as store:
            desired, facts = at.read(at.source(), store), facts_of(store)
            machine = one_resource(target, RESTARTED, desired)
            looks = {one.key: one for one in store.observations(observed_types())}
            daemon = store.daemon.get()
        if daemon is not None and daemon.at_work(now()) and daemon.observes_only:
            raise OperationError(f"{machine.key} is not restarted: the daemon only observes")
        _check(machine.key, machine.key in facts.resources)
        power = declared_power(machine, desired, facts.resources, looks, now())
        why = restart_refusal(machine.spec, power, machine_facts(facts.resources, machine.key))
        if why is not None:
            raise OperationError(f"{machine.key} is not restarted: {why}")
        begins, about = now(), (machine.key, desired, facts)
        request = RestartRequest(
            runtime.entropy(3).hex(), machine.key, clean(reason), where.by("restart"), begins, begins + within
        )
        with at.changing() as store:
            store.restarts.add(request, described_by(desired, facts.resources))
            held = tuple(one for one in standing_pauses(store.pauses.all(), begins) if pauses(one, *about))
        return RestartAsked(request, daemon is not None and daemon.at_work(begins), (*at.notes, *map(_waits, held)))


class CancelledRestart(msgspec.Struct, frozen=True):
    """A restart that is not wanted any more. `too_late`: its power-off was sent, so the machine is powered on again."""

    request: RestartRequest
    too_late: bool
    notes: tuple[str, ...] = ()


def cancel_restart(
    where: Where, target: str, reason: str, wait: Callable[[float], object] = runtime.sleep
) -> CancelledRestart:
    """No power-off is sent for the machine's open restart any more when this returns. Raises OperationError where there
    is none, or where the daemon did not take the cancellation up."""
    with Workspace(where) as at:
        with at.store() as store:
            asked, daemon = store.restarts.open(), store.daemon.get()
            key = _named(target, [one.key for one in asked])
        request = next((one for one in asked if one.key == key), None)
        if request is None:
            events = f"groundstate events machine/{target.rpartition('/')[2]}"
            why = f"{target} has no restart in progress; `{events}` shows the restarts that have ended"
            raise OperationError(why, FailureReason.NOT_FOUND)
        with at.changing() as store:
            if _was_sent(store, request):
                return CancelledRestart(request, True, at.notes)
            # By what is remembered alone: a cancellation must not depend on a repository that can be read.
            described = described_by(None, store.facts())
            store.restarts.cancel(request.key, clean(reason), where.by("restart"), now(), described)
            at_work = daemon is not None and daemon.at_work(now())
            for _ in range(round(_TAKEN_UP_SECONDS / _POLL_SECONDS) if at_work else 0):
                if _has_ended(store, request):
                    break
                wait(_POLL_SECONDS)
            return CancelledRestart(request, _was_sent(store, request), at.notes)


def _named(target: str, keys: list[ResourceKey]) -> ResourceKey | None:
    kind, _, name = target.rpartition("/")
    found = find_kind(kind) if kind else None
    return next((key for key in keys if key.name == name and (not kind or (found and found.name == key.kind))), None)


def _taken_up(store: Store, request: RestartRequest) -> Restart | None:
    """The restart as the machine's facts have it; None where no process has taken it up."""
    one = machine_facts(store.facts(), request.key).restart
    return one if one is not None and one.id == request.id else None


def _was_sent(store: Store, request: RestartRequest) -> bool:
    one = _taken_up(store, request)
    return one is not None and one.sent


def _has_ended(store: Store, request: RestartRequest) -> bool:
    one = _taken_up(store, request)
    return one is None or one.ended or one.sent


def _waits(pause: ResourcePause) -> str:
    text = "pause {0.id} by {0.by} holds the restart: {0.reason}; `groundstate resume {0.id}` ends the pause"
    return text.format(pause)


def _check(key: ResourceKey, known: bool) -> None:
    if not known:
        raise OperationError(
            f"{key} is not restarted, because groundstate has never observed the machine; run `groundstate "
            "apply` once, then run `groundstate restart` again"
        )
