"""What is done about an address: acquired, described, moved, and released with what it is for."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Any, assert_never

import msgspec

from drivers.base import About
from reconciler.kinds.claim.renames import RENAMED, cannot_be, renames
from reconciler.kinds.claim.spec import ClaimedMachine, OfClaim, display_key, machines_of_claim, of_claim, surplus
from reconciler.kinds.common.field_types.fields import FAMILIES, DeletionPolicy
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.renamed_facts import NAME
from reconciler.kinds.ipam.allocation.conflicts import address_holder, conflict_hold, waited_for
from reconciler.kinds.ipam.allocation.free_addresses import short_of_addresses
from reconciler.kinds.ipam.allocation.occupancy import leaks
from reconciler.kinds.ipam.ipaddress import AddressState, AddressType, IPAddressSpec, about, machine_gone
from reconciler.kinds.ipam.network import NetworkState, family_of
from reconciler.kinds.ipam.renamed_addresses import comes_from, goes_to
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.ipam_actions import Acquire, AddressAction, DescribeAddress, Release, Transfer
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey

ADDRESS, NETWORK, ABOUT = Acquire.path, "spec.network", DescribeAddress.path


class IPAddressRules:
    """The reconciled half of IPAddress."""

    def fields(self, resource: Resource[IPAddressSpec], view: KindView) -> tuple[Field, ...]:
        """The network of the address, the address, and its description."""
        spec, state, moved = resource.spec, _held(view), comes_from(resource.key, view)
        # One that has another name now is judged as what it will be then.
        name = (Field(NAME, resource.key.name, moved[0].name, False),) if moved is not None else ()
        if _goes_with_its_machine(spec, view):
            return (*name, Field(ADDRESS, None, state.address, state.address is None))
        there = (
            *name,
            Field(NETWORK, spec.network, state.network, state.network == spec.network),
            Field(
                ADDRESS,
                spec.address or "any",
                state.address,
                state.network == spec.network and _fits(spec, state.address),
                along=NETWORK,
            ),
        )
        if state.address is None:
            return there
        wanted = about(spec, view.desired)
        return (*there, Field(ABOUT, _said(wanted), _said(state.about), wanted == state.about))

    def steps(self, resource: Resource[IPAddressSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """Acquire. If the resource holds another address, that address is released first. An address that is held under
        a former name is transferred before that."""
        if (moved := comes_from(resource.key, view)) is None:
            return self._steps(resource, view, fields)
        own = _state(view.value)
        if own.address is not None:
            return Steps(holds=(_both(view.key, own, *moved),))
        if strange := _of_another(about(resource.spec, view.desired), moved[1]):
            return Steps(holds=(strange,))
        rest = self._steps(resource, view, tuple(field for field in fields if field.path != NAME))
        return Steps((_transfer(view, *moved), *rest.actions), rest.holds)

    def _steps(self, resource: Resource[IPAddressSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        differing = {field.path for field in fields if not field.equal}
        spec, state = resource.spec, _held(view)
        if not differing:
            return Steps()
        if _goes_with_its_machine(spec, view):
            why = f"address is ephemeral, and Machine/{spec.machine} is no longer declared"
            return Steps((Release(key=view.key, address=state.address or "", reason=why),))
        wanted = about(spec, view.desired)
        if undecided := _may_be_renamed(view):
            return Steps(holds=(undecided,))
        if not differing & {ADDRESS, NETWORK}:
            describe = DescribeAddress(key=view.key, about=wanted, reason="the description in the IPAM differs")
            return Steps((describe,), _misdescribed(wanted, state))
        actions: list[Action] = []
        if state.address is not None:
            if machine := _machine_in_slot(view):
                return Steps(holds=(_still_used(machine, state.address, view),))
            actions.append(Release(key=view.key, address=state.address, reason="a different address is declared"))
        family = FAMILIES[spec.family] if spec.family else None
        acquire = Acquire(
            key=view.key,
            network=spec.network,
            address=spec.address,
            family=family,
            about=wanted,
            reason="no address acquired yet",
        )
        return Steps((*actions, acquire), _waits_for(spec, state, view))

    def removal(self, view: KindView) -> Steps:
        """Orphan leaves the allocation; the same name declared again finds it, as the owner is the key. An ephemeral
        address whose owner is neither declared nor recorded is a leak, and is released. An address that now belongs to
        another owner is transferred to that owner, and an address under a former name is transferred here first."""
        if goes_to(view.key, view) is not None and _state(view.value).address is not None:
            return Steps()
        moved = comes_from(view.key, view) if _state(view.value).address is None else None
        rest = self._removal(view)
        if moved is None:
            return rest
        # A machine may answer to it still: it comes here, and goes later.
        return Steps((_transfer(view, *moved), *(() if rest.holds else rest.actions)))

    def _removal(self, view: KindView) -> Steps:
        state = _held(view)
        if blocked := _in_use(view, state):
            return blocked
        if view.stray:
            why = (
                "leak: the owner of the ephemeral address is neither declared nor recorded, so nothing uses the address"
            )
            release = Release(key=view.key, address=state.address or "", reason=why)
            return Steps((release, Forget(key=view.key, reason="released"))) if leaks(state) else Steps()
        if state.address is None:
            return Steps((Forget(key=view.key, reason="no longer declared, and holds no address"),))
        if view.facts.deletion_policy == DeletionPolicy.RELEASE:
            release = Release(key=view.key, address=state.address, reason="no longer declared (deletionPolicy Release)")
            return Steps((release, Forget(key=view.key, reason="no longer declared, and released")))
        reason = f"no longer declared; {state.address} stays allocated to this owner (deletionPolicy Orphan)"
        return Steps((Forget(key=view.key, reason=reason),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the IPAM now reports the effect of the action."""
        if not isinstance(action, AddressAction):
            return False
        state = _state(value)
        match action:
            case Acquire(network=network, address=address):
                held = state.address is not None and (
                    address is None or ip_address(address) == ip_address(state.address)
                )
                return state.network == network and held
            case DescribeAddress(about=wanted):
                return state.address is not None and state.about == wanted
            case Release():
                return state.address is None
            case Transfer(address=address):
                return state.address == address
            case _:
                assert_never(action)

    def patience(self, action: Action, resource: Resource[IPAddressSpec] | None) -> float:
        """The IPAM answers when it is done, and to ask it twice does no harm."""
        return 1.0


def _held(view: KindView) -> AddressState:
    """What it holds, or will as soon as it has followed from another name."""
    own = _state(view.value)
    moved = comes_from(view.key, view) if own.address is None else None
    return own if moved is None else moved[1]


def _transfer(view: KindView, old: ResourceKey, state: AddressState) -> Transfer:
    return Transfer(key=view.key, was=str(old), address=state.address or "", reason="the owner was renamed")


def _both(key: ResourceKey, own: AddressState, old: ResourceKey, state: AddressState) -> Hold:
    reason = (
        f"{display_key(key)} holds {own.address}, but {display_key(old)}, its former name, still holds {state.address}"
    )
    hint = (
        "remove spec.renamedFrom, declare both names and apply that. Then remove the document whose address is "
        "not needed, with deletionPolicy: Release"
    )
    return Hold(HoldKind.GUARD, RENAMED, reason, hint)


def _in_use(view: KindView, state: AddressState) -> Steps | None:
    """A claim's address stays while a machine is in the slot that it is for: the machine may still answer to it."""
    meant = of_claim(view.key)
    if meant is None or state.address is None:
        return None
    held = machines_of_claim(meant.claim, view)
    machine = next((one.machine for one in held if one.slot == meant.slot), None)
    if machine is None:
        return None
    if _stays(meant, machine, held, view):
        return Steps()
    reason = f"Machine/{machine} still uses {meant}"
    hold = Hold(
        HoldKind.BLOCKED,
        f"Machine/{machine}",
        reason,
        f"continues automatically when Machine/{machine} is wiped and free",
    )
    release = Release(
        key=view.key,
        address=state.address,
        reason="the claim no longer has the slot that had the address",
    )
    return Steps((release, Forget(key=view.key, reason="released")), (hold,))


def _stays(meant: OfClaim, machine: str, held: tuple[ClaimedMachine, ...], view: KindView) -> bool:
    """Whether the machine keeps its slot, though its number is beyond the claim's count: it is named, and others that
    were before it have gone. Its addresses stay with it."""
    claim = view.desired.resources.get(ResourceKey("MachineClaim", meant.claim)) if view.desired is not None else None
    if claim is None or all(one.network != meant.network for one in claim.spec.networks):
        return False
    leaving = {one.machine for one in (*surplus(claim.spec, held), *(one for one in held if one.releasing))}
    return meant.slot >= claim.spec.count and machine not in leaving


def _machine_in_slot(view: KindView) -> str | None:
    """The machine that may answer to the address: it is in the slot of a claim that the address is for."""
    meant = of_claim(view.key)
    held = machines_of_claim(meant.claim, view) if meant is not None else ()
    return next((one.machine for one in held if meant is not None and one.slot == meant.slot), None)


def _may_be_renamed(view: KindView) -> Hold | None:
    """A hold for the addresses of a claim that may be a renamed claim: after a rename, it keeps the addresses of the
    old name."""
    meant = of_claim(view.key)
    if meant is None:
        return None
    key = f"MachineClaim/{meant.claim}"
    if (stuck := cannot_be(ResourceKey("MachineClaim", meant.claim), view)) is not None:
        return Hold(HoldKind.BLOCKED, key, stuck.reason, f"resolve the rename of {key} first")
    if not (others := renames(view).gone.get(meant.claim)):
        return None
    return Hold(
        HoldKind.BLOCKED, key, f"{key} may be MachineClaim/{others[0]} renamed", f"resolve the rename of {key} first"
    )


def _still_used(machine: str, address: str, view: KindView) -> Hold:
    reason = f"Machine/{machine} was installed with the address {address}, and may still use this address"
    meant = of_claim(view.key)
    claim = f"MachineClaim/{meant.claim}" if meant is not None else "the claim"
    hint = (
        f"declare {address} again in spec.networks of {claim}; or release {machine} first: "
        f"add {machine} to spec.without of {claim}"
    )
    return Hold(HoldKind.GUARD, "in-use", reason, hint, ADDRESS)


def _state(value: Any) -> AddressState:
    return value if isinstance(value, AddressState) else AddressState()


def _goes_with_its_machine(spec: IPAddressSpec, view: KindView) -> bool:
    return spec.type is AddressType.EPHEMERAL and machine_gone(spec, view.desired)


def _fits(spec: IPAddressSpec, held: str | None) -> bool:
    """Addresses are compared by value: 2001:DB8::1 and 2001:db8::1 are one."""
    if held is None:
        return False
    if spec.address is not None:
        return held == spec.address or ip_address(held) == ip_address(spec.address)
    return spec.family is None or family_of(held) == FAMILIES[spec.family]


@lru_cache(1024)  # Most addresses of a project have the same said of them.
def _said(about: About) -> dict[str, Any]:
    """As in the document: one field, as one action writes all of it."""
    return {
        "type": AddressType.EPHEMERAL.value if about.ephemeral else AddressType.STATIC.value,
        "project": about.project,
        "dnsName": about.dns_name,
        "tags": list(about.tags),
    }


def _misdescribed(wanted: About, state: AddressState) -> tuple[Hold, ...]:
    """Ephemeral to static is allowed, the other way is not (metal-api, ip-service: an address in use would be released
    with the next machine). And no address changes hands while it is held."""
    seen = state.about
    found = []
    if wanted.ephemeral and not seen.ephemeral:
        reason = f"the address {state.address} is static, and a static address cannot become ephemeral"
        hint = (
            "keep spec.type: Static. For an ephemeral address, set deletionPolicy: Release, apply that, remove "
            "the document, and declare a new IPAddress"
        )
        found.append(Hold(HoldKind.GUARD, "static-address", reason, hint, ABOUT))
    if strange := _of_another(wanted, state):
        found.append(msgspec.structs.replace(strange, path=ABOUT))
    return tuple(found)


def _of_another(wanted: About, state: AddressState) -> Hold | None:
    project = state.about.project
    if not project or wanted.project == project:
        return None
    reason = f"{state.address} belongs to project {project}; a held address cannot move to another project"
    return Hold(
        HoldKind.GUARD,
        "other-project",
        reason,
        f"keep spec.project: {project}, or release the address and declare a new IPAddress",
    )


def _waits_for(spec: IPAddressSpec, state: AddressState, view: KindView) -> tuple[Hold, ...]:
    seen = view.observed.get(ResourceKey("Network", spec.network))
    if seen is None or not isinstance(seen.value, NetworkState) or seen.value.network is None:
        reason = f"Network/{spec.network} is not in the IPAM yet"
        return (
            Hold(
                HoldKind.BLOCKED,
                f"Network/{spec.network}",
                reason,
                f"continues automatically when Network/{spec.network} exists",
            ),
        )
    if spec.address is not None:
        verdict = address_holder(spec.address, spec.network, view)
        if verdict is None or (verdict.swaps and verdict.goes and state.address is not None):
            return tuple(short_of_addresses(spec.network, ADDRESS, view)) if verdict is None else ()
        return (conflict_hold(spec.address, verdict, ADDRESS, view),)
    holds = list(short_of_addresses(spec.network, ADDRESS, view))
    if view.desired is not None:
        for key in view.desired.derived("pinned-addresses", _pinned).get(spec.network, ()):
            if not _has_it(key, view, view.desired) and _will_have(key, view):
                reason = (
                    f"{display_key(key)} requests a fixed address of Network/{spec.network}, "
                    "and acquires this address first"
                )
                holds.append(
                    Hold(
                        HoldKind.BLOCKED,
                        str(key),
                        reason,
                        f"continues automatically when {display_key(key)} holds its address",
                    )
                )
                break
    return tuple(holds)


def _will_have(key: ResourceKey, view: KindView) -> bool:
    """Whether the address that it names is its own before long. Who takes any need not wait for one that is another's,
    was refused, or is beyond a quota (metal3-io/ip-address-manager#988)."""
    if view.desired is None or view.refused(key, ADDRESS) or key in view.barred():
        return False
    seen, spec = view.observed.get(key), view.desired.resources[key].spec
    if seen is not None and seen.error is not None:
        return False
    return waited_for(address_holder(spec.address, spec.network, view, key), view)


def _pinned(desired: DesiredState) -> dict[str, list[ResourceKey]]:
    """The resources that name their address, by network."""
    found: dict[str, list[ResourceKey]] = {}
    for resource in desired.of_kind("IPAddress"):
        if resource.spec.address is not None and not _never_held(resource.spec, desired):
            found.setdefault(resource.spec.network, []).append(resource.key)
    return found


def _never_held(spec: IPAddressSpec, desired: DesiredState) -> bool:
    return spec.type is AddressType.EPHEMERAL and machine_gone(spec, desired)


def _has_it(key: ResourceKey, view: KindView, desired: DesiredState) -> bool:
    """Whether it holds the address that it names."""
    seen, spec = view.observed.get(key), desired.resources[key].spec
    state = _state(seen.value) if seen is not None else AddressState()
    return state.network == spec.network and _fits(spec, state.address)
