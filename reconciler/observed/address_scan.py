"""Looks through addresses for BMCs, so many a second and so many side by side, and reads who is behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from drivers.base import AuthenticationFailed, BmcFinder, DriverError, Endpoint, FoundBmc, Tls, Unreachable
from reconciler import runtime
from reconciler.kinds.common.access.access_rules import Access
from reconciler.observed.connections import Connections
from reconciler.onboarding.discovery import FoundSystem, machine_key
from reconciler.onboarding.probe_targets import ProbeTarget

LATE_SECONDS = 3.0
"""Longer than the probe of an unused address takes, so that such probes keep their places."""
MOST_LATE = 256
"""Threads beside those that count: 1,000 BMCs that hang for 15 s each are through within a minute and a half."""
_DECLARED = "spec.bmc.tls of the Partition"
_MISMATCH = f"does not match {_DECLARED}, or the TLS options of `groundstate discover`; correct the wrong one"

T = TypeVar("T")
R = TypeVar("R")


class Trust(msgspec.Struct, frozen=True):
    """How far a BMC is trusted: what a document must say for that, or why nothing is sent to it."""

    tls: Tls
    document: dict[str, Any] | None = None
    refused: str | None = None


def paced(
    work: Callable[[T], R],
    todo: Iterator[T],
    rate: float,
    concurrency: int,
    clock: Callable[[], float] = runtime.monotonic,
    sleep: Callable[[float], None] = runtime.sleep,
) -> Iterator[tuple[T, R]]:
    """Work at each, `concurrency` side by side and at most `rate` begun a second; results as they come. What hangs
    gives up its place after LATE_SECONDS, as in a crew: a rack of hanging BMCs does not hold up the others."""
    pool = runtime.pool(concurrency + MOST_LATE, "discover")
    running: dict[runtime.Future[R], T] = {}
    begun, count = clock(), 0
    begun_at: dict[runtime.Future[R], float] = {}
    try:
        for one in todo:
            while (wait := _until_a_place(list(begun_at.values()), concurrency, clock())) > 0:
                yield from _finished(running, begun_at, wait)
            early = begun + count / rate - clock()
            if early > 0:
                sleep(early)
            future = pool.submit(work, one)
            running[future], begun_at[future] = one, clock()
            count += 1
        while running:
            yield from _finished(running, begun_at, None)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _until_a_place(begun: list[float], concurrency: int, now: float) -> float:
    """Seconds until one more may begin beside those that run since then; 0: now. Of those that run for long, MOST_LATE
    are not counted."""
    recent = sorted(at for at in begun if now - at < LATE_SECONDS)
    late = len(begun) - len(recent)
    if len(recent) + max(0, late - MOST_LATE) < concurrency:
        return 0.0
    return max(0.01, recent[0] + LATE_SECONDS - now) if recent and late < MOST_LATE else LATE_SECONDS


def _finished(
    running: dict[runtime.Future[R], T], begun_at: dict[runtime.Future[R], float], seconds: float | None
) -> Iterator[tuple[T, R]]:
    for done in runtime.first_done(running, seconds):
        del begun_at[done]
        yield running.pop(done), done.result()


def probe_address(finder: BmcFinder, at: Endpoint, seconds: float) -> FoundBmc | Unreachable | None:
    """Whether there is a BMC. Unreachable: what listens there answers nothing."""
    try:
        return finder.probe(at.address, at.tls, seconds)
    except Unreachable as silent:
        return silent
    except DriverError:
        return None


def trust(found: FoundBmc, access: Access, *, is_declared: bool, pins: bool = True) -> Trust:
    """Whether a login may be sent. Without a declared trust the certificate that was seen first is pinned, and stands
    in the document, if `pins`. But not where the host did not even say that it is a BMC."""
    if found.trusted:
        return Trust(access.tls)
    if is_declared:
        return Trust(access.tls, refused=f"the certificate ({found.fingerprint}) {_MISMATCH}")
    if not found.sure or found.fingerprint is None:
        why = f"the BMC requires a login, but its certificate is not trusted, so no login was sent; set {_DECLARED}"
        return Trust(access.tls, refused=why)
    if not pins:
        why = f"the certificate ({found.fingerprint}) is not trusted, and the daemon has no person who can confirm it"
        return Trust(access.tls, refused=f"{why}; set {_DECLARED}, or run `groundstate discover`")
    return Trust(Tls(fingerprint=found.fingerprint), {"fingerprint": found.fingerprint})


def identify(
    connections: Connections, finder: BmcFinder, candidate: ProbeTarget, access: Access, tls: dict[str, Any] | None
) -> tuple[list[FoundSystem], list[str]]:
    """Log in once and read who is there; and of which systems nothing could be read, in words. Raises DriverError when
    that goes for all of them, or the login is refused; the login is not tried again."""
    listed = finder.systems(connections.endpoint(access))
    found, unread = [], list[str]()
    failed: DriverError | None = None
    for system in listed.ids:
        is_alone = len(listed.ids) == 1 and listed.unread is None
        own = msgspec.structs.replace(access, system_id=None if is_alone else system)
        bmc = connections.bmc(machine_key(f"{candidate.url}#{system}"), own)
        try:
            state = bmc.read()
        except AuthenticationFailed:
            raise
        except DriverError as error:
            # A baseboard of accelerators does not answer while its host is off (dsx-ai-factory/infra-controller#5418).
            failed = failed or error
            unread.append(f"system {system}: {error.reason}: {error}")
            continue
        try:
            inventory = bmc.inventory()
        except DriverError:
            inventory = None  # A document without MAC addresses is better than none.
        found.append(FoundSystem(access.address, candidate.partition, state, inventory, own.system_id, tls))
    if failed is not None and not found:
        raise failed
    return found, [*unread, *([f"some systems of the BMC cannot be read: {listed.unread}"] if listed.unread else [])]
