"""The daemons of a store: the one that works, and those that stand by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from reconciler.daemon.ancestry import LAST_GOOD
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.store import Store
from reconciler.store.lease.instance import StoreHolder


class DaemonState(StrEnum):
    """What a daemon does."""

    WORKING = "working"
    STANDING_BY = "standing by"
    ATTENDING = "attending"
    """It reaches a part of the BMCs and switches, for the one that works."""
    DRAINING = "draining"
    """It works still, and its host is drained: it finishes its current steps."""
    DRAINED = "drained"
    """It stands by, and takes over from no other daemon, as its host is drained."""
    NOT_RESPONDING = "not responding"
    """It has neither left the store nor reported for a while: it was killed, it hangs, or its host is gone."""


class DaemonRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One daemon, as a table and programs are shown it."""

    process: StoreHolder
    """Who it is."""
    state: DaemonState
    """What it does."""
    seen_at: datetime | None
    """When it reported last."""
    epoch: int | None = None
    """How often the store was taken until then, by the one that works."""
    lease_ends_at: datetime | None = None
    """Until when the one that works may work, or one that attends has its shards; None on SQLite."""
    revision: str | None = None
    """The commit that is in force; of one that attends, the one that it has read last."""
    shards: int = 0
    """How many shards it attends to; those of the one that works are all others."""
    partitions: tuple[str, ...] = ()
    """The partitions of `run --partitions`; empty: it attends to any."""


class DaemonListing(msgspec.Struct, frozen=True):
    """The daemons at `at`, the one that works first."""

    at: datetime
    daemons: tuple[DaemonRow, ...]
    notes: tuple[str, ...] = ()


def list_daemons(where: Where) -> DaemonListing:
    """By the store alone. Raises OperationError."""
    with Workspace(where) as at, at.store() as store:
        time = now()
        rows = tuple(_rows(store, time))
        working = store.standbys.working()
        if working is not None and working.process.name != "run":
            at.note(f"{working.process} works on the store now")
        elif not rows:
            at.note("no daemon is at work on this store; `groundstate run` starts a daemon")
        elif all(one.state is DaemonState.DRAINED for one in rows):
            at.note("no daemon is at work on this store: the hosts of all daemons are drained")
        for drained in store.drains.all():
            at.note(f"{drained}")
        return DaemonListing(time, rows, at.notes)


def _rows(store: Store, time: datetime) -> Iterator[DaemonRow]:
    working, report = store.standbys.working(), store.daemon.get()
    drained = {one.host for one in store.drains.all()}
    if working is not None and working.process.name == "run":
        is_live = report is not None and report.at_work(time)
        yield DaemonRow(
            working.process,
            _state_of_working(is_live=is_live, is_drained=working.process.host in drained),
            None if report is None else report.seen_at,
            working.epoch,
            working.lease_ends_at,
            store.get_meta(LAST_GOOD),
        )
    owned = [one for one in store.shards.all() if one.seconds_left > 0]
    shards, left = Counter(one.owner for one in owned), {one.owner: one.seconds_left for one in owned}
    workers = {process.name_of_process: (process, worker) for process, worker in store.shards.workers()}
    heard = {one.process.name_of_process: (one.process, one.heard) for one in store.standbys.all(time)}
    for name in sorted({*workers, *heard}):
        process, worker = workers.get(name, (None, None))
        process, at = heard.get(name, (process, None))
        if process is None or (working is not None and process == working.process):
            continue
        state = DaemonState.ATTENDING if shards[name] else DaemonState.STANDING_BY
        yield DaemonRow(
            process,
            DaemonState.DRAINED if process.host in drained else state,
            time if worker is not None else at,
            lease_ends_at=time + timedelta(seconds=left[name]) if name in left else None,
            revision=None if worker is None else worker.revision,
            shards=shards[name],
            partitions=() if worker is None else worker.partitions,
        )


def _state_of_working(*, is_live: bool, is_drained: bool) -> DaemonState:
    if not is_live:
        return DaemonState.NOT_RESPONDING
    return DaemonState.DRAINING if is_drained else DaemonState.WORKING
