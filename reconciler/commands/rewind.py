"""`groundstate rewind`: say that a revision which does not follow the one in force is meant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click
import msgspec

from reconciler.commands.options import where_from, where_options
from reconciler.commands.workspace import change_store, exit_in_words, fail, now, open_desired_source, operator
from reconciler.daemon.ancestry import LAST_GOOD, REWIND, Allowed
from reconciler.model.event import Event, EventReason, EventType

LASTING = timedelta(hours=24)


@click.command("rewind", short_help="Accept a branch that was reset by a forced push.")
@click.argument("sha", metavar="SHA")
@click.option("--reason", default="", metavar="WHY", help="The reason, which is recorded in the ledger.")
@where_options
def rewind_command(sha: str, reason: str, **values: Any) -> None:
    """Allow the commit SHA to take force although it is not a descendant of the revision in force. It is allowed once,
    after just that revision, and for 24 hours; the daemon takes it up at its next look.

    Exit codes: 0 done, 1 refused; the text says why.

    \b
    Examples:
      groundstate rewind 3f2a91c0de --reason "the last two commits were a mistake, INC-7"
    """
    where = where_from(values)
    if not reason.strip():
        fail("say why: --reason INC-7; it stands in the ledger")
    with exit_in_words():
        source = open_desired_source(where)
        source.snapshot()  # Of a remote, what it has now: the copy here may be from before the branch was taken back.
        wanted = source.snapshot(None if where.work_tree else sha).revision
        store = change_store(where)
        try:
            last = store.get_meta(LAST_GOOD)
            if not last or wanted.commit is None:
                fail("no commit is in force in this store, so there is nothing to go back from")
            if source.descends(wanted.id, last):
                fail(f"{wanted.commit.short} is or follows {last[:10]}, which is in force; it needs no leave")
            by, at = operator("rewind"), now()
            allowed = Allowed(wanted.id, last, reason.strip(), by, at + LASTING)
            store.put_meta(REWIND, msgspec.json.encode(allowed).decode())
            said = f"{by} allowed {wanted.commit.short} to follow {last[:10]} until {allowed.until:%Y-%m-%d %H:%M:%S}Z"
            event = Event(
                at, EventType.WARNING, EventReason.REWIND_ALLOWED, f"{said}: {allowed.reason}", revision=wanted.id
            )
            store.append([event])
        finally:
            store.close()
    click.echo(said)
