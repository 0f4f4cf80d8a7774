"""What is in a machine, by its BMC and by the agent side by side, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import zip_longest

from drivers.base import Inventory
from reconciler.kinds.common.consoles.offered_consoles import offered_consoles
from reconciler.kinds.common.mac_vendor import mac_vendor
from reconciler.kinds.common.machine_inventory import Kept, SizeFound, StoredInventory
from reconciler.model.counting import count
from reconciler.onboarding.inventory_comparison import changes, disagreements
from reconciler.views.columns import short_age
from reconciler.views.render.tables.sizes import in_bytes
from reconciler.views.render.words import Paint, clean, unpainted

_NOTHING = "unknown"
_CONSOLES = "consoles"
"""Only a BMC can have them, and many report none."""


def inventory_lines(
    title: str,
    inventory: StoredInventory,
    size: SizeFound | None,
    now: datetime,
    *,
    wide: bool = False,
    paint: Paint = unpainted,
) -> Iterator[str]:
    """The parts, a column for each origin, then what differs. `wide`: models and serial numbers too."""
    yield paint("bold", clean(title))
    if not inventory.all:
        yield "no inventory yet; --refresh reads it from the BMC"
        return
    rows = [
        ("", *(one.origin.upper() for one in inventory.all)),
        ("taken", *(_taken(one, now) for one in inventory.all)),
    ]
    for section, lines in _SECTIONS.items():
        cells = [None if one.value is None else lines(one.value, wide) for one in inventory.all]
        if section == _CONSOLES and not any(cells):
            continue
        columns = [[_NOTHING] if cell is None else list(cell) or ["none"] for cell in cells]
        for at, row in enumerate(zip_longest(*columns, fillvalue="")):
            rows.append((section if at == 0 else "", *row))
    yield from _table(rows)
    if size is not None:
        yield f"size: {size.name or size.why}"
    yield from difference_lines(inventory, paint)


def difference_lines(inventory: StoredInventory, paint: Paint = unpainted) -> Iterator[str]:
    """What changed since it was as it should be, and by what BMC and agent differ."""
    for kept in inventory.all:
        found = changes(kept)
        if found:
            yield f"{kept.origin}, changed at {kept.since:%Y-%m-%d %H:%M}Z:"
            yield from (f"  {paint('red', clean(str(one))) if one.loss else clean(str(one))}" for one in found)
    found = disagreements(inventory)
    if found:
        yield "BMC -> agent:"
        yield from (f"  {clean(str(one))}" for one in found)


def _taken(kept: Kept, now: datetime) -> str:
    when = f"{short_age(kept.taken_at, now)} ago" if kept.taken_at else "never"
    return f"{when}; {kept.error.reason} {short_age(kept.tried_at, now)} ago" if kept.error else when


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _processors(value: Inventory, _wide: bool) -> list[str] | None:
    each = [f"{_many(one.cores, 'core')}, {_many(one.threads, 'thread')}{_more(one.model)}" for one in value.processors]
    return _with_unread(each, value, "processors")


def _memory(value: Inventory, wide: bool) -> list[str] | None:
    modules = "" if value.modules is None else f" in {count(len(value.modules), 'module')}"
    if value.unread_of("modules"):
        modules = f"{modules or ' in modules'}, and {count(len(value.unread_of('modules')), 'module')} not read"
    each = [
        f"{clean(one.name)} {_bytes(one.size)}{_more(one.model, one.serial)}" for one in value.modules or () if wide
    ]
    if "memory" in value.missing or not value.memory:
        return [f"size unknown{modules}", *each] if modules else None
    return [f"{in_bytes(value.memory)}{modules}", *each]


def _disks(value: Inventory, wide: bool) -> list[str] | None:
    each = [
        f"{clean(one.name)} {_bytes(one.size)}{_more(one.model, one.serial) if wide else ''}" for one in value.disks
    ]
    return _with_unread(each, value, "disks")


def _gpus(value: Inventory, _wide: bool) -> list[str] | None:
    each = [clean(one.model) or "without a model" for one in value.gpus]
    return None if "gpus" in value.missing and not each else each


def _nics(value: Inventory, _wide: bool) -> list[str] | None:
    each = [
        f"{clean(one.name)} {one.mac}{f' {one.speed:,} Mbit/s' if one.speed else ''}{_more(mac_vendor(one.mac))}"
        for one in value.nics or ()
    ]
    return None if value.nics is None and not value.unread_of("nics") else _with_unread(each, value, "nics")


def _neighbours(value: Inventory, _wide: bool) -> list[str] | None:
    if value.neighbours is None:
        return None
    return [f"{clean(one.interface)} -> {clean(one.system)} {clean(one.port)}" for one in value.neighbours]


def _consoles(value: Inventory, _wide: bool) -> list[str] | None:
    return None if value.consoles is None else offered_consoles(value.consoles)


def _with_unread(each: list[str], value: Inventory, name: str) -> list[str] | None:
    """The lines of a list, and of what is listed and could not be read; None where nothing is known."""
    unread = value.unread_of(name)
    if name in value.missing and not unread:
        return None
    return [*each, *(f"{clean(one.name) or 'a part of this list'} not read" for one in unread)]


def _more(*texts: str) -> str:
    return "".join(f", {clean(text)}" for text in texts if text)


def _bytes(number: int) -> str:
    return in_bytes(number) if number else "size unknown"


def _many(number: int, noun: str) -> str:
    return count(number, noun) if number else f"{noun}s unknown"


_SECTIONS: dict[str, Callable[[Inventory, bool], list[str] | None]] = {
    "processors": _processors,
    "memory": _memory,
    "disks": _disks,
    "GPUs": _gpus,
    "interfaces": _nics,
    "neighbours": _neighbours,
    _CONSOLES: _consoles,
}
