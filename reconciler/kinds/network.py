"""Network: prefixes that the IPAM hands addresses out of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import Prefix
from reconciler.kinds.fields import Address, AddressRange, Cidr, DeletionPolicy, PartitionRef, ProjectRef, Spec, Text
from reconciler.kinds.kind import Field, Look, Steps
from reconciler.model.action import Action, DropNetwork, Forget, PutNetwork
from reconciler.model.resource import Resource


class NetworkType(StrEnum):
    """Who may use a network."""

    PRIVATE = "Private"
    SHARED = "Shared"
    EXTERNAL = "External"
    UNDERLAY = "Underlay"


class PrefixSpec(Spec, frozen=True, kw_only=True):
    """One prefix and what in it is kept back."""

    cidr: Annotated[Cidr, Meta(description="The prefix.")]
    gateway: Annotated[Address, Meta(description="The router's address in it; never handed out.")] | None = None
    reserved: Annotated[
        tuple[AddressRange, ...], Meta(description="Addresses, prefixes or ranges that are never handed out.")
    ] = ()


class NetworkSpec(Spec, frozen=True, kw_only=True):
    """A network. Its prefixes may not overlap those of any other network."""

    description: Annotated[Text, Meta(description="What the network is for.")] | None = None
    type: Annotated[NetworkType, Meta(description="Who may use it.")] = NetworkType.PRIVATE
    prefixes: Annotated[tuple[PrefixSpec, ...], Meta(min_length=1, description="Its prefixes, IPv4 and IPv6.")]
    partition: PartitionRef | None = None
    project: ProjectRef | None = None
    deletion_policy: Annotated[
        DeletionPolicy,
        Meta(description="Orphan: the IPAM keeps it when the document goes. Release: it is dropped once it is empty."),
    ] = DeletionPolicy.ORPHAN


class NetworkState(msgspec.Struct, frozen=True):
    """What the IPAM knows of a network; None for `prefixes` when it does not know it."""

    prefixes: tuple[Prefix, ...] | None


def prefixes(spec: NetworkSpec) -> tuple[Prefix, ...]:
    """The driver's form: in the document's order, the gateway among what is reserved."""
    return tuple(
        Prefix(cidr=p.cidr, reserved=tuple(sorted({*p.reserved, *((p.gateway,) if p.gateway else ())})))
        for p in spec.prefixes
    )


class NetworkRules:
    """The reconciled half of Network."""

    def fields(self, resource: Resource[NetworkSpec], look: Look) -> tuple[Field, ...]:
        """The prefixes, reserved parts included."""
        wanted, seen = prefixes(resource.spec), _known(look.value)
        return (
            Field(
                PutNetwork.path,
                _plain(wanted),
                None if seen is None else _plain(seen),
                wanted == seen,
            ),
        )

    def steps(self, resource: Resource[NetworkSpec], look: Look, fields: tuple[Field, ...]) -> Steps:
        """One PutNetwork, which the IPAM does whole or not at all."""
        if all(field.equal for field in fields):
            return Steps()
        why = "not in the IPAM yet" if _known(look.value) is None else "prefixes differ"
        return Steps((PutNetwork(key=look.key, prefixes=prefixes(resource.spec), reason=why),))

    def removal(self, look: Look) -> Steps:
        """Orphan leaves it in the IPAM; Release drops it, which the IPAM refuses while an address is held in it."""
        if _known(look.value) is None:
            return Steps((Forget(key=look.key, reason="no longer declared, and not in the IPAM"),))
        if look.facts.deletion_policy == DeletionPolicy.RELEASE:
            drop = DropNetwork(key=look.key, reason="no longer declared (deletionPolicy Release)")
            return Steps((drop, Forget(key=look.key, reason="no longer declared, and dropped")))
        return Steps((Forget(key=look.key, reason="no longer declared; the IPAM keeps it (deletionPolicy Orphan)"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the IPAM now has it so."""
        match action:
            case PutNetwork(prefixes=wanted):
                return _known(value) == wanted
            case DropNetwork():
                return _known(value) is None
            case _:
                return False

    def patience(self, action: Action, resource: Resource[NetworkSpec] | None) -> float:
        """The IPAM answers when it is done, and to ask it twice does no harm."""
        return 1.0


def _known(value: Any) -> tuple[Prefix, ...] | None:
    return value.prefixes if isinstance(value, NetworkState) else None


def _plain(value: tuple[Prefix, ...]) -> list[dict[str, Any]]:
    """Lists throughout: what was applied is compared with this after a round trip through JSON."""
    return [{"cidr": prefix.cidr, "reserved": list(prefix.reserved)} for prefix in value]
