"""What is done about a network: its prefixes in the IPAM, and the number of its VRF."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_never

import msgspec

from drivers.base import IpamNetwork
from reconciler.kinds.common.field_types.fields import DeletionPolicy
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.ipam.allocation.conflicts import conflict_hold, prefix_holders, waited_for
from reconciler.kinds.ipam.allocation.free_numbers import number_holds
from reconciler.kinds.ipam.allocation.free_prefixes import children_of, short_of_prefixes
from reconciler.kinds.ipam.allocation.occupancy import HOW_TO_RELEASE, Occupant, named_tenants, occupants
from reconciler.kinds.ipam.network import (
    NetworkSpec,
    NetworkState,
    NetworkType,
    chosen_lengths,
    family_and_length,
    is_prefix_within,
    network_value,
    parent_of,
    wanted_network,
)
from reconciler.kinds.ipam.pool import number_steps
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.ipam_actions import AcquireVrf, DropNetwork, NetworkAction, PutNetwork, ReleaseVrf
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource, ResourceKey

PREFIXES, VRF = PutNetwork.path, AcquireVrf.path


class NetworkRules:
    """The reconciled half of Network."""

    def fields(self, resource: Resource[NetworkSpec], view: KindView) -> tuple[Field, ...]:
        """Its prefixes, reserved parts included, its place among other networks, and its VRF's number."""
        spec, state = resource.spec, _state(view.value)
        parent = parent_of(spec, view.desired)
        want, lengths, seen = wanted_network(spec, parent), chosen_lengths(spec, parent), state.network
        found = [
            Field(
                PREFIXES,
                network_value(want.prefixes, lengths, spec.parent),
                None if seen is None else network_value(seen.prefixes, {}, None),
                seen is not None and _as_wanted(want, lengths, seen),
            )
        ]
        if spec.parent is not None or (seen is not None and seen.parent is not None):
            above = seen.parent if seen is not None else None
            found.append(Field("spec.parent", spec.parent, above, above == spec.parent))
        if seen is not None:
            same = (want.container, want.shared) == (seen.container, seen.shared)
            found.append(Field("spec.type", spec.type.value, spec.type.value if same else _type_of(seen), same))
            for name, one, other in (
                ("spec.namespace", want.namespace, seen.namespace),
                ("spec.project", want.project, seen.project),
            ):
                found.append(Field(name, one or None, other or None, one == other))
        if (spec.vrf is not None and spec.vrf.pool) or state.vrf is not None:
            found.append(_vrf_field(spec, state))
        return tuple(found)

    def steps(self, resource: Resource[NetworkSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """One PutNetwork, which the IPAM does whole or not at all, and the VRF's number."""
        spec, state = resource.spec, _state(view.value)
        differing = {field.path for field in fields if not field.equal}
        actions: list[Action] = []
        holds: list[Hold] = []
        if differing - {VRF}:
            parent = parent_of(spec, view.desired)
            want, lengths = wanted_network(spec, parent), chosen_lengths(spec, parent)
            why = "not in the IPAM yet" if state.network is None else "the IPAM has other values than the document"
            actions.append(PutNetwork(key=view.key, network=want, lengths=tuple(sorted(lengths.items())), reason=why))
            holds.extend(_refused(spec, want, lengths, state.network, view))
        if VRF in differing:
            pool = spec.vrf.pool if spec.vrf else None
            number = spec.vrf.number if spec.vrf else None
            actions += number_steps(view.key, pool, number, state.vrf, AcquireVrf, ReleaseVrf)
            if pool:
                holds.extend(number_holds(pool, number, state.vrf is not None, VRF, view))
        return Steps(tuple(actions), tuple(holds))

    def removal(self, view: KindView) -> Steps:
        """Orphan leaves it in the IPAM with its VRF's number; Release deletes it when it is empty."""
        state = _state(view.value)
        if view.stray:
            return _stray_vrf(state, view)
        if state.network is None and state.vrf is None:
            return Steps((Forget(key=view.key, reason="no longer declared, and not in the IPAM"),))
        if view.facts.deletion_policy != DeletionPolicy.RELEASE:
            reason = "no longer declared; the IPAM keeps the network (deletionPolicy Orphan)"
            return Steps((Forget(key=view.key, reason=reason),))
        why = "no longer declared (deletionPolicy Release)"
        actions: list[Action] = []
        if state.network is not None:
            actions.append(DropNetwork(key=view.key, reason=why))
        if state.vrf is not None:
            actions.append(ReleaseVrf(key=view.key, pool=state.vrf.pool, number=state.vrf.number, reason=why))
        actions.append(Forget(key=view.key, reason="no longer declared; deleted from the IPAM"))
        return Steps(tuple(actions), tuple(_occupied_hold(view)))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the IPAM now reports the effect of the action."""
        if not isinstance(action, NetworkAction):
            return False
        state = _state(value)
        match action:
            case PutNetwork(network=want, lengths=lengths):
                return state.network is not None and _whole(want, dict(lengths), state.network)
            case DropNetwork():
                return state.network is None
            case AcquireVrf(pool=pool, number=number):
                return state.vrf is not None and state.vrf.pool == pool and number in (None, state.vrf.number)
            case ReleaseVrf():
                return state.vrf is None
            case _:
                assert_never(action)

    def patience(self, action: Action, resource: Resource[NetworkSpec] | None) -> float:
        """The IPAM answers when it is done, and to ask it twice does no harm."""
        return 1.0


def _state(value: Any) -> NetworkState:
    return value if isinstance(value, NetworkState) else NetworkState()


def _as_wanted(want: IpamNetwork, lengths: dict[int, int], seen: IpamNetwork) -> bool:
    """The declared prefixes first, then those that were chosen, whichever they are."""
    declared = len(want.prefixes)
    chosen = seen.prefixes[declared:]
    return (
        seen.prefixes[:declared] == want.prefixes
        and sorted(family_and_length(one.cidr) for one in chosen) == sorted(lengths.items())
        and not any(one.reserved for one in chosen)
    )


def _whole(want: IpamNetwork, lengths: dict[int, int], seen: IpamNetwork) -> bool:
    rest = msgspec.structs.replace(seen, prefixes=want.prefixes)
    return rest == want and _as_wanted(want, lengths, seen)


def _type_of(seen: IpamNetwork) -> str:
    return "Super" if seen.container else "Shared" if seen.shared else "neither Super nor Shared"


def _vrf_field(spec: NetworkSpec, state: NetworkState) -> Field:
    pool = spec.vrf.pool if spec.vrf else None
    number = spec.vrf.number if spec.vrf else None
    desired = None if pool is None else f"{'any' if number is None else number} of {pool}"
    held = state.vrf
    observed = None if held is None else f"{held.number} of {held.pool}"
    if held is None or pool is None:
        return Field(VRF, desired, observed, held is None and pool is None)
    return Field(VRF, desired, observed, held.pool == pool and number in (None, held.number))


def _refused(
    spec: NetworkSpec, want: IpamNetwork, lengths: dict[int, int], seen: IpamNetwork | None, view: KindView
) -> Iterator[Hold]:
    """What the IPAM would refuse, reported beforehand; and what only the rules between projects forbid."""
    if spec.parent is not None:
        yield from _without_parent(spec.parent, want, lengths, view)
    yield from _taken(view.key, want, view)
    if seen is None:
        return
    if seen.shared and spec.type is not NetworkType.SHARED:
        reason = "a shared network cannot become another type: other projects may hold addresses in it"
        hint = "keep spec.type: Shared, or declare a new network and move the addresses there"
        yield Hold(HoldKind.GUARD, "unshare", reason, hint, PREFIXES)
    yield from _in_use(want, lengths, seen, view)


def _without_parent(parent: str, want: IpamNetwork, lengths: dict[int, int], view: KindView) -> Iterator[Hold]:
    """What the parent lacks for the network: itself, a prefix, or a free block."""
    place, above = f"Network/{parent}", view.observed.get(ResourceKey("Network", parent))
    if above is None or not isinstance(above.value, NetworkState) or above.value.network is None:
        reason = f"the parent {place} is not in the IPAM yet"
        yield Hold(HoldKind.BLOCKED, place, reason, f"continues automatically when {place} exists")
    elif outside := _not_there_yet(want, above.value.network, view):
        reason = f"the parent {place} does not have {outside} in the IPAM yet"
        yield Hold(HoldKind.BLOCKED, place, reason, f"continues automatically when {place} has {outside}")
    elif lengths:
        if not want.prefixes:  # who names one and leaves another does not wait: two such would wait for each other
            yield from _named_first(parent, view)
        yield from short_of_prefixes(parent, lengths, PREFIXES, view)


def _in_use(want: IpamNetwork, lengths: dict[int, int], seen: IpamNetwork, view: KindView) -> Iterator[Hold]:
    """A hold when what would go is still held by others."""
    inside = occupants(view.key.name, view)
    gone = [prefix.cidr for prefix in seen.prefixes if not _kept(prefix.cidr, want, lengths)]
    if want.container != seen.container or want.namespace != seen.namespace:
        homeless = inside
        what = "the namespace, or the type Super, would change while the network still contains"
        kept = "spec.namespace and spec.type"
    else:
        homeless = [one for one in inside if any(is_prefix_within(one.cidr, cidr) for cidr in gone)]
        homeless = [
            one for one in homeless if not any(is_prefix_within(one.cidr, prefix.cidr) for prefix in want.prefixes)
        ]
        what = f"{', '.join(gone)} would be removed, but still {'contains' if len(gone) == 1 else 'contain'}"
        kept = "the prefix" if len(gone) == 1 else "the prefixes"
    staying = [one for one in homeless if not one.leaves]
    if staying:
        hint = f"first release these addresses and networks ({HOW_TO_RELEASE}), or keep {kept}"
        yield Hold(HoldKind.GUARD, "in-use", f"{what} {named_tenants(staying)}", hint, PREFIXES)
    elif homeless:
        reason = f"{what} {named_tenants(homeless)}, which will also be released"
        yield Hold(
            HoldKind.BLOCKED,
            "in-use",
            reason,
            "continues automatically when these addresses and networks are released",
        )


def _taken(key: ResourceKey, want: IpamNetwork, view: KindView) -> Iterator[Hold]:
    """A hold for the first prefix that another network has, before all others one that stays."""
    found = sorted(prefix_holders(key, want, view), key=lambda one: one[1].goes)
    for overlap, verdict in found[:1]:
        what = overlap.theirs if overlap.theirs == overlap.cidr else f"{overlap.theirs} (overlaps {overlap.cidr})"
        yield conflict_hold(what, verdict, PREFIXES, view)


def _not_there_yet(want: IpamNetwork, above: IpamNetwork, view: KindView) -> str:
    """A prefix that is in none of its parent's as they are, and in one of them as they are declared."""
    declared = (
        view.desired.resources.get(ResourceKey("Network", want.parent or "")) if view.desired is not None else None
    )
    if declared is None:
        return ""
    for prefix in want.prefixes:
        if any(is_prefix_within(prefix.cidr, outer.cidr) for outer in above.prefixes):
            continue
        if any(is_prefix_within(prefix.cidr, outer.cidr) for outer in declared.spec.prefixes):
            return prefix.cidr
    return ""


def _stray_vrf(state: NetworkState, view: KindView) -> Steps:
    """A network that is not declared is kept with its number. A number whose network is gone has leaked (what is known
    as D09: the VRF was acquired first, and not released when the network failed)."""
    if state.network is not None or state.vrf is None:
        return Steps()
    why = "leak: the Network of the number is neither declared nor in the IPAM, so nothing uses the number"
    give = ReleaseVrf(key=view.key, pool=state.vrf.pool, number=state.vrf.number, reason=why)
    return Steps((give, Forget(key=view.key, reason="released")))


def _named_first(parent: str, view: KindView) -> Iterator[Hold]:
    """Who leaves its prefix to the IPAM takes it after all who name theirs, or it may be given one of those (0008)."""
    for sibling in children_of(parent, view):
        if not sibling.spec.prefixes or sibling.key == view.key:
            continue
        seen = view.observed.get(sibling.key)
        there = seen.value.prefixes or () if seen is not None and isinstance(seen.value, NetworkState) else ()
        missing = {prefix.cidr for prefix in sibling.spec.prefixes} - {prefix.cidr for prefix in there}
        stuck = view.refused(sibling.key, PREFIXES) or sibling.key in view.barred()
        if missing and not stuck and _will_have(sibling, view):
            reason = (
                f"{sibling.key} requests the fixed prefix {', '.join(sorted(missing))} of Network/{parent}, "
                "and acquires this prefix first"
            )
            hint = f"continues automatically when {sibling.key} has its prefix"
            yield Hold(HoldKind.BLOCKED, str(sibling.key), reason, hint)
            return


def _will_have(sibling: Resource[NetworkSpec], view: KindView) -> bool:
    """Whether the prefixes that it names are its own before long."""
    want = wanted_network(sibling.spec, parent_of(sibling.spec, view.desired))
    return all(waited_for(verdict, view) for _, verdict in prefix_holders(sibling.key, want, view))


def _kept(cidr: str, want: IpamNetwork, lengths: dict[int, int]) -> bool:
    family, length = family_and_length(cidr)
    return any(prefix.cidr == cidr for prefix in want.prefixes) or lengths.get(family) == length


def _occupied_hold(view: KindView) -> Iterator[Hold]:
    inside = occupants(view.key.name, view)
    if not inside:
        return
    leaving: list[Occupant] = [one for one in inside if one.leaves]
    if len(leaving) == len(inside):
        reason, hint = (
            f"the network contains {named_tenants(inside)}, which will also be released",
            "continues automatically when these addresses and networks are released",
        )
        yield Hold(HoldKind.BLOCKED, "in-use", reason, hint)
    else:
        hint = f"first release these addresses and networks ({HOW_TO_RELEASE}), or declare the network again"
        staying = [one for one in inside if not one.leaves]
        yield Hold(HoldKind.GUARD, "in-use", f"the network still contains {named_tenants(staying)}", hint)
