"""What must hold of every run, whatever went wrong in it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason
from reconciler.operations.simulation.scenarios.declared_fleet import DeclaredFleet
from reconciler.operations.simulation.scenarios.incidents import Incident
from reconciler.operations.simulation.verdict.claim_oracles import (
    allocated_once,
    claim_differences,
    claimed_once,
    claims_in_the_ledger,
    nothing_leaked,
    wiped_between_tenants,
)
from reconciler.operations.simulation.verdict.claims_record import Installation
from reconciler.operations.simulation.verdict.guard_oracles import begun_in_windows, never_while_paused
from reconciler.operations.simulation.verdict.record import SeenWrite, SimulatedRun

_WINDOW = 3600.0
"""Seconds for which a power-off counts as disruption under way, as in the built-in budget."""


_SITE = 8
"""Resources beside the machines and claims of a fleet, with one of which the removal may wait."""
_NOTHING = DeclaredFleet({})


class Violation(msgspec.Struct, frozen=True):
    """What does not hold, and where it was seen."""

    oracle: str
    message: str


Oracle = Callable[[SimulatedRun], Iterator[str]]


def recorded_before_sent(run: SimulatedRun) -> Iterator[str]:
    """A write leaves only when the action behind it is on disk."""
    for write in run.writes:
        if not write.flights:
            yield f"{_of(write)} left, and the store had no action in flight for the machine"


def sent_once(run: SimulatedRun) -> Iterator[str]:
    """An action leaves at most once."""
    left = Counter((flight.id, flight.key, flight.sent_at) for write in run.writes for flight in write.flights)
    for (name, key, _), times in left.items():
        if times > 1:
            yield f"action {name} of {key} left {times} times"


def one_at_a_time(run: SimulatedRun) -> Iterator[str]:
    """A BMC has at most one action in flight that may still take effect."""
    for write in run.writes:
        for flight in write.beside:
            if flight.deadline <= write.clock:
                continue
            yield f"{_of(write)} left while {flight.action.name} of {flight.key} behind the same BMC was in flight"


def never_fenced(run: SimulatedRun) -> Iterator[str]:
    """A daemon from which another one has taken over begins nothing more. What it had recorded, the other one waits
    for."""
    for write in run.writes:
        if write.epoch != write.last_epoch and not write.was_taken_over:
            yield f"{_of(write)} left from epoch {write.epoch}, and the store was in epoch {write.last_epoch}"


def in_the_ledger(run: SimulatedRun) -> Iterator[str]:
    """The ledger has each action that left. One that is sent again is counted beside the first. No two actions have the
    same id, also after a backup was restored."""
    for write, flight, event in _sent(run):
        if event is None:
            yield f"{_of(write)} left as action {flight.id}, of which the ledger has no ActionSent"
    left = Counter((write.machine, flight.action.name) for write in run.writes for flight in write.flights)
    told: Counter[tuple[str, str]] = Counter()
    ids: dict[str | None, Event] = {}
    for event in _actions_sent(run):
        if event.key is not None:
            told[event.key.name, event.about[0]] += event.count
        first = ids.setdefault(event.action_id, event)
        if (first.key, first.at) != (event.key, event.at):
            yield f"action {event.action_id} is one of {first.key}, and one of {event.key}"
    for (machine, action), times in left.items():
        if told[machine, action] < times:
            yield f"{machine}: {action} left {times} times, and the ledger has {told[machine, action]}"


def off_as_declared(run: SimulatedRun) -> Iterator[str]:
    """Nothing is powered off unless the revision for which it was done declares it off, or a person restarts it. What a
    claim has installed may also go off when an earlier revision released it, as a release cannot be taken back."""
    for write, flight, event in _sent(run):
        if not write.powers_off or event is None:
            continue
        if write.requests.restarts:
            continue
        fleet = run.revisions.get(event.revision or "", _NOTHING)
        declared = fleet.machines.get(write.machine)
        if write.machine in run.declared.managed:
            if _is_in_use(write.system, fleet) and not _was_released(run, write, flight):
                yield f"{_of(write)} left for revision {str(event.revision)[:10]}, of which it runs {write.system}"
        elif declared is None or declared.power != "Off":
            said = "nothing" if declared is None else declared.power
            yield f"{_of(write)} left for revision {str(event.revision)[:10]}, which declares {said}"


def within_the_budget(run: SimulatedRun) -> Iterator[str]:
    """So many machines are down by groundstate at once, and no more, unless a person overrides the budget. Where the
    clock of the host jumps, an hour is what the clock says. A restored store has no record of what is down. An hour
    begins when the action is recorded, and not some seconds later when it leaves."""
    if Incident.CLOCK_STEPPED in run.incidents:
        return
    down: dict[str, float] = {}
    for write in run.writes:
        recorded = write.at - max(((write.clock - one.sent_at).total_seconds() for one in write.flights), default=0.0)
        known_since = max((at for at in run.restores if at < recorded), default=0.0)
        down = {name: at for name, at in down.items() if recorded - at < _WINDOW and at >= known_since}
        if write.powers_on:
            down.pop(write.machine, None)
        elif write.powers_off:
            down[write.machine] = recorded
            if len(down) > run.budget and "disruption-budget" not in write.requests.overrides:
                yield f"{_of(write)} left, and {len(down)} machines are down: {', '.join(sorted(down))}"


def ordered_once(run: SimulatedRun) -> Iterator[str]:
    """A boot override for one boot is sent at most once for each request, unless the BMC refused it."""
    asked: Counter[tuple[str, str]] = Counter()
    for write, _, event in _sent(run):
        if write.machine in run.declared.managed:
            continue
        if write.orders_boot and not write.was_refused and event is not None:
            declared = run.revisions.get(event.revision or "", _NOTHING).machines.get(write.machine)
            if declared is None or declared.request is None:
                yield f"{_of(write)} left for revision {str(event.revision)[:10]}, which declares no override"
            else:
                asked[write.machine, declared.request] += 1
    for (machine, request), times in asked.items():
        if times > 1:
            yield f"{machine}: the override of {request} left {times} times"


def restarted_once(run: SimulatedRun) -> Iterator[str]:
    """A machine goes down and comes up at most once for each restart that people asked for. A restored store does not
    know which restarts have ended."""
    if Incident.RESTORED in run.incidents:
        return
    asked: dict[str, set[str]] = {}
    cycles: Counter[str] = Counter()
    down: set[str] = set()
    for write, _, event in _sent(run):
        name = write.machine
        asked.setdefault(name, set()).update(write.requests.restarts)
        if write.powers_on:
            down.discard(name)
        if not write.powers_off or write.was_refused or event is None or name in run.declared.managed:
            continue
        declared = run.revisions.get(event.revision or "", _NOTHING).machines.get(name)
        if name not in down and declared is not None and declared.power == "On":
            cycles[name] += 1
            if cycles[name] > len(asked[name]):
                yield f"{_of(write)} left: restart {cycles[name]} of {name}, which has {len(asked[name])} requests"
        down.add(name)


def never_taken_back(run: SimulatedRun) -> Iterator[str]:
    """A revision that was taken back does not take force again."""
    order = {sha: number for number, sha in enumerate(run.revisions)}
    newest = -1
    for event in run.events:
        if event.reason is EventReason.REVISION_APPLIED and (about := event.about[0] if event.about else "") in order:
            if order[about] < newest:
                yield f"revision {about[:10]} took force after a newer one"
            newest = max(newest, order[about])


def as_declared_in_the_end(run: SimulatedRun) -> Iterator[str]:
    """When nothing goes wrong any more, everything is as declared, and no action is in flight."""
    for name, wanted in run.declared.machines.items():
        found = run.final[name]
        if found.power != wanted.power or found.led != wanted.led:
            yield f"{name}: power {found.power} and LED {found.led}; declared are {wanted.power} and {wanted.led}"
    yield from claim_differences(run.declared.claims, run.final)
    yield from (f"{one} has not ended" for one in run.unfinished)


def memory_flat(run: SimulatedRun) -> Iterator[str]:
    """What happened leaves nothing behind. The daemon that lived through it holds as much as a daemon that has just
    been started. A memo may have two entries more for each machine. The store has at most one row for each
    resource."""
    if len(run.holdings) == 2:
        lived, started = run.holdings
        memo = 2 * (len(run.final) + 1)
        for name, count in lived.items():
            if count > started.get(name, 0) + memo:
                yield f"{name} holds {count} entries, and {started.get(name, 0)} in a daemon that has just been started"
    most = len(run.final) + _SITE + len(run.declared.claims) + run.declared.pool.addresses + run.declared.pool.numbers
    most += sum(claim.count for claim in run.declared.claims.values())
    yield from (
        f"the store has {count} {name}, for {most} resources" for name, count in run.rows.items() if count > most
    )


def nothing_broke(run: SimulatedRun) -> Iterator[str]:
    """No daemon and no thread ended, and no resource failed, by a defect of groundstate."""
    yield from run.failures
    for event in run.all_events:
        if event.reason is EventReason.INTERNAL:
            yield f"{event.key}: {event.message}"


ORACLES: dict[str, Oracle] = {
    oracle.__name__.replace("_", "-"): oracle
    for oracle in (
        recorded_before_sent,
        sent_once,
        one_at_a_time,
        never_fenced,
        in_the_ledger,
        off_as_declared,
        within_the_budget,
        begun_in_windows,
        never_while_paused,
        ordered_once,
        restarted_once,
        never_taken_back,
        claimed_once,
        allocated_once,
        nothing_leaked,
        wiped_between_tenants,
        claims_in_the_ledger,
        as_declared_in_the_end,
        memory_flat,
        nothing_broke,
    )
}


def violations(run: SimulatedRun) -> list[Violation]:
    """All that does not hold of the run."""
    return [Violation(name, message) for name, oracle in ORACLES.items() for message in oracle(run)]


def _is_in_use(system: Installation | None, fleet: DeclaredFleet) -> bool:
    """Whether these documents still want that system."""
    claim = fleet.claims.get(system.claim) if system is not None else None
    return system is not None and claim is not None and system.slot < claim.count and system.request == claim.request


def _was_released(run: SimulatedRun, write: SeenWrite, flight: InFlight) -> bool:
    """Whether the system that runs on the machine was released by a revision that did not want it."""
    is_there = False
    for event in run.all_events:
        if event.key is None or event.key.name != write.machine or write.system is None:
            continue
        is_there = is_there or write.system.order in event.message
        begins = event.reason is EventReason.RELEASING and is_there
        if begins and (event.at <= flight.sent_at or Incident.CLOCK_STEPPED in run.incidents):
            return not _is_in_use(write.system, run.revisions.get(event.revision or "", _NOTHING))
    return False


def _actions_sent(run: SimulatedRun) -> list[Event]:
    return [one for one in run.all_events if one.reason is EventReason.ACTION_SENT]


def _sent(run: SimulatedRun) -> Iterator[tuple[SeenWrite, InFlight, Event | None]]:
    """Each write with its action, and the event of that."""
    told = _actions_sent(run)
    for write in run.writes:
        for flight in write.flights:
            # The ledger counts what is sent again, and keeps the id of the first.
            counted = (
                one
                for one in reversed(told)
                if one.key == flight.key and one.count > 1 and one.about[0] == flight.action.name
            )
            yield write, flight, run.event_of(flight) or next(counted, None)


def _of(write: SeenWrite) -> str:
    return f"at {write.at:.1f} s, {write.value!r} for {write.machine} by {write.daemon}"
