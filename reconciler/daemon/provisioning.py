"""The machines' lifecycles as the boot service sees them: who asks, what it is to do, and what it reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from drivers.base import Disk, PowerState, SystemState, mac_address
from reconciler.applying.engine import Engine
from reconciler.kinds.catalogue.image import ImageSpec
from reconciler.kinds.catalogue.partition import Discovery, PartitionSpec
from reconciler.kinds.catalogue.size import quantity_number
from reconciler.kinds.claim.spec import MachineClaimSpec, of_claim, slot_addresses
from reconciler.kinds.common.inventory import MachineInventory, Origin
from reconciler.kinds.common.machine_facts import BootRequest, FactType, MachineFacts, machine_s
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState
from reconciler.kinds.machine.lifecycle import cloud_init
from reconciler.kinds.machine.lifecycle.lifecycle import (
    AgentTask,
    BootStage,
    agent_task,
    boot_request_still_wanted,
    claim_spec,
    stage,
)
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.event import Event, EventReason
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.values.system_uuid import byte_swapped_uuid
from reconciler.observed.inventory_reader import keep_inventory
from reconciler.onboarding.inband import read_inband
from reconciler.onboarding.undeclared import UndeclaredMachine, read_undeclared
from reconciler.services.boot.identifiers import uuid as names_uuid
from reconciler.services.boot.rate_limit import EventGate
from reconciler.services.provisioning_port import Install, PowerOffNow, Wait, Wipe, Work
from reconciler.store.rows.inventories import InventoryTable
from reconciler.store.sql.store_errors import StoreError

INDEX_KEPT = timedelta(seconds=30)


class Parts:
    """What is known of the parts of machines, as far as lives need it. `report` takes events for ledger and log."""

    def __init__(self, keeps: InventoryTable, report: Callable[[Event], None], now: Callable[[], datetime]) -> None:
        self._keeps, self._report, self._now = keeps, report, now
        self._index: tuple[datetime, dict[str, str]] | None = None

    def collected(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        """Keep what the agent found. Raises StoreError."""
        for event in keep_inventory(self._keeps, key, Origin.IN_BAND, read_inband(collected), self._now()):
            self._report(event)
        self._index = None

    def macs(self, name: str) -> list[str]:
        """The MAC addresses of a machine as its BMC or the agent reported them, in lower case."""
        return _macs(self._keeps.of(name))

    def unwiped(self, name: str, proof: str) -> list[str]:
        """The disks that the agent has found in the machine, now or before, and that the proof does not name as large
        as they are. Which of those of now one of before is, is known by what it is: names change between two starts."""
        kept = self._keeps.of(name).in_band
        now = kept.value.disks if kept is not None and kept.value is not None else ()
        before = kept.previous.disks if kept is not None and kept.previous is not None else ()
        proved = dict(_proved(proof))
        left = [_spoken(disk) for disk in now if proved.get(disk.name.removeprefix("/dev/"), -1) < disk.size]
        there = list(now)
        # Those that tell their serial first; of several that are alike, the one that has kept its name.
        for disk in sorted(before, key=lambda one: (not one.serial, one.name)):
            found = sorted((one for one in there if _may_be(one, disk)), key=lambda one: one.name != disk.name)
            if found:
                there.remove(found[0])
            else:
                left.append(_spoken(disk))
        return sorted(left)

    def machine_of(self, mac: str) -> str | None:
        """The name of the machine whose BMC, or whose agent, reported this MAC address."""
        now = self._now()
        if self._index is None or now - self._index[0] > INDEX_KEPT:
            self._index = now, {mac: name for name, known in self._keeps.each() for mac in _macs(known)}
        return self._index[1].get(mac)


class DaemonProvisioning:
    """See services.lives.Lives. `moved` is informed which machine has something new, so that it is observed soon.
    `on_undeclared` is called with each undeclared machine. It may raise StoreError."""

    def __init__(
        self,
        engine: Engine,
        moved: Callable[[Collection[ResourceKey]], None],
        tell: Callable[[ResourceKey | None, str, str], None],
        parts: Parts,
        now: Callable[[], datetime],
        on_undeclared: Callable[[UndeclaredMachine], None] = lambda _: None,
    ) -> None:
        self._engine, self._moved, self._tell, self._parts, self._now = engine, moved, tell, parts, now
        self._on_undeclared = on_undeclared
        self._found = EventGate()

    def find(self, uuid: str, macs: Collection[str]) -> ResourceKey | None:
        """See Lives."""
        desired = self._engine.desired
        if desired is None:
            return None
        wanted = {mac.lower() for mac in macs}
        in_git = _declared(desired, wanted)
        if in_git:
            return min(in_git) if len(in_git) == 1 and self._shows(min(in_git), uuid) else None
        by_uuid, by_mac = self._alike(desired, uuid.lower(), wanted)
        found = {key for key in by_uuid or by_mac if key in desired.resources}
        if len(found) != 1 or (by_uuid and by_mac and not by_uuid & by_mac):
            return None
        key = found.pop()
        known = set(self._ordered_macs(desired.resources[key]))
        # Two machines with one UUID are not rare (bmc.md): of a machine whose MACs are known, one has to be shown.
        fits = not known or bool(wanted & known)
        return key if fits and self._shows(key, uuid) else None

    def _shows(self, key: ResourceKey, uuid: str) -> bool:
        """Whether the UUID is what the machine's BMC reported, if it ever reported one: a MAC alone is known to all
        neighbours. While the BMC does not answer, its earlier report counts."""
        known = self._uuid(key, self._seen(key))
        return known is None or known == uuid.lower()

    def _uuid(self, key: ResourceKey, seen: object) -> str | None:
        """The UUID that its BMC reported last, at this look or before."""
        if isinstance(seen, SystemState) and (found := names_uuid(seen.uuid or "")):
            return found
        life = self._facts(key).lifecycle
        reported = (life.boot_request.uuid if life.boot_request is not None else None, life.system)
        return next((found for one in reported if one and (found := names_uuid(one))), None)

    def resembles(self, macs: Collection[str]) -> ResourceKey | None:
        """See Lives."""
        desired, wanted = self._engine.desired, {mac.lower() for mac in macs}
        if desired is None:
            return None
        found = _declared(desired, wanted) or self._alike(desired, "", wanted)[1] & desired.resources.keys()
        return min(found, default=None)

    def serves(self, key: ResourceKey | None, address: str) -> bool:
        """See Lives."""
        desired = self._engine.desired
        if desired is None:
            return False
        if key is None:
            return any(_within(one.spec, address) for one in desired.of_kind("Partition"))
        machine = desired.resources.get(key)
        name = machine.spec.partition if machine is not None else ""
        partition = desired.resources.get(ResourceKey("Partition", name))
        return partition is not None and _within(partition.spec, address)

    def _alike(self, desired: DesiredState, uuid: str, macs: set[str]) -> tuple[set[ResourceKey], set[ResourceKey]]:
        """The machines that have the UUID, and those that have one of these MACs."""
        by_uuid = {
            one.key for one in self._engine.observations("Machine") if uuid and self._uuid(one.key, one.value) == uuid
        }
        by_mac = _declared(desired, macs)
        by_mac |= {ResourceKey("Machine", name) for mac in macs if (name := self._parts.machine_of(mac))}
        return by_uuid, by_mac

    def unanswered_boot_request(self, key: ResourceKey) -> BootRequest | None:
        """See Lives."""
        life = self._facts(key).lifecycle
        return life.boot_request if stage(life) is BootStage.ORDERED and self._stands(key) else None

    def boot_request(self, key: ResourceKey) -> BootRequest | None:
        """See Lives."""
        life = self._facts(key).lifecycle
        return life.boot_request if stage(life) is not BootStage.ORDERED or self._stands(key) else None

    def _stands(self, key: ResourceKey) -> bool:
        """Whether its order is still meant, by what git says and what was seen last."""
        desired, facts = self._engine.desired, self._facts(key)
        machine = desired.resources.get(key) if desired is not None else None
        if machine is None:
            return False
        state = self._seen(key)
        return boot_request_still_wanted(machine.spec, facts, state, claim_spec(facts, desired), self._now())

    def _facts(self, key: ResourceKey) -> MachineFacts:
        return machine_s(self._engine.remembered(key))

    def _seen(self, key: ResourceKey) -> SystemState:
        """What was seen last of it."""
        seen = next((one.value for one in self._engine.observations("Machine") if one.key == key), None)
        return seen if isinstance(seen, SystemState) else SystemState()

    def work(self, key: ResourceKey) -> Work:
        """See Lives."""
        facts, desired = self._facts(key), self._engine.desired
        if stage(facts.lifecycle) is BootStage.WORKING and not self._stands(key):
            return Wait(30)
        claim = claim_spec(facts, desired)
        match agent_task(facts, claim):
            case AgentTask.WIPE:
                return Wipe(self._known(key, facts))
            case AgentTask.WAIT:
                return Wait()
            case AgentTask.INSTALL if claim is not None and desired is not None:
                return self._install(key, facts, claim, desired)
            case _:
                return PowerOffNow()

    def report(self, key: ResourceKey, order: str, fact: FactType, detail: str = "") -> bool:
        """See Lives."""
        if fact is FactType.SENT_TO_DISK:
            with suppress(StoreError):  # A machine is to find its disk whatever becomes of the store.
                self._engine.report(key, None, fact, detail)
            return True
        if fact is FactType.WIPED and (left := self._parts.unwiped(key.name, detail)):
            hint = f"check the disks; if they were removed for good, `groundstate inventory {key.name} --accept`"
            fact, detail = (
                FactType.AGENT_FAILED,
                f"the agent did not prove that these disks were wiped: {', '.join(left)}; {hint}",
            )
        taken = self._engine.report(key, order, fact, detail)
        self._moved([key])
        return taken

    def took_inventory(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        """See Lives."""
        self._parts.collected(key, collected)

    def found(self, uuid: str | None, macs: Collection[str], collected: Mapping[str, object]) -> None:
        """See Lives."""
        machine = read_undeclared(uuid, macs, collected, self._now())
        self._on_undeclared(machine)
        unreported = self._found.passes(EventReason.MACHINE_FOUND, str(machine), self._now())
        if unreported is not None:
            others = f"; {unreported} more reports of this kind were left out" if unreported else ""
            self._tell(None, EventReason.MACHINE_FOUND, f"an undeclared machine, {machine}{others}")

    def refused(self, key: ResourceKey | None, reason: str, message: str) -> None:
        """See Lives."""
        self._tell(key, reason, message)

    def discovers(self, address: str, uuid: str, macs: Sequence[str]) -> bool:
        """See Lives."""
        desired = self._engine.desired
        if desired is None or not any(_discovers(one.spec, address) for one in desired.of_kind("Partition")):
            return False
        # The card that it started over: the interface between host and BMC may have one MAC in every machine.
        wanted = {mac.lower() for mac in macs[:1]}
        for one in {uuid, byte_swapped_uuid(uuid)} if uuid else {""}:
            by_uuid, by_mac = self._alike(desired, one, wanted)
            # Of several with one UUID, one that is off is not the one that asks.
            alike = by_mac | {key for key in by_uuid if self._seen(key).power is not PowerState.OFF}
            if any(key in desired.resources for key in alike):
                return False
        return True

    def _install(self, key: ResourceKey, facts: MachineFacts, claim: MachineClaimSpec, desired: DesiredState) -> Work:
        image = desired.resources.get(ResourceKey("Image", facts.image or ""))
        machine = desired.resources.get(key)
        if image is None or machine is None or not isinstance(image.spec, ImageSpec):
            return Wait(30)  # A commit took it away; the plan says so.
        life, partition = facts.lifecycle, desired.resources.get(ResourceKey("Partition", machine.spec.partition))
        host = cloud_init.Host(
            claim=life.claim or "",
            machine=key.name,
            slot=life.slot or 0,
            instance=life.boot_request.id if life.boot_request is not None else "",
            macs=tuple(self._ordered_macs(machine)),
            addresses=tuple(self._addresses(facts, desired)),
            dns=partition.spec.dns_servers if partition is not None else (),
            ntp=partition.spec.ntp_servers if partition is not None else (),
        )
        root, disk_size, lifecycle = image.spec.root, image.spec.disk_size, machine.spec.lifecycle
        return Install(
            image=image.key.name,
            url=root.url,
            checksum=root.checksum,
            seed=cloud_init.build(claim, host),
            known=self._known(key, facts),
            disk=(lifecycle.install_on if lifecycle is not None else None) or "auto",
            size=quantity_number(disk_size) if disk_size is not None else 0,
        )

    def _known(self, key: ResourceKey, facts: MachineFacts) -> tuple[str, ...]:
        """The instance-ids of what may be on its disks by what is remembered, and of what a person has named."""
        machine = self._engine.desired.resources.get(key) if self._engine.desired is not None else None
        lifecycle = machine.spec.lifecycle if machine is not None else None
        named = (lifecycle.request or "").split() if lifecycle is not None else []
        return (*(cloud_init.instance_id(key.name, order) for order in facts.lifecycle.installs), *named)

    def _addresses(self, facts: MachineFacts, desired: DesiredState) -> Iterable[cloud_init.SeedAddress]:
        life, looks = facts.lifecycle, {one.key: one.value for one in self._engine.observations("IPAddress")}
        networks = {one.key.name: one.value for one in self._engine.observations("Network")}
        for key in slot_addresses(desired, life):
            held, name = looks.get(key), _network_of(key)
            network = networks.get(name)
            if isinstance(held, AddressState) and held.address is not None and isinstance(network, NetworkState):
                yield _in_seed(name, held.address, network, desired)

    def _ordered_macs(self, machine: Resource[MachineSpec]) -> list[str]:
        return list(dict.fromkeys([*machine.spec.macs, *self._parts.macs(machine.key.name)]))


def _network_of(address: ResourceKey) -> str:
    meant = of_claim(address)
    return meant.network if meant is not None else ""


def _in_seed(name: str, address: str, network: NetworkState, desired: DesiredState) -> cloud_init.SeedAddress:
    held = ip_address(address)
    resource = desired.resources.get(ResourceKey("Network", name))
    declared = resource.spec.prefixes if resource is not None and isinstance(resource.spec, NetworkSpec) else ()
    for prefix in network.prefixes or ():
        within = ip_network(prefix.cidr)
        if held in within:
            ways = (one.gateway for one in declared or () if ip_network(one.cidr) == within)
            return cloud_init.SeedAddress(name, address, within.prefixlen, next(ways, None))
    return cloud_init.SeedAddress(name, address, held.max_prefixlen)


def _proved(proof: str) -> Iterable[tuple[str, float]]:
    """The agent's lines, as names and bytes: `sda 4096 bytes: ...`, or `sdb left alone: ...`, however large it is."""
    for name, *words in filter(None, map(str.split, proof.splitlines())):
        if words[:2] == ["left", "alone:"]:
            yield name, math.inf
        elif len(words) > 1 and words[0].isdecimal() and words[1] == "bytes:":
            yield name, int(words[0])


def _may_be(one: Disk, other: Disk) -> bool:
    """Whether it may be the same disk. Whether a serial is reported may depend on the agent's tools."""
    known = bool(one.serial and other.serial)
    same = one.serial == other.serial if known else one.name == other.name or one.model == other.model
    return same and one.size == other.size


def _spoken(disk: Disk) -> str:
    name = disk.name.removeprefix("/dev/")
    return f"{name} (serial {disk.serial})" if disk.serial else name


def _macs(known: MachineInventory) -> list[str]:
    nics = (nic for kept in known.all if kept.value is not None for nic in kept.value.nics or ())
    return [mac for nic in nics if (mac := mac_address(nic.mac)) is not None]


def _discovers(spec: PartitionSpec, address: str) -> bool:
    return spec.boot is not None and spec.boot.discovery is Discovery.ALLOW and _within(spec, address)


def _within(spec: PartitionSpec, address: str) -> bool:
    """Whether machines are started over the network that the address is in."""
    try:
        asks = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(asks, "ipv4_mapped", None)
    return any((mapped or asks) in ip_network(network.cidr) for network in (spec.boot.networks if spec.boot else ()))


def _declared(desired: DesiredState, macs: AbstractSet[str]) -> set[ResourceKey]:
    """The machines whose documents have one of these MACs."""
    return {one.key for one in desired.of_kind("Machine") if not macs.isdisjoint(one.spec.macs)}
