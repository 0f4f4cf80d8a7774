"""The first schema: what the reconciler remembers, and the queue.

The statements are written out, rather than taken from the tables that the program has today: a migration must do the
same for ever.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

COMMON = (
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE instance (id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, holder TEXT)",
    "INSERT INTO instance (id, epoch) VALUES (1, 0)",
    "CREATE TABLE facts (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, name))",
    """CREATE TABLE in_flight (
        kind TEXT NOT NULL, name TEXT NOT NULL, action_id TEXT NOT NULL, epoch BIGINT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (kind, name))""",
    """CREATE TABLE observation (
        kind TEXT NOT NULL, name TEXT NOT NULL, taken_at {time} NOT NULL, value TEXT, error TEXT,
        PRIMARY KEY (kind, name))""",
    """CREATE TABLE event (
        seq {sequence}, at {time} NOT NULL, kind TEXT, name TEXT, value TEXT NOT NULL)""",
    "CREATE INDEX event_by_key ON event (kind, name, seq)",
    """CREATE TABLE queue (
        kind TEXT NOT NULL, name TEXT NOT NULL, priority INTEGER NOT NULL, due {time}, token TEXT, lease_until {time},
        PRIMARY KEY (kind, name), CHECK (due IS NOT NULL OR token IS NOT NULL))""",
    "CREATE INDEX queue_waiting ON queue (priority, due, kind, name) WHERE token IS NULL",
    "CREATE INDEX queue_leased ON queue (lease_until) WHERE token IS NOT NULL",
)

SQLITE_WORDS = {
    "time": "TEXT",
    "sequence": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
}

SQLITE = tuple(
    f"CREATE TRIGGER event_no_{verb} BEFORE {verb} ON event "
    "BEGIN SELECT RAISE(ABORT, 'the event ledger is append-only'); END"
    for verb in ("update", "delete")
)

POSTGRESQL_WORDS = {
    "time": "timestamptz",
    "sequence": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}

POSTGRESQL = (
    """CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the event ledger is append-only'; END $$""",
    """CREATE TRIGGER event_no_change BEFORE UPDATE OR DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_append_only()""",
    """CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only()""",
)


def upgrade() -> None:
    """Make everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    words = SQLITE_WORDS if sqlite else POSTGRESQL_WORDS
    for statement in COMMON:
        op.execute(statement.format_map(words))
    for statement in SQLITE if sqlite else POSTGRESQL:
        # As it stands: `:=` is no parameter.
        op.get_bind().exec_driver_sql(statement)
