"""What is held while it is uncertain which machine a BMC belongs to, and what follows on a new system. Pure.

Two documents that name one BMC by two names would act on one machine. Two documents that exchange their addresses would
act on each other's machine. A document with a wrong address would act on a machine that no document names. Only the
systems that the BMCs report show that. Nothing is done to these machines until a person says which is which.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from drivers.base import SystemState
from reconciler.kinds.common.field_types.bmc_access import system_address
from reconciler.kinds.common.field_types.bmc_address import can_be_one_host
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import MachineFacts, SystemIdentity, facts_in, machine_facts
from reconciler.kinds.machine.identity.machine_identity import (
    former_place,
    is_shared,
    is_unconfirmed,
    is_wholly_other,
    recorded_identity,
    replaces,
    reported_identity,
    with_last_identity,
)
from reconciler.kinds.machine.spec import MachineSpec, managed
from reconciler.model.actions.record_actions import AcceptSystem
from reconciler.model.facts import IndexedFacts, ResourceFacts
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind, override_hint
from reconciler.model.resource import ResourceKey
from reconciler.model.values.system_uuid import byte_swapped_uuid, either_order

BMC_PATH = "spec.bmc"
_NAMED = 3
_MOST_SHARING = 8
"""One BMC has a few names and addresses. What more machines than these report is the same text in many boards."""


class IdentityConflict(msgspec.Struct, frozen=True):
    """Why it is not certain which machine the BMC belongs to. `was`: the recorded system, if the BMC reports another
    one, or at a new address nothing to compare. `others`: other machines in the store that are, or report, the system
    that the BMC reports. `moved_from`: where `was` was read, if `spec.bmc` names another place now."""

    found: SystemIdentity
    was: SystemIdentity | None
    others: tuple[ResourceKey, ...]
    moved_from: str | None = None
    leads_elsewhere: str | None = None
    """The address that leads to the system, if that is another machine as far as UUID and serial number show."""

    @property
    def compares_both(self) -> bool:
        """Whether the UUIDs were compared, and not the serial numbers alone."""
        return self.was is not None and None not in (self.was.uuid, self.found.uuid)

    @property
    def holds(self) -> bool:
        """Whether a person must say that the reported system is the right one. A new system at the same address is a
        new mainboard. A new system at a new address is another machine, and so is one of which nothing is the same."""
        return bool(self.others) or self.moved_from is not None or self.leads_elsewhere is not None


def identity_conflict(spec: MachineSpec, view: KindView) -> IdentityConflict | None:
    """What is wrong with the identity of the machine; None: nothing. A BMC that reports no identity now counts as the
    system that it reported before at the same address. Another system than the one that an agent has inspected is held
    by the lifecycle (guard `another-system`)."""
    if not isinstance(view.value, SystemState):
        return None
    facts = facts_in(view)
    value = with_last_identity(view.value, facts)
    reported, recorded = reported_identity(value), recorded_identity(facts)
    if is_unconfirmed(reported, facts):
        return IdentityConflict(reported or SystemIdentity(), recorded, (), former_place(facts))
    found = reported or recorded
    if found is None:
        return None
    is_inspected = managed(spec) and facts.lifecycle.system is not None
    was = recorded if not is_inspected and replaces(found, facts, value) else None
    others = tuple(sorted(_others(found, spec, view, is_new=was is not None)))
    if was is None and not others:
        return None
    if was is None:
        return IdentityConflict(found, None, others)
    elsewhere = spec.bmc.address if is_wholly_other(found, was) else None
    return IdentityConflict(found, was, others, former_place(facts), elsewhere)


def identity_field(conflict: IdentityConflict, view: KindView) -> Field | None:
    """The system that the machine should be, beside the one that its BMC reports. If the reported system is accepted,
    it is the one that should be recorded. None if an override lets two machines report one system."""
    is_lifted = _is_lifted(conflict, view)
    if conflict.was is not None:
        was, found = str(conflict.was), str(conflict.found)
        wanted, present = (was, found) if conflict.holds and not is_lifted else (found, was)
        return Field(BMC_PATH, wanted, present, equal=False, once=True)
    if is_lifted:
        return None
    shared = f"{conflict.found}, as {_names(conflict.others)}"
    return Field(BMC_PATH, "a system of its own", shared, equal=False, once=True)


def identity_steps(conflict: IdentityConflict, view: KindView) -> Steps:
    """The hold on everything, if another machine is, or reports, the same system, or if the address is new too. An
    override lifts the hold. What the BMC reports is recorded then. A system that no other machine has is
    recorded without an override if the address is the same. It is a new mainboard, or a machine in the place."""
    if conflict.holds and not _is_lifted(conflict, view):
        return Steps(holds=(_hold(conflict, view),))
    passes = (HoldName.SYSTEM_IDENTITY,) if conflict.holds else ()
    if conflict.was is None:
        return Steps(passes=passes)
    lifted = f"an override of guard {HoldName.SYSTEM_IDENTITY} accepts the system"
    why = lifted if passes else "no other machine has the system"
    return Steps(
        (AcceptSystem(key=view.key, system=str(conflict.found), was=str(conflict.was), reason=why),), passes=passes
    )


def _is_lifted(conflict: IdentityConflict, view: KindView) -> bool:
    """Whether an override lifts the hold. A person accepts the system that the plan showed. So an override accepts one
    system, and none that the BMC reports later."""
    override, since = view.lifted(HoldName.SYSTEM_IDENTITY), facts_in(view).identity_at
    return override is not None and (conflict.was is None or since is None or override.at > since)


def _hold(conflict: IdentityConflict, view: KindView) -> Hold:
    key, many = view.key, len(conflict.others) > 1
    declared = [other for other in conflict.others if view.desired and other in view.desired.resources]
    names = _names(conflict.others)
    if not many and not declared:
        names += ", which git declares no more"
    if conflict.was is not None:
        reason = f"the BMC of {key} reports {conflict.found}, but {key} was recorded with {conflict.was}"
        if conflict.others:
            reason += f"; {conflict.found} is the system of {names}"
            hint = f"correct spec.bmc of {' and '.join(dict.fromkeys((str(key), *_short(declared))))}"
        elif conflict.moved_from is None:
            differs = "neither UUID nor serial number is" if conflict.compares_both else "the serial number is not"
            reason += f"; {differs} the same, so {conflict.leads_elsewhere} may lead to another machine now"
            hint = f"check which machine has the address (DHCP, DNS), or correct spec.bmc of {key}"
        else:
            reason += f" at {conflict.moved_from}; the address and the system changed together, so the BMC may belong "
            reason += "to another machine"
            hint = f"correct spec.bmc of {key}"
        hint += "; or, if the reported system is the right one"
    else:
        reason = f"the BMCs of {key} and {names} report the same system ({conflict.found})"
        hint = (
            f"keep one document of the {'' if many else 'two '}machines, or correct spec.bmc; or, if the machines are "
            "different and only report the same system"
        )
    return Hold(
        HoldKind.GUARD, HoldName.SYSTEM_IDENTITY, reason, f"{hint}, {override_hint(HoldName.SYSTEM_IDENTITY, key)}"
    )


def _names(keys: Sequence[ResourceKey]) -> str:
    """A few: where a whole fleet reports one UUID, each machine would name every other one."""
    return " and ".join(_short(keys))


def _short(keys: Sequence[ResourceKey]) -> list[str]:
    return [*map(str, keys[:_NAMED]), *([f"{len(keys) - _NAMED} more"] if len(keys) > _NAMED else [])]


def _others(found: SystemIdentity, spec: MachineSpec, view: KindView, *, is_new: bool) -> Iterator[ResourceKey]:
    """`is_new`: the machine had another system before. So its address may have been exchanged, whatever the address."""
    candidates = _candidates(found, view) - {view.key} if view.desired is not None else ()
    if not candidates:  # As for nearly every machine.
        return
    here = system_address(spec.bmc)
    for key in candidates:
        if all(_is_apart(here, place, is_new) for place in _places(key, here, view, is_new)):
            continue
        if any(is_shared(found, one) for one in _identities(key, view)):
            yield key


def _places(key: ResourceKey, here: str, view: KindView, is_new: bool) -> Iterator[str]:
    """Where the system of another machine is, or was when it was read last. The place of a machine that git declares no
    more counts as long as the store has the machine. At `here` it is this machine under its former name, or this
    machine `is_new` there."""
    resource, facts = view.desired.resources.get(key) if view.desired else None, machine_facts(view.remembered, key)
    place = facts.place if resource is None else system_address(resource.spec.bmc)
    if place is not None and (resource is not None or place != here or is_new):
        yield place
    if (former := former_place(facts)) is not None:
        yield former


def _is_apart(one: str, other: str, is_new: bool) -> bool:
    """Whether two places are certainly two systems: two of one BMC, which may have one serial number, or those of two
    BMCs. Cloned boards and simulated BMCs report one UUID and one serial number from many addresses."""
    (address, _, system), (other_address, _, other_system) = one.partition("#"), other.partition("#")
    if address == other_address:
        return system != other_system and bool(system and other_system)
    return not is_new and not can_be_one_host(address, other_address)


def _identities(key: ResourceKey, view: KindView) -> Iterator[SystemIdentity]:
    """What the machine is recorded with, and what its BMC reports."""
    facts, seen = machine_facts(view.remembered, key), view.observed.get(key)
    every = (recorded_identity(facts), facts.reported, reported_identity(seen.value) if seen is not None else None)
    yield from (one for one in every if one is not None)


def _candidates(found: SystemIdentity, view: KindView) -> set[ResourceKey]:
    """The machines that have a UUID or a serial number in common. None where more machines have it than one BMC has
    names: each of a fleet would be compared with each other one."""
    remembered = view.remembered
    if isinstance(remembered, IndexedFacts):
        members = [*_sharing(found, remembered)]
    else:
        shared = view.once("machines that share an identity", lambda: _shared(view))
        members = [shared[name] for name in _names_in(found) if name in shared] if shared else []
    return {key for keys in members if len(keys) <= _MOST_SHARING for key in keys}


def _sharing(found: SystemIdentity, remembered: IndexedFacts) -> Iterator[Collection[ResourceKey]]:
    """The machines in each group that have the UUID in either order; and those that have the serial number."""
    if found.uuid is not None:
        known = found.uuid.lower()
        swapped = byte_swapped_uuid(known)
        for of in (_recorded_uuid, _reported_uuid):
            groups = remembered.grouped(of)
            if known in groups or swapped in groups:
                yield {*groups.get(known, ()), *groups.get(swapped, ())}
    if found.serial is not None:
        for of in (_recorded_serial, _reported_serial):
            if (keys := remembered.grouped(of).get(found.serial)) is not None:
                yield keys


def _shared(view: KindView) -> Mapping[str, Collection[ResourceKey]]:
    """The UUIDs and serial numbers that several machines have, with these. It is for a plan of a whole fleet, of which
    not every observation is recorded. Nearly every machine has its own, so nothing is kept of these."""
    first: dict[str, ResourceKey] = {}
    shared: dict[str, set[ResourceKey]] = {}
    for key in {key for key in (*view.remembered, *view.observed) if key.kind == view.key.kind}:
        for name in {name for one in {*_identities(key, view)} for name in _names_in(one)}:
            owner = first.setdefault(name, key)
            if owner is not key:
                shared.setdefault(name, {owner}).add(key)
    return shared


def _names_in(one: SystemIdentity) -> Iterator[str]:
    """The UUID, one text for both orders, and the serial number."""
    if one.uuid is not None:
        yield either_order(one.uuid)
    if one.serial is not None:
        yield one.serial


# A reconcile finds the others by these groups of facts, without going through the fleet. Each change of facts asks for
# them, so they are no more than the values themselves.


def _recorded_uuid(facts: ResourceFacts) -> str | None:
    return facts.uuid.lower() if facts.uuid is not None else None


def _recorded_serial(facts: ResourceFacts) -> str | None:
    return facts.serial if isinstance(facts, MachineFacts) else None


def _reported_uuid(facts: ResourceFacts) -> str | None:
    reported = facts.reported if isinstance(facts, MachineFacts) else None
    return reported.uuid.lower() if reported is not None and reported.uuid is not None else None


def _reported_serial(facts: ResourceFacts) -> str | None:
    reported = facts.reported if isinstance(facts, MachineFacts) else None
    return reported.serial if reported is not None else None
