"""Many writes with few statements: a store that is far away is asked once for all of a sort.

What is put off goes in this order: actions that end, actions that begin, facts, events. Where that would not be what
the writes say one after the other, all that was put off goes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, assert_never

from sqlalchemy import Connection, bindparam, delete, text, update
from sqlalchemy.exc import IntegrityError

from reconciler.kinds import INVENTORIED
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.ledger_write import AppendEvents, BeginAction, EndAction, LedgerWrite, NoteAction, PutFacts
from reconciler.model.resource import ResourceKey
from reconciler.store.lease.instance import EPOCH, refuse_other_epoch
from reconciler.store.rows.bindings import bound_machines, change_bindings, keeps_slot
from reconciler.store.rows.inventories import forget
from reconciler.store.rows.ledger import append, judged, newest_of_each, runs, write_lines
from reconciler.store.sql import tables
from reconciler.store.sql.round_trips import Answers, Question, ask, sending
from reconciler.store.sql.row_batches import insert_rows, put_rows
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import Fenced, StoreError

_FLIGHTS = tables.in_flight
_END = {
    "sqlite": text("""
        DELETE FROM in_flight WHERE (kind, name, action_id) IN
            (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
             FROM json_each(:ended))
        RETURNING action_id
    """),
    "postgresql": text("""
        DELETE FROM in_flight USING json_array_elements(CAST(:ended AS json)) AS ended
        WHERE kind = ended ->> 0 AND name = ended ->> 1 AND action_id = ended ->> 2
        RETURNING action_id
    """),
}
_NOTE = (
    update(_FLIGHTS)
    .where(
        _FLIGHTS.c.kind == bindparam("of_kind"),
        _FLIGHTS.c.name == bindparam("of_name"),
        _FLIGHTS.c.action_id == bindparam("of_action"),
    )
    .values(value=bindparam("noted"))
)


def write_all(connection: Connection, writes: Sequence[LedgerWrite], epochs: AbstractSet[int] = frozenset()) -> None:
    """All of these, as if one after the other, while these are the current epoch. Raises StoreError, such as Fenced;
    then the transaction is lost."""
    batch = _Batch(connection, epochs)
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
    batch.flush(commits=True)


class _Batch:
    """What is put off."""

    def __init__(self, connection: Connection, epochs: AbstractSet[int]) -> None:
        self._connection, self._epochs = connection, epochs
        self._has_begun = False
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
        is_one = len(facts) == 1
        if not (is_one and self._can_join(*next(iter(facts.items())))):
            self._write_facts()
        self._facts.update(facts)
        if not is_one or None in facts.values():
            self._write_facts()

    def _can_join(self, key: ResourceKey, facts: ResourceFacts | None) -> bool:
        before = self._facts.get(key)
        return facts is not None and (before is None or keeps_slot(key, before, facts))

    def flush(self, *, commits: bool = False) -> None:
        """Carry out what was put off: all that it depends on is asked for together, and then it is sent together.
        `commits`: nothing follows in this transaction."""
        told, facts, begins, ends = runs(self.events), self._facts, list(self.begins.values()), self._ends
        self.events, self._facts, self.begins, self._ends = [], {}, {}, []
        first, later = (told[0], told[1:]) if told else ([], [])
        connection, asked = self._connection, newest_of_each(first)
        ended = Question(_END, {"ended": _ids(ends)}) if ends else None
        answers = self._ask({"ended": ended, "bound": bound_machines(facts), **asked})
        _refuse_unended(ends, len(answers["ended"]))
        change_bindings(connection, facts, answers["bound"])
        lines = judged(connection, first, {name: answers[name] for name in asked})
        with _begun_once(begins), sending(connection, commits=commits and not later):
            _begin(connection, begins)
            _put_facts(connection, facts)
            write_lines(connection, lines)
        for run in later:
            append(connection, run)

    def _ask(self, questions: Mapping[str, Question | None]) -> Answers:
        """The first time, together with the epoch: nothing is written before that is known."""
        if self._has_begun:
            return ask(self._connection, questions)
        self._has_begun = True
        answers = ask(self._connection, {"epoch": EPOCH if self._epochs else None, **questions}, begins=True)
        for epoch in self._epochs:
            refuse_other_epoch(answers["epoch"], epoch)
        return answers

    def _write_facts(self) -> None:
        facts, self._facts = self._facts, {}
        if facts:
            answers = self._ask({"bound": bound_machines(facts)})
            change_bindings(self._connection, facts, answers["bound"])
            _put_facts(self._connection, facts)


def _put_facts(connection: Connection, facts: Mapping[ResourceKey, ResourceFacts | None]) -> None:
    ordered = sorted(facts.items(), key=lambda pair: pair[0])
    rows = [{**_columns(key), "value": row_json(value)} for key, value in ordered if value is not None]
    if rows:
        put_rows(connection, tables.facts, rows)
    for key in (key for key, value in ordered if value is None):
        _forget(connection, key)


def _forget(connection: Connection, key: ResourceKey) -> None:
    for table in (tables.facts, tables.observation):
        connection.execute(delete(table).where(table.c.kind == key.kind, table.c.name == key.name))
    if key.kind in INVENTORIED:
        forget(connection, key)


@contextmanager
def _begun_once(begun: Sequence[tuple[InFlight, int]]) -> Iterator[None]:
    """Say which action was in flight already, when one was."""
    try:
        yield
    except IntegrityError as error:
        if not begun:
            raise
        # Of several, each is tried alone after this.
        raise StoreError(_begun_already(begun[0][0])) from error


def _begin(connection: Connection, begun: Sequence[tuple[InFlight, int]]) -> None:
    rows = [
        {**_columns(flight.key), "action_id": flight.id, "epoch": epoch, "value": row_json(flight)}
        for flight, epoch in begun
    ]
    if rows:
        insert_rows(connection, _FLIGHTS, rows)


def _begun_already(flight: InFlight) -> str:
    return f"{flight.key}: another action is in flight, so action {flight.id} was not sent; groundstate tries again"


def _note(connection: Connection, flight: InFlight) -> bool:
    this = {"of_kind": flight.key.kind, "of_name": flight.key.name, "of_action": flight.id}
    return connection.execute(_NOTE, {**this, "noted": row_json(flight)}).rowcount > 0


def _ids(flights: Sequence[InFlight]) -> str:
    return row_json([(one.key.kind, one.key.name, one.id) for one in flights])


def _refuse_unended(ends: Sequence[InFlight], found: int) -> None:
    if found < len(ends):
        names = ", ".join(f"{flight.key}: action {flight.id}" for flight in ends)
        raise Fenced(f"{names} is not in flight any more; another groundstate process has settled the action")


def _columns(key: ResourceKey) -> dict[str, Any]:
    return {"kind": key.kind, "name": key.name}
