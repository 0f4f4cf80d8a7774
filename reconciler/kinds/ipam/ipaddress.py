"""IPAddress: one address of a network, for a project or for one machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from drivers.base import NO_ABOUT, About, Allocation
from reconciler.kinds.common.field_types.fields import (
    Address,
    DeletionPolicy,
    Family,
    RenamedFrom,
    Spec,
    Text,
    mention_field,
    names_of,
    reference_field,
)
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.ipam.network import NetworkSpec
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


class AddressType(StrEnum):
    """Whether the address is kept when its machine or its document is removed."""

    EPHEMERAL = "Ephemeral"
    STATIC = "Static"


class IPAddressSpec(Spec, frozen=True, kw_only=True):
    """One IP address of a Network."""

    description: Annotated[Text, Meta(description="What the address is for.")] | None = None
    network: Annotated[str, reference_field("Network", "The Network that contains the address.")]
    address: (
        Annotated[
            Address,
            Meta(description=("The address to acquire. The default is the lowest free address of the network.")),
        ]
        | None
    ) = None
    family: (
        Annotated[
            Family,
            Meta(
                description=(
                    "The address family, for a network with IPv4 and IPv6 prefixes. Not together with `address`."
                )
            ),
        ]
        | None
    ) = None
    type: Annotated[
        AddressType,
        Meta(
            description="Ephemeral: released when its machine or this document is removed. Static: kept when the "
            "machine is removed, and also when the document is removed unless deletionPolicy is Release."
        ),
    ] = AddressType.EPHEMERAL
    project: (
        Annotated[
            str,
            reference_field(
                "Project", "The Project that owns the address. The default is the project of the network, if any."
            ),
        ]
        | None
    ) = None
    machine: (
        Annotated[
            str,
            mention_field("Machine", "The Machine that uses the address. The default is any machine of the project."),
        ]
        | None
    ) = None
    tags: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        Meta(description="Tags that the IPAM shows with the address."),
    ] = ()
    dns_name: (
        Annotated[
            str,
            Meta(
                pattern=rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$",
                max_length=253,
                description="The DNS name that the IPAM shows; lower case, without a final dot.",
                examples=["www.shop.example"],
            ),
        ]
        | None
    ) = None
    declared_policy: (
        Annotated[
            DeletionPolicy,
            Meta(
                description="Orphan: the address stays allocated when the document is removed. Release: the address "
                "becomes free. The default is Release for an Ephemeral address, and Orphan for a Static one."
            ),
        ]
        | None
    ) = msgspec.field(name="deletionPolicy", default=None)
    renamed_from: RenamedFrom | None = None

    @property
    def former(self) -> tuple[str, ...]:
        """The names that it had before."""
        return names_of(self.renamed_from)

    @property
    def deletion_policy(self) -> DeletionPolicy:
        """What becomes of it when the document goes."""
        given = self.declared_policy
        if given is not None:
            return given
        return DeletionPolicy.RELEASE if self.type is AddressType.EPHEMERAL else DeletionPolicy.ORPHAN


class AddressState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the resource holds in the IPAM, with its description there; network and address None: nothing."""

    network: str | None = None
    """The network that it was acquired from."""
    address: str | None = None
    """The address; None: none is held."""
    about: About = NO_ABOUT
    """What the IPAM keeps beside it."""

    @classmethod
    def of(cls, allocation: Allocation | None) -> Self:
        """What an IPAM's answer comes to."""
        return cls() if allocation is None else cls(allocation.network, allocation.address, allocation.about)


def check_ipaddress(resource: Resource[IPAddressSpec]) -> list[RuleFinding]:
    """An address and a family exclude each other (metal-api: a given address has its family), and so do Ephemeral and
    Orphan. It would be taken for a leak."""
    spec, found = resource.spec, []
    if spec.address is not None and spec.family is not None:
        hint = "remove spec.family; spec.address already shows the family"
        found.append(
            RuleFinding("address-and-family", "spec.family", "spec.address and spec.family exclude each other", hint)
        )
    if spec.type is AddressType.EPHEMERAL and spec.declared_policy is DeletionPolicy.ORPHAN:
        what, hint = (
            "an ephemeral address is released with its document, so deletionPolicy cannot be Orphan",
            "set spec.type to Static, or spec.deletionPolicy to Release",
        )
        found.append(RuleFinding("ephemeral-orphan", "spec.deletionPolicy", what, hint))
    return found


def project_of_address(spec: IPAddressSpec, desired: DesiredState | None) -> str | None:
    """Its own project, else its network's."""
    if spec.project is not None or desired is None:
        return spec.project
    network = desired.resources.get(ResourceKey("Network", spec.network))
    return network.spec.project if network is not None and isinstance(network.spec, NetworkSpec) else None


def about(spec: IPAddressSpec, desired: DesiredState | None) -> About:
    """What the IPAM is to say of it."""
    return About(
        ephemeral=spec.type is AddressType.EPHEMERAL,
        dns_name=spec.dns_name or "",
        tags=tuple(sorted(set(spec.tags))),
        project=project_of_address(spec, desired) or "",
    )


def machine_gone(spec: IPAddressSpec, desired: DesiredState | None) -> bool:
    """Whether it is for a machine that is not declared."""
    return (
        spec.machine is not None
        and desired is not None
        and ResourceKey("Machine", spec.machine) not in desired.resources
    )
