"""Looks at resources: one at a time for the loop, all of them for a plan. A look that fails is an observation too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from drivers.base import DriverError, ErrorReason, Ipam, Pools, Unreadable, Usage, clean, excerpt
from reconciler.kinds import KINDS
from reconciler.kinds.claim.spec import ClaimState
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.pool import NumberState, PoolState
from reconciler.model.observation import Observation, ReadError
from reconciler.model.redact import redacted
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.connections import Connections, way_to

_MAX_BATCH = 500
"""Characters of what an error says that nobody expected."""


class Poller:
    """Reads what is there. Never raises for what it finds."""

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        self._connections = connections
        self._now = now

    def observe(self, key: ResourceKey, desired: DesiredState, *, media: bool = False) -> Observation:
        """One look; with `media`, into a machine's virtual drives too. A driver's error, or a defect in a driver, makes
        it an unknown."""
        try:
            value = self._read(key, desired, media)
            check(key.kind, value)
        except Exception as error:  # noqa: BLE001  a defect in one driver must not stop the others
            return Observation(key, self._now(), error=read_failure_of(error))
        return Observation(key, self._now(), value=value)

    def observe_all(
        self,
        keys: Iterable[ResourceKey],
        desired: DesiredState,
        concurrency: int = 64,
        media: Collection[ResourceKey] = (),
    ) -> Iterator[Observation]:
        """Look at all, BMCs side by side, each observation as it comes. The IPAM is looked at whole, and what it holds
        beside those that were asked for comes too. `media`: machines whose virtual drives are looked into."""
        keys = list(keys)
        machines = [key for key in keys if key.kind == "Machine"]
        at = self._now()
        yield from (Observation(key, at, ClaimState()) for key in keys if key.kind == "MachineClaim")
        yield from self._observe_ipam([key for key in keys if key.kind not in ("Machine", "MachineClaim")], desired)
        if not machines:
            return
        with ThreadPoolExecutor(min(concurrency, len(machines)), thread_name_prefix="look") as pool:
            waiting = [pool.submit(self.observe, key, desired, media=key in media) for key in machines]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def strays(self, known: Collection[ResourceKey]) -> list[Observation]:
        """What the IPAM holds for owners of which nothing is known. Raises DriverError."""
        found, at = observe_ipam(self._connections.ipam, self._connections.pools), self._now()
        return [_checked(Observation(key, at, value=value)) for key, value in found.items() if key not in known]

    def _observe_ipam(self, keys: list[ResourceKey], desired: DesiredState) -> Iterator[Observation]:
        if not keys:
            return
        try:
            found = observe_ipam(self._connections.ipam, self._connections.pools)
        except Unreadable:
            # One object makes no sense; the others are there to be asked for.
            yield from (self.observe(key, desired) for key in keys)
            return
        except Exception as error:  # noqa: BLE001  as in `look`
            told = read_failure_of(error)
            yield from (Observation(key, self._now(), error=told) for key in keys)
            return
        at = self._now()
        for key in keys:
            value = found.pop(key, None)
            yield _checked(Observation(key, at, value=_NOTHING[key.kind] if value is None else value))
        yield from (_checked(Observation(key, at, value=found[key])) for key in sorted(found))

    def _read(self, key: ResourceKey, desired: DesiredState, media: bool) -> Any:
        ipam, pools = self._connections.ipam, self._connections.pools
        match key.kind:
            case "Network":
                return NetworkState(ipam.network(key.name), pools.number(str(key)))
            case "IPAddress":
                return AddressState.of(ipam.holding(str(key)))
            case "MachineClaim":
                return ClaimState()
            case "Pool":
                return PoolState(pools.pools().get(key.name))
            case "Number":
                return NumberState.of(pools.number(str(key)))
            case _:
                resource = desired.resources.get(key)
                if resource is None:
                    return None
                return self._connections.bmc(key, way_to(resource, desired)).read(media=media)


def check(kind: str, value: Any) -> None:
    """Raise for what a driver says that could be kept and not be read again: an unpaired surrogate, a number in the
    place of a text. The store would give it back to every command, as an error."""
    if value is not None and (decoder := _decoder(kind)) is not None:
        decoder.decode(msgspec.json.encode(value))


@cache
def _decoder(kind: str) -> msgspec.json.Decoder[Any] | None:
    observed = KINDS[kind].observed_type if kind in KINDS else None
    return None if observed is None else msgspec.json.Decoder(observed)


def _checked(seen: Observation) -> Observation:
    try:
        check(seen.key.kind, seen.value)
    except Exception as error:  # noqa: BLE001  it is this object's
        return Observation(seen.key, seen.taken_at, error=read_failure_of(error))
    return seen


def read_failure_of(error: Exception) -> ReadError:
    """What went wrong with a look, in words that can be kept and shown."""
    if isinstance(error, DriverError):
        return ReadError(error.reason, redacted(clean(str(error))))
    words = f"the driver failed in a way it should not: {type(error).__name__}: {error}"
    return ReadError(ErrorReason.INTERNAL, redacted(excerpt(words, 2 * _MAX_BATCH))[:_MAX_BATCH])


def observe_ipam(ipam: Ipam, pools: Pools) -> dict[ResourceKey, Any]:
    """All that IPAM and pools hold, by name or owner; owners in other forms are not ours to judge.

    Raises DriverError.
    """
    usage: dict[str, list[Usage]] = {}
    for one in ipam.usage():
        usage.setdefault(one.network, []).append(one)
    numbers = {one.owner: one for one in pools.numbers()}
    found: dict[ResourceKey, Any] = {ResourceKey("Pool", name): PoolState(pool) for name, pool in pools.pools().items()}
    for owner, number in numbers.items():
        kind, _, name = owner.partition("/")
        if name and kind == "Number":
            found[ResourceKey(kind, name)] = NumberState.of(number)
        elif name and kind == "Network":
            found[ResourceKey(kind, name)] = NetworkState(None, number)
    for name, network in ipam.networks().items():
        key = ResourceKey("Network", name)
        found[key] = NetworkState(network, numbers.get(str(key)), tuple(usage.get(name, ())))
    for allocation in ipam.list():
        kind, _, name = allocation.owner.partition("/")
        if name and kind == "IPAddress":
            found[ResourceKey(kind, name)] = AddressState.of(allocation)
    return found


_NOTHING = {"Network": NetworkState(), "IPAddress": AddressState(), "Pool": PoolState(), "Number": NumberState.of(None)}
