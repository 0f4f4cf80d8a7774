"""Who finds no room: prefixes of a parent, addresses of a network, numbers of a pool that more ask for than are free.

The IPAM refuses what it has no room for; this foresees it, so that the plan says so, and says what is free. Resources
that name what they want come first, then the others in order of their names. What is free, and who is beyond it, is
worked out by `free_addresses.py`, `free_prefixes.py` and `free_numbers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from drivers.base import Usage
from reconciler.kinds.claim.spec import of_claim
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.network import (
    NetworkState,
)
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey

EXHAUSTED = "exhausted"


class Short(msgspec.Struct, frozen=True):
    """The resources for which nothing is free, and why: `beyond` it permanently, or until others have released their
    values (`later`)."""

    beyond: dict[ResourceKey, str]
    later: dict[ResourceKey, str]


NOBODY = Short({}, {})


def short_holds(found: Short, hint: str, path: str, view: KindView) -> Iterator[Hold]:
    if view.key in found.beyond:
        yield Hold(HoldKind.GUARD, EXHAUSTED, found.beyond[view.key], hint, path)
    elif view.key in found.later:
        hint = "continues automatically when space is free"
        yield Hold(HoldKind.BLOCKED, EXHAUSTED, found.later[view.key], hint)


def in_order(key: ResourceKey) -> tuple[str, int, str, int]:
    """In which order those come that leave the choice to the IPAM: of their names, as a list shows them. Those of a
    claim by the number of the slot."""
    meant = of_claim(key)
    return (key.name, -1, "", 0) if meant is None else (meant.claim, meant.slot, meant.network, meant.family)


def growing_prefix(network: str, view: KindView) -> str:
    """The first prefix that it is to have and does not have yet; nothing if there is none."""
    key = ResourceKey("Network", network)
    resource = view.desired.resources.get(key) if view.desired is not None else None
    state = view.observed[key].value
    have = {prefix.cidr for prefix in state.prefixes or ()}
    return next((one.cidr for one in resource.spec.prefixes if one.cidr not in have), "") if resource else ""


def usage_of(network: str, view: KindView) -> tuple[Usage, ...] | None:
    seen = view.observed.get(ResourceKey("Network", network))
    return seen.value.usage if seen is not None and isinstance(seen.value, NetworkState) else None


def place_words(kind: str, name: str, desired: DesiredState | None) -> str:
    resource = desired.resources.get(ResourceKey(kind, name)) if desired is not None else None
    return f"{kind}/{name} ({resource.source.file}:{resource.source.line})" if resource else f"{kind}/{name}"
