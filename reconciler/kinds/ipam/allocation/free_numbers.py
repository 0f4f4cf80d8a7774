"""Numbers of a pool, such as VRFs and ASNs: how many are free, who asks for one, and who is beyond them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.base import Number, Pool
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.allocation.conflicts import (
    Room,
    conflict_hold,
    is_free,
    number_holder,
    number_room,
    waited_for,
)
from reconciler.kinds.ipam.exhaustion import (
    Short,
    in_order,
    place_words,
    short_holds,
)
from reconciler.kinds.ipam.network import (
    NetworkSpec,
    NetworkState,
)
from reconciler.kinds.ipam.pool import NumberState, pool_size, pool_state, ranges
from reconciler.model.actions.ipam_actions import AcquireNumber, AcquireVrf
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey

HOW_TO_RELEASE_NUMBER = "remove the Number with deletionPolicy: Release, or `vrf` of the Network"
"""How to proceed when a number must become free."""


def number_holds(pool: str, number: int | None, has_one: bool, path: str, view: KindView) -> Iterator[Hold]:
    """What stops the look's resource from taking a number of the pool: the pool is not there. Another has the number.
    Others that name theirs, and will have it, come first. Nothing is free. `has_one`: it releases another for it."""
    seen = view.observed.get(ResourceKey("Pool", pool))
    there = pool_state(seen.value).pool if seen is not None else None
    if there is None or view.desired is None:
        reason = f"Pool/{pool} does not exist yet"
        yield Hold(HoldKind.BLOCKED, f"Pool/{pool}", reason, f"continues automatically when Pool/{pool} exists")
        return
    takers = view.desired.derived("takers of numbers", _takers).get(pool, {})
    if number is not None:
        verdict = number_holder(number, pool, view)
        if verdict is not None:
            if not (verdict.goes and verdict.swaps and has_one):
                yield conflict_hold(f"{number} of {pool}", verdict, path, view)
            return
    else:
        for key in view.desired.derived("pinned numbers", _pinned).get(pool, ()):
            if not _has_of(pool, view, key, takers[key]) and _will_have(key, takers[key], pool, view):
                reason = f"{key} requests a fixed number of Pool/{pool}, and acquires this number first"
                yield Hold(HoldKind.BLOCKED, str(key), reason, f"continues automatically when {key} holds its number")
                return
    if pool_size(there) - _held_of(pool, there, view) >= len(takers):
        return
    found = view.once(f"numbers of {pool}", lambda: _beyond_numbers(pool, there, takers, view))
    hint = (
        f"release a number that is not needed ({HOW_TO_RELEASE_NUMBER}), "
        f"or add a range to {place_words('Pool', pool, view.desired)}"
    )
    yield from short_holds(found, hint, path, view)


def _will_have(key: ResourceKey, number: int | None, pool: str, view: KindView) -> bool:
    """Whether it has the number that it names before long."""
    field = AcquireVrf.path if key.kind == "Network" else AcquireNumber.path
    if number is None or view.refused(key, field) or key in view.barred():
        return False
    return waited_for(number_holder(number, pool, view, key), view)


def holders_of_pool(pool: str, view: KindView) -> list[Number]:
    """Who holds a number of it, by owner, as far as it was seen."""
    found = (_held_number(view, key) for key in sorted(view.observed))
    return [one for one in found if one is not None and one.pool == pool]


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


def _beyond_numbers(pool: str, there: Pool, takers: Mapping[ResourceKey, int | None], view: KindView) -> Short:
    pending = [key for key in takers if key in view.observed and not _has_of(pool, view, key)]
    pending = [key for key in pending if (number := takers[key]) is None or is_free(number, pool, view, key)]
    pending.sort(key=lambda key: (takers[key] is None, key.kind, in_order(key)))
    free = max(0, pool_size(there) - _held_of(pool, there, view))
    there_is = f"{free or 'none'} of the {pool_size(there)} numbers of Pool/{pool} {'is' if free == 1 else 'are'} free"
    room, named = number_room(view), {number for number in takers.values() if number is not None}
    releasing = [
        key
        for key in sorted([*room.leaves, *room.wants])
        if _has_of(pool, view, key) and key not in takers and _number_of(view, key) not in named
        if key in room.leaves or _has_number(key, room, view)
    ]
    spec = view.desired.resources.get(ResourceKey("Pool", pool)) if view.desired is not None else None
    if spec is not None and sum(one.last - one.first + 1 for one in ranges(spec.spec)) > pool_size(there):
        return Short({}, dict.fromkeys(pending[free:], f"{there_is} until its declared ranges are applied"))
    waiting = dict(zip(pending[free:], releasing, strict=False))
    return Short(
        dict.fromkeys(pending[free + len(releasing) :], f"{there_is}; {len(pending)} are requested"),
        {key: f"{there_is} until {leaver} releases its number" for key, leaver in waiting.items()},
    )


def _has_number(key: ResourceKey, room: Room, view: KindView) -> bool:
    """Whether there is a number in the other pool, to which it moves, as things are."""
    if room.wants[key] is not None or view.desired is None:
        return room.wants[key] not in room.owners
    spec: Any = view.desired.resources[key].spec
    to: Any = spec.vrf.pool if isinstance(spec, NetworkSpec) and spec.vrf is not None else spec.pool
    seen = view.observed.get(ResourceKey("Pool", to))
    there = pool_state(seen.value).pool if seen is not None else None
    return there is not None and pool_size(there) > _held_of(to, there, view)


def _held_of(pool: str, there: Pool, view: KindView) -> int:
    """How many numbers are held, by what the pool says or by who was seen to hold one: what is more."""
    return max(there.held, sum(1 for of, _ in number_room(view).owners if of == pool))


def _has_of(pool: str, view: KindView, key: ResourceKey, number: int | None = None) -> bool:
    held = _held_number(view, key)
    return held is not None and held.pool == pool and number in (None, held.number)


def _number_of(view: KindView, key: ResourceKey) -> int | None:
    held = _held_number(view, key)
    return held.number if held is not None else None


def _held_number(view: KindView, key: ResourceKey) -> Number | None:
    seen = view.observed.get(key)
    value = seen.value if seen is not None else None
    if isinstance(value, NetworkState):
        return value.vrf
    return value.held(key) if isinstance(value, NumberState) else None
