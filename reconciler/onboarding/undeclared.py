"""Undeclared machines that the boot service found: what is kept of each, and whose BMC is found. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from drivers.base import Inventory, Nic, mac_address
from reconciler.kinds.common.mac_vendor import mac_vendors
from reconciler.model.values.system_uuid import byte_swapped_uuid, same_uuid
from reconciler.onboarding.discovery import Declared, FoundSystem
from reconciler.onboarding.inband import read_dmi, read_inband
from reconciler.onboarding.inventory_comparison import summary

MAX_UNDECLARED = 256
"""Every host in a network with discovery can claim to be a new machine: if there are more than this number, the newest
are kept."""
UNDECLARED_KEPT = timedelta(days=30)
_MOST_MACS = 32
_MOST_NEIGHBOURS = 4
_LONGEST = 80
_NOT_PLAIN = re.compile(r"[^\w .:/+(),-]")


class UndeclaredMachine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A machine that the agent reported, last at `at`. UUID and MACs in lower case; `parts` and `neighbours` (switch
    and port) in words. The machine reports all of this itself; none of it is checked."""

    at: datetime
    """When it reported last."""
    uuid: str = ""
    """In lower case."""
    macs: tuple[str, ...] = ()
    """In lower case."""
    serial: str = ""
    """The serial number."""
    product: str = ""
    """Maker and model."""
    parts: str = ""
    """What is in it, in words."""
    neighbours: tuple[str, ...] = ()
    """The switch and the port of each network card, in words."""

    def __str__(self) -> str:
        made = mac_vendors(self.macs) if not self.product else ""
        said = [
            self.product,
            f"network cards of {made}" if made else "",
            f"serial {self.serial}" if self.serial else "",
            self.parts,
        ]
        said += [f"on {', '.join(self.neighbours)}"] if self.neighbours else []
        who = f"UUID {self.uuid or 'unknown'}, MAC addresses {', '.join(self.macs) or 'unknown'}"
        return "; ".join(filter(None, (who, *said)))


def read_undeclared(
    uuid: str | None, macs: Collection[str], collected: Mapping[str, object], at: datetime
) -> UndeclaredMachine:
    """What is kept of what an agent collected. Never raises for what it finds."""
    inventory, dmi = read_inband(collected), read_dmi(collected)
    said = collected.get("serial")
    return UndeclaredMachine(
        at=at,
        uuid=(uuid or "").lower(),
        macs=tuple(sorted({mac for text in macs if (mac := mac_address(text)) is not None}))[:_MOST_MACS],
        serial=forge_text(dmi.serial or (said if isinstance(said, str) else "")),
        product=forge_text(dmi.product),
        parts=summary(inventory),
        neighbours=tuple(
            forge_text(f"{one.system} {one.port}") for one in (inventory.neighbours or ())[:_MOST_NEIGHBOURS]
        ),
    )


def forge_text(text: str) -> str:
    """Text from elsewhere, fit for a commit's message: no `#1` or `@name` that a forge would act on, one line."""
    return " ".join(_NOT_PLAIN.sub("", text[: 4 * _LONGEST]).split())[:_LONGEST]


def remembered(known: Sequence[UndeclaredMachine], new: UndeclaredMachine) -> tuple[UndeclaredMachine, ...]:
    """What is kept after one more was met, the newest last. One that comes again takes its own place."""
    kept = (one for one in known if not _is_same(one, new) and new.at - one.at <= UNDECLARED_KEPT)
    return (*kept, new)[-MAX_UNDECLARED:]


def undeclared(booted: Sequence[UndeclaredMachine], known: Declared) -> list[UndeclaredMachine]:
    """Those that no document of `known` is about."""
    by_name: dict[str, set[str]] = {}
    for uuid, name in known.uuids.items():
        by_name.setdefault(name, set()).add(uuid)

    def is_declared(one: UndeclaredMachine) -> bool:
        own = {one.uuid, byte_swapped_uuid(one.uuid)} if one.uuid else set()
        if own & known.uuids.keys():
            return True
        # The interface between host and BMC may have one MAC in every machine: a UUID that is another's tells.
        holders = {known.macs[mac] for mac in one.macs if mac in known.macs}
        return any(not own or not by_name.get(name) for name in holders)

    return [one for one in booted if not is_declared(one)]


def match_undeclared(
    found: Sequence[FoundSystem], booted: Sequence[UndeclaredMachine]
) -> tuple[list[FoundSystem], list[UndeclaredMachine]]:
    """The systems that were found, each with what the machine itself reported, if it is clear which machine the system
    is. And the machines whose BMC is not among them.

    They are compared by UUID, or by MAC addresses if one side has no UUID. Two machines with one UUID are not rare (and
    so are MACs of the interface between host and BMC). So what fits twice is not joined, nor what has the UUID and not
    one of the MACs."""
    pairs = [(at, index) for at, one in enumerate(found) for index, other in enumerate(booted) if _fits(one, other)]
    systems, machines = [at for at, _ in pairs], [index for _, index in pairs]
    clear = {at: index for at, index in pairs if systems.count(at) == 1 and machines.count(index) == 1}
    joined = [_joined(one, booted[clear[at]]) if at in clear else one for at, one in enumerate(found)]
    return joined, [one for index, one in enumerate(booted) if index not in machines]


def _is_same(one: UndeclaredMachine, other: UndeclaredMachine) -> bool:
    if one.uuid and other.uuid:
        return same_uuid(one.uuid, other.uuid)
    return bool(set(one.macs) & set(other.macs))


def _fits(found: FoundSystem, machine: UndeclaredMachine) -> bool:
    uuid, known = (found.state.uuid or "").lower(), _macs(found)
    is_shown = bool(known & set(machine.macs))
    if not uuid or not machine.uuid:
        return is_shown
    # As where the boot service looks for a declared machine: where the MACs are known, one has to be shown.
    return same_uuid(uuid, machine.uuid) and (is_shown or not known or not machine.macs)


def _macs(found: FoundSystem) -> set[str]:
    nics = found.inventory.nics if found.inventory is not None else None
    return {nic.mac for nic in nics or () if mac_address(nic.mac)}


def _joined(found: FoundSystem, machine: UndeclaredMachine) -> FoundSystem:
    inventory, reported = found.inventory or Inventory(), _macs(found)
    more = [mac for mac in machine.macs if mac not in reported]
    inventory = msgspec.structs.replace(inventory, nics=(*(inventory.nics or ()), *(Nic("", mac) for mac in more)))
    state = msgspec.structs.replace(found.state, serial=found.state.serial or machine.serial or None)
    note = f"found by the boot service: {machine.parts}"
    note += f", on {', '.join(machine.neighbours)}" if machine.neighbours else ""
    note += f"; MAC addresses that only the machine itself reports: {', '.join(more)}" if more else ""
    return msgspec.structs.replace(found, state=state, inventory=inventory, notes=(*found.notes, note))
