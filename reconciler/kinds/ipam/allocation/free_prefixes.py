"""Prefixes of a parent network: which blocks are free, and which child finds none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.base import Usage
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.allocation.conflicts import (
    releases,
)
from reconciler.kinds.ipam.exhaustion import (
    NOBODY,
    Short,
    growing_prefix,
    in_order,
    place_words,
    short_holds,
    usage_of,
)
from reconciler.kinds.ipam.intervals import Span, blocks, joined_spans, parse_span, without
from reconciler.kinds.ipam.network import (
    NetworkSpec,
    NetworkState,
    chosen_lengths,
    family_and_length,
    family_of,
    parent_of,
)
from reconciler.model.plans.plan import Hold
from reconciler.model.resource import DesiredState, ResourceKey


def short_of_prefixes(parent: str, lengths: Mapping[int, int], path: str, view: KindView) -> Iterator[Hold]:
    """A hold when the parent has no free block for the look's resource."""
    found = view.once(f"prefixes of {parent}", lambda: _beyond_prefixes(parent, view))
    if view.key in found.beyond or view.key in found.later:
        longest = ", ".join(f"/{length}" for _, length in sorted(lengths.items()))
        place = place_words("Network", parent, view.desired)
        hint = (
            f"add a prefix to {place}, remove one of its children, or request a longer prefix length than "
            f"{longest} (spec.prefixLength)"
        )
        yield from short_holds(found, hint, path, view)


def children_of(parent: str, view: KindView) -> list[Any]:
    """The networks that are declared to be parts of it, by name."""
    return view.desired.derived("children", _children).get(parent, []) if view.desired is not None else []


def _beyond_prefixes(parent: str, view: KindView) -> Short:
    """Plays through what the IPAM will do. Those that are named are cut out, then each child takes the smallest block
    that fits, which is split."""
    if view.desired is None or not _is_seen(parent, view):
        return NOBODY
    grows = growing_prefix(parent, view)
    now, after, leaver = _free_blocks(parent, usage_of(parent, view), view)
    at_first = {family: _free_words(found) for family, found in now.items()}
    beyond: dict[ResourceKey, str] = {}
    later: dict[ResourceKey, str] = {}
    for resource in sorted(children_of(parent, view), key=lambda one: in_order(one.key)):
        for family, length in _missing_lengths(resource.spec, view, resource.key):
            reason = (
                f"Network/{parent} has no free /{length} for this network; free before this plan: {at_first[family]}"
            )
            at_once, in_the_end = _take(now[family], length), _take(after[family], length)
            if grows and not at_once and not in_the_end:
                later[resource.key] = f"{reason}; the prefix {grows} will be added first"
            elif not at_once and not in_the_end:
                beyond[resource.key] = reason
            elif not at_once:
                later[resource.key] = f"{reason}; {leaver} will be released first"
    return Short(beyond, later)


def _is_seen(network: str, view: KindView) -> bool:
    seen = view.observed.get(ResourceKey("Network", network))
    return seen is not None and isinstance(seen.value, NetworkState) and seen.value.network is not None


Blocks = dict[int, dict[int, int]]
"""By family: how many free blocks there are of each length."""


def _free_blocks(
    parent: str, usage: tuple[Usage, ...] | None, view: KindView
) -> tuple[Blocks, Blocks, ResourceKey | None]:
    """What is free beside what siblings ask for by name, and what will be when those have gone that go, with the first
    of them. An IPAM that others use too has the last word: where it says otherwise than what was seen, that holds."""
    said: Blocks = {4: {}, 6: {}}
    for one in usage or ():
        of_family = said[family_of(one.cidr)]
        for length, count in one.free_prefixes:
            of_family[length] = of_family.get(length, 0) + count
    now, after = dict(said), {family: dict(found) for family, found in said.items()}
    there, releasing = _inside(parent, view)
    for family, found in said.items():
        own, taken_ = _own(parent, family, view), [parse_span(cidr) for cidr, _ in there if family_of(cidr) == family]
        free = joined_spans(without(own, taken_))
        if usage is not None and blocks(free, family) != found:
            continue
        named = [parse_span(cidr) for cidr in _named(parent, family, there, view)]
        leaving = [parse_span(cidr) for cidr, key in there if key in releasing and family_of(cidr) == family]
        now[family] = blocks(without(free, named), family)
        after[family] = blocks(without(joined_spans([*free, *leaving]), named), family)
    return now, after, releasing[0] if releasing else None


def _own(parent: str, family: int, view: KindView) -> list[Span]:
    state = view.observed[ResourceKey("Network", parent)].value
    prefixes = [prefix for prefix in state.prefixes or () if family_of(prefix.cidr) == family]
    kept = [parse_span(part) for prefix in prefixes for part in prefix.reserved]
    return without([parse_span(prefix.cidr) for prefix in prefixes], kept)


def _inside(parent: str, view: KindView) -> tuple[list[tuple[str, ResourceKey]], list[ResourceKey]]:
    """The children's prefixes as they are, and the children that go."""
    there, releasing = [], []
    for key in sorted(view.observed):
        value = view.observed[key].value
        if isinstance(value, NetworkState) and value.network is not None and value.network.parent == parent:
            there += [(prefix.cidr, key) for prefix in value.network.prefixes]
            if releases(key, view, ephemeral=False):
                releasing.append(key)
    return there, releasing


def _named(parent: str, family: int, there: list[tuple[str, ResourceKey]], view: KindView) -> list[str]:
    """What siblings ask for by name and do not have yet."""
    have = {cidr for cidr, _ in there}
    wanted = [prefix.cidr for one in children_of(parent, view) for prefix in one.spec.prefixes]
    return [cidr for cidr in wanted if family_of(cidr) == family and cidr not in have]


def _children(desired: DesiredState) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for resource in desired.of_kind("Network"):
        if resource.spec.parent is not None:
            found.setdefault(resource.spec.parent, []).append(resource)
    return found


def _missing_lengths(spec: NetworkSpec, view: KindView, key: ResourceKey) -> list[tuple[int, int]]:
    seen = view.observed.get(key)
    state = seen.value if seen is not None else None
    if not isinstance(state, NetworkState):
        return []
    there = [family_and_length(prefix.cidr) for prefix in state.prefixes or ()]
    return [one for one in sorted(chosen_lengths(spec, parent_of(spec, view.desired)).items()) if one not in there]


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
