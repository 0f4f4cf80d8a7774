"""Writes the schema of a new SQLite store as one script: `python -m reconciler.store.sql.new_schema`.

The migrations are its source, and a test compares."""

from __future__ import annotations

from sqlalchemy import Connection, create_engine

from reconciler.store.sql.migrate import BETWEEN, NEW_SQLITE, upgrade

_MADE = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
"""In the order in which it was made. Objects that SQLite creates have no text, or a name of its own."""


def new_schema() -> str:
    """All that the migrations make in an empty SQLite database."""
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        made = [str(statement) for statement in connection.exec_driver_sql(_MADE).scalars()]
        return BETWEEN.join([*made, *_rows(connection)]) + "\n"


def _rows(connection: Connection) -> list[str]:
    """What the migrations put into their tables."""
    tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    found = []
    for table in tables:
        for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"').all():  # noqa: S608  a name of our own
            quoted = connection.exec_driver_sql(f"SELECT {', '.join('quote(?)' for _ in row)}", tuple(row)).one()
            found.append(f'INSERT INTO "{table}" VALUES ({", ".join(quoted)})')  # noqa: S608  as above
    return found


if __name__ == "__main__":
    NEW_SQLITE.write_text(new_schema(), "utf-8")
