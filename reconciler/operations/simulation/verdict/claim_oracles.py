"""What must hold of claims, of the machines that they get, and of what the IPAM allocates. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from reconciler.model.event import Event, EventReason
from reconciler.operations.simulation.scenarios.declared_fleet import DeclaredClaim, DeclaredFleet
from reconciler.operations.simulation.verdict.claims_record import SeenAllocations
from reconciler.operations.simulation.verdict.record import FinalState, SimulatedRun

_Slot = tuple[str, int]
_CLAIMED = re.compile(r"by MachineClaim/([a-z]+), slot (\d+)")


def claimed_once(run: SimulatedRun) -> Iterator[str]:
    """A machine is in one slot of one claim, and in another one only after it was freed. A slot has one machine."""
    held: dict[str, _Slot] = {}
    for event in run.events:
        name = event.key.name if event.key is not None else ""
        slot = _slot(event)
        if slot is not None:
            if name in held:
                yield f"{name} was claimed for {_words(slot)} while it was in {_words(held[name])}"
            others = [other for other, its in held.items() if its == slot and other != name]
            yield from (f"{name} was claimed for {_words(slot)}, which {other} had" for other in others)
            held[name] = slot
        elif event.reason is EventReason.FREED:
            held.pop(name, None)
    for moment in run.moments:
        for slot, times in Counter(moment.machines.values()).items():
            if times > 1:
                yield f"at {moment.at:.1f} s, {times} machines are in {_words(slot)}"


def allocated_once(run: SimulatedRun) -> Iterator[str]:
    """No address and no number has two owners, and no two systems that run have the same address."""
    for moment in run.moments:
        given = Counter((network, address) for _, network, address in moment.addresses)
        given.update((pool, str(number)) for _, pool, number in moment.numbers)
        for (where, what), times in given.items():
            if times > 1:
                yield f"at {moment.at:.1f} s, {what} of {where} has {times} owners"
        used = Counter(address for system in moment.systems.values() for address in system.addresses)
        for address, times in used.items():
            if times > 1:
                names = sorted(name for name, system in moment.systems.items() if address in system.addresses)
                yield f"at {moment.at:.1f} s, {', '.join(names)} run with the address {address}"


def nothing_leaked(run: SimulatedRun) -> Iterator[str]:
    """In the end nothing is allocated for an owner that is not declared, and no machine is in a slot that is not."""
    yield from undeclared_owners(run.moments[-1], run.declared)


def undeclared_owners(end: SeenAllocations, declared: DeclaredFleet) -> Iterator[str]:
    """What is allocated for an owner that is not declared."""
    owners = {owner for owner, *_ in (*end.addresses, *end.numbers)}
    for owner in sorted(owners - set(_owners(declared))):
        yield f"{owner} is not declared, and holds something"
    for name, (claim, slot) in sorted(end.machines.items()):
        if claim not in declared.claims or slot >= declared.claims[claim].count:
            yield f"{name} is in {_words((claim, slot))}, which is not declared"


def wiped_between_tenants(run: SimulatedRun) -> Iterator[str]:
    """What one claim wrote is wiped before another one writes, and before the machine is free."""
    for change in run.changes:
        before, after = change.before, change.after
        if before is not None and after is not None and before.claim != after.claim:
            yield (
                f"at {change.at:.1f} s, {change.machine} was installed for {after.claim} over what {before.claim} had "
                "written"
            )
    for name, found in run.final.items():
        if found.has_data and name not in run.moments[-1].machines:
            yield f"{name} is in no claim, and its disk is not wiped"


def claims_in_the_ledger(run: SimulatedRun) -> Iterator[str]:
    """The ledger says which machine is in which slot, and why each disk was wiped."""
    held: dict[str, _Slot] = {}
    released: Counter[str] = Counter()
    for event in run.events:
        name = event.key.name if event.key is not None else ""
        if (slot := _slot(event)) is not None:
            held[name] = slot
        elif event.reason is EventReason.FREED:
            held.pop(name, None)
    for event in run.all_events:
        released[event.key.name if event.key is not None else ""] += event.reason is EventReason.RELEASING
    for name in sorted(run.final):
        found, told = run.moments[-1].machines.get(name), held.get(name)
        if found != told:
            yield f"{name} is in {_words(found)}; by the ledger it is in {_words(told)}"
    wiped = Counter(one.machine for one in run.changes if one.before is not None and one.after is None)
    for name, times in wiped.items():
        if times > released[name]:
            yield f"{name} was wiped {times} times, and the ledger has {released[name]} releases"


def claim_differences(claims: Mapping[str, DeclaredClaim], final: Mapping[str, FinalState]) -> Iterator[str]:
    """What of the claims, and of the machines for them, is not as declared."""
    wanted = {(name, slot, claim.request) for name, claim in claims.items() for slot in range(claim.count)}
    systems = [one.system for one in final.values() if one.system is not None]
    running = {(one.claim, one.slot, one.request) for one in systems}
    for claim, slot, request in sorted(wanted - running):
        yield f"no machine runs in {_words((claim, slot))} as of {request}"
    for claim, slot, request in sorted(running - wanted):
        yield f"a machine runs in {_words((claim, slot))} as of {request}, which is not declared"
    for name, one in final.items():
        if one.has_data and one.system is None:
            yield f"{name} has a system on its disk that does not run; its power is {one.power}"


def _owners(declared: DeclaredFleet) -> Iterator[str]:
    for name, claim in declared.claims.items():
        yield from (f"IPAddress/{name}:{slot}:front:4" for slot in range(claim.count))
    yield from (f"IPAddress/a{number}" for number in range(declared.pool.addresses))
    yield from (f"Number/n{number}" for number in range(declared.pool.numbers))


def _slot(event: Event) -> _Slot | None:
    found = _CLAIMED.match(event.message) if event.reason is EventReason.CLAIMED else None
    return (found[1], int(found[2])) if found is not None else None


def _words(slot: _Slot | None) -> str:
    return "no slot" if slot is None else f"slot {slot[1]} of {slot[0]}"
