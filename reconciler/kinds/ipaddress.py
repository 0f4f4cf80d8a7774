"""IPAddress: one address, acquired from a network's prefixes, held, and released as declared."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.kinds.fields import Address, DeletionPolicy, ProjectRef, Spec, Text, reference
from reconciler.kinds.kind import Field, Look, Place, Steps
from reconciler.kinds.network import NetworkState
from reconciler.model.action import Acquire, Action, Forget, Release
from reconciler.model.observation import Observation
from reconciler.model.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey

ADDRESS, NETWORK = Acquire.path, "spec.network"


class Family(StrEnum):
    """The address family, as Kubernetes writes it."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


FAMILIES = {Family.IPV4: 4, Family.IPV6: 6}


class AddressType(StrEnum):
    """Whether an address outlives what uses it."""

    EPHEMERAL = "Ephemeral"
    STATIC = "Static"


class IPAddressSpec(Spec, frozen=True, kw_only=True):
    """An address of a network."""

    description: Annotated[Text, Meta(description="What the address is for.")] | None = None
    network: Annotated[str, reference("Network", "The Network that it is taken from.")]
    address: (
        Annotated[Address, Meta(description="This address and no other; left out: the lowest free one.")] | None
    ) = None
    family: Annotated[Family, Meta(description="Which family to take, where the network has both.")] | None = None
    type: Annotated[AddressType, Meta(description="Whether it outlives what uses it.")] = AddressType.EPHEMERAL
    project: ProjectRef | None = None
    deletion_policy: Annotated[
        DeletionPolicy,
        Meta(description="Orphan: it stays allocated when the document goes. Release: it becomes free."),
    ] = DeletionPolicy.ORPHAN


class AddressState(msgspec.Struct, frozen=True):
    """What the resource holds in the IPAM; both None when it holds nothing."""

    network: str | None = None
    address: str | None = None


def check(resource: Resource[IPAddressSpec]) -> list[Place]:
    """An address and a family exclude each other (metal-api: a given address has its family)."""
    spec = resource.spec
    if spec.address is not None and spec.family is not None:
        hint = "remove family; the address has one"
        return [Place("address-and-family", "spec.family", "address and family exclude each other", hint)]
    return []


class IPAddressRules:
    """The reconciled half of IPAddress."""

    def fields(self, resource: Resource[IPAddressSpec], look: Look) -> tuple[Field, ...]:
        """The network that it is held in, and the address."""
        spec, state = resource.spec, _state(look.value)
        wanted = spec.address or "any"
        held = state.network == spec.network and _fits(spec, state.address)
        return (
            Field(NETWORK, spec.network, state.network, state.network == spec.network),
            Field(ADDRESS, wanted, state.address, held),
        )

    def steps(self, resource: Resource[IPAddressSpec], look: Look, fields: tuple[Field, ...]) -> Steps:
        """Acquire; where another address is held, that one is released first."""
        if all(field.equal for field in fields):
            return Steps()
        spec, state = resource.spec, _state(look.value)
        actions: list[Action] = []
        if state.address is not None:
            actions.append(Release(key=look.key, address=state.address, reason="another address is declared"))
        family = FAMILIES[spec.family] if spec.family else None
        actions.append(
            Acquire(key=look.key, network=spec.network, address=spec.address, family=family, reason="not held yet")
        )
        return Steps(tuple(actions), _waits_for(spec, look))

    def removal(self, look: Look) -> Steps:
        """Orphan leaves the allocation; the same name declared again finds it, as the owner is the key."""
        address = _state(look.value).address
        if address is None:
            return Steps((Forget(key=look.key, reason="no longer declared, and holds nothing"),))
        if look.facts.deletion_policy == DeletionPolicy.RELEASE:
            release = Release(key=look.key, address=address, reason="no longer declared (deletionPolicy Release)")
            return Steps((release, Forget(key=look.key, reason="no longer declared, and released")))
        reason = f"no longer declared; {address} stays allocated to it (deletionPolicy Orphan)"
        return Steps((Forget(key=look.key, reason=reason),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the IPAM now has it so."""
        state = _state(value)
        match action:
            case Acquire(network=network, address=address):
                held = state.address is not None and (
                    address is None or ip_address(address) == ip_address(state.address)
                )
                return state.network == network and held
            case Release():
                return state.address is None
            case _:
                return False

    def patience(self, action: Action, resource: Resource[IPAddressSpec] | None) -> float:
        """The IPAM answers when it is done, and to ask it twice does no harm."""
        return 1.0


def _state(value: Any) -> AddressState:
    return value if isinstance(value, AddressState) else AddressState()


def _fits(spec: IPAddressSpec, held: str | None) -> bool:
    """Addresses are compared by value: 2001:DB8::1 and 2001:db8::1 are one."""
    if held is None:
        return False
    address = ip_address(held)
    if spec.address is not None:
        return address == ip_address(spec.address)
    return spec.family is None or address.version == FAMILIES[spec.family]


def _waits_for(spec: IPAddressSpec, look: Look) -> tuple[Hold, ...]:
    seen = look.observed.get(ResourceKey("Network", spec.network))
    if seen is None or not isinstance(seen.value, NetworkState) or seen.value.prefixes is None:
        reason = f"Network/{spec.network} is not in the IPAM yet"
        return (Hold(HoldKind.BLOCKED, f"Network/{spec.network}", reason, "it goes on when the network is there"),)
    if spec.address is None and look.desired is not None:
        for key in look.desired.derived("pinned-addresses", _pinned).get(spec.network, ()):
            if not _is_held(look.observed.get(key)):
                reason = f"{key} names its address in {spec.network}; who takes any, takes it after that"
                return (Hold(HoldKind.BLOCKED, str(key), reason, "it goes on when that one is held"),)
    return ()


def _pinned(desired: DesiredState) -> dict[str, list[ResourceKey]]:
    """The resources that name their address, by network."""
    found: dict[str, list[ResourceKey]] = {}
    for resource in desired.of_kind("IPAddress"):
        if resource.spec.address is not None:
            found.setdefault(resource.spec.network, []).append(resource.key)
    return found


def _is_held(seen: Observation | None) -> bool:
    return seen is not None and _state(seen.value).address is not None
