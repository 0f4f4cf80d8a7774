"""Looks through addresses for BMCs and reads who is behind them: for `groundstate discover`, and for the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from drivers.base import OUTSIDE_ERRORS, ErrorReason, FoundBmc, Rejected, Unreachable
from reconciler.observed.address_scan import identify, paced, probe_address, trust
from reconciler.observed.backend import read_failure_of
from reconciler.observed.connections import Connections
from reconciler.onboarding.discovery import FoundSystem, Partition
from reconciler.onboarding.probe_targets import ProbeTarget


class Manner(msgspec.Struct, frozen=True):
    """How to scan: at most `rate` addresses begun a second, `concurrency` side by side, `timeout` seconds for a
    connection. `tls`: the trust that is put in the place of the partitions', in the form of a document. `pins`: where
    no trust is declared, a certificate that no authority signed is trusted at the first contact. `asked`: a person
    requested the scan; otherwise documents did, and only addresses that the settings allow are probed."""

    rate: float = 50.0
    concurrency: int = 32
    timeout: float = 2.0
    tls: dict[str, Any] | None = None
    pins: bool = True
    asked: bool = True


class UnreadableBmc(msgspec.Struct, frozen=True):
    """A BMC that was found and not read, and why. `refused`: it did not take the login. Not `is_whole`: others of its
    systems were read. Not `is_sure`: it may be anything that listens there."""

    url: str
    product: str
    why: str
    refused: bool = False
    is_whole: bool = True
    is_sure: bool = True

    def __str__(self) -> str:
        if not self.is_sure:
            return f"{self.url}: perhaps a BMC, not read; {self.why}"
        named = f" ({self.product})" if self.product else ""
        return f"{self.url}: a BMC{named}, {'not read' if self.is_whole else 'not read whole'}; {self.why}"


def probe_addresses(
    connections: Connections, todo: Iterator[ProbeTarget], manner: Manner, say: Callable[[str], None]
) -> Iterator[tuple[ProbeTarget, FoundBmc | UnreadableBmc | None]]:
    """Ask each address, without a login, whether a BMC is there; in the order of the answers. What listens and answers
    nothing is one that cannot be read."""
    reported: set[str] = set()

    def probed(candidate: ProbeTarget) -> FoundBmc | UnreadableBmc | None:
        driver, named = candidate.access.driver, f"Partition/{candidate.partition}"
        finder = connections.finder(driver)
        try:
            if finder is not None:
                if not manner.asked:
                    connections.refuse_outside(candidate.access)
                seen = probe_address(finder, connections.endpoint(candidate.access), manner.timeout)
                return (
                    UnreadableBmc(candidate.url, "", str(seen), is_sure=False)
                    if isinstance(seen, Unreachable)
                    else seen
                )
            why = f"the driver {driver} of {named} cannot search for BMCs"
        except Rejected as error:
            why = f"{named}: {error}"
        except OUTSIDE_ERRORS as error:  # what one address says must not stop the search
            why = f"{candidate.url} was not probed: {read_failure_of(error).message}"
        if why not in reported:
            reported.add(why)
            say(why)
        return None

    return paced(probed, todo, manner.rate, manner.concurrency)


def read_found(
    connections: Connections,
    found: Sequence[tuple[ProbeTarget, FoundBmc]],
    partitions: Sequence[Partition],
    manner: Manner,
) -> tuple[list[FoundSystem], list[UnreadableBmc]]:
    """Log in to each BMC once, and read its systems, in the order of addresses."""
    by_name = {one.key.name: one for one in partitions}

    def read(at: int) -> tuple[list[FoundSystem], list[UnreadableBmc]]:
        candidate, seen = in_order[at]
        return _read(connections, candidate, seen, by_name[candidate.partition], manner)

    in_order = sorted(found, key=lambda one: one[0].url)
    results = dict(paced(read, iter(range(len(in_order))), manner.rate, manner.concurrency))
    said = [results[at] for at in range(len(in_order))]
    return [one for systems, _ in said for one in systems], [one for _, unread in said for one in unread]


def _read(
    connections: Connections, candidate: ProbeTarget, seen: FoundBmc, partition: Partition, manner: Manner
) -> tuple[list[FoundSystem], list[UnreadableBmc]]:
    bmc, tls = partition.spec.bmc, manner.tls
    trusted = trust(seen, candidate.access, is_declared=tls is not None or bool(bmc and bmc.tls), pins=manner.pins)
    if trusted.refused is not None:
        return [], [UnreadableBmc(candidate.url, seen.product, trusted.refused)]
    if candidate.access.credential_ref is None:
        why = f"Partition/{candidate.partition} declares no bmc.credentialRef, so groundstate does not log in"
        return [], [UnreadableBmc(candidate.url, seen.product, why)]
    way = msgspec.structs.replace(candidate.access, tls=trusted.tls)
    finder = connections.finder(way.driver)
    try:
        if finder is None:
            return [], []
        found, left_out = identify(connections, finder, candidate, way, tls or trusted.document)
        return found, [UnreadableBmc(candidate.url, seen.product, why, is_whole=False) for why in left_out]
    except OUTSIDE_ERRORS as error:  # what is wrong with one BMC must not stop the others
        failed = read_failure_of(error)
        refused = failed.reason == ErrorReason.AUTHENTICATION_FAILED
        return [], [UnreadableBmc(candidate.url, seen.product, f"{failed.reason}: {failed.message}", refused)]
