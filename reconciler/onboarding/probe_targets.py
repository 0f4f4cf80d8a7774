"""Which addresses are probed for BMCs, and how each would be logged in to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from drivers.base import Tls
from reconciler.kinds.common.access.access_rules import Access
from reconciler.kinds.common.field_types.bmc_access import same_bmc
from reconciler.kinds.machine.spec import DEFAULT_DRIVER
from reconciler.onboarding.discovery import (
    HTTPS,
    MOST_ADDRESSES,
    Declared,
    Partition,
    ScanRange,
    parse_scan_range,
    partition_of,
)


class ProbeTarget(msgspec.Struct, frozen=True):
    """An address to be probed, and what its partition says of BMCs."""

    url: str
    partition: str
    access: Access


class NoPartition(Exception):
    """An address whose BMC would be in no partition, in words."""


def candidates(
    ranges: Iterable[ScanRange],
    partitions: Sequence[Partition],
    known: Declared,
    skipped: list[str],
    tls: dict[str, Any] | None = None,
) -> Iterator[ProbeTarget]:
    """Each address once, without the BMCs that are declared, which are named in `skipped`. `tls`: as a document has
    it, in the place of what partitions say. Raises NoPartition."""
    by_name = {one.key.name: one for one in partitions}
    seen: set[str] = set()
    for one in ranges:
        for host in one.hosts():
            url = f"https://{host}"
            bmc = same_bmc(url)
            if bmc in seen:
                continue
            seen.add(bmc)
            if bmc in known.bmcs:
                skipped.append(f"{url}: skipped: the BMC of Machine/{known.bmcs[bmc]}")
                continue
            name = one.partition or partition_of(_bare(host), partitions)
            if name is None or name not in by_name:
                raise NoPartition(_no_partition(url, name, by_name))
            yield ProbeTarget(url, name, _way(url, by_name[name], tls))


def declared_ranges(partitions: Iterable[Partition], port: int = HTTPS) -> tuple[list[ScanRange], list[str]]:
    """The bmcNetworks of all partitions, in order, as far as they are no more addresses than one look may take. And, in
    words, those that are left out."""
    ranges: list[ScanRange] = []
    left_out: list[str] = []
    room = MOST_ADDRESSES
    for partition in partitions:
        for text in partition.spec.bmc_networks:
            one = parse_scan_range(text, port, partition.key.name)
            if one.size > room:
                left_out.append(
                    f"{partition.key}: {text} is left out: the range has {one.size:,} addresses, and only {room:,} "
                    "more can be probed"
                )
            else:
                ranges.append(one)
                room -= one.size
    return ranges, left_out


def _bare(host: str) -> str:
    return host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]


def _no_partition(url: str, name: str | None, known: Iterable[str]) -> str:
    if name is not None:
        return f"there is no Partition {name}; there are {', '.join(known) or 'none'}"
    return f"{url}: in no Partition's bmcNetworks; declare the address there, or name a partition with --partition"


def _way(url: str, partition: Partition, said: dict[str, Any] | None) -> Access:
    bmc = partition.spec.bmc
    tls = bmc.tls.trust() if bmc and bmc.tls else Tls()
    if said is not None:
        tls = Tls(said.get("caFile"), said.get("fingerprint"), bool(said.get("insecure")))
    driver = bmc.driver if bmc and bmc.driver else DEFAULT_DRIVER
    if bmc is None:
        return Access(driver, url, None, tls, None)
    return Access(driver, url, None, tls, bmc.credential_ref, bmc.options, bmc.timeout_seconds)
