"""Brings a database to the schema that this program knows: where it is opened to be written, under a lock, whole or
not at all."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from reconciler.store.sql.store_errors import StoreError

HEAD = "0022"
"""The newest migration. Kept here so that an open which has nothing to do need not load Alembic."""

SCRIPTS = Path(__file__).parents[1] / "migrations"

NEW_SQLITE = SCRIPTS / "schema_sqlite.sql"
"""What all migrations make of an empty SQLite database, written by `python -m reconciler.store.sql.new_schema`. A plan
without a store needs such a database. To load Alembic and run every migration takes 0.3 s."""

BETWEEN = ";\n\n"
"""What stands between two statements of a new schema."""

_MIGRATION_LOCK = 0x67726F756E64_01
"""Advisory lock on PostgreSQL: `ground`, 1."""


def migrate(engine: Engine, writing: Engine) -> None:
    """Run what is missing; `writing` takes the write lock where a transaction begins.

    Raises StoreError for a database of a newer program.
    """
    with engine.connect() as connection:
        if (found := schema_version(connection)) == HEAD:
            return
    refuse_newer(found)
    with writing.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if schema_version(connection) == HEAD:
            return
        if _is_empty(connection):
            for statement in NEW_SQLITE.read_text("utf-8").split(BETWEEN):
                connection.exec_driver_sql(statement)
        else:
            upgrade(connection)


def schema_version(connection: Connection) -> str | None:
    """The database's version; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def refuse_newer(found: str | None) -> None:
    """Raise StoreError for the version of a database that a newer program made."""
    if found is not None and found not in known_versions():
        raise StoreError(
            f"the store has schema {found}, which this program (schema {HEAD}) does not know. A newer "
            "groundstate made the store; use that version. Nothing was changed"
        )


def known_versions() -> set[str]:
    """All versions, read off the names of the scripts: `v0001_first_schema.py`."""
    return {script.name[1:5] for script in (SCRIPTS / "versions").glob("v[0-9]*.py")}


def _is_empty(connection: Connection) -> bool:
    """Whether it is an SQLite database in which nothing was made yet."""
    if connection.dialect.name != "sqlite":
        return False
    return connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, one after the other."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
