"""Statements that go to the database together: PostgreSQL may be far away, and is waited for once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Engine, TextClause
from sqlalchemy.exc import DBAPIError


class Question(NamedTuple):
    """A statement that gives rows, for each sort of database by its name, and its parameters: texts and numbers."""

    statements: Mapping[str, TextClause]
    parameters: Mapping[str, Any]


Answers = dict[str, list[tuple[Any, ...]]]


def ask(connection: Connection, questions: Mapping[str, Question | None], *, begins: bool = False) -> Answers:
    """The rows that answer each, by the same names; none for None. They are carried out in their order.

    `begins`: the transaction of a connection of `Database.write_together` begins with them. Raises SQLAlchemyError.
    """
    dialect = connection.dialect
    asked = {name: (one.statements[dialect.name], one.parameters) for name, one in questions.items() if one is not None}
    found: Answers = {name: [] for name in questions}
    if dialect.name == "sqlite" and not connection.in_transaction():  # Which this begins.
        return found | {name: [tuple(row) for row in connection.execute(*each)] for name, each in asked.items()}
    if not asked and not begins:
        return found
    driver: Any = connection.connection.driver_connection
    if dialect.name == "sqlite":
        # SQLAlchemy takes four times as long as SQLite for a statement that gives a row or none.
        with in_sqlalchemy_errors(connection):
            return found | {
                name: driver.execute(each.text, values).fetchall() for name, (each, values) in asked.items()
            }
    with sending(connection):
        if begins:
            driver.execute("BEGIN")
        cursors = {name: driver.execute(_sql(text, dialect), values) for name, (text, values) in asked.items()}
    return found | {name: cursor.fetchall() for name, cursor in cursors.items()}


@contextmanager
def sending(connection: Connection, *, commits: bool = False) -> Iterator[None]:
    """Statements in this block are sent one after the other, and waited for at its end. None may give rows, and how
    many rows each has changed is not known. Raises SQLAlchemyError.

    `commits`: they are the last of their transaction, which PostgreSQL ends with them, unless one of them fails.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    with in_sqlalchemy_errors(connection), driver.pipeline():
        yield
        if commits:
            driver.execute("COMMIT")


@contextmanager
def in_sqlalchemy_errors(connection: Connection | Engine) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy's own."""
    base = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        # SQLAlchemy does the same with the errors of its own calls, and knows nothing of this one.
        if isinstance(connection, Connection) and getattr(connection.connection.driver_connection, "closed", False):
            connection.invalidate(error)  # Or its pool rolls back, which fails, and logs how.
        raise DBAPIError.instance(None, None, error, base, hide_parameters=True, dialect=connection.dialect) from error


@cache
def _sql(statement: TextClause, dialect: Dialect) -> str:
    return str(statement.compile(dialect=dialect))
