"""What is in resources, as their endpoints and the agent said it last, and what they said before that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, false, or_, select

from drivers.base import ErrorReason, Inventory, clean
from reconciler.kinds.common.machine_inventory import NO_INVENTORY, Kept, Origin, StoredInventory
from reconciler.model.observation import ReadError
from reconciler.model.resource import ResourceKey
from reconciler.store.sql import decoders, tables
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_json import row_json

_TABLE = tables.inventory
_NAMED = 500
"""More resources than this are not named to the database; it is asked for all."""
_FIELDS = {Origin.OUT_OF_BAND: "out_of_band", Origin.IN_BAND: "in_band"}


class InventoryTable:
    """A row for each resource and origin, a transaction a call. May be shared by threads. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, keys: Collection[ResourceKey] | None = None) -> dict[ResourceKey, StoredInventory]:
        """All that is kept, or what is of these resources."""
        wanted = select(_TABLE.c.kind, _TABLE.c.name, _TABLE.c.origin, _TABLE.c.value)
        if keys is not None and len(keys) <= _NAMED:
            kinds = {key.kind for key in keys}
            named = (
                and_(_TABLE.c.kind == kind, _TABLE.c.name.in_({key.name for key in keys if key.kind == kind}))
                for kind in sorted(kinds)
            )
            wanted = wanted.where(or_(false(), *named))
        found: dict[ResourceKey, dict[str, Kept]] = {}
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        for kind, name, origin, value in rows:
            key = ResourceKey(kind, name)
            if keys is None or key in keys:
                kept = _decoded(origin, value)
                found.setdefault(key, {})[_FIELDS[kept.origin]] = kept
        return {key: StoredInventory(**kept) for key, kept in found.items()}

    def each(self, keys: Collection[ResourceKey] | None = None) -> Iterator[tuple[ResourceKey, StoredInventory]]:
        """The same one by one, in order of kind and name, of which a few hundred at most are in memory. Ten thousand
        would be hundreds of megabytes."""
        if keys is None:
            with self._database.read() as connection:
                rows = connection.execute(select(_TABLE.c.kind, _TABLE.c.name).distinct()).all()
            keys = [ResourceKey(kind, name) for kind, name in rows]
        ordered = sorted(keys)
        for start in range(0, len(ordered), _NAMED):
            yield from sorted(self.all(set(ordered[start : start + _NAMED])).items())

    def of(self, key: ResourceKey) -> StoredInventory:
        """What is kept of one resource."""
        return self.all({key}).get(key, NO_INVENTORY)

    def put(self, key: ResourceKey, origin: Origin, value: Inventory, at: datetime) -> Kept:
        """Keep what was read; returns what is kept now. The last different value stays as `previous` until a person
        accepts the change, however often it changes meanwhile."""

        def changed(kept: Kept) -> Kept:
            common = {"taken_at": at, "tried_at": at, "error": None, "value": value}
            if kept.value is None or kept.value == value:
                return msgspec.structs.replace(kept, **common, since=kept.since or at)
            before = {"previous": kept.previous or kept.value, "previous_at": kept.previous_at or kept.taken_at}
            if before["previous"] == value:
                # All is as it was before.
                before = {"previous": None, "previous_at": None}
            return msgspec.structs.replace(kept, **common, **before, since=at)

        return self._change(key, origin, changed)

    def fail(self, key: ResourceKey, origin: Origin, error: ReadError, at: datetime) -> Kept:
        """Remember why a try failed; what was read before stays."""
        return self._change(key, origin, lambda kept: msgspec.structs.replace(kept, error=error, tried_at=at))

    def accept(self, key: ResourceKey, origin: Origin) -> Kept:
        """What is read now is how it is meant to be: forget what was read before."""
        return self._change(key, origin, lambda kept: msgspec.structs.replace(kept, previous=None, previous_at=None))

    def _change(self, key: ResourceKey, origin: Origin, change: Callable[[Kept], Kept]) -> Kept:
        where = (*_is(key), _TABLE.c.origin == str(origin))
        with self._database.write() as connection:
            value = connection.execute(select(_TABLE.c.value).where(*where)).scalar()
            kept = change(Kept(origin) if value is None else _decoded(origin, value))
            row = {"taken_at": kept.taken_at, "value": row_json(kept)}
            if value is None:
                named = {"kind": key.kind, "name": key.name, "origin": str(origin)}
                connection.execute(_TABLE.insert(), {**named, **row})
            else:
                connection.execute(_TABLE.update().where(*where).values(row))
        return kept


def forget(connection: Connection, key: ResourceKey) -> None:
    """Drop what is kept of a resource that is forgotten."""
    connection.execute(delete(_TABLE).where(*_is(key)))


def _is(key: ResourceKey) -> tuple[ColumnElement[bool], ...]:
    return (_TABLE.c.kind == key.kind, _TABLE.c.name == key.name)


def _decoded(origin: str, value: str) -> Kept:
    """One that cannot be read is as good as none: it is read again, and those of other resources are available."""
    try:
        return decoders.KEPT_DECODER.decode(value)
    except msgspec.MsgspecError as error:
        why = f"the stored inventory is damaged and will be read again: {error}"
        return Kept(Origin(origin), error=ReadError(ErrorReason.UNREADABLE, clean(why)))
