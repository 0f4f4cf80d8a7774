"""Rows for `get`: what is declared beside what was last seen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import SystemState
from reconciler.kinds.claim.spec import of_claim
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.pool import NumberState, PoolState, pool_size
from reconciler.kinds.machine.labels import AGGREGATE, SIZE
from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition
from reconciler.model.override import Override
from reconciler.model.resource import Resource, ResourceKey

NONE = "-"


class ClaimSlot(msgspec.Struct, frozen=True):
    """A machine of a claim: in which slot, and how far it is."""

    slot: int
    machine: str
    phase: str


class ResourceView(msgspec.Struct, frozen=True):
    """One resource as `get` and `describe` show it: declared, observed, and its conditions in a word and in full.
    `machines`: those of a claim."""

    key: ResourceKey
    resource: Resource[Any] | None
    observation: Observation | None
    status: str
    conditions: tuple[Condition, ...]
    derived: Mapping[str, str] = {}
    """Labels that stand in no document."""
    machines: tuple[ClaimSlot, ...] = ()
    phase: str | None = None
    """Of a machine whose life is managed."""
    overrides: tuple[Override, ...] = ()
    """Those in force that cover it."""


class Column(msgspec.Struct, frozen=True):
    """A heading and the cell under it; `wide` columns are shown with -o wide only."""

    title: str
    cell: Callable[[ResourceView, datetime], str]
    wide: bool = False


def columns(kind: str, *, wide: bool, aggregates: Iterable[str] = ()) -> list[Column]:
    """The kind's columns, in order. `aggregates`: the names of those that machines have, for -o wide."""
    more = [_derived(f"{AGGREGATE}{name}", name.upper()) for name in aggregates] if kind == "Machine" else []
    every = [Column("NAME", lambda view, _: view.key.name), *_COLUMNS.get(kind, ()), *more, *_COMMON]
    return [column for column in every if wide or not column.wide]


def short_age(then: datetime | None, now: datetime) -> str:
    """`12s`, `5m`, `3h`, `2d`, as kubectl writes it."""
    if then is None:
        return NONE
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _spec(name: str, title: str, *, wide: bool = False) -> Column:
    def cell(view: ResourceView, _: datetime) -> str:
        value = getattr(view.resource.spec, name, None) if view.resource else None
        return NONE if value is None else str(value)

    return Column(title, cell, wide)


def _machine(title: str, read: Callable[[SystemState], object], *, wide: bool = False) -> Column:
    def cell(view: ResourceView, _: datetime) -> str:
        seen = view.observation.value if view.observation else None
        value = read(seen) if isinstance(seen, SystemState) else None
        return NONE if value is None else str(value)

    return Column(title, cell, wide)


def _derived(label: str, title: str) -> Column:
    return Column(title, lambda view, _: view.derived.get(label, NONE), wide=True)


def _boot(state: SystemState) -> str | None:
    if state.boot is None or state.boot.enabled is None:
        return None
    return f"{state.boot.target}/{state.boot.enabled}" if state.boot.enabled != "Disabled" else "Disabled"


def _address(view: ResourceView, _: datetime) -> str:
    seen = view.observation.value if view.observation else None
    return (seen.address or NONE) if isinstance(seen, AddressState) else NONE


def _prefixes(view: ResourceView, _: datetime) -> str:
    """Those that it has; those that it is to have while none were seen."""
    seen = view.observation.value if view.observation else None
    there = seen.prefixes if isinstance(seen, NetworkState) else None
    if there is None:
        there = view.resource.spec.prefixes if view.resource else ()
    return ",".join(prefix.cidr for prefix in there) or NONE


def _in_ipam(view: ResourceView, _: datetime) -> str:
    seen = view.observation.value if view.observation else None
    return ("yes" if seen.prefixes is not None else "no") if isinstance(seen, NetworkState) else NONE


def _number(view: ResourceView, _: datetime) -> str:
    seen = view.observation.value if view.observation else None
    number = seen.number if isinstance(seen, NumberState) else None
    if isinstance(seen, NetworkState):
        number = seen.vrf.number if seen.vrf else None
    return NONE if number is None else str(number)


def _held(view: ResourceView, _: datetime) -> str:
    seen = view.observation.value if view.observation else None
    pool = seen.pool if isinstance(seen, PoolState) else None
    return NONE if pool is None else f"{pool.held:,}/{pool_size(pool):,}"


def _placed(view: ResourceView, _: datetime) -> str:
    return str(sum(1 for one in view.machines if one.phase != "Releasing"))


def _running(view: ResourceView, _: datetime) -> str:
    return str(sum(1 for one in view.machines if one.phase == "Running"))


def _machines(view: ResourceView, _: datetime) -> str:
    return ",".join(one.machine for one in view.machines) or NONE


def _partitions(view: ResourceView, _: datetime) -> str:
    return ",".join(view.resource.spec.partitions) if view.resource else NONE


def _claim(view: ResourceView, _: datetime) -> str:
    meant = of_claim(view.key)
    return NONE if meant is None else str(meant)


def _ranges(view: ResourceView, _: datetime) -> str:
    return ",".join(view.resource.spec.ranges) if view.resource else NONE


_COMMON = (
    Column("STATUS", lambda view, _: view.status),
    Column("SEEN", lambda view, now: short_age(view.observation.taken_at if view.observation else None, now)),
    Column("SOURCE", lambda view, _: str(view.resource.source) if view.resource else "not declared", wide=True),
)

_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Machine": (
        _spec("partition", "PARTITION"),
        _spec("rack", "RACK"),
        _spec("power", "DECLARED"),
        _machine("POWER", lambda state: state.power),
        _machine("BOOT", _boot, wide=True),
        _machine("LED", lambda state: state.indicator, wide=True),
        Column("PHASE", lambda view, _: view.phase or NONE),
        _machine("HEALTH", lambda state: state.health, wide=True),
        _machine("MODEL", lambda state: state.model, wide=True),
        _spec("size", "SIZE", wide=True),
        _derived(SIZE, "FITS"),
        Column("BMC", lambda view, _: view.resource.spec.bmc.address if view.resource else NONE, wide=True),
    ),
    "Pool": (Column("RANGES", _ranges), Column("HELD", _held)),
    "Network": (
        _spec("type", "TYPE"),
        Column("PREFIXES", _prefixes),
        _spec("project", "PROJECT"),
        Column("IPAM", _in_ipam),
        _spec("parent", "PARENT", wide=True),
        Column("VRF", _number, wide=True),
        _spec("namespace", "NAMESPACE", wide=True),
    ),
    "IPAddress": (
        _spec("network", "NETWORK"),
        Column("ADDRESS", _address),
        _spec("type", "TYPE"),
        Column("CLAIM", _claim),
        _spec("machine", "MACHINE", wide=True),
        _spec("dns_name", "DNS NAME", wide=True),
    ),
    "MachineClaim": (
        _spec("project", "PROJECT"),
        _spec("size", "SIZE"),
        _spec("count", "WANTED"),
        Column("PLACED", _placed),
        Column("RUNNING", _running),
        _spec("image", "IMAGE", wide=True),
        Column("PARTITIONS", _partitions, wide=True),
        Column("MACHINES", _machines, wide=True),
    ),
    "Number": (_spec("pool", "POOL"), Column("NUMBER", _number)),
    "Project": (_spec("tenant", "TENANT"),),
    "Partition": (_spec("place", "PLACE"),),
    "Image": (_spec("os", "OS"), _spec("version", "VERSION"), _spec("classification", "CLASS")),
}
