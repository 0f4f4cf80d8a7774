"""Network: prefixes that the IPAM hands addresses out of, and the VRF that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import IpamNetwork, Number, Prefix, Usage
from reconciler.kinds.common.field_types.fields import (
    Address,
    AddressRange,
    Cidr,
    DeletionPolicy,
    Spec,
    Text,
    reference_field,
)
from reconciler.model.resource import DesiredState, ResourceKey


class NetworkType(StrEnum):
    """Who may use the network."""

    PRIVATE = "Private"
    SHARED = "Shared"
    EXTERNAL = "External"
    UNDERLAY = "Underlay"
    SUPER = "Super"


class Nat(StrEnum):
    """How the source addresses of traffic into a network are translated."""

    NONE = "None"
    IPV4_MASQUERADE = "IPv4Masquerade"


class PrefixSpec(Spec, frozen=True, kw_only=True):
    """One prefix, its gateway, and the addresses in it that are not allocated."""

    cidr: Annotated[Cidr, Meta(description="The prefix in CIDR form, without host bits.")]
    gateway: (
        Annotated[Address, Meta(description=("The address of the router; groundstate never allocates it."))] | None
    ) = None
    reserved: Annotated[
        tuple[AddressRange, ...],
        Meta(description="Addresses, prefixes or ranges that groundstate never allocates. The default is none."),
    ] = ()


class PrefixLength(Spec, frozen=True, kw_only=True):
    """Lengths of prefixes, by address family."""

    ipv4: Annotated[int, Meta(ge=1, le=32, description="The length of IPv4 prefixes, in bits.")] | None = msgspec.field(
        name="IPv4", default=None
    )
    ipv6: Annotated[int, Meta(ge=1, le=128, description="The length of IPv6 prefixes, in bits.")] | None = (
        msgspec.field(name="IPv6", default=None)
    )

    def by_family(self) -> dict[int, int]:
        """Family (4, 6) -> length."""
        return {family: length for family, length in ((4, self.ipv4), (6, self.ipv6)) if length is not None}


class VrfSpec(Spec, frozen=True, kw_only=True):
    """The VRF of a network: a number of a pool, or the VRF of another network. The number is also the VNI."""

    pool: Annotated[str, reference_field("Pool", "The Pool from which the network gets its VRF number.")] | None = None
    number: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=2**32 - 1,
                description=("The number to acquire. The default is the lowest free number of the pool."),
            ),
        ]
        | None
    ) = None
    network: Annotated[str, reference_field("Network", "The Network whose VRF this network shares.")] | None = None


class NetworkSpec(Spec, frozen=True, kw_only=True):
    """A network. Within a namespace two networks cannot overlap, except a parent and its children."""

    description: Annotated[Text, Meta(description="What the network is for.")] | None = None
    type: Annotated[
        NetworkType,
        Meta(
            description=(
                "Private: only one project has addresses in it. Shared: it belongs to one project, and other "
                "projects may have addresses in it. External: every project may have addresses in it. Underlay: "
                "for switches and firewalls. Super: it is divided into child networks and has no addresses."
            )
        ),
    ] = NetworkType.PRIVATE
    prefixes: Annotated[
        tuple[PrefixSpec, ...],
        Meta(
            description=(
                "The prefixes of the network, IPv4 and IPv6. A child network may leave them out; the IPAM then "
                "chooses them."
            )
        ),
    ] = ()
    parent: (
        Annotated[
            str, reference_field("Network", ("The Super network from which the prefixes of this network are taken."))
        ]
        | None
    ) = None
    prefix_length: (
        Annotated[
            PrefixLength,
            Meta(
                description="For a child network without `prefixes`: the lengths of the prefixes that the IPAM "
                "chooses. The default is the parent's `childPrefixLength`."
            ),
        ]
        | None
    ) = None
    child_prefix_length: (
        Annotated[PrefixLength, Meta(description="For a Super network: the default prefix lengths of its children.")]
        | None
    ) = None
    destination_prefixes: Annotated[
        tuple[Cidr, ...],
        Meta(description="Prefixes that are reached through this network, such as 0.0.0.0/0: routes for its machines."),
    ] = ()
    announceable: Annotated[
        tuple[Cidr, ...],
        Meta(
            description=(
                "For a Super network: further prefixes that machines in its child networks may announce to routers."
            )
        ),
    ] = ()
    nat: Annotated[
        Nat, Meta(description=("IPv4Masquerade: IPv4 traffic into the network is masqueraded (source NAT)."))
    ] = Nat.NONE
    vrf: (
        Annotated[VrfSpec, Meta(description="The VRF of the network. The default is the VRF of the parent, or none.")]
        | None
    ) = None
    namespace: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
                max_length=63,
                description=(
                    "Networks of different namespaces may overlap. The default is the namespace of the parent, "
                    "or else the namespace without a name."
                ),
            ),
        ]
        | None
    ) = None
    partition: (
        Annotated[
            str,
            reference_field(
                "Partition",
                "The Partition of the network. Needed for the type Underlay. Guards can match the network by "
                "this field.",
            ),
        ]
        | None
    ) = None
    project: (
        Annotated[
            str, reference_field("Project", "The Project that owns the network. `type` says who may use the network.")
        ]
        | None
    ) = None
    deletion_policy: Annotated[
        DeletionPolicy,
        Meta(
            description="Orphan: the network stays in the IPAM when the document is removed. Release: the network is "
            "deleted when it is empty."
        ),
    ] = DeletionPolicy.ORPHAN


class NetworkState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the IPAM knows of a network (None: nothing), the VRF number that it holds, and how full its prefixes are.
    (None: not asked, as that costs too much for an observation of one network.)"""

    network: IpamNetwork | None = None
    """What the IPAM has under this name; None: nothing."""
    vrf: Number | None = None
    """The VRF number that it holds; None: none."""
    usage: tuple[Usage, ...] | None = None
    """How full each prefix is; None: not asked."""

    def without_usage(self) -> NetworkState:
        """The same without how full it is, which is out of date with the first address that is acquired."""
        return self if self.usage is None else msgspec.structs.replace(self, usage=None)

    @property
    def prefixes(self) -> tuple[Prefix, ...] | None:
        """Its prefixes; None when the IPAM does not know it."""
        return self.network.prefixes if self.network is not None else None


def family_of(cidr: str) -> int:
    """4 or 6."""
    return 6 if ":" in cidr else 4


def parent_of(spec: NetworkSpec, desired: DesiredState | None) -> NetworkSpec | None:
    """The declared parent's spec."""
    if spec.parent is None or desired is None:
        return None
    found = desired.resources.get(ResourceKey("Network", spec.parent))
    return found.spec if found is not None and isinstance(found.spec, NetworkSpec) else None


def chosen_lengths(spec: NetworkSpec, parent: NetworkSpec | None) -> dict[int, int]:
    """By family, the length of each prefix that the IPAM is to choose for a child."""
    if spec.prefix_length is not None:
        return spec.prefix_length.by_family()
    if spec.prefixes or parent is None or parent.child_prefix_length is None:
        return {}
    return parent.child_prefix_length.by_family()


def declared_prefixes(spec: NetworkSpec) -> tuple[Prefix, ...]:
    """The driver's form: in the document's order, the gateway among what is reserved."""
    return tuple(
        Prefix(cidr=p.cidr, reserved=tuple(sorted({*p.reserved, *((p.gateway,) if p.gateway else ())})))
        for p in spec.prefixes
    )


def wanted_network(spec: NetworkSpec, parent: NetworkSpec | None) -> IpamNetwork:
    """What the IPAM is to have of it, without the prefixes that it is to choose."""
    return IpamNetwork(
        prefixes=declared_prefixes(spec),
        parent=spec.parent,
        namespace=spec.namespace or (parent.namespace if parent is not None else None) or "",
        container=spec.type is NetworkType.SUPER,
        shared=spec.type is NetworkType.SHARED,
        project=spec.project or "",
    )


def family_and_length(cidr: str) -> tuple[int, int]:
    """Family and length of a prefix in canonical form."""
    return family_of(cidr), int(cidr.rpartition("/")[2])


def families(spec: NetworkSpec, parent: NetworkSpec | None) -> set[int]:
    """The families that it has, or will have."""
    return {family_of(p.cidr) for p in spec.prefixes} | chosen_lengths(spec, parent).keys()


def is_prefix_within(inner: str, outer: str) -> bool:
    """Whether a prefix is in another."""
    one, other = ip_network(inner), ip_network(outer)
    return (
        one.version == other.version
        and one.prefixlen >= other.prefixlen
        and one.supernet(new_prefix=other.prefixlen) == other
    )


def network_value(prefixes: tuple[Prefix, ...], lengths: Mapping[int, int], parent: str | None) -> list[Any]:
    """What is declared, in JSON. Lists throughout: what was applied is compared with this after a round trip."""
    chosen = [f"a free /{length} of {parent}" for _, length in sorted(lengths.items())]
    return [*({"cidr": prefix.cidr, "reserved": list(prefix.reserved)} for prefix in prefixes), *chosen]
