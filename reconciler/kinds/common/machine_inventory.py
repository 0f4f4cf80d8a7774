"""The stored inventory of a resource, from its endpoint and from the agent that ran on it. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from drivers.base import Inventory, mac_address
from reconciler.model.observation import ReadError


class Origin(StrEnum):
    """Who says it: the endpoint, such as a BMC, or the agent that ran on the machine itself."""

    OUT_OF_BAND = "out-of-band"
    IN_BAND = "in-band"


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one origin says. `value` was seen first at `since`, and last at `taken_at`; None: it never said anything.

    `previous`: what it said before, last at `previous_at`, until a person accepts the change. `error`: why the newest
    try, at `tried_at`, failed.
    """

    origin: Origin
    """Who read it."""
    value: Inventory | None = None
    """What was read last; None: it never reported anything."""
    since: datetime | None = None
    """When this value was read first."""
    taken_at: datetime | None = None
    """When it was read last."""
    previous: Inventory | None = None
    """What it reported before, until a person accepts the change."""
    previous_at: datetime | None = None
    """When that was read last."""
    error: ReadError | None = None
    """Why the last try failed; None: it did not."""
    tried_at: datetime | None = None
    """When it was tried last."""


class StoredInventory(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is kept of one resource."""

    out_of_band: Kept | None = None
    """What the BMC reported."""
    in_band: Kept | None = None
    """What the agent reported."""

    @property
    def all(self) -> tuple[Kept, ...]:
        """Both, as far as there are two."""
        return tuple(one for one in (self.out_of_band, self.in_band) if one is not None)

    @property
    def best(self) -> Inventory | None:
        """What counts: the agent, which looks with the machine's own eyes, and the BMC where the agent says nothing."""
        reported = [one.value for one in (self.in_band, self.out_of_band) if one is not None and one.value is not None]
        return _joined(*reported) if len(reported) == 2 else reported[0] if reported else None

    @property
    def macs(self) -> frozenset[str]:
        """Every MAC address that either says, in lower case. Not all are of this machine alone: the interface between
        a host and its BMC may have the same in each."""
        values = [one.value.nics or () for one in self.all if one.value is not None]
        return frozenset(nic.mac for nics in values for nic in nics if mac_address(nic.mac))


NO_INVENTORY = StoredInventory()

_LISTED = ("processors", "memory", "disks", "gpus")
_OPTIONAL = ("modules", "nics", "neighbours")


def _joined(first: Inventory, second: Inventory) -> Inventory:
    """The first, and what it does not say from the second."""
    gained = {name for name in _LISTED if name in first.missing and name not in second.missing}
    gained |= {name for name in _OPTIONAL if not first.is_whole(name) and second.is_whole(name)}
    # Half of a list is better than nothing of it.
    unknown = {name for name in (*_LISTED, *_OPTIONAL) if not first.is_whole(name) and not getattr(first, name)}
    gained |= {name for name in unknown if getattr(second, name)}
    taken: dict[str, Any] = {name: getattr(second, name) for name in gained}
    known = {name for name in gained if second.is_whole(name)}
    taken["missing"] = tuple(name for name in first.missing if name not in known)
    unread = {one for one in first.unread if one.part not in gained}
    unread |= {one for one in second.unread if one.part in gained}
    taken["unread"] = tuple(sorted(unread))
    return msgspec.structs.replace(first, **taken)


def as_json(inventory: Inventory) -> dict[str, Any]:
    """The inventory as paths see it: a part of which nothing is known is absent, and so is a number not reported."""
    found: dict[str, Any] = {}
    for name in (*_LISTED, *_OPTIONAL):
        value = getattr(inventory, name)
        if inventory.is_whole(name):
            # A list, as JSON has it: paths do not know tuples.
            found[name] = list(msgspec.to_builtins(value)) if isinstance(value, tuple) else value
    if not found.get("memory"):
        found.pop("memory", None)
    return found


SIZE_LABEL = "groundstate/size"
"""The label that follows from what is in a machine; no document can give it."""
AGGREGATE = "aggregate/"
"""What the label of a computed number begins with; the number's name follows."""


class SizeFound(msgspec.Struct, frozen=True):
    """The one size that fits, or why none is known. `settled`: more knowledge would not change it."""

    name: str | None
    why: str
    decided: bool = True


def is_derived(label: str) -> bool:
    """Whether the label is one that follows from the inventory."""
    return label == SIZE_LABEL or label.startswith(AGGREGATE)
