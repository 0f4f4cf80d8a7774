"""What became of a machine's parts from one inventory to the next, or by what two origins differ. Pure.

Parts are found again by their serial number or MAC address, then by their name, then by their model. A part of which
one side knows nothing, or which one side could not read, has not changed: unknown is not gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import msgspec

from drivers.base import Inventory, mac_address

MEMORY_SLACK = 0.01
"""Where no modules are reported, memory is what the kernel left over, which a new kernel changes a little."""
ORIGINS_SLACK = 0.05
"""Between BMC and agent: memory that the firmware keeps for itself, and disks counted in other units."""


class Turn(StrEnum):
    """What became of a part."""

    LOST = "lost"
    NEW = "new"
    CHANGED = "changed"


class PartChange(msgspec.Struct, frozen=True):
    """One part. `before` and `after` say what it was and is, for people; `loss`: there is less than before."""

    part: str
    name: str
    turn: Turn
    before: str = ""
    after: str = ""
    loss: bool = False

    def __str__(self) -> str:
        what = f"{self.part} {self.name}".strip()
        match self.turn:
            case Turn.LOST:
                return f"{what} is missing; it was {self.before}"
            case Turn.NEW:
                return f"{what} is new: {self.after}"
            case Turn.CHANGED:
                return f"{what}: {self.before} -> {self.after}"


class _Part(msgspec.Struct, frozen=True):
    """A part in the form in which parts are paired. `identity` is its own for ever, `amount` how much it counts."""

    identity: str
    name: str
    model: str
    amount: int = 0
    unit: str = ""
    extra: str = ""

    @property
    def said(self) -> str:
        amount = f"{self.amount:,} {self.unit}" if self.unit and self.amount else ""
        return (
            ", ".join(word for word in (self.model, amount, self.extra, self.identity) if word) or "no details reported"
        )


def inventory_differences(before: Inventory, after: Inventory) -> tuple[PartChange, ...]:
    """What one origin says now and did not say before, the losses first."""
    found: list[PartChange] = []
    for name, listed in _PARTS.items():
        was, now = listed(before), listed(after)
        if was is not None and now is not None:
            unread = [{one.name for one in side.unread_of(_FIELDS[name])} for side in (before, after)]
            found += _known(_paired(name, was, now), *unread)
    if not (before.is_whole("modules") and after.is_whole("modules")):
        found += _memory(before, after, MEMORY_SLACK)
    return tuple(sorted(found, key=lambda one: (not one.loss, one.part, one.name)))


def _known(found: Iterable[PartChange], before: set[str], after: set[str]) -> Iterator[PartChange]:
    """Without what may be one of those that could not be read, by their names. A name that is not known may be any."""
    found = list(found)
    for turn, unread in ((Turn.LOST, after), (Turn.NEW, before)):
        names = {one.name for one in found if one.turn is turn}
        hidden = names if unread - names else unread
        found = [one for one in found if one.turn is not turn or one.name not in hidden]
    yield from found


def between(bmc: Inventory, agent: Inventory) -> tuple[PartChange, ...]:
    """By what a BMC and the agent differ. They call the same parts by other names, so sums and counts are compared,
    and what is unique."""
    found = list(_memory(bmc, agent, ORIGINS_SLACK))
    for name in ("processor", "disk", "GPU"):
        was, now = _PARTS[name](bmc), _PARTS[name](agent)
        if was is not None and now is not None and len(was) != len(now) and _are_whole(_FIELDS[name], bmc, agent):
            found.append(_sums(f"number of {name}s", len(was), len(now)))
    cores = [sum(one.cores for one in side.processors) for side in (bmc, agent)]
    if all(cores) and cores[0] != cores[1] and _are_whole("processors", bmc, agent):
        found.append(_sums("number of cores", *cores))
    if _are_whole("disks", bmc, agent):
        sizes = [sum(one.size for one in side.disks) for side in (bmc, agent)]
        if all(sizes) and abs(sizes[0] - sizes[1]) > ORIGINS_SLACK * max(sizes):
            found.append(_sums("bytes of disks", *sizes))
    if bmc.nics is not None and agent.nics is not None and agent.is_whole("nics"):
        there = {nic.mac for nic in agent.nics}
        found += [
            PartChange("interface", nic.name, Turn.LOST, nic.mac, loss=True)
            for nic in bmc.nics
            # The agent sees an InfiniBand port only where it has the driver, and a BMC may give the card's EUI-64.
            if nic.mac not in there and mac_address(nic.mac)
        ]
    return tuple(found)


def _are_whole(name: str, *sides: Inventory) -> bool:
    return all(side.is_whole(name) for side in sides)


def _sums(what: str, before: int, after: int) -> PartChange:
    return PartChange("", what, Turn.CHANGED, f"{before:,}", f"{after:,}", after < before)


def _memory(before: Inventory, after: Inventory, slack: float) -> Iterator[PartChange]:
    was, now = before.memory, after.memory
    if "memory" not in (*before.missing, *after.missing) and was and now and abs(was - now) > slack * max(was, now):
        yield PartChange("memory", "", Turn.CHANGED, f"{was:,} bytes", f"{now:,} bytes", now < was)


def _paired(part: str, before: list[_Part], after: list[_Part]) -> Iterator[PartChange]:
    pairs: list[tuple[_Part, _Part]] = []
    for same in (_whole, _identity, _name, _model):
        before, after = _take(before, after, same, pairs)
    for was, now in pairs:
        if (was.amount, was.extra, was.identity) != (now.amount, now.extra, now.identity):
            yield PartChange(part, now.name or was.name, Turn.CHANGED, was.said, now.said, now.amount < was.amount)
    yield from (PartChange(part, one.name, Turn.LOST, one.said, loss=True) for one in before)
    yield from (PartChange(part, one.name, Turn.NEW, after=one.said) for one in after)


def _take(
    before: list[_Part], after: list[_Part], same: Callable[[_Part], object], pairs: list[tuple[_Part, _Part]]
) -> tuple[list[_Part], list[_Part]]:
    """Pair those of which `same` gives the same; return the rest of each side."""
    waiting: dict[object, list[_Part]] = {}
    for one in after:
        waiting.setdefault(same(one), []).append(one)
    left = []
    for one in before:
        found = waiting.get(same(one)) if same(one) else None
        if found:
            pairs.append((one, found.pop(0)))
        else:
            left.append(one)
    rest = {id(one) for found in waiting.values() for one in found}
    return left, [one for one in after if id(one) in rest]


def _whole(part: _Part) -> object:
    return part


def _identity(part: _Part) -> object:
    return part.identity


def _name(part: _Part) -> object:
    return part.name


def _model(part: _Part) -> object:
    return part.model


def _is_unknown(name: str, inventory: Inventory) -> bool:
    return name in inventory.missing and not (getattr(inventory, name) and inventory.unread_of(name))


def _processors(inventory: Inventory) -> list[_Part] | None:
    if _is_unknown("processors", inventory):
        return None
    found = inventory.processors
    return [_Part("", "", one.model, one.cores, "cores", f"{one.threads:,} threads") for one in found]


def _disks(inventory: Inventory) -> list[_Part] | None:
    if _is_unknown("disks", inventory):
        return None
    return [_Part(one.serial, one.name, one.model, one.size, "bytes") for one in inventory.disks]


def _gpus(inventory: Inventory) -> list[_Part] | None:
    return None if _is_unknown("gpus", inventory) else [_Part("", "", one.model) for one in inventory.gpus]


def _modules(inventory: Inventory) -> list[_Part] | None:
    if inventory.modules is None:
        return None
    return [_Part(one.serial, one.name, one.model, one.size, "bytes") for one in inventory.modules]


def _nics(inventory: Inventory) -> list[_Part] | None:
    return None if inventory.nics is None else [_Part(one.mac, one.name, "") for one in inventory.nics]


def _neighbours(inventory: Inventory) -> list[_Part] | None:
    if inventory.neighbours is None:
        return None
    return [_Part("", one.interface, "", extra=f"{one.system} port {one.port}") for one in inventory.neighbours]


_PARTS: dict[str, Callable[[Inventory], list[_Part] | None]] = {
    "processor": _processors,
    "memory module": _modules,
    "disk": _disks,
    "GPU": _gpus,
    "interface": _nics,
    "neighbour of": _neighbours,
}
_FIELDS = {
    "processor": "processors",
    "memory module": "modules",
    "disk": "disks",
    "GPU": "gpus",
    "interface": "nics",
    "neighbour of": "neighbours",
}
"""Where each is in an Inventory."""
