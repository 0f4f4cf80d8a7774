"""A restart that a person requested, as recorded in a machine's facts: off, and then on as declared. Pure.

It is sent at most once. The facts say that it is sent in the transaction that records the action, so that no crash
makes it be sent again. Only who has watched the machine since then may cut its power where it ignored the shutdown.
After a crash it is unknown whether the machine was off meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import MachineFacts, Restart
from reconciler.kinds.machine.spec import Escalate, MachineSpec, observes
from reconciler.model.actions.bmc_actions import PowerOff
from reconciler.model.plans.restart import RestartRequest

AGAIN = "If the machine still needs a restart, run `groundstate restart` again"
LATE = f"the restart could not begin in time. {AGAIN}"
IN_DOUBT = (
    "the power-off was sent once, but the machine was never observed off. The BMC may have refused the "
    f"power-off (see the machine's events), or the machine was off only for a short time. {AGAIN}"
)
CANCELLED = "the restart was cancelled"
NOT_WANTED = "the machine is off, and spec.power is Off now, so the machine is not powered on again"
IGNORED = (
    "the machine ignored the graceful shutdown, and spec.shutdown.escalate is Never, so the power was not cut. "
    "To allow a power cut, set spec.shutdown.escalate to Force, then run `groundstate restart` again"
)


def restart_taken_up(facts: MachineFacts, request: RestartRequest) -> MachineFacts:
    """With this request, unless it is known already, or another one is under way."""
    known = facts.restart
    if known is not None and (known.id == request.id or not known.ended):
        return facts
    fresh = Restart(request.id, request.reason, request.by, request.until)
    return msgspec.structs.replace(facts, restart=fresh)


def turns_off(facts: MachineFacts, now: datetime) -> bool:
    """Whether the machine is to be off now, for its restart."""
    one = facts.restart
    if one is None or one.ended or one.seen_off or facts.lifecycle.boot_request is not None:
        return False
    if one.sent:
        return one.watched and not one.forced and facts.shutdown_ignored is not None
    return now < one.until


def restart_sent(facts: MachineFacts, action: PowerOff) -> MachineFacts:
    """From the moment at which its power-off is recorded. That the machine is off then is no drift."""
    one = facts.restart
    if one is None or one.ended or one.seen_off:
        return facts
    forced = not action.is_graceful
    applied = facts.applied
    if applied is not None:
        left = {path: value for path, value in applied.fields.items() if path != PowerOff.path}
        applied = msgspec.structs.replace(applied, fields=left)
    return msgspec.structs.replace(
        facts, applied=applied, restart=msgspec.structs.replace(one, sent=True, forced=one.forced or forced)
    )


def refused(facts: MachineFacts, why: str, *, is_final: bool, now: datetime) -> MachineFacts:
    """Its power-off was certainly not carried out. It may be sent once more as long as the restart may still begin,
    unless the refusal is final."""
    one = facts.restart
    if one is None or one.ended or one.seen_off or not one.sent:
        return facts
    if is_final or now >= one.until:
        again = msgspec.structs.replace(one, ended=True, failure=f"the power-off was refused: {why}")
    elif one.forced and facts.shutdown_ignored is not None:
        again = msgspec.structs.replace(one, forced=False)
    else:
        again = msgspec.structs.replace(one, sent=False, forced=False)
    return msgspec.structs.replace(facts, restart=again)


def cancelled(facts: MachineFacts, open_: Collection[str]) -> MachineFacts:
    """Once these restarts alone are wanted. One whose power-off was sent goes on: the machine is to be on again."""
    one = facts.restart
    if one is None or one.ended or one.sent or one.id in open_:
        return facts
    return msgspec.structs.replace(facts, restart=msgspec.structs.replace(one, ended=True, failure=CANCELLED))


def restart_confirmed(facts: MachineFacts) -> MachineFacts:
    """It was seen off."""
    one = facts.restart
    if one is None or one.ended or not one.sent:
        return facts
    return msgspec.structs.replace(facts, restart=msgspec.structs.replace(one, seen_off=True))


def at_start(facts: MachineFacts) -> MachineFacts:
    """No process observed the machine in that time."""
    one = facts.restart
    if one is None or one.ended or not one.sent or not one.watched:
        return facts
    return msgspec.structs.replace(facts, restart=msgspec.structs.replace(one, watched=False))


def restart_observed(facts: MachineFacts, spec: Any, value: Any, now: datetime) -> MachineFacts:
    """What an observation says of it, while nothing is in flight."""
    one = facts.restart
    if one is None or one.ended or not isinstance(spec, MachineSpec) or not isinstance(value, SystemState):
        return facts
    failure: str | None = None
    if not one.seen_off and value.power is PowerState.OFF:
        return msgspec.structs.replace(facts, restart=msgspec.structs.replace(one, seen_off=True))
    if one.seen_off:
        failure = "" if value.power is PowerState.ON else NOT_WANTED if spec.power == "Off" else None
    elif not one.sent:
        failure = LATE if now >= one.until else None
    elif facts.shutdown_ignored is not None and spec.shutdown.escalate is not Escalate.FORCE:
        failure = IGNORED
    elif not turns_off(facts, now):
        failure = IN_DOUBT
    if failure is None:
        return facts
    return msgspec.structs.replace(facts, restart=msgspec.structs.replace(one, ended=True, failure=failure))


def restart_refusal(spec: MachineSpec, power: str | None, facts: MachineFacts) -> str | None:
    """Why the machine cannot be restarted now, and how to proceed; None: it can. `power`: what is asked of it, by its
    document or for its claim."""
    if spec.maintenance is not None:
        return f"the machine is in maintenance: {spec.maintenance.reason}; remove spec.maintenance first"
    if spec.suspend is not None:
        return f"the machine is suspended: {spec.suspend.reason}; remove spec.suspend first"
    if observes(spec):
        return "the machine is only observed (spec.lifecycle.mode is Observe); manage it with `groundstate adopt`"
    if facts.lifecycle.boot_request is not None:
        return (
            "the machine is being provisioned; wait until the provisioning has ended (`groundstate describe` shows it)"
        )
    if facts.lifecycle.releasing_at is not None:
        return "the machine is being released; wait until the release has ended"
    if power == "Off":
        return "spec.power is Off; to power the machine on, set spec.power to On"
    if power is None:
        return "the machine's power is not managed: set spec.power, or claim the machine"
    return None
