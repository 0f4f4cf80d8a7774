"""In which network a port must be, by the lifecycle of the machine that is cabled to it. Pure.

The value is derived each time, and never stored, so what was observed of a port cannot come back as what is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import MachineFacts, machine_facts
from reconciler.kinds.machine.lifecycle.phases import claim_spec
from reconciler.kinds.machine.spec import MachineSpec, is_paused, managed
from reconciler.kinds.switch.vrf_numbers import LARGEST_VNI, vrf_holders, vrf_name, vrf_number
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey


class PortTarget(msgspec.Struct, frozen=True):
    """In which network a port must be. Exactly one of the three is set, or none of them: the port stays in the network
    in which it is.

    `vrf`: the number of the VRF. `obstacle`: why it is not known which network is right, and how to proceed.
    """

    is_unprovisioned: bool = False
    vrf: int | None = None
    obstacle: tuple[str, str] | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the port stays where it is."""
        return self == UNCHANGED

    def words(self, vlan: int) -> str:
        """The network in words; `vlan`: the unprovisioned one of the switch."""
        if self.vrf is not None:
            return f"in {vrf_name(self.vrf)}"
        return f"in the unprovisioned VLAN {vlan}" if self.is_unprovisioned else "in the network in which it is"


UNCHANGED = PortTarget()
TO_UNPROVISIONED = PortTarget(is_unprovisioned=True)


def port_target(
    machine: str | None,
    desired: DesiredState,
    remembered: Mapping[ResourceKey, ResourceFacts],
    observed: ObservedState,
) -> PortTarget:
    """In which network the ports of the machine must be; None: of a port without a machine.

    A port without a machine is unprovisioned, so that a new machine can be inspected. A machine that people have, or
    whose lifecycle is not managed, keeps its ports as they are.
    """
    if machine is None:
        return TO_UNPROVISIONED
    key = ResourceKey("Machine", machine)
    resource = desired.resources.get(key)
    if resource is None or not isinstance(resource.spec, MachineSpec):
        return TO_UNPROVISIONED
    if not managed(resource.spec) or is_paused(resource.spec):
        return UNCHANGED
    facts = machine_facts(remembered, key)
    seen = observed.get(key)
    if not has_tenant(facts, seen.value if seen is not None else None):
        return TO_UNPROVISIONED
    return tenant_network(facts, desired, observed)


def has_tenant(facts: MachineFacts, value: object) -> bool:
    """Whether the system of a tenant is on the machine's disk and may run, or may be started next.

    Under a boot request, and during a release, the tenant's system may still run until the machine is observed off. So
    long its ports stay in the VRF: in the unprovisioned VLAN this system could reach machines that are being installed.
    """
    lifecycle = facts.lifecycle
    if lifecycle.claim is None or lifecycle.written is None or lifecycle.written.claim != lifecycle.claim:
        return False
    if lifecycle.boot_request is None and lifecycle.releasing_at is None:
        return True
    is_off = isinstance(value, SystemState) and value.power is PowerState.OFF
    return lifecycle.stopped_at is None and not is_off


def tenant_network(facts: MachineFacts, desired: DesiredState, observed: ObservedState) -> PortTarget:
    """Where the ports of a machine with a tenant must be."""
    claim = claim_spec(facts, desired)
    if claim is None:
        return UNCHANGED  # It is about to be released, and keeps its network until then.
    name = facts.lifecycle.claim
    holders = vrf_holders(desired, (one.network for one in claim.networks))
    if len(holders) != 1:
        said = f"networks in {len(holders)} VRFs ({', '.join(holders)})" if holders else "no network with a VRF"
        return PortTarget(
            obstacle=(
                f"MachineClaim/{name} has {said}, and a port can be in one VRF only",
                f"give MachineClaim/{name} networks of exactly one VRF",
            )
        )
    number = vrf_number(observed, holders[0])
    if number is None:
        why = f"Network/{holders[0]} has no VRF number yet"
        return PortTarget(obstacle=(why, "continues automatically when the IPAM has allocated the number"))
    if number > LARGEST_VNI:
        why = f"the VRF number {number} of Network/{holders[0]} is no VNI, because a VNI has at most 24 bits"
        return PortTarget(obstacle=(why, f"use a Pool with numbers up to {LARGEST_VNI}"))
    return PortTarget(vrf=number)
