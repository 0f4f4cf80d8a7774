"""Which declared machine it is that starts from the network, and whether an unknown one may."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import ip_address, ip_network
from typing import Protocol

from drivers.base import PowerState, SystemState
from reconciler.kinds.catalogue.partition import Discovery, PartitionSpec
from reconciler.kinds.common.machine_facts import FactType, MachineFacts, as_machine_facts
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.values.system_uuid import byte_swapped_uuid
from reconciler.services.boot.identifiers import uuid as names_uuid
from reconciler.services.boot.machines.machine_parts import MachineParts


class Fleet(Protocol):
    """What is declared, observed and remembered, and who takes in reports: the engine. Calls come from many threads."""

    @property
    def desired(self) -> DesiredState | None:
        """The state in force."""

    def observations(self, kind: str) -> list[Observation]:
        """The last observation of each resource of a kind."""

    def facts_of(self, key: ResourceKey) -> ResourceFacts:
        """What is remembered of it."""

    def report(self, key: ResourceKey, request_id: str | None, fact: FactType, detail: str = "") -> bool:
        """Take in what is reported of a machine. Raises StoreError."""


class MachineFinder:
    """Finds machines by what they show of themselves; the methods are those of Provisioning."""

    def __init__(self, fleet: Fleet, parts: MachineParts) -> None:
        self._fleet, self._parts = fleet, parts

    def find(self, uuid: str, macs: Collection[str]) -> ResourceKey | None:
        """See Provisioning."""
        desired = self._fleet.desired
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
        known = set(self.ordered_macs(desired.resources[key]))
        # Two machines with one UUID are not rare (bmc.md): of a machine whose MACs are known, one has to be shown.
        fits = not known or bool(wanted & known)
        return key if fits and self._shows(key, uuid) else None

    def _shows(self, key: ResourceKey, uuid: str) -> bool:
        """Whether the UUID is what the machine's BMC reported, if it ever reported one: a MAC alone is known to all
        neighbours. While the BMC does not answer, its earlier report counts."""
        known = self._uuid(key, self.seen_of(key))
        return known is None or known == uuid.lower()

    def _uuid(self, key: ResourceKey, seen: object) -> str | None:
        """The UUID that its BMC reported last, at this look or before."""
        if isinstance(seen, SystemState) and (found := names_uuid(seen.uuid or "")):
            return found
        lifecycle = self.facts_of(key).lifecycle
        reported = (lifecycle.boot_request.uuid if lifecycle.boot_request is not None else None, lifecycle.system)
        return next((found for one in reported if one and (found := names_uuid(one))), None)

    def resembles(self, macs: Collection[str]) -> ResourceKey | None:
        """See Provisioning."""
        desired, wanted = self._fleet.desired, {mac.lower() for mac in macs}
        if desired is None:
            return None
        found = _declared(desired, wanted) or self._alike(desired, "", wanted)[1] & desired.resources.keys()
        return min(found, default=None)

    def serves(self, key: ResourceKey | None, address: str) -> bool:
        """See Provisioning."""
        desired = self._fleet.desired
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
            one.key for one in self._fleet.observations("Machine") if uuid and self._uuid(one.key, one.value) == uuid
        }
        by_mac = _declared(desired, macs)
        by_mac |= {ResourceKey("Machine", name) for mac in macs if (name := self._parts.machine_of(mac))}
        return by_uuid, by_mac

    def discovers(self, address: str, uuid: str, macs: Sequence[str]) -> bool:
        """See Provisioning."""
        desired = self._fleet.desired
        if desired is None or not any(_discovers(one.spec, address) for one in desired.of_kind("Partition")):
            return False
        # The card that it started over: the interface between host and BMC may have one MAC in every machine.
        wanted = {mac.lower() for mac in macs[:1]}
        for one in {uuid, byte_swapped_uuid(uuid)} if uuid else {""}:
            by_uuid, by_mac = self._alike(desired, one, wanted)
            # Of several with one UUID, one that is off is not the one that asks.
            alike = by_mac | {key for key in by_uuid if self.seen_of(key).power is not PowerState.OFF}
            if any(key in desired.resources for key in alike):
                return False
        return True

    def ordered_macs(self, machine: Resource[MachineSpec]) -> list[str]:
        """Those of its document, then those that its BMC or the agent reported."""
        return list(dict.fromkeys([*machine.spec.macs, *self._parts.macs(machine.key.name)]))

    def facts_of(self, key: ResourceKey) -> MachineFacts:
        """What is remembered of it."""
        return as_machine_facts(self._fleet.facts_of(key))

    def seen_of(self, key: ResourceKey) -> SystemState:
        """What was seen last of it."""
        seen = next((one.value for one in self._fleet.observations("Machine") if one.key == key), None)
        return seen if isinstance(seen, SystemState) else SystemState()


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
