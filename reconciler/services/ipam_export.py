"""All that IPAM and pools hold, as one value that can be written down and put into another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from drivers.base import Allocation, DriverError, IntegerRange, Ipam, IpamNetwork, Number, Pools

EXPORT_FORMAT = "groundstate-ipam/1"


class Copy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A copy: networks and pools by name, what is held by owner."""

    format: str
    networks: dict[str, IpamNetwork] = {}
    addresses: tuple[Allocation, ...] = ()
    pools: dict[str, tuple[IntegerRange, ...]] = {}
    numbers: tuple[Number, ...] = ()

    def __post_init__(self) -> None:
        if self.format != EXPORT_FORMAT:
            raise ValueError(f"this copy has format {self.format!r}; this groundstate reads {EXPORT_FORMAT}")


def export_ipam(ipam: Ipam, pools: Pools) -> Copy:
    """Everything, in a stable order. Raises DriverError."""
    return Copy(
        format=EXPORT_FORMAT,
        networks=dict(sorted(ipam.networks().items())),
        addresses=tuple(ipam.list()),
        pools={name: pool.ranges for name, pool in sorted(pools.pools().items())},
        numbers=tuple(pools.numbers()),
    )


def import_ipam(copy: Copy, ipam: Ipam, pools: Pools) -> list[str]:
    """Add the copy to the present contents. Existing entries stay; every call is one that the reconciler makes too.

    Returns what was refused, each in a sentence; the rest went in.
    """
    return [said for what, call in _calls(copy, ipam, pools) if (said := _tried(what, call))]


def _calls(copy: Copy, ipam: Ipam, pools: Pools) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is put, in an order in which each finds what it needs."""
    for name, ranges in copy.pools.items():
        yield f"Pool/{name}", partial(pools.put_pool, name, ranges)
    for one in copy.numbers:
        yield one.owner, partial(pools.acquire_number, one.pool, one.owner, number=one.number, ephemeral=one.ephemeral)
    for name in sorted(copy.networks, key=lambda name: (copy.networks[name].parent is not None, name)):
        yield f"Network/{name}", partial(ipam.put_network, name, copy.networks[name])
    for held in copy.addresses:
        yield held.owner, partial(ipam.acquire, held.network, held.owner, address=held.address, about=held.about)


def _tried(what: str, call: Callable[[], object]) -> str:
    try:
        call()
    except DriverError as error:
        return f"{what}: {error}"
    return ""
