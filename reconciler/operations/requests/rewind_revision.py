"""Allowing a revision that does not descend from the one in force: a branch that was reset on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from drivers.base import clean
from reconciler.daemon.ancestry import LAST_GOOD, REWIND, Allowed
from reconciler.model.event import Event, EventReason, EventType
from reconciler.operations.operation_error import OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.store import Store

LASTING = timedelta(hours=24)


class Rewind(msgspec.Struct, frozen=True):
    """The commit `sha` that may follow `after` once, until `until`; `said` is the event's message."""

    sha: str
    after: str
    until: datetime
    said: str


def allow_rewind(where: Where, sha: str, reason: str) -> Rewind:
    """Allow it once, for 24 hours, with an event in the ledger. Raises OperationError."""
    if not reason.strip():
        raise OperationError("the reason is missing: say why, such as INC-7; the reason is recorded in the ledger")
    with Workspace(where) as at:
        source = at.source()
        source.snapshot()  # Of a remote, what it has now: the copy here may be from before the branch was taken back.
        wanted = source.snapshot(None if where.work_tree else sha).revision
        with at.changing() as store:
            last = store.get_meta(LAST_GOOD)
            if not last or wanted.commit is None:
                raise OperationError("no commit is in force in this store, so rewind is not needed")
            short = wanted.commit.short
            if source.descends(wanted.id, last):
                raise OperationError(
                    f"rewind is not needed: {short} is the commit in force ({last[:10]}), or follows it"
                )
            return _allow(store, wanted.id, short, last, clean(reason), where.by("rewind"))


def _allow(store: Store, sha: str, short: str, last: str, reason: str, by: str) -> Rewind:
    at = now()
    allowed = Allowed(sha, last, reason, by, at + LASTING)
    store.put_meta(REWIND, msgspec.json.encode(allowed).decode())
    until = f"{allowed.until:%Y-%m-%d %H:%M:%S}Z"
    said = f"{by} allowed the daemon until {until} to put {short} in force in place of {last[:10]}"
    store.append([Event(at, EventType.WARNING, EventReason.REWIND_ALLOWED, f"{said}: {reason}", revision=sha)])
    return Rewind(sha, last, allowed.until, said)
