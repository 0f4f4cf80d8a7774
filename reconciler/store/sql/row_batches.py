"""Many rows of a table in one statement.

PostgreSQL gets them as one JSON text. Row by row the driver takes most of the time of a group of writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Table, Text, bindparam, cast, func, insert, select

from reconciler.store.sql.row_json import row_json

Row = Mapping[str, Any]
"""Values by the names of columns; each row of a batch has the same names."""


def insert_for(connection: Connection) -> Any:
    """The INSERT of this database, which can overwrite on a conflict."""
    # Loading the other database's dialect would cost every command 60 ms.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        return insert_sqlite
    from sqlalchemy.dialects.postgresql import insert as insert_postgresql

    return insert_postgresql


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert all of these, in their order. Raises SQLAlchemyError, such as IntegrityError for a key that is there."""
    if connection.dialect.name == "sqlite":
        connection.execute(_insert(table), rows)
    elif rows:
        connection.execute(_insert_json(table, tuple(rows[0])), _as_json(rows))


def put_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert these, or overwrite rows of the same primary key. Each key is in the batch once. Raises
    SQLAlchemyError."""
    insert_into = insert_for(connection)
    if connection.dialect.name == "sqlite":
        connection.execute(_upsert(insert_into, table), rows)
    elif rows:
        connection.execute(_upsert_json(insert_into, table, tuple(rows[0])), _as_json(rows))


def _as_json(rows: Sequence[Row]) -> dict[str, str]:
    return {"rows": row_json(rows)}


# The statements are kept, as to make one takes longer than to carry it out.


@cache
def _insert(table: Table) -> Any:
    return insert(table).inline()


@cache
def _insert_json(table: Table, names: tuple[str, ...]) -> Any:
    return insert(table).from_select(names, _selected(table, names))


@cache
def _upsert(insert_into: Any, table: Table) -> Any:
    return _overwriting(insert_into(table), table)


@cache
def _upsert_json(insert_into: Any, table: Table, names: tuple[str, ...]) -> Any:
    return _overwriting(insert_into(table).from_select(names, _selected(table, names)), table)


def _overwriting(added: Any, table: Table) -> Any:
    keys = [column.name for column in table.primary_key]
    rest = {column.name: added.excluded[column.name] for column in table.columns if column.name not in keys}
    return added.on_conflict_do_update(index_elements=keys, set_=rest)


def _selected(table: Table, names: tuple[str, ...]) -> Any:
    """The rows of the JSON text in the parameter `rows`, each value of the type of its column."""
    columns = (table.c[name] for name in names)
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
    return select(rows.table_valued(*columns, name="rows").render_derived(name="rows", with_types=True))
