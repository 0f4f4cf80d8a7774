"""What is done next in a managed machine's life: an order, its end, or the machine's freedom; or why it waits. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drivers.base import PowerState, SystemState
from reconciler.kinds import lifecycle
from reconciler.kinds.claim import MachineClaimSpec, slot_addresses, spoken
from reconciler.kinds.ipaddress import AddressState
from reconciler.kinds.kind import Field, Look, Steps
from reconciler.kinds.lifecycle import Stage
from reconciler.kinds.machine import MachineSpec
from reconciler.model.action import Free, OrderBoot, OrderErasure, PowerOn, SetBoot, Settle
from reconciler.model.life import Life, Purpose, Trouble
from reconciler.model.plan import Hold, HoldKind

LIFE = OrderBoot.path


ACCEPT = "set spec.lifecycle.request of the machine to"
"""Before what it is to be set to, and a semicolon: in the agent's words (deploy/discovery/lib/seeds.sh) of what it
found."""


def life_field(spec: MachineSpec, look: Look) -> Field:
    """The phase that it is to reach beside the one that it is in."""
    claim = lifecycle.claim_spec(look.facts.life, look.desired)
    at, goal = lifecycle.phase(look.facts, claim), lifecycle.goal(look.facts.life)
    by_others = _started_by_others(look.facts.life, look.value)
    settled = at is goal and look.facts.life.order is None and not by_others
    seen = f"{at}, running" if by_others else at.value
    return Field(LIFE, goal.value, seen, settled and lifecycle.purpose(look.facts, spec, claim) is None, once=True)


def life_steps(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    """The next step, or what it waits for."""
    life, claim = look.facts.life, lifecycle.claim_spec(look.facts.life, look.desired)
    if life.order is not None:
        return _under_way(life, lifecycle.purpose(look.facts, spec, claim), state, look)
    if life.trouble is not None and life.trouble.final and not _asked_anew(spec, life, claim):
        way_out = "look at the machine, then set or change spec.lifecycle.request to try again"
        if life.claim is not None and life.releasing_at is None:
            way_out = f"look at the machine, then set or change spec.request of MachineClaim/{life.claim} to try again"
        return _waits(HoldKind.FAILED, life.trouble.reason, life.trouble.message, way_out)
    purpose = lifecycle.purpose(look.facts, spec, claim)
    if purpose is None:
        return _at_rest(life, state, look)
    again = lifecycle.retry_at(life)
    if life.trouble is not None and again is not None and look.now < again:
        when = f"it is tried again at {again:%H:%M:%S}Z"
        return _waits(HoldKind.IN_FLIGHT, life.trouble.reason, life.trouble.message, when)
    match purpose:
        case Purpose.INSPECT:
            return _inspect(spec, state, look)
        case Purpose.INSTALL:
            return _install(claim, state, look)
        case Purpose.WIPE:
            return _wipe(spec, state, look)


def _under_way(life: Life, wanted: Purpose | None, state: SystemState, look: Look) -> Steps:
    if lifecycle.stage(life) is Stage.ORDERED and life.order is not None and wanted is not life.order.purpose:
        return Steps((Settle(key=look.key, reason=f"to {life.order.purpose} is not asked for any more"),))
    trouble = _refused(life, look) or lifecycle.overdue(life, look.now, off=state.power is PowerState.OFF)
    if trouble is not None:
        return Steps((Settle(key=look.key, trouble=trouble, reason=trouble.message),))
    stage, order = lifecycle.stage(life), life.order
    if stage is Stage.ENDED and state.power is PowerState.OFF:
        return Steps((Settle(key=look.key, reason="the agent has done its work, and the machine is off"),))
    words = {
        Stage.ORDERED: "it is started from the network",
        Stage.WORKING: life.progress or "the agent is at work",
        Stage.ENDED: "the agent has done its work and switches the machine off",
    }
    by = f"to {order.purpose}" if order is not None else "order"
    return _waits(HoldKind.IN_FLIGHT, by, words.get(stage, ""), "it goes on by itself")


def _refused(life: Life, look: Look) -> Trouble | None:
    """A step of the order that will not be tried again: the BMC would not have it, or nobody knows whether it arrived.
    The next order is another one, and begins with the machine off."""
    for path in (SetBoot.path, PowerOn.path):
        failure = look.facts.failures.get(path)
        if failure is not None and failure.terminal and life.order is not None and failure.at >= life.order.at:
            return lifecycle.failed(life, "OrderNotTaken", f"{path}: {failure.message}", look.now)
    return None


def _at_rest(life: Life, state: SystemState, look: Look) -> Steps:
    if life.releasing_at is not None:
        if state.power is not PowerState.OFF:
            return _waits(HoldKind.IN_FLIGHT, "release", "it is wiped, and not off yet", "it goes on when it is off")
        return Steps((Free(key=look.key, reason="it is off and wiped"),))
    if life.claim is not None and life.phoned_home_at is None:
        if lifecycle.missing_home(life, look.now):
            why = "the installed system has not been heard of; its disk is left alone"
            way_out = f"look at its console; a change of spec.request of MachineClaim/{life.claim} installs it anew"
            return _waits(HoldKind.FAILED, "NotHeardOf", why, way_out)
        return _waits(HoldKind.IN_FLIGHT, "start", "its system is to call", "it goes on by itself")
    if _started_by_others(life, state):
        way_out = "power it off, or set spec.lifecycle.request to any word to have it stopped and inspected"
        return _waits(HoldKind.GUARD, "running", "it is nobody's, and was started by others; no claim gets it", way_out)
    return Steps()


def _started_by_others(life: Life, state: Any) -> bool:
    """Whether a machine that is nobody's runs, for which nothing was ordered."""
    return life.claim is None and life.order is None and isinstance(state, SystemState) and state.power is PowerState.ON


def _inspect(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    asked = spec.lifecycle.request if spec.lifecycle is not None else None
    started_here = look.facts.life.attempts > 0
    if state.power is not PowerState.OFF and asked == look.facts.life.asked and not started_here:
        reason = f"power is {state.power}, and a machine that runs is not stopped to be inspected"
        way_out = "power it off, or set spec.lifecycle.request to any word to have it stopped"
        return _waits(HoldKind.GUARD, "running", reason, way_out)
    reason = "nothing is known of what is in it" if look.facts.life.inspected_at is None else "it is asked for"
    attempt = _attempt(look.facts.life)
    return Steps((OrderBoot(key=look.key, purpose=Purpose.INSPECT, attempt=attempt, word=asked, reason=reason),))


def _install(claim: MachineClaimSpec | None, state: SystemState, look: Look) -> Steps:
    facts = look.facts
    if facts.life.written is None and facts.life.stopped_at is None and state.power is PowerState.ON:
        # Such as a store that was restored from a backup of before the installation.
        reason = "it runs, and by what is remembered nothing is installed on it"
        way_out = "look at what runs there; power it off to have the image written"
        return _waits(HoldKind.GUARD, "running", reason, way_out)
    if claim is None or facts.image is None:
        why = "no image is chosen for it yet"
        return _waits(HoldKind.BLOCKED, "image", why, "it goes on when the image is pinned")
    missing = list(_without_address(facts.life, look))
    if missing:
        why = f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} not held yet"
        return _waits(HoldKind.BLOCKED, "addresses", why, "it goes on when the addresses are there")
    attempt, written = _attempt(facts.life), facts.life.written
    order = OrderBoot if written is None else OrderErasure
    reason = f"image {facts.image} is to be written" + (f" over {written.image}" if written is not None else "")
    return Steps((order(key=look.key, purpose=Purpose.INSTALL, attempt=attempt, word=claim.request, reason=reason),))


def _wipe(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    if state.power is not PowerState.OFF:
        why = "it is stopped before it is wiped"
        return _waits(HoldKind.IN_FLIGHT, "release", why, "it goes on when the machine is off")
    attempt, reason = _attempt(look.facts.life), f"MachineClaim/{look.facts.life.claim} has given it back"
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    return Steps((OrderErasure(key=look.key, purpose=Purpose.WIPE, attempt=attempt, word=word, reason=reason),))


def _attempt(life: Life) -> int:
    """A person who asks anew begins from one."""
    return 1 if life.trouble is None or life.trouble.final else life.attempts + 1


def _without_address(life: Life, look: Look) -> Iterator[str]:
    """The addresses of the machine's slot that are not held yet."""
    for key in slot_addresses(look.desired, life) if look.desired is not None else ():
        seen = look.observed.get(key)
        if seen is None or not isinstance(seen.value, AddressState) or seen.value.address is None:
            yield spoken(key)


def _asked_anew(spec: MachineSpec, life: Life, claim: MachineClaimSpec | None) -> bool:
    """Whether a person has asked for another try since the trouble began."""
    if _accepted(spec, life):
        return True
    if life.claim is not None and life.releasing_at is None:
        return claim is not None and claim.request != life.tried
    return spec.lifecycle is not None and spec.lifecycle.request != life.tried


def _accepted(spec: MachineSpec, life: Life) -> bool:
    """Whether the machine's request names the installations that an agent found on its disks and would not touch. The
    agent is then told that they are known, so that it cannot fail for them again."""
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    return word is not None and life.trouble is not None and f"{ACCEPT} {word};" in life.trouble.message


def _waits(kind: HoldKind, by: str, reason: str, way_out: str) -> Steps:
    return Steps(holds=(Hold(kind, by, reason, way_out, LIFE),))
