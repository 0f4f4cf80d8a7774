"""Rows and what they mean: an event of the ledger with its place, an observation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, select

from drivers.base import ErrorReason, clean
from reconciler.model.event import Event, repeated
from reconciler.model.observation import Observation, ReadError
from reconciler.model.resource import ResourceKey
from reconciler.store.sql import decoders as shapes
from reconciler.store.sql import tables
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError

T = TypeVar("T")


class LedgerEntry(msgspec.Struct, frozen=True):
    """An event and its place in the ledger, which only grows."""

    seq: int
    event: Event


def entry_columns() -> Select[Any]:
    """What `entries_of` reads: to be narrowed, ordered and limited."""
    table, repeat = tables.event, tables.repeat
    columns = select(table.c.seq, table.c.value, repeat.c.count, repeat.c.last, repeat.c.message)
    return columns.select_from(table.outerjoin(repeat, repeat.c.seq == table.c.seq))


def entries_of(rows: Iterable[Any]) -> list[LedgerEntry]:
    """The entries of these rows. Raises StoreError naming one that cannot be read."""
    return [
        LedgerEntry(seq, repeated(value_of_row(shapes.EVENT, value, "event", seq), count, last, message))
        for seq, value, count, last, message in rows
    ]


def value_of_row(decoder: msgspec.json.Decoder[T], value: str, table: str, row: object) -> T:
    """A value of a row. Raises StoreError naming the row."""
    try:
        return decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the store's {table} row {row} cannot be read: {error}; restore a backup") from error


def observation_values(one: Observation) -> dict[str, Any]:
    """What is written of it, beside its key."""
    return {
        "taken_at": one.taken_at,
        "value": None if one.value is None else row_json(one.value),
        "error": None if one.error is None else row_json(one.error),
    }


def observation_of_row(
    decoders: Mapping[str, msgspec.json.Decoder[Any]],
    kind: str,
    name: str,
    taken_at: datetime,
    value: str | None,
    error: str | None,
) -> Observation:
    """The observation of a row; an unknown where the row cannot be read. `decoders`: of values, by kind."""
    key = ResourceKey(kind, name)
    try:
        return Observation(
            key=key,
            taken_at=taken_at,
            value=None if value is None else value_of_row(decoders[kind], value, "observation", key),
            error=None if error is None else value_of_row(shapes.READ_ERROR, error, "observation", key),
        )
    except StoreError as unreadable:
        why = f"the stored observation is damaged and will be read again: {clean(str(unreadable.__cause__))}"
        return Observation(key, taken_at, error=ReadError(ErrorReason.UNREADABLE, why))
