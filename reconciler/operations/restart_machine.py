"""Asking for one power cycle of a machine, through the store, also while a daemon is at work on it."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from reconciler import runtime
from reconciler.kinds import INVENTORIED
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.machine.machine_restart import refusal
from reconciler.kinds.machine.rules import declared_power
from reconciler.model.pause import ResourcePause
from reconciler.model.resource import ResourceKey
from reconciler.model.restart import RestartRequest
from reconciler.operations.named_resource import one_resource
from reconciler.operations.operation_error import OperationError
from reconciler.operations.operator_name import operator
from reconciler.operations.stored_facts import facts_of, observed_types
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.pauses import pauses, standing_pauses
from reconciler.runtime import now


class RestartAsked(msgspec.Struct, frozen=True):
    """A new restart, and whether a daemon is at work that carries it out. `notes`: also what holds it for now."""

    request: RestartRequest
    at_work: bool
    notes: tuple[str, ...] = ()


def restart_machine(where: Where, target: str, reason: str, within: timedelta) -> RestartAsked:
    """The request is in the store and in the ledger when this returns; whoever acts on the store carries it out, by the
    guards, at most once. Raises OperationError, also for a machine that must not be restarted now."""
    if not reason.strip():
        raise OperationError("say why: --reason INC-7; the reason is recorded in the ledger")
    with Workspace(where) as at:
        with at.store() as store:
            desired, facts = at.read(at.source(), store), facts_of(store)
            machine = one_resource(target, tuple(INVENTORIED), desired)
            looks = {one.key: one for one in store.observations(observed_types())}
            daemon = store.daemon.get()
        if daemon is not None and daemon.at_work(now()) and daemon.observes_only:
            raise OperationError(f"{machine.key} is not restarted: the daemon only observes (run --observe)")
        _check(machine.key, machine.key in facts.resources)
        power = declared_power(machine, desired, facts.resources, looks, now())
        why = refusal(machine.spec, power, machine_facts(facts.resources, machine.key))
        if why is not None:
            raise OperationError(f"{machine.key} is not restarted: {why}")
        begins, about = now(), (machine.key, desired, facts)
        request = RestartRequest(
            runtime.entropy(3).hex(), machine.key, reason.strip(), operator("restart"), begins, begins + within
        )
        with at.changing() as store:
            store.restarts.add(request)
            held = tuple(one for one in standing_pauses(store.pauses.all(), begins) if pauses(one, *about))
        return RestartAsked(request, daemon is not None and daemon.at_work(begins), (*at.notes, *map(_waits, held)))


def _waits(pause: ResourcePause) -> str:
    text = "pause {0.id} by {0.by} holds the restart: {0.reason}; `groundstate resume {0.id}` ends the pause"
    return text.format(pause)


def _check(key: ResourceKey, known: bool) -> None:
    if not known:
        raise OperationError(f"{key} is not restarted: it was never observed; `groundstate apply` takes it up")
