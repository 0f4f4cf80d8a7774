"""Events may be taken out of the ledger from before a time that stands in `meta`, and no others.

Who trims sets that time in the same transaction (store/rows/retention.py). Any other DELETE still fails.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SQLITE = (
    "DROP TRIGGER event_no_delete",
    """CREATE TRIGGER event_no_delete BEFORE DELETE ON event
    WHEN OLD.at >= coalesce((SELECT value FROM meta WHERE name = 'ledger-kept-from'), '')
    BEGIN SELECT RAISE(ABORT, 'the event ledger is append-only'); END""",
)

POSTGRESQL = (
    """CREATE FUNCTION event_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.at < (SELECT value::timestamptz FROM meta WHERE name = 'ledger-kept-from') THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'the event ledger is append-only';
    END $$""",
    "DROP TRIGGER event_no_change ON event",
    """CREATE TRIGGER event_no_change BEFORE UPDATE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_append_only()""",
    """CREATE TRIGGER event_no_delete BEFORE DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_kept()""",
)


def upgrade() -> None:
    """Let old events go."""
    for statement in SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL:
        # As it stands: `:` is no parameter.
        op.get_bind().exec_driver_sql(statement)
