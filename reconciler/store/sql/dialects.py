"""What the two databases write differently."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection


def insert_for(connection: Connection) -> Any:
    """The INSERT of this database, which can overwrite on a conflict."""
    # Loading the other database's dialect would cost every command 60 ms.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        return insert_sqlite
    from sqlalchemy.dialects.postgresql import insert as insert_postgresql

    return insert_postgresql
