"""Whether the store still has what a process wrote last: a replica that was promoted may lack the last transactions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, text

from reconciler import runtime
from reconciler.model.event import Event
from reconciler.model.ledger_write import BeginAction, EndAction, LedgerWrite
from reconciler.store.sql.store_errors import StoreWentBack

_KEPT_ANYWAY = timedelta(days=20)
"""The ledger keeps events for 30 days at least (`run --keep-events`)."""
_IS_THERE = text("""
    SELECT 1 FROM event LEFT JOIN repeat ON repeat.seq = event.seq
    WHERE event.kind = :kind AND event.name = :name AND (event.at >= :at OR repeat.last >= :at)
    ORDER BY event.seq DESC LIMIT 1
""")


def last_action_event(writes: Sequence[LedgerWrite]) -> Event | None:
    """The last event of these writes that is about an action; such events of one resource come in the order of their
    times."""
    actions = (one.event for one in reversed(writes) if isinstance(one, BeginAction | EndAction))
    return next((event for event in actions if event.key is not None), None)


def refuse_lost_work(connection: Connection, last: Event | None) -> None:
    """Raise StoreWentBack where the ledger lacks this event, which this process has written. For PostgreSQL."""
    if last is None or last.key is None or runtime.now() - last.at > _KEPT_ANYWAY:
        return
    wanted = {"kind": last.key.kind, "name": last.key.name, "at": last.at}
    if connection.execute(_IS_THERE, wanted).first() is None:
        raise StoreWentBack(
            f"the store does not know what this process wrote last ({last.reason} of {last.key} at "
            f"{last.at:%Y-%m-%d %H:%M:%S}Z). The database was restored from a backup, or a replica without the latest "
            "transactions was promoted. This process ends. Addresses that were allocated last may be allocated again: "
            "check them with `groundstate plan`. groundstate observes everything again after its next start"
        )
