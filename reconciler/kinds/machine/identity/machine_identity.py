"""The identity of a machine's system: what is recorded of it, and whether what its BMC reports is the same. Pure."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec

from drivers.base import SystemState
from reconciler.kinds.common.machine_facts import MachineFacts, SystemIdentity
from reconciler.kinds.machine.lifecycle.system_identity import another_system
from reconciler.model.values.system_uuid import byte_swapped_uuid, same_uuid

_SHIPPED = (
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
)
"""UUIDs that board makers ship in many boards, so they identify none (fwupd's list of generic UUIDs has the same)."""
_DEFAULT_UUIDS = frozenset((*_SHIPPED, *map(byte_swapped_uuid, _SHIPPED)))
_COUNTED_UP = "01234567890123456789"


def reported_identity(value: object) -> SystemIdentity | None:
    """What the BMC reports of its system's identity; None: nothing that identifies the system."""
    return _identity(value.uuid, value.serial) if isinstance(value, SystemState) else None


@lru_cache(maxsize=512)
def _identity(uuid: str | None, serial: str | None) -> SystemIdentity | None:
    """A reconcile asks for the same system ten times."""
    uuid = (uuid or "").lower()
    serial = "-".join((serial or "").split())
    is_default = not uuid or uuid in _DEFAULT_UUIDS
    found = SystemIdentity(None if is_default else uuid, None if _is_filler(serial) else serial)
    return found if found.uuid or found.serial else None


def recorded_identity(facts: MachineFacts) -> SystemIdentity | None:
    """The identity under which the machine is recorded; None: no observation has shown one."""
    return SystemIdentity(facts.uuid, facts.serial) if facts.uuid or facts.serial else None


def with_last_identity(value: SystemState, facts: MachineFacts) -> SystemState:
    """The observed system. Where another one than the recorded one was reported last, and the BMC reports no UUID now,
    it is the one that was reported last. A BMC reports no UUID for a while after it or its host started. Only another
    serial number shows another system; a new mainboard in the same chassis keeps the number."""
    if facts.reported is None:
        return value
    found = reported_identity(value)
    if found is not None and _speaks_against(found, facts.reported):
        return value
    return msgspec.structs.replace(value, uuid=facts.reported.uuid, serial=facts.reported.serial)


def _speaks_against(found: SystemIdentity, last: SystemIdentity) -> bool:
    return found.uuid is not None or is_same(found, last) is False


def is_same(one: SystemIdentity, other: SystemIdentity) -> bool | None:
    """Whether both are of one system; None: they have nothing in common that can be compared."""
    if one.uuid is not None and other.uuid is not None:
        return same_uuid(one.uuid, other.uuid)
    if one.serial is not None and other.serial is not None:
        return one.serial == other.serial
    return None


def is_wholly_other(one: SystemIdentity, other: SystemIdentity) -> bool:
    """Whether nothing that both report is the same, and a serial number is part of it. A new mainboard keeps the serial
    number of its chassis, or has none. About a third of all systems report no UUID: the serial number is all that shows
    that their address leads to another machine."""
    return is_same(one, other) is False and None not in (one.serial, other.serial) and one.serial != other.serial


def is_shared(one: SystemIdentity, other: SystemIdentity) -> bool:
    """Whether two BMCs report one system. Systems with one UUID and two serial numbers are two: some board makers give
    many boards one UUID."""
    serials = {one.serial, other.serial} - {None}
    return is_same(one, other) is True and len(serials) < 2


def former_place(facts: MachineFacts) -> str | None:
    """Where the recorded system was read, if `spec.bmc` names another place now that has not shown this system; None:
    at the declared place."""
    return facts.system_place if facts.system_place != facts.place else None


def is_unconfirmed(found: SystemIdentity | None, facts: MachineFacts) -> bool:
    """Whether the BMC at a new place reports nothing that can be compared with the recorded system."""
    recorded = recorded_identity(facts)
    if recorded is None or former_place(facts) is None:
        return False
    return found is None or is_same(found, recorded) is None


def replaces(found: SystemIdentity, facts: MachineFacts, value: object) -> bool:
    """Whether `found`, which the BMC reports, is another system than the recorded one. Not if they are the same as far
    as that can be known, or if the lifecycle has recorded the system. At a new place, one UUID with two serial numbers
    is two systems."""
    recorded = recorded_identity(facts)
    if recorded is None or _is_inspected(facts, value):
        return False
    same = is_same(found, recorded)
    return same is False or (same is True and former_place(facts) is not None and not is_shared(found, recorded))


def identity_observed(facts: MachineFacts, value: object, now: datetime) -> MachineFacts:
    """The facts after an observation. The first system that is observed is recorded. Another one is not recorded in its
    place until it is accepted. The very same object where nothing is new."""
    if isinstance(value, SystemState):
        value = with_last_identity(value, facts)
    found = reported_identity(value)
    if found is None or is_unconfirmed(found, facts):
        return facts
    if replaces(found, facts, value):
        if facts.reported == found:
            return facts
        is_third = facts.reported is not None and is_same(found, facts.reported) is False
        return msgspec.structs.replace(facts, reported=found, identity_at=now if is_third else facts.identity_at)
    recorded = recorded_identity(facts)
    if recorded is not None and is_same(found, recorded) is not False:  # The UUID may be read in another byte order.
        found = SystemIdentity(recorded.uuid or found.uuid, found.serial or recorded.serial)
    if found == recorded and facts.reported is None and facts.system_place is None:
        return facts
    return _known_as(found, facts)


def identity_accepted(facts: MachineFacts, value: object, now: datetime) -> MachineFacts:
    """The facts when what the BMC reports, or reported last, is accepted as the machine's system. If a new BMC reports
    no identity, no system is recorded until one is observed."""
    facts = msgspec.structs.replace(facts, identity_at=now)
    found = reported_identity(with_last_identity(value, facts) if isinstance(value, SystemState) else value)
    if found is None and former_place(facts) is None:
        return facts
    return _known_as(found or SystemIdentity(), facts)


def _known_as(found: SystemIdentity, facts: MachineFacts) -> MachineFacts:
    return msgspec.structs.replace(facts, uuid=found.uuid, serial=found.serial, reported=None, system_place=None)


def _is_inspected(facts: MachineFacts, value: object) -> bool:
    """Whether the system is the one that an agent has inspected, or that a document has accepted."""
    return (
        facts.lifecycle.system is not None
        and isinstance(value, SystemState)
        and not another_system(facts.lifecycle, value)
    )


def _is_filler(serial: str) -> bool:
    """Whether the text is what firmware writes where it knows no number: empty, `0000`, `123456789`."""
    return len(set(serial)) < 3 or serial in _COUNTED_UP
