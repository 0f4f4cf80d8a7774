"""Switch: how it is managed, what is cabled to its ports, and what groundstate changes on it."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

from drivers.base import LinkState, SwitchScope
from reconciler.kinds.common.access.access_rules import SwitchAccess
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.kinds.common.field_types.bmc_address import canonical_address
from reconciler.kinds.common.field_types.fields import Address, Spec, Text, reference_field
from reconciler.model.resource import DesiredState, Resource, ResourceKey

VlanId = Annotated[int, Meta(ge=1, le=4094, description="A VLAN id (IEEE 802.1Q).")]
FAKE = "fake"


class SwitchRole(StrEnum):
    """What the switch is for."""

    LEAF = "Leaf"
    SPINE = "Spine"
    MANAGEMENT = "Management"


class SwitchPause(Spec, frozen=True, kw_only=True):
    """Why nothing is changed on the switch."""

    reason: Annotated[Text, Meta(min_length=1, description="Why, and who to ask; shown in every plan.")]


class UnprovisionedSpec(Spec, frozen=True, kw_only=True):
    """Where ports are whose machines have no tenant."""

    vlan: Annotated[
        int,
        Meta(ge=1, le=4094, description="The VLAN in which machines are inspected, installed and wiped."),
    ] = 4000


class CabledPort(Spec, frozen=True, kw_only=True):
    """One port that groundstate manages, and the machine that is cabled to it."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^\S+$", max_length=64, description="The name of the port on the switch.", examples=["Ethernet0"]
        ),
    ]
    alias: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="The other name of the port, as the switch reports it. It is used where the switch has no "
                "port of the name.",
                examples=["Eth1/1"],
            ),
        ]
        | None
    ) = None
    machine: (
        Annotated[str, reference_field("Machine", "The Machine that is cabled to the port. The default is none.")]
        | None
    ) = None
    nic: (
        Annotated[
            str,
            Meta(
                pattern=r"^\S+$",
                max_length=64,
                description="The machine's network interface at the port, by its name or MAC address. The condition "
                "Cabled compares this with the inventory.",
                examples=["eth0", "52:54:00:12:34:56"],
            ),
        ]
        | None
    ) = None
    admin: Annotated[
        LinkState, Meta(description="Up: the port is switched on. Down: groundstate switches the port off.")
    ] = LinkState.UP


class SwitchSpec(Spec, frozen=True, kw_only=True):
    """One switch. Ports that are not listed in `ports` are never changed."""

    partition: Annotated[str, reference_field("Partition", "The Partition of the switch and of its machines.")]
    rack: (
        Annotated[str, Meta(min_length=1, max_length=253, description="The rack of the machines at the switch.")] | None
    ) = None
    role: Annotated[
        SwitchRole,
        Meta(description="Leaf: machines are cabled to the switch. Spine and Management: it is only observed."),
    ] = SwitchRole.LEAF
    driver: Annotated[
        str,
        Meta(min_length=1, max_length=63, description="The driver of the switch.", examples=["sonic", "linux", "fake"]),
    ]
    address: Annotated[
        str,
        Meta(
            pattern=r"^\S+$",
            max_length=253,
            description="Where the switch is managed: `ssh://USER@HOST` or `ssh://USER@HOST:PORT`.",
            examples=["ssh://admin@10.1.1.11"],
        ),
    ]
    host_key: (
        Annotated[
            str,
            Meta(
                pattern=r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( .*)?$",
                max_length=16384,
                description="The public SSH host key of the switch, in one line. Needed by all drivers but fake. "
                "groundstate connects to no switch that has another key.",
            ),
        ]
        | None
    ) = None
    credential_ref: (
        Annotated[
            CredentialRef,
            Meta(description="The source of the private SSH key of the user, or of the password."),
        ]
        | None
    ) = None
    system: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=255,
                description="The name that the switch sends with LLDP, as inventories of machines show it. The default "
                "is the name of the document.",
            ),
        ]
        | None
    ) = None
    loopback: (
        Annotated[Address, Meta(description="The loopback address of the switch. Needed for `manage: All`.")] | None
    ) = None
    asn: (
        Annotated[
            int, Meta(ge=1, le=2**32 - 1, description="The ASN of the switch. `manage: All` needs it, or `asnNumber`.")
        ]
        | None
    ) = None
    asn_number: (
        Annotated[str, reference_field("Number", "The Number whose value is the ASN of the switch, instead of `asn`.")]
        | None
    ) = None
    uplinks: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^\S+$", max_length=64)], ...],
        Meta(
            description="The ports to other switches. groundstate never changes them. With `manage: All`, BGP runs "
            "on them.",
            examples=[["Ethernet112", "Ethernet116"]],
        ),
    ] = ()
    unprovisioned: Annotated[UnprovisionedSpec, Meta(description="Where ports are whose machines have no tenant.")] = (
        UnprovisionedSpec()
    )
    local_vlans: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]{1,4}-[0-9]{1,4}$",
            description="VLAN ids `first-last` for the VRFs of this switch. The machines do not see these ids.",
        ),
    ] = "1001-2000"
    manage: Annotated[
        Literal["None", "Ports", "All"],
        Meta(
            description="None: groundstate observes the switch. Ports: groundstate sets the VLAN, the VRF and the "
            "admin state of `ports`. All: also the routing (FRR)."
        ),
    ] = "None"
    ports: Annotated[
        tuple[CabledPort, ...], Meta(max_length=1024, description="The ports that groundstate manages.")
    ] = ()
    maintenance: (
        Annotated[SwitchPause, Meta(description="People work on the switch: groundstate changes nothing on it.")] | None
    ) = None
    suspend: (
        Annotated[SwitchPause, Meta(description="groundstate observes the switch, and sends nothing to it.")] | None
    ) = None

    @property
    def scope(self) -> SwitchScope:
        """What groundstate changes on it."""
        return SwitchScope(self.manage) if self.role is SwitchRole.LEAF else SwitchScope.NONE

    @property
    def local_range(self) -> tuple[int, int]:
        """The first and the last of `local_vlans`."""
        first, _, last = self.local_vlans.partition("-")
        return int(first), int(last)


class PortPlace(Spec, frozen=True, order=True):
    """A port of a switch."""

    switch: str
    port: str

    def __str__(self) -> str:
        return f"port {self.port} of Switch/{self.switch}"


def cabled_ports(desired: DesiredState, machine: str) -> tuple[PortPlace, ...]:
    """The ports to which a machine is declared to be cabled, in order."""
    found: dict[str, tuple[PortPlace, ...]] = desired.derived("ports by machine", _by_machine)
    return found.get(machine, ())


def _by_machine(desired: DesiredState) -> dict[str, tuple[PortPlace, ...]]:
    found: dict[str, list[PortPlace]] = {}
    for switch in desired.of_kind("Switch"):
        for port in switch.spec.ports:
            if port.machine is not None:
                found.setdefault(port.machine, []).append(PortPlace(switch.key.name, port.name))
    return {machine: tuple(sorted(places)) for machine, places in found.items()}


def switches_at(machine: ResourceKey, desired: DesiredState) -> list[ResourceKey]:
    """The switches to which a machine is cabled: the networks of their ports follow from the machine's lifecycle."""
    return [
        ResourceKey("Switch", name) for name in dict.fromkeys(p.switch for p in cabled_ports(desired, machine.name))
    ]


def machines_at(switch: ResourceKey, desired: DesiredState) -> list[ResourceKey]:
    """The machines that are cabled to a switch: they wait for their ports."""
    found = switch_of(desired, switch.name)
    names = [port.machine for port in found.spec.ports if port.machine is not None] if found is not None else []
    return [ResourceKey("Machine", name) for name in names]


def switch_of(desired: DesiredState, name: str) -> Resource[SwitchSpec] | None:
    """The declared switch."""
    return desired.resources.get(ResourceKey("Switch", name))


def switch_address(spec: SwitchSpec) -> str:
    """The address in the form in which two spellings of one switch are equal: what one action excludes."""
    return canonical_address(spec.address.partition("//")[2].rpartition("@")[2] or spec.address).removesuffix(":22")


def switch_paused(spec: SwitchSpec) -> bool:
    """Whether people work on it, so that nothing is sent."""
    return bool(spec.maintenance or spec.suspend)


def switch_access(spec: SwitchSpec) -> SwitchAccess:
    """How the switch is reached."""
    return SwitchAccess(spec.driver, spec.address, spec.host_key or "", spec.credential_ref)


def free_vlans(spec: SwitchSpec, used: Collection[int]) -> tuple[int, ...]:
    """The VLANs of the switch's own that a further VRF can get. `used`: the VLANs that the switch has."""
    first, last = spec.local_range
    return tuple(one for one in range(first, last + 1) if one not in used and one != spec.unprovisioned.vlan)
