"""What to look through for BMCs, and the Machine documents of those that were found. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from drivers.base import Inventory, SystemState, mac_address
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.field_types.bmc_access import same_bmc
from reconciler.kinds.common.mac_vendor import mac_vendors
from reconciler.kinds.machine.spec import MachineSpec, Mode
from reconciler.model.resource import API_VERSION, Resource, ResourceKey
from reconciler.model.values.address_range import address_range, is_within
from reconciler.model.values.system_uuid import byte_swapped_uuid

MOST_ADDRESSES = 1 << 16
"""That are probed without a confirmation."""
HTTPS = 443
_NOT_FOR_NAMES = re.compile(r"[^a-z0-9.-]+")
_LONGEST_NAME = 63

Partition = Resource[PartitionSpec]


class ScanRange(msgspec.Struct, frozen=True):
    """Addresses from `first` to `last`, both included, as numbers of one family; `port` is the BMCs'."""

    first: int
    last: int
    version: int
    port: int = HTTPS
    partition: str | None = None

    @property
    def size(self) -> int:
        """How many."""
        return self.last - self.first + 1

    def within(self, other: ScanRange) -> bool:
        """Whether all of it is in the other, whatever the ports."""
        return self.version == other.version and other.first <= self.first and self.last <= other.last

    def hosts(self) -> Iterator[str]:
        """Each address, as a part of a URL."""
        make = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        for number in range(self.first, self.last + 1):
            yield _host(make(number), self.port)


def _host(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> str:
    """`10.1.0.7`, `[2001:db8::7]:8443`: as it stands in a URL."""
    shown = f"[{address}]" if address.version == 6 else str(address)
    return shown if port == HTTPS else f"{shown}:{port}"


def parse_scan_range(text: str, port: int = HTTPS, partition: str | None = None) -> ScanRange:
    """An address, `address:port`, a prefix or `first-last`. Raises ValueError, saying what is possible.

    Network and broadcast address of an IPv4 prefix are left out: no host can have them.
    """
    try:
        if "/" not in text and "-" not in text:
            return _single(text, port, partition)
        found = address_range(text)
        ends = 1 if "/" in text and found.version == 4 and found.size > 2 else 0
        return ScanRange(found.first + ends, found.last - ends, found.version, port, partition)
    except ValueError as error:
        hint = "write a prefix, a range a-b or address:port"
        raise ValueError(f"{text!r} cannot be scanned: {error}; {hint}") from None


def _single(text: str, port: int, partition: str | None) -> ScanRange:
    match = re.fullmatch(
        r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<port6>\d{1,5}))?|(?P<four>[0-9.]+):(?P<port4>\d{1,5})", text
    )
    if match:
        text, found = match["six"] or match["four"], match["port6"] or match["port4"]
        port = int(found) if found else port
        if not 0 < port < 65536:
            raise ValueError(f"{port} is not a TCP port; write 1 to 65535")
    found = address_range(text)
    return ScanRange(found.first, found.last, found.version, port, partition)


def partition_of(address: str, partitions: Iterable[Partition]) -> str | None:
    """The partition in whose BMC networks the address is, the narrowest first; or else the only one there is."""
    every = list(partitions)
    number = ipaddress.ip_address(address.strip("[]"))
    around = [
        (address_range(network).size, one.key.name)
        for one in every
        for network in one.spec.bmc_networks
        if is_within(number, [network])
    ]
    if around:
        smallest = min(size for size, _ in around)
        return max(name for size, name in around if size == smallest)
    return every[0].key.name if len(every) == 1 else None


def machine_key(name: str) -> ResourceKey:
    """The key that a found machine has, or gets."""
    return ResourceKey("Machine", name)


def machines_among(resources: Iterable[Resource[Any]]) -> Iterator[Resource[Any]]:
    """Those that stand for machines."""
    return (one for one in resources if one.key.kind == "Machine")


class FoundSystem(msgspec.Struct, frozen=True):
    """A system that was found. `system_id` where its BMC has several; `tls` and `driver`: what its document must say
    beyond its partition. `notes`: what people should know of it."""

    address: str
    partition: str
    state: SystemState
    inventory: Inventory | None = None
    system_id: str | None = None
    tls: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class Declared(msgspec.Struct, frozen=True):
    """What is declared already, or was seen of what is. BMCs in the form of `same_bmc`, MACs and UUIDs in lower case,
    each with the machine's name. And all names."""

    bmcs: dict[str, str]
    macs: dict[str, str]
    uuids: dict[str, str]
    names: frozenset[str]


def _declared(machines: Iterable[Resource[MachineSpec]], uuids: dict[str, str]) -> Declared:
    """What these documents declare. `uuids`: what was seen of them."""
    every = list(machines)
    return Declared(
        {same_bmc(one.spec.bmc.address): one.key.name for one in every},
        {mac: one.key.name for one in every for mac in one.spec.macs},
        uuids,
        frozenset(one.key.name for one in every),
    )


def declared_systems(machines: Iterable[Resource[MachineSpec]], looks: Mapping[ResourceKey, object]) -> Declared:
    """What these documents declare, with the UUIDs of their latest observations, or else those that they note."""
    every = list(machines)
    noted = {uuid.lower(): one.key.name for one in every if (uuid := one.annotations.get("uuid"))}
    seen = {
        value.uuid.lower(): one.key.name
        for one in every
        if isinstance(value := looks.get(one.key), SystemState) and value.uuid
    }
    return _declared(every, {**noted, **seen})


class Proposal(msgspec.Struct, frozen=True):
    """A Machine document, with what people should know of it."""

    name: str
    document: dict[str, Any]
    notes: tuple[str, ...] = ()


class Skipped(msgspec.Struct, frozen=True):
    """A system that gets no document, and why."""

    address: str
    why: str


def propose(found: Sequence[FoundSystem], known: Declared) -> tuple[list[Proposal], list[Skipped]]:
    """A document for each system that is not declared yet, in the order of addresses."""
    proposals: list[Proposal] = []
    skipped: list[Skipped] = []
    names, macs, uuids = set(known.names), dict(known.macs), dict(known.uuids)
    # Systems in one housing may share its serial number.
    serials = [one.state.serial for one in found]

    def proposal(one: FoundSystem) -> Proposal | Skipped:
        uuid = (one.state.uuid or "").lower()
        owner = uuids.get(uuid) or uuids.get(byte_swapped_uuid(uuid))
        if uuid and owner is not None:
            return Skipped(one.address, f"Machine/{owner} has the same UUID {uuid}")
        alone = serials.count(one.state.serial) == 1
        name = unique_name(one, names, alone=alone)
        own = [mac for mac in _macs(one.inventory) if mac not in macs]
        notes = tuple(
            f"MAC address {mac} is left out: Machine/{macs[mac]} has the same MAC address"
            for mac in _macs(one.inventory)
            if mac in macs
        )
        made = Proposal(name, document(name, one, own), (*one.notes, *notes, *_made_by(one)))
        names.add(name)
        macs.update(dict.fromkeys(own, name))
        if uuid:
            uuids[uuid] = name
        return made

    for one in found:
        try:
            made = proposal(one)
        except Exception as error:  # noqa: BLE001  what one system says of itself hides no other
            made = Skipped(
                one.address, f"no document can be made for this system because of {defect(error)}; report this bug"
            )
        if isinstance(made, Proposal):
            proposals.append(made)
        else:
            skipped.append(made)
    return proposals, skipped


def unique_name(found: FoundSystem, taken: Collection[str], *, alone: bool) -> str:
    """A valid unused name: the serial number, if it belongs to this system alone, else the UUID, else the address."""
    state, where = found.state, same_bmc(found.address)
    uuid = slug(state.uuid or "")
    serial = slug(state.serial or "")
    within = slug(f"{state.serial}-{found.system_id}") if state.serial and found.system_id else ""
    choices = [serial if alone else within, uuid, slug(f"bmc-{where}-{found.system_id or ''}")]
    base = next(choice for choice in choices if choice)
    choices += [f"{base}-{uuid[:8]}" if uuid else base]
    free = (choice for choice in choices if choice and choice not in taken)
    return next(free, None) or next(f"{base}-{n}" for n in range(2, 1 << 20) if f"{base}-{n}" not in taken)


def slug(text: str) -> str:
    """What of a text can be a resource's name; empty when nothing of it can."""
    return _NOT_FOR_NAMES.sub("-", text.lower())[:_LONGEST_NAME].strip("-.")


def document(name: str, found: FoundSystem, macs: Sequence[str]) -> dict[str, Any]:
    """The Machine for git: it is observed, and nothing is sent to it, until a person adopts it."""
    state = found.state
    said = {"manufacturer": state.manufacturer, "model": state.model, "serial": state.serial, "uuid": state.uuid}
    annotations = {key: text for key, value in said.items() if (text := _line(value))}
    bmc: dict[str, Any] = {"address": found.address}
    if found.system_id is not None:
        bmc["systemId"] = found.system_id
    if found.tls:
        bmc["tls"] = found.tls
    spec: dict[str, Any] = {"partition": found.partition, "bmc": bmc}
    if macs:
        spec["macs"] = list(macs)
    spec["lifecycle"] = {"mode": str(Mode.OBSERVE)}
    metadata = {"name": name} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": API_VERSION, "kind": "Machine", "metadata": metadata, "spec": spec}


def _macs(inventory: Inventory | None) -> list[str]:
    nics = inventory.nics if inventory is not None else None
    return sorted({mac for nic in nics or () if (mac := mac_address(nic.mac)) is not None})


def _made_by(one: FoundSystem) -> Iterator[str]:
    """A word on who made it, where its BMC does not say."""
    found = "" if one.state.manufacturer or one.state.model else mac_vendors(_macs(one.inventory))
    if found:
        yield f"the BMC reports no manufacturer; the network cards are from {found}"


def _line(text: str | None) -> str:
    return "".join(c for c in text or "" if c.isprintable()).strip()[:253]
