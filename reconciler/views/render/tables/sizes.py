"""Why each size fits a machine or not, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import Inventory
from reconciler.kinds.catalogue.size import IN_BYTES
from reconciler.kinds.catalogue.size_matching import ConstraintCheck, Explanation, SizeVerdict, unknown_parts
from reconciler.kinds.common.machine_inventory import Kept, Origin
from reconciler.model.counting import count
from reconciler.views.columns import short_age
from reconciler.views.render.words import Paint, clean, unpainted

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_COLOURS = {SizeVerdict.FITS: "green", SizeVerdict.DIFFERS: "dim", SizeVerdict.UNKNOWN: "yellow"}


_WHOSE = {Origin.IN_BAND: "what the agent reported", Origin.OUT_OF_BAND: "what the BMC reported"}


class Basis(msgspec.Struct, frozen=True):
    """By which inventory it is judged: from `file`, or what is `kept` joined, or else what the BMC says now."""

    inventory: Inventory
    kept: tuple[Kept, ...] = ()
    file: str | None = None


def size_lines(
    machine: str,
    declared: str | None,
    basis: Basis,
    found: Sequence[Explanation],
    now: datetime,
    paint: Paint = unpainted,
) -> Iterator[str]:
    """The machine, each size with its constraints, and the verdict at last."""
    yield f"{paint('bold', clean(machine))}: {', '.join(_parts(basis.inventory))}"
    yield f"by {_whose(basis, now)}"
    for one in found:
        mark = " (declared)" if one.size == declared else ""
        yield f"{paint(_COLOURS[one.verdict], f'{clean(one.size)}  {one.verdict}')}{mark}"
        yield from (f"    {line}" for line in _reasons(one))
    yield verdict(machine, declared, found)


def basis_form(basis: Basis) -> dict[str, Any]:
    """Where the inventory is from, for JSON: `file`, `kept` with when each origin was read last, or `bmc`: just now."""
    if basis.file is not None:
        return {"source": "file"}
    if basis.kept:
        return {"source": "kept", "taken_at": {str(one.origin): one.taken_at for one in basis.kept}}
    return {"source": "bmc"}


def _whose(basis: Basis, now: datetime) -> str:
    if basis.file is not None:
        return clean(basis.file)
    if not basis.kept:
        return "what the BMC reports now; no inventory is stored"
    return " and ".join(f"{_WHOSE[one.origin]} {short_age(one.taken_at, now)} ago" for one in reversed(basis.kept))


def verdict(machine: str, declared: str | None, found: Sequence[Explanation]) -> str:
    """Which size it is, or why that cannot be said."""
    fits = [one.size for one in found if one.verdict is SizeVerdict.FITS]
    unknown = [one.size for one in found if one.verdict is SizeVerdict.UNKNOWN]
    if len(fits) > 1:
        said = f"{machine} fits {len(fits)} sizes: {', '.join(fits)}"
        return f"{said}; change spec.constraints of these Sizes, so that only one fits"
    if fits:
        said = f"{machine} is of size {fits[0]}"
        if declared is None:
            return f"{said}; the document declares no size"
        return f"{said}, as declared" if declared == fits[0] else f"{said}, but the document declares {declared}"
    if unknown:
        return f"{machine} may have size {' or '.join(unknown)}: part of the inventory is unknown"
    return f"{machine} fits no size" if found else "no Size is declared"


def is_right(declared: str | None, found: Sequence[Explanation]) -> bool:
    """Whether exactly one size fits, and it is the one that is declared, if any is."""
    fits = [one.size for one in found if one.verdict is SizeVerdict.FITS]
    return len(fits) == 1 and declared in (None, fits[0])


def in_bytes(number: int) -> str:
    """`1.8 TiB`: the largest unit that leaves at least one, with a decimal where that is not exact."""
    unit = 0
    while unit < len(_UNITS) - 1 and number >= 1024 ** (unit + 1):
        unit += 1
    whole, rest = divmod(number, 1024**unit)
    return f"{whole} {_UNITS[unit]}" if not rest else f"{number / 1024**unit:.1f} {_UNITS[unit]}"


def _parts(inventory: Inventory) -> Iterator[str]:
    unknown = unknown_parts(inventory)
    if "processors" not in unknown:
        cores = sum(one.cores for one in inventory.processors)
        yield f"{count(len(inventory.processors), 'processor')} with {count(cores, 'core')}"
    if "memory" not in unknown:
        yield f"{in_bytes(inventory.memory)} of memory"
    if "disks" not in unknown:
        yield f"{count(len(inventory.disks), 'disk')} of {in_bytes(sum(one.size for one in inventory.disks))}"
    if "gpus" not in unknown:
        yield count(len(inventory.gpus), "GPU")
    if unknown:
        yield f"{' and '.join(unknown)} unknown"


def _reasons(one: Explanation) -> Iterator[str]:
    for check in one.checks:
        holds = {True: "holds", False: "not met", None: "unknown"}[check.holds]
        of = f" of {clean(check.identifier)}" if check.identifier else ""
        yield f"{check.type}{of}: {_amount(check, check.min)} to {_amount(check, check.max)}, {_found(check)}: {holds}"
    for label in one.uncovered:
        yield f"{clean(label)} is in no constraint"


def _found(check: ConstraintCheck) -> str:
    return "unknown" if check.found is None else f"found {_amount(check, check.found)}"


def _amount(check: ConstraintCheck, number: int) -> str:
    return in_bytes(number) if check.type in IN_BYTES else f"{number:,}"
