"""Many writes with few statements: a store that is far away is asked once for all of a sort.

What is put off goes in this order: actions that end, actions that begin, facts, events. Where that would not be what
the writes say one after the other, all that was put off goes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, insert, update
from sqlalchemy.exc import IntegrityError

from reconciler.kinds import INVENTORIED
from reconciler.model.action import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.ledger_write import AppendEvents, BeginAction, EndAction, LedgerWrite, NoteAction, PutFacts
from reconciler.model.resource import ResourceKey
from reconciler.store.rows.bindings import keeps_slot, write_bindings
from reconciler.store.rows.inventories import forget
from reconciler.store.rows.ledger import append
from reconciler.store.sql import tables
from reconciler.store.sql.dialects import insert_for
from reconciler.store.sql.store_errors import Fenced, StoreError

_FLIGHTS = tables.in_flight
_THIS_FLIGHT = (
    _FLIGHTS.c.kind == bindparam("of_kind"),
    _FLIGHTS.c.name == bindparam("of_name"),
    _FLIGHTS.c.action_id == bindparam("of_action"),
)
_END = delete(_FLIGHTS).where(*_THIS_FLIGHT)
_NOTE = update(_FLIGHTS).where(*_THIS_FLIGHT).values(value=bindparam("noted"))
_BEGIN = insert(_FLIGHTS)


def write_all(connection: Connection, writes: Sequence[LedgerWrite]) -> None:
    """All of these, as if one after the other. Raises StoreError; then the transaction is lost."""
    batch = _Batch(connection)
    for write in writes:
        match write:
            case PutFacts(facts=facts):
                batch.put(facts)
            case BeginAction(flight=flight, facts=facts, event=event, epoch=epoch):
                batch.begins[flight.key] = (flight, epoch) if flight.key not in batch.begins else batch.twice(flight)
                batch.put({flight.key: facts})
                batch.events.append(event)
            case NoteAction(flight=flight, event=noted):
                batch.flush()
                if _note(connection, flight) and noted is not None:
                    batch.events.append(noted)
            case EndAction(flight=flight, facts=facts, event=event):
                batch.end(flight)
                batch.put({flight.key: facts})
                batch.events.append(event)
            case AppendEvents(events=events):
                batch.events.extend(events)
            case _:
                assert_never(write)
    batch.flush()


class _Batch:
    """What is put off."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ends: list[InFlight] = []
        self.begins: dict[ResourceKey, tuple[InFlight, int]] = {}
        self._facts: dict[ResourceKey, ResourceFacts | None] = {}
        self.events: list[Event] = []

    def twice(self, flight: InFlight) -> tuple[InFlight, int]:
        """A key that begins a second action without an end of the first one."""
        raise StoreError(_begun_already(flight))

    def end(self, flight: InFlight) -> None:
        """An action that may have begun just now."""
        if flight.key in self.begins:
            self.flush()
        self._ends.append(flight)

    def put(self, facts: Mapping[ResourceKey, ResourceFacts | None]) -> None:
        """Facts of one resource join others; those of several at once may say of each other what they mean."""
        joins = len(facts) == 1 and all(self._can_join(key, value) for key, value in facts.items())
        if not joins:
            self._write_facts()
        self._facts.update(facts)
        if len(facts) > 1 or None in facts.values():
            self._write_facts()

    def _can_join(self, key: ResourceKey, facts: ResourceFacts | None) -> bool:
        before = self._facts.get(key)
        return facts is not None and (before is None or keeps_slot(key, before, facts))

    def flush(self) -> None:
        """Carry out what was put off."""
        _end(self._connection, self._ends)
        self._ends = []
        _begin(self._connection, list(self.begins.values()))
        self.begins = {}
        self._write_facts()
        append(self._connection, self.events)
        self.events = []

    def _write_facts(self) -> None:
        facts, self._facts = self._facts, {}
        if not facts:
            return
        write_bindings(self._connection, facts)
        ordered = sorted(facts.items(), key=lambda pair: pair[0])
        rows = [{**_columns(key), "value": _json(value)} for key, value in ordered if value is not None]
        if rows:
            upsert(self._connection, tables.facts, rows)
        for key in (key for key, value in ordered if value is None):
            _forget(self._connection, key)


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert, or overwrite rows of the same primary key."""
    keys = [column.name for column in table.primary_key]
    added = insert_for(connection)(table)
    rest = {column.name: added.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(added.on_conflict_do_update(index_elements=keys, set_=rest), rows)


def _forget(connection: Connection, key: ResourceKey) -> None:
    for table in (tables.facts, tables.observation):
        connection.execute(delete(table).where(table.c.kind == key.kind, table.c.name == key.name))
    if key.kind in INVENTORIED:
        forget(connection, key.name)


def _begin(connection: Connection, begun: Sequence[tuple[InFlight, int]]) -> None:
    rows = [
        {**_columns(flight.key), "action_id": flight.id, "epoch": epoch, "value": _json(flight)}
        for flight, epoch in begun
    ]
    try:
        if rows:
            connection.execute(_BEGIN, rows)
    except IntegrityError as error:
        # Of several, each is tried alone after this.
        raise StoreError(_begun_already(begun[0][0])) from error


def _begun_already(flight: InFlight) -> str:
    return f"{flight.key}: another action is in flight, so action {flight.id} was not sent"


def _note(connection: Connection, flight: InFlight) -> bool:
    return connection.execute(_NOTE, {**_this(flight), "noted": _json(flight)}).rowcount > 0


def _end(connection: Connection, ended: Sequence[InFlight]) -> None:
    if ended and connection.execute(_END, [_this(flight) for flight in ended]).rowcount < len(ended):
        names = ", ".join(f"{flight.key}: action {flight.id}" for flight in ended)
        raise Fenced(f"{names} is not in flight any more; another groundstate process has settled the action")


def _this(flight: InFlight) -> dict[str, str]:
    return {"of_kind": flight.key.kind, "of_name": flight.key.name, "of_action": flight.id}


def _columns(key: ResourceKey) -> dict[str, Any]:
    return {"kind": key.kind, "name": key.name}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
