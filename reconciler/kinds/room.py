"""Who finds no room: prefixes of a parent, addresses of a network, numbers of a pool that more ask for than are free.

The IPAM refuses what it has no room for; this foresees it, so that the plan says so, and says what is free. Resources
that name what they want come first, then the others in order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.base import Number, Pool, Usage
from reconciler.kinds.fields import FAMILIES
from reconciler.kinds.ipaddress import AddressState, AddressType, IPAddressSpec, machine_gone
from reconciler.kinds.kind import Look
from reconciler.kinds.network import NetworkSpec, NetworkState, chosen_lengths, family_of, length_of, parent_of
from reconciler.kinds.pool import NumberState, pool_state, size_of
from reconciler.model.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey

EXHAUSTED = "exhausted"


def short_of_addresses(network: str, path: str, look: Look) -> Iterator[Hold]:
    """A hold when the look's resource is beyond the free addresses of its network."""
    found = look.once(f"addresses of {network}", lambda: _beyond_addresses(network, look))
    if look.key in found:
        way_out = f"release some, or add a prefix to {_place('Network', network, look.desired)}"
        yield Hold(HoldKind.GUARD, EXHAUSTED, found[look.key], way_out, path)


def short_of_prefixes(parent: str, lengths: Mapping[int, int], path: str, look: Look) -> Iterator[Hold]:
    """A hold when the parent has no free block for the look's resource."""
    found = look.once(f"prefixes of {parent}", lambda: _beyond_prefixes(parent, look))
    if look.key in found:
        longest = ", ".join(f"/{length}" for _, length in sorted(lengths.items()))
        place = _place("Network", parent, look.desired)
        way_out = f"add a prefix to {place}, drop a child of it, or ask for less than {longest} (spec.prefixLength)"
        yield Hold(HoldKind.GUARD, EXHAUSTED, found[look.key], way_out, path)


def short_of_numbers(pool: str, path: str, look: Look) -> Iterator[Hold]:
    """A hold while the pool is not there, while others that name their number do not hold it, and when the look's
    resource is beyond its free numbers."""
    seen = look.observed.get(ResourceKey("Pool", pool))
    there = pool_state(seen.value).pool if seen is not None else None
    if there is None or look.desired is None:
        reason = f"Pool/{pool} is not there yet"
        yield Hold(HoldKind.BLOCKED, f"Pool/{pool}", reason, "it goes on when the pool is there")
        return
    takers = look.desired.derived("takers of numbers", _takers).get(pool, {})
    if takers.get(look.key) is None:
        for key in look.desired.derived("pinned numbers", _pinned).get(pool, ()):
            if _held_number(look, key) is None:
                reason = f"{key} names its number of {pool}; who takes any, takes it after that"
                yield Hold(HoldKind.BLOCKED, str(key), reason, "it goes on when that one is held")
                return
    if size_of(there) - there.held >= len(takers):
        return
    found = look.once(f"numbers of {pool}", lambda: _beyond_numbers(pool, there, takers, look))
    if look.key in found:
        way_out = f"release some, or add a range to {_place('Pool', pool, look.desired)}"
        yield Hold(HoldKind.GUARD, EXHAUSTED, found[look.key], way_out, path)


def children_of(parent: str, look: Look) -> list[Any]:
    """The networks that are declared to be parts of it, by name."""
    return look.desired.derived("children", _children).get(parent, []) if look.desired is not None else []


def holders_of_pool(pool: str, look: Look) -> list[Number]:
    """Who holds a number of it, by owner, as far as it was seen."""
    found = (_held_number(look, key) for key in sorted(look.observed))
    return [one for one in found if one is not None and one.pool == pool]


def _usage(network: str, look: Look) -> tuple[Usage, ...] | None:
    seen = look.observed.get(ResourceKey("Network", network))
    return seen.value.usage if seen is not None and isinstance(seen.value, NetworkState) else None


def _beyond_addresses(network: str, look: Look) -> dict[ResourceKey, str]:
    usage = _usage(network, look)
    if usage is None or look.desired is None:
        return {}
    room = {family: sum(one.size - one.used for one in usage if family_of(one.cidr) == family) for family in (4, 6)}
    at_first = dict(room)
    beyond: dict[ResourceKey, str] = {}
    asking = _asking_for_addresses(network, look, look.desired)
    for key, family in asking:
        # Without a family the IPAM goes through the prefixes in order; any that has room will do.
        given = family if family is not None else next((f for f, free in room.items() if free), 4)
        if room[given] > 0:
            room[given] -= 1
            continue
        free = at_first[family] if family is not None else sum(at_first.values())
        kind = f"IPv{family} address" if family is not None else "address"
        there_is = f"Network/{network} has {free or 'no'} free {kind}{'' if free == 1 else 'es'}"
        beyond[key] = f"{there_is}, and {sum(other == family for _, other in asking)} are asked for"
    return beyond


def _asking_for_addresses(network: str, look: Look, desired: DesiredState) -> list[tuple[ResourceKey, int | None]]:
    found: list[tuple[bool, ResourceKey, int | None]] = []
    for key in desired.derived("takers of addresses", _address_takers).get(network, ()):
        spec: IPAddressSpec = desired.resources[key].spec
        seen = look.observed.get(key)
        state = seen.value if seen is not None else None
        if not isinstance(state, AddressState) or state.network == network:
            continue
        family = family_of(spec.address) if spec.address else FAMILIES[spec.family] if spec.family else None
        found.append((spec.address is None, key, family))
    return [(key, family) for _, key, family in sorted(found, key=lambda one: one[:2])]


def _address_takers(desired: DesiredState) -> dict[str, list[ResourceKey]]:
    found: dict[str, list[ResourceKey]] = {}
    for resource in desired.of_kind("IPAddress"):
        spec = resource.spec
        if spec.type is not AddressType.EPHEMERAL or not machine_gone(spec, desired):
            found.setdefault(spec.network, []).append(resource.key)
    return found


def _beyond_prefixes(parent: str, look: Look) -> dict[ResourceKey, str]:
    """Plays through what the IPAM will do: each child takes the smallest block that fits, which is split."""
    usage = _usage(parent, look)
    if usage is None or look.desired is None:
        return {}
    blocks: dict[int, dict[int, int]] = {4: {}, 6: {}}
    for one in usage:
        of_family = blocks[family_of(one.cidr)]
        for length, count in one.free_prefixes:
            of_family[length] = of_family.get(length, 0) + count
    at_first = {family: _free_words(found) for family, found in blocks.items()}
    beyond: dict[ResourceKey, str] = {}
    for resource in children_of(parent, look):
        for family, length in _missing_lengths(resource.spec, look, resource.key):
            if not _take(blocks[family], length):
                reason = f"Network/{parent} has no free /{length} for it; free at first: {at_first[family]}"
                beyond[resource.key] = reason
    return beyond


def _children(desired: DesiredState) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for resource in desired.of_kind("Network"):
        if resource.spec.parent is not None:
            found.setdefault(resource.spec.parent, []).append(resource)
    return found


def _missing_lengths(spec: NetworkSpec, look: Look, key: ResourceKey) -> list[tuple[int, int]]:
    seen = look.observed.get(key)
    state = seen.value if seen is not None else None
    if not isinstance(state, NetworkState):
        return []
    there = [length_of(prefix.cidr) for prefix in state.prefixes or ()]
    return [one for one in sorted(chosen_lengths(spec, parent_of(spec, look.desired)).items()) if one not in there]


def _take(blocks: dict[int, int], length: int) -> bool:
    fitting = [size for size, count in blocks.items() if size <= length and count]
    if not fitting:
        return False
    best = max(fitting)
    blocks[best] -= 1
    for size in range(best + 1, length + 1):
        blocks[size] = blocks.get(size, 0) + 1
    return True


def _free_words(blocks: Mapping[int, int]) -> str:
    return ", ".join(f"{count} x /{length}" for length, count in sorted(blocks.items()) if count) or "nothing"


def _takers(desired: DesiredState) -> dict[str, dict[ResourceKey, int | None]]:
    """Who takes a number of each pool, and which one where it is named."""
    found: dict[str, dict[ResourceKey, int | None]] = {}
    for resource in [*desired.of_kind("Network"), *desired.of_kind("Number")]:
        spec = resource.spec
        source = spec.vrf if isinstance(spec, NetworkSpec) else spec
        if source is not None and source.pool is not None:
            found.setdefault(source.pool, {})[resource.key] = source.number
    return found


def _pinned(desired: DesiredState) -> dict[str, list[ResourceKey]]:
    """Those that name their number, by pool."""
    takers = desired.derived("takers of numbers", _takers)
    return {pool: [key for key, number in found.items() if number is not None] for pool, found in takers.items()}


def _beyond_numbers(
    pool: str, there: Pool, takers: Mapping[ResourceKey, int | None], look: Look
) -> dict[ResourceKey, str]:
    pending = [key for key in takers if key in look.observed and _held_number(look, key) is None]
    pending.sort(key=lambda key: (takers[key] is None, key))
    free = size_of(there) - there.held
    there_is = f"Pool/{pool} has {free or 'no'} free number{'' if free == 1 else 's'} of {size_of(there)}"
    return dict.fromkeys(pending[free:], f"{there_is}, and {len(pending)} are asked for")


def _held_number(look: Look, key: ResourceKey) -> Number | None:
    seen = look.observed.get(key)
    value = seen.value if seen is not None else None
    if isinstance(value, NetworkState):
        return value.vrf
    return value.held(key) if isinstance(value, NumberState) else None


def _place(kind: str, name: str, desired: DesiredState | None) -> str:
    resource = desired.resources.get(ResourceKey(kind, name)) if desired is not None else None
    return f"{kind}/{name} ({resource.source.file}:{resource.source.line})" if resource else f"{kind}/{name}"
