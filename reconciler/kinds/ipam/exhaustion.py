"""Who finds no room: prefixes of a parent, addresses of a network, numbers of a pool that more ask for than are free.

The IPAM refuses what it has no room for; this foresees it, so that the plan says so, and says what is free. Resources
that name what they want come first, then the others in order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from drivers.base import Number, Pool, Usage
from reconciler.kinds.claim.spec import display_key, of_claim
from reconciler.kinds.common.fields import FAMILIES
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.conflicts import (
    Room,
    address_holder,
    address_room,
    conflict_hold,
    is_free,
    number_holder,
    number_room,
    releases,
    waited_for,
)
from reconciler.kinds.ipam.intervals import Span, blocks, joined_spans, parse_span, usable, without
from reconciler.kinds.ipam.ipaddress import AddressState, AddressType, IPAddressSpec, machine_gone
from reconciler.kinds.ipam.network import (
    NetworkSpec,
    NetworkState,
    chosen_lengths,
    family_and_length,
    family_of,
    parent_of,
)
from reconciler.kinds.ipam.pool import NumberState, pool_size, pool_state, ranges
from reconciler.model.action import AcquireNumber, AcquireVrf
from reconciler.model.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey

EXHAUSTED = "exhausted"


def short_of_addresses(network: str, path: str, look: KindView) -> Iterator[Hold]:
    """A hold when the look's resource is beyond the free addresses of its network."""
    found = look.once(f"addresses of {network}", lambda: _beyond_addresses(network, look))
    hint = f"release some, or add a prefix to {_place('Network', network, look.desired)}"
    yield from _short(found, hint, path, look)


def short_of_prefixes(parent: str, lengths: Mapping[int, int], path: str, look: KindView) -> Iterator[Hold]:
    """A hold when the parent has no free block for the look's resource."""
    found = look.once(f"prefixes of {parent}", lambda: _beyond_prefixes(parent, look))
    if look.key in found.beyond or look.key in found.later:
        longest = ", ".join(f"/{length}" for _, length in sorted(lengths.items()))
        place = _place("Network", parent, look.desired)
        hint = (
            f"add a prefix to {place}, remove one of its children, or request smaller prefixes "
            f"than {longest} (spec.prefixLength)"
        )
        yield from _short(found, hint, path, look)


class Short(msgspec.Struct, frozen=True):
    """Who finds no room, and why: `beyond` it for good, or until others, who let go, have let go (`later`)."""

    beyond: dict[ResourceKey, str]
    later: dict[ResourceKey, str]


NOBODY = Short({}, {})


def _short(found: Short, hint: str, path: str, look: KindView) -> Iterator[Hold]:
    if look.key in found.beyond:
        yield Hold(HoldKind.GUARD, EXHAUSTED, found.beyond[look.key], hint, path)
    elif look.key in found.later:
        hint = "continues automatically when space is free"
        yield Hold(HoldKind.BLOCKED, EXHAUSTED, found.later[look.key], hint)


def number_holds(pool: str, number: int | None, has_one: bool, path: str, look: KindView) -> Iterator[Hold]:
    """What stops the look's resource from taking a number of the pool: the pool is not there; another has the number;
    others that name theirs, and will have it, come first; nothing is free. `has_one`: it gives back another for it."""
    seen = look.observed.get(ResourceKey("Pool", pool))
    there = pool_state(seen.value).pool if seen is not None else None
    if there is None or look.desired is None:
        reason = f"Pool/{pool} does not exist yet"
        yield Hold(HoldKind.BLOCKED, f"Pool/{pool}", reason, f"continues automatically when Pool/{pool} exists")
        return
    takers = look.desired.derived("takers of numbers", _takers).get(pool, {})
    if number is not None:
        verdict = number_holder(number, pool, look)
        if verdict is not None:
            if not (verdict.goes and verdict.swaps and has_one):
                yield conflict_hold(f"{number} of {pool}", verdict, path, look)
            return
    else:
        for key in look.desired.derived("pinned numbers", _pinned).get(pool, ()):
            if not _has_of(pool, look, key, takers[key]) and _will_have(key, takers[key], pool, look):
                reason = f"{key} requests a fixed number of Pool/{pool}, which is acquired first"
                yield Hold(HoldKind.BLOCKED, str(key), reason, f"continues automatically when {key} holds its number")
                return
    if pool_size(there) - _held_of(pool, there, look) >= len(takers):
        return
    found = look.once(f"numbers of {pool}", lambda: _beyond_numbers(pool, there, takers, look))
    hint = f"release some, or add a range to {_place('Pool', pool, look.desired)}"
    yield from _short(found, hint, path, look)


def _will_have(key: ResourceKey, number: int | None, pool: str, look: KindView) -> bool:
    """Whether it has the number that it names before long."""
    field = AcquireVrf.path if key.kind == "Network" else AcquireNumber.path
    if number is None or look.refused(key, field) or key in look.barred():
        return False
    return waited_for(number_holder(number, pool, look, key), look)


def children_of(parent: str, look: KindView) -> list[Any]:
    """The networks that are declared to be parts of it, by name."""
    return look.desired.derived("children", _children).get(parent, []) if look.desired is not None else []


def holders_of_pool(pool: str, look: KindView) -> list[Number]:
    """Who holds a number of it, by owner, as far as it was seen."""
    found = (_held_number(look, key) for key in sorted(look.observed))
    return [one for one in found if one is not None and one.pool == pool]


def _is_seen(network: str, look: KindView) -> bool:
    seen = look.observed.get(ResourceKey("Network", network))
    return seen is not None and isinstance(seen.value, NetworkState) and seen.value.network is not None


def _grows(network: str, look: KindView) -> str:
    """The first prefix that it is to have and does not have yet; nothing if there is none."""
    key = ResourceKey("Network", network)
    resource = look.desired.resources.get(key) if look.desired is not None else None
    state = look.observed[key].value
    have = {prefix.cidr for prefix in state.prefixes or ()}
    return next((one.cidr for one in resource.spec.prefixes if one.cidr not in have), "") if resource else ""


def _usage(network: str, look: KindView) -> tuple[Usage, ...] | None:
    seen = look.observed.get(ResourceKey("Network", network))
    return seen.value.usage if seen is not None and isinstance(seen.value, NetworkState) else None


def _beyond_addresses(network: str, look: KindView) -> Short:
    if look.desired is None:
        return NOBODY
    room = _free_addresses(network, look)
    grows = _grows(network, look)
    if room is None or (grows and _usage(network, look) is None):
        return NOBODY
    takers = look.desired.derived("takers of addresses", _address_takers).get(network, ())
    if all(room[family] >= len(takers) for family in _families_of(network, look)):
        return NOBODY  # Enough for all of them, without a look at each.
    at_first = dict(room)
    asking = _asking_for_addresses(network, look, look.desired)
    coming: dict[ResourceKey, int] | None = None
    beyond: dict[ResourceKey, str] = {}
    later: dict[ResourceKey, str] = {}
    for key, address, family in asking:
        if address is not None and address_holder(address, network, look, key) is not None:
            continue  # It gets that one or none, whatever is free.
        # Without a family the IPAM goes through the prefixes in order; any that has room will do.
        given = family if family is not None else next((f for f, free in room.items() if free), 4)
        if room[given] > 0:
            room[given] -= 1
            continue
        free = at_first[family] if family is not None else sum(at_first.values())
        kind = f"IPv{family} address" if family is not None else "address"
        there_is = f"Network/{network} has {free or 'no'} free {kind}{'' if free == 1 else 'es'}"
        if coming is None:
            coming = _let_go_of(network, look, {one for _, one, _ in asking if one is not None})
        leaver = next((one for one, of in coming.items() if family in (None, of)), None)
        if leaver is not None:
            del coming[leaver]
            later[key] = f"{there_is} until {display_key(leaver)} is released"
        elif grows:
            later[key] = f"{there_is} until {grows} is added to it"
        else:
            beyond[key] = f"{there_is}; {sum(family in (None, other) for _, _, other in asking)} are requested"
    return Short(beyond, later)


def _families_of(network: str, look: KindView) -> set[int]:
    state = look.observed[ResourceKey("Network", network)].value
    return {family_of(prefix.cidr) for prefix in state.prefixes or ()}


def _free_addresses(network: str, look: KindView) -> dict[int, int] | None:
    """How many are free of each family: as the IPAM said, or else by who was seen to hold one. None: not known."""
    seen = look.observed.get(ResourceKey("Network", network))
    state = seen.value if seen is not None else None
    if not isinstance(state, NetworkState) or state.prefixes is None:
        return None
    if state.usage is not None:
        return {f: sum(one.size - one.used for one in state.usage if family_of(one.cidr) == f) for f in (4, 6)}
    room = dict.fromkeys((4, 6), 0)
    for prefix in state.prefixes:
        room[family_of(prefix.cidr)] += sum(high - low + 1 for low, high in usable(prefix))
    for other in look.observed.values():
        held = other.value
        if isinstance(held, AddressState) and held.network == network and held.address is not None:
            room[family_of(held.address)] -= 1
    return {family: max(0, free) for family, free in room.items()}


def _let_go_of(network: str, look: KindView, named: set[str]) -> dict[ResourceKey, int]:
    """Who lets go of an address of the network that nobody else names, with its family: what goes, and what moves to
    another network in which there is room for it as things are. Two that would take each other's place are held."""
    room, found = address_room(look), {}
    for key in sorted([*room.leaves, *room.wants]):
        state = look.observed[key].value
        free_for_all = state.network == network and state.address not in named
        if free_for_all and (key in room.leaves or _has_room(network, key, room, look)):
            found[key] = family_of(state.address)
    return found


def _has_room(network: str, key: ResourceKey, room: Room, look: KindView) -> bool:
    spec: IPAddressSpec | None = look.desired.resources[key].spec if look.desired is not None else None
    if spec is None or spec.network == network:
        return False
    if room.wants[key] is not None:
        return room.wants[key] not in room.owners
    return sum((_free_addresses(spec.network, look) or {}).values()) > 0


def _asking_for_addresses(
    network: str, look: KindView, desired: DesiredState
) -> list[tuple[ResourceKey, str | None, int | None]]:
    found: list[tuple[ResourceKey, str | None, int | None]] = []
    for key in desired.derived("takers of addresses", _address_takers).get(network, ()):
        spec: IPAddressSpec = desired.resources[key].spec
        seen = look.observed.get(key)
        state = seen.value if seen is not None else None
        if not isinstance(state, AddressState) or state.network == network:
            continue
        family = family_of(spec.address) if spec.address else FAMILIES[spec.family] if spec.family else None
        found.append((key, spec.address, family))
    return sorted(found, key=lambda one: (one[1] is None, in_order(one[0])))


def in_order(key: ResourceKey) -> tuple[str, int, str, int]:
    """In which order those come that leave the choice to the IPAM: of their names, as a list shows them; those of a
    claim by the number of the slot."""
    meant = of_claim(key)
    return (key.name, -1, "", 0) if meant is None else (meant.claim, meant.slot, meant.network, meant.family)


def _address_takers(desired: DesiredState) -> dict[str, list[ResourceKey]]:
    found: dict[str, list[ResourceKey]] = {}
    for resource in desired.of_kind("IPAddress"):
        spec = resource.spec
        if spec.type is not AddressType.EPHEMERAL or not machine_gone(spec, desired):
            found.setdefault(spec.network, []).append(resource.key)
    return found


def _beyond_prefixes(parent: str, look: KindView) -> Short:
    """Plays through what the IPAM will do: those that are named are cut out, then each child takes the smallest block
    that fits, which is split."""
    if look.desired is None or not _is_seen(parent, look):
        return NOBODY
    grows = _grows(parent, look)
    now, after, leaver = _free_blocks(parent, _usage(parent, look), look)
    at_first = {family: _free_words(found) for family, found in now.items()}
    beyond: dict[ResourceKey, str] = {}
    later: dict[ResourceKey, str] = {}
    for resource in sorted(children_of(parent, look), key=lambda one: in_order(one.key)):
        for family, length in _missing_lengths(resource.spec, look, resource.key):
            reason = (
                f"Network/{parent} has no free /{length} for this network; free before this plan: {at_first[family]}"
            )
            at_once, in_the_end = _take(now[family], length), _take(after[family], length)
            if grows and not at_once and not in_the_end:
                later[resource.key] = f"{reason}; {grows} is to be added"
            elif not at_once and not in_the_end:
                beyond[resource.key] = reason
            elif not at_once:
                later[resource.key] = f"{reason}; {leaver} will be released"
    return Short(beyond, later)


Blocks = dict[int, dict[int, int]]
"""By family: how many free blocks there are of each length."""


def _free_blocks(
    parent: str, usage: tuple[Usage, ...] | None, look: KindView
) -> tuple[Blocks, Blocks, ResourceKey | None]:
    """What is free beside what siblings ask for by name, and what will be when those have gone that go, with the first
    of them. An IPAM that others use too has the last word: where it says otherwise than what was seen, that holds."""
    said: Blocks = {4: {}, 6: {}}
    for one in usage or ():
        of_family = said[family_of(one.cidr)]
        for length, count in one.free_prefixes:
            of_family[length] = of_family.get(length, 0) + count
    now, after = dict(said), {family: dict(found) for family, found in said.items()}
    there, going = _inside(parent, look)
    for family, found in said.items():
        own, taken_ = _own(parent, family, look), [parse_span(cidr) for cidr, _ in there if family_of(cidr) == family]
        free = joined_spans(without(own, taken_))
        if usage is not None and blocks(free, family) != found:
            continue
        named = [parse_span(cidr) for cidr in _named(parent, family, there, look)]
        leaving = [parse_span(cidr) for cidr, key in there if key in going and family_of(cidr) == family]
        now[family] = blocks(without(free, named), family)
        after[family] = blocks(without(joined_spans([*free, *leaving]), named), family)
    return now, after, going[0] if going else None


def _own(parent: str, family: int, look: KindView) -> list[Span]:
    state = look.observed[ResourceKey("Network", parent)].value
    prefixes = [prefix for prefix in state.prefixes or () if family_of(prefix.cidr) == family]
    kept = [parse_span(part) for prefix in prefixes for part in prefix.reserved]
    return without([parse_span(prefix.cidr) for prefix in prefixes], kept)


def _inside(parent: str, look: KindView) -> tuple[list[tuple[str, ResourceKey]], list[ResourceKey]]:
    """The children's prefixes as they are, and the children that go."""
    there, going = [], []
    for key in sorted(look.observed):
        value = look.observed[key].value
        if isinstance(value, NetworkState) and value.network is not None and value.network.parent == parent:
            there += [(prefix.cidr, key) for prefix in value.network.prefixes]
            if releases(key, look, ephemeral=False):
                going.append(key)
    return there, going


def _named(parent: str, family: int, there: list[tuple[str, ResourceKey]], look: KindView) -> list[str]:
    """What siblings ask for by name and do not have yet."""
    have = {cidr for cidr, _ in there}
    wanted = [prefix.cidr for one in children_of(parent, look) for prefix in one.spec.prefixes]
    return [cidr for cidr in wanted if family_of(cidr) == family and cidr not in have]


def _children(desired: DesiredState) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for resource in desired.of_kind("Network"):
        if resource.spec.parent is not None:
            found.setdefault(resource.spec.parent, []).append(resource)
    return found


def _missing_lengths(spec: NetworkSpec, look: KindView, key: ResourceKey) -> list[tuple[int, int]]:
    seen = look.observed.get(key)
    state = seen.value if seen is not None else None
    if not isinstance(state, NetworkState):
        return []
    there = [family_and_length(prefix.cidr) for prefix in state.prefixes or ()]
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


def _beyond_numbers(pool: str, there: Pool, takers: Mapping[ResourceKey, int | None], look: KindView) -> Short:
    pending = [key for key in takers if key in look.observed and not _has_of(pool, look, key)]
    pending = [key for key in pending if (number := takers[key]) is None or is_free(number, pool, look, key)]
    pending.sort(key=lambda key: (takers[key] is None, key.kind, in_order(key)))
    free = max(0, pool_size(there) - _held_of(pool, there, look))
    there_is = f"Pool/{pool} has {free or 'no'} free number{'' if free == 1 else 's'} of {pool_size(there)}"
    room, named = number_room(look), {number for number in takers.values() if number is not None}
    going = [
        key
        for key in sorted([*room.leaves, *room.wants])
        if _has_of(pool, look, key) and key not in takers and _number_of(look, key) not in named
        if key in room.leaves or _has_number(key, room, look)
    ]
    spec = look.desired.resources.get(ResourceKey("Pool", pool)) if look.desired is not None else None
    if spec is not None and sum(one.last - one.first + 1 for one in ranges(spec.spec)) > pool_size(there):
        return Short({}, dict.fromkeys(pending[free:], f"{there_is} until its declared ranges are applied"))
    waiting = dict(zip(pending[free:], going, strict=False))
    return Short(
        dict.fromkeys(pending[free + len(going) :], f"{there_is}; {len(pending)} are requested"),
        {key: f"{there_is} until {leaver} releases its number" for key, leaver in waiting.items()},
    )


def _has_number(key: ResourceKey, room: Room, look: KindView) -> bool:
    """Whether there is a number in the other pool, to which it moves, as things are."""
    if room.wants[key] is not None or look.desired is None:
        return room.wants[key] not in room.owners
    spec: Any = look.desired.resources[key].spec
    to: Any = spec.vrf.pool if isinstance(spec, NetworkSpec) and spec.vrf is not None else spec.pool
    seen = look.observed.get(ResourceKey("Pool", to))
    there = pool_state(seen.value).pool if seen is not None else None
    return there is not None and pool_size(there) > _held_of(to, there, look)


def _held_of(pool: str, there: Pool, look: KindView) -> int:
    """How many numbers are held, by what the pool says or by who was seen to hold one: what is more."""
    return max(there.held, sum(1 for of, _ in number_room(look).owners if of == pool))


def _has_of(pool: str, look: KindView, key: ResourceKey, number: int | None = None) -> bool:
    held = _held_number(look, key)
    return held is not None and held.pool == pool and number in (None, held.number)


def _number_of(look: KindView, key: ResourceKey) -> int | None:
    held = _held_number(look, key)
    return held.number if held is not None else None


def _held_number(look: KindView, key: ResourceKey) -> Number | None:
    seen = look.observed.get(key)
    value = seen.value if seen is not None else None
    if isinstance(value, NetworkState):
        return value.vrf
    return value.held(key) if isinstance(value, NumberState) else None


def _place(kind: str, name: str, desired: DesiredState | None) -> str:
    resource = desired.resources.get(ResourceKey(kind, name)) if desired is not None else None
    return f"{kind}/{name} ({resource.source.file}:{resource.source.line})" if resource else f"{kind}/{name}"
