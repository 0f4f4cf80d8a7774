"""Logins that BMCs refused, by the BMC's address. The login itself is not among it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import delete, select

from reconciler.store.sql.database import Database
from reconciler.store.sql.row_batches import put_rows
from reconciler.store.sql.tables import refused_login_table


class KeptRefusal(msgspec.Struct, frozen=True):
    """A login that was refused. `login`: salt and slow digest of it. `times`: in a row. `until`: it is left alone."""

    login: str
    times: int
    until: datetime


class RefusedLoginTable:
    """One row a BMC. Each call is one transaction, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Mapping[str, KeptRefusal]:
        """All that are kept, by address."""
        with self._database.read() as connection:
            rows = connection.execute(select(refused_login_table)).all()
        return {row.address: KeptRefusal(row.login, row.times, row.until) for row in rows}

    def put(self, address: str, refusal: KeptRefusal, now: datetime) -> None:
        """In place of what was kept of this BMC. Those that are over are removed."""
        row = {"address": address, **msgspec.structs.asdict(refusal)}
        with self._database.write(durable=False) as connection:
            connection.execute(delete(refused_login_table).where(refused_login_table.c.until < now))
            put_rows(connection, refused_login_table, [row])

    def remove(self, addresses: Collection[str]) -> None:
        """Nothing is kept of these BMCs any more."""
        with self._database.write(durable=False) as connection:
            for address in addresses:
                connection.execute(delete(refused_login_table).where(refused_login_table.c.address == address))
