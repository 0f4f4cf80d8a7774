"""Hosts of which the daemons leave the work on the fleet to those of other hosts, through the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import msgspec

from drivers.base import clean
from reconciler import runtime
from reconciler.model.counting import count
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.store import Store
from reconciler.store.drained_hosts import DrainedHost
from reconciler.store.lease.instance import StoreHolder

DAEMON = "run"
"""The name under which a daemon holds the store."""
DRAIN_PATIENCE = 60.0
"""Seconds. A graceful end of a daemon takes a few."""
_LOOK_AGAIN_SECONDS = 0.25


class DrainRequest(msgspec.Struct, frozen=True):
    """Which host, as `get daemons` names it, and why. `patience`: seconds in which its daemon must have left the store.
    `alone`: also when no daemon of another host can take over."""

    host: str
    reason: str
    patience: float = DRAIN_PATIENCE
    alone: bool = False


class HostDrain(msgspec.Struct, frozen=True):
    """`before`: the daemon of the host that worked, None: none did. `after`: who works now. `seconds`: from one to the
    other."""

    drained: DrainedHost
    before: StoreHolder | None = None
    after: StoreHolder | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def drain_host(where: Where, request: DrainRequest, waits: Callable[[str], None]) -> HostDrain:
    """Drain the host, and wait until its daemon has left the store and another one works, and its other daemons have
    released their shards. `waits` is informed of who is waited for. Raises OperationError; what says that a daemon did
    not leave in time leaves the host drained."""
    if not request.reason.strip():
        raise OperationError("the reason is missing: say why, such as --reason INC-7; the reason is in the ledger")
    with _shared_store(where, "drain") as (at, store):
        working = store.standbys.working()
        before = working.process if working is not None and working.process.name == DAEMON else None
        others = [one.process.host for one in store.standbys.all(now())]
        drained = {one.host for one in store.drains.all()}
        attending = {process.name_of_process: process for process, _ in store.shards.workers()}
        hosts = {*others, *drained, *(one.host for one in attending.values())}
        _require_known(request.host, {*hosts, *(() if before is None else (before.host,))})
        works_here = before is not None and before.host == request.host
        if works_here and not request.alone and not {*others} - drained - {request.host}:
            raise OperationError(
                f"no daemon of another host stands by, so nothing would work on the fleet while {request.host} is "
                "drained; start a daemon on another host, or pass --alone",
                FailureReason.REFUSED,
            )
        row = DrainedHost(request.host, clean(request.reason), where.by("drain"), now())
        found = HostDrain(store.drains.begin(row), before if works_here else None)
        _await_released(store, request, {name for name, one in attending.items() if one.host == request.host}, waits)
        if before is None or not works_here:
            return msgspec.structs.replace(found, notes=at.notes)
        waits(str(before))
        begun = runtime.monotonic()
        after = _successor(store, request, before)
        return msgspec.structs.replace(found, after=after, seconds=runtime.monotonic() - begun, notes=at.notes)


def _await_released(store: Store, request: DrainRequest, names: Collection[str], waits: Callable[[str], None]) -> None:
    """Return when these daemons have no shard any more. Raises OperationError."""
    until, has_waited = runtime.monotonic() + request.patience, False
    while left := [one for one in store.shards.all() if one.owner in names and one.seconds_left > 0]:
        if not has_waited:
            waits(" and ".join(sorted({one.owner or "" for one in left})))
            has_waited = True
        if runtime.monotonic() >= until:
            raise OperationError(
                f"{request.host} is drained, but after {request.patience:.0f} s its daemons still attend to "
                f"{count(len(left), 'shard')}; they may still finish their steps: see `groundstate get daemons`",
                FailureReason.UNAVAILABLE,
            )
        runtime.sleep(_LOOK_AGAIN_SECONDS)


def uncordon_host(where: Where, host: str) -> tuple[str, ...]:
    """Its daemons may work again; returns notes. Raises OperationError where it is not drained."""
    with _shared_store(where, "uncordon") as (at, store):
        if not store.drains.end(host, where.by("uncordon"), now()):
            drained = ", ".join(one.host for one in store.drains.all()) or "none"
            raise OperationError(f"host {host} is not drained; drained hosts: {drained}", FailureReason.NOT_FOUND)
        return at.notes


def _successor(store: Store, request: DrainRequest, before: StoreHolder) -> StoreHolder | None:
    """Who works once `before` does not; None: no process, as was asked for."""
    until = runtime.monotonic() + request.patience
    while True:
        working = store.standbys.working()
        if working is None and request.alone:
            return None
        if working is not None and working.process != before:
            return working.process
        if runtime.monotonic() >= until:
            raise OperationError(_not_done(request, before, has_left=working is None), FailureReason.UNAVAILABLE)
        runtime.sleep(_LOOK_AGAIN_SECONDS)


def _not_done(request: DrainRequest, before: StoreHolder, *, has_left: bool) -> str:
    if has_left:
        return (
            f"{request.host} is drained, and {before} has left the store, but after {request.patience:.0f} s no other "
            f"daemon works on the fleet; start a daemon on another host, or run `groundstate uncordon {request.host}`"
        )
    return (
        f"{request.host} is drained, but after {request.patience:.0f} s {before} has not left the store; it may still "
        "finish its steps: see `groundstate get daemons`. If that process hangs, stop the process"
    )


def _require_known(host: str, known: Collection[str]) -> None:
    if host not in known:
        names = ", ".join(sorted(known)) or "there are none"
        machines = "; to hold the changes of a machine, use `groundstate pause`" if "/" in host else ""
        message = f"no daemon runs on host {host!r}; hosts with daemons: {names}{machines}"
        raise OperationError(message, FailureReason.NOT_FOUND)


@contextmanager
def _shared_store(where: Where, verb: str) -> Iterator[tuple[Workspace, Store]]:
    with Workspace(where) as at, at.changing() as store:
        if not store.has_lease:
            raise OperationError(
                f"`{verb}` needs a store on PostgreSQL, as only there another daemon can take over; with a store in a "
                "file, stop the daemon",
                FailureReason.REFUSED,
            )
        yield at, store
