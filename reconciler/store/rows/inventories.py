"""What is in the machines, as their BMCs and the agent said it last, and what they said before that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select

from drivers.base import ErrorReason, Inventory, clean
from reconciler.kinds.common.inventory import NO_INVENTORY, Kept, MachineInventory, Origin
from reconciler.model.observation import ReadError
from reconciler.store.sql import decoders, tables
from reconciler.store.sql.database import Database

_TABLE = tables.inventory
_NAMED = 500
"""More machines than this are not named to the database; it is asked for all."""
_FIELDS = {Origin.OUT_OF_BAND: "out_of_band", Origin.IN_BAND: "in_band"}


class InventoryTable:
    """A row a machine and origin, a transaction a call. Calls may come from several threads. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, machines: Collection[str] | None = None) -> dict[str, MachineInventory]:
        """All that is kept, or what is of these machines, by the machine's name."""
        wanted = select(_TABLE.c.machine, _TABLE.c.origin, _TABLE.c.value)
        if machines is not None and len(machines) <= _NAMED:
            wanted = wanted.where(_TABLE.c.machine.in_(machines))
        found: dict[str, dict[str, Kept]] = {}
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        for machine, origin, value in rows:
            if machines is None or machine in machines:
                kept = _decoded(machine, origin, value)
                found.setdefault(machine, {})[_FIELDS[kept.origin]] = kept
        return {machine: MachineInventory(**kept) for machine, kept in found.items()}

    def each(self, machines: Collection[str] | None = None) -> Iterator[tuple[str, MachineInventory]]:
        """The same one by one, in order of name, of which a few hundred at most are in memory. Ten thousand would be
        hundreds of megabytes."""
        if machines is None:
            with self._database.read() as connection:
                machines = connection.execute(select(_TABLE.c.machine).distinct()).scalars().all()
        names = sorted(machines)
        for start in range(0, len(names), _NAMED):
            yield from sorted(self.all(set(names[start : start + _NAMED])).items())

    def of(self, machine: str) -> MachineInventory:
        """What is kept of one machine."""
        return self.all({machine}).get(machine, NO_INVENTORY)

    def put(self, machine: str, origin: Origin, value: Inventory, at: datetime) -> Kept:
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

        return self._change(machine, origin, changed)

    def fail(self, machine: str, origin: Origin, error: ReadError, at: datetime) -> Kept:
        """Remember why a try failed; what was read before stays."""
        return self._change(machine, origin, lambda kept: msgspec.structs.replace(kept, error=error, tried_at=at))

    def accept(self, machine: str, origin: Origin) -> Kept:
        """What is read now is how it is meant to be: forget what was read before."""
        return self._change(
            machine, origin, lambda kept: msgspec.structs.replace(kept, previous=None, previous_at=None)
        )

    def _change(self, machine: str, origin: Origin, change: Callable[[Kept], Kept]) -> Kept:
        where = (_TABLE.c.machine == machine, _TABLE.c.origin == str(origin))
        with self._database.write() as connection:
            value = connection.execute(select(_TABLE.c.value).where(*where)).scalar()
            kept = change(Kept(machine, origin) if value is None else _decoded(machine, origin, value))
            row = {"taken_at": kept.taken_at, "value": msgspec.json.encode(kept).decode()}
            if value is None:
                connection.execute(_TABLE.insert(), {"machine": machine, "origin": str(origin), **row})
            else:
                connection.execute(_TABLE.update().where(*where).values(row))
        return kept


def forget(connection: Connection, machine: str) -> None:
    """Drop what is kept of a machine that is forgotten."""
    connection.execute(delete(_TABLE).where(_TABLE.c.machine == machine))


def _decoded(machine: str, origin: str, value: str) -> Kept:
    """One that cannot be read is as good as none: it is read anew, and those of other machines are there."""
    try:
        return decoders.KEPT_DECODER.decode(value)
    except msgspec.MsgspecError as error:
        why = f"the stored inventory is damaged and will be read again: {error}"
        return Kept(machine, Origin(origin), error=ReadError(ErrorReason.UNREADABLE, clean(why)))
