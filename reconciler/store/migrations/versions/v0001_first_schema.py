"""The first schema: what the reconciler remembers, the queue, and the embedded IPAM.

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
    "CREATE TABLE ipam_network (name TEXT NOT NULL PRIMARY KEY)",
    """CREATE TABLE ipam_prefix (
        id {identity}, network TEXT NOT NULL REFERENCES ipam_network (name) ON DELETE CASCADE,
        position INTEGER NOT NULL, family INTEGER NOT NULL, cidr TEXT NOT NULL,
        lo {bytes} NOT NULL, hi {bytes} NOT NULL, declared TEXT NOT NULL,
        CHECK (lo <= hi){exclusion})""",
    "CREATE INDEX ipam_prefix_of_network ON ipam_prefix (network, position)",
    """CREATE TABLE ipam_free (
        prefix BIGINT NOT NULL REFERENCES ipam_prefix (id) ON DELETE CASCADE, lo {bytes} NOT NULL, hi {bytes} NOT NULL,
        PRIMARY KEY (prefix, lo), CHECK (lo <= hi)){clustered}""",
    """CREATE TABLE ipam_allocation (
        owner TEXT NOT NULL PRIMARY KEY, prefix BIGINT NOT NULL REFERENCES ipam_prefix (id), address {bytes} NOT NULL,
        UNIQUE (prefix, address)){clustered}""",
)

SQLITE_WORDS = {
    "time": "TEXT",
    "sequence": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
    "identity": "INTEGER PRIMARY KEY",
    "bytes": "BLOB",
    "exclusion": "",
    "clustered": " WITHOUT ROWID",
}

SQLITE = tuple(
    f"CREATE TRIGGER event_no_{verb} BEFORE {verb} ON event "
    "BEGIN SELECT RAISE(ABORT, 'the event ledger is append-only'); END"
    for verb in ("update", "delete")
)

POSTGRESQL_WORDS = {
    "time": "timestamptz",
    "sequence": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "identity": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "bytes": "bytea",
    # Judged at commit: while a network changes, its old and new prefixes may stand side by side.
    "exclusion": ", EXCLUDE USING gist ((cidr::inet) inet_ops WITH &&) DEFERRABLE INITIALLY DEFERRED",
    "clustered": "",
}

POSTGRESQL = (
    """CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the event ledger is append-only'; END $$""",
    """CREATE TRIGGER event_no_change BEFORE UPDATE OR DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_append_only()""",
    """CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only()""",
    # The address after, and the one before; NULL past the ends.
    """CREATE FUNCTION ipam_next(address bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN
        FOR at IN REVERSE 15..0 LOOP
            IF get_byte(address, at) < 255 THEN RETURN set_byte(address, at, get_byte(address, at) + 1); END IF;
            address := set_byte(address, at, 0);
        END LOOP;
        RETURN NULL;
    END $$""",
    """CREATE FUNCTION ipam_previous(address bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN
        FOR at IN REVERSE 15..0 LOOP
            IF get_byte(address, at) > 0 THEN RETURN set_byte(address, at, get_byte(address, at) - 1); END IF;
            address := set_byte(address, at, 255);
        END LOOP;
        RETURN NULL;
    END $$""",
    # One call, so one round trip. The network's row is the lock that acquire, release and changes to it share.
    """CREATE FUNCTION ipam_acquire(
        for_network text, for_owner text, wanted bytea, wanted_family integer,
        OUT outcome text, OUT in_network text, OUT given bytea
    ) LANGUAGE plpgsql AS $$
    DECLARE known boolean; chosen bigint; low bytea; high bytea;
    BEGIN
        PERFORM 1 FROM ipam_network WHERE name = for_network FOR NO KEY UPDATE;
        known := FOUND;
        SELECT p.network, a.address INTO in_network, given
            FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix WHERE a.owner = for_owner;
        IF FOUND THEN outcome := 'held'; RETURN; END IF;
        IF NOT known THEN outcome := 'unknown'; RETURN; END IF;
        IF wanted IS NULL THEN
            SELECT p.id, f.lo, f.hi INTO chosen, low, high
                FROM ipam_prefix p
                CROSS JOIN LATERAL (SELECT lo, hi FROM ipam_free WHERE prefix = p.id ORDER BY lo LIMIT 1) f
                WHERE p.network = for_network AND (wanted_family IS NULL OR p.family = wanted_family)
                ORDER BY p.position LIMIT 1;
        ELSE
            SELECT p.id, f.lo, f.hi INTO chosen, low, high
                FROM ipam_prefix p
                CROSS JOIN LATERAL (
                    SELECT lo, hi FROM ipam_free WHERE prefix = p.id AND lo <= wanted ORDER BY lo DESC LIMIT 1) f
                WHERE p.network = for_network AND wanted BETWEEN p.lo AND p.hi AND wanted <= f.hi;
        END IF;
        IF NOT FOUND THEN outcome := 'none'; RETURN; END IF;
        given := coalesce(wanted, low);
        INSERT INTO ipam_allocation (owner, prefix, address) VALUES (for_owner, chosen, given)
            ON CONFLICT (owner) DO NOTHING;
        IF NOT FOUND THEN outcome := 'again'; RETURN; END IF;
        IF low < given THEN
            UPDATE ipam_free SET hi = ipam_previous(given) WHERE prefix = chosen AND lo = low;
            IF given < high THEN
                INSERT INTO ipam_free (prefix, lo, hi) VALUES (chosen, ipam_next(given), high);
            END IF;
        ELSIF given < high THEN
            UPDATE ipam_free SET lo = ipam_next(given) WHERE prefix = chosen AND lo = low;
        ELSE
            DELETE FROM ipam_free WHERE prefix = chosen AND lo = low;
        END IF;
        outcome := 'given';
    END $$""",
    """CREATE FUNCTION ipam_release(of_owner text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE in_network text; within bigint; freed bytea; low bytea; high bytea;
    BEGIN
        LOOP
            SELECT p.network INTO in_network
                FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix WHERE a.owner = of_owner;
            IF NOT FOUND THEN RETURN; END IF;
            PERFORM 1 FROM ipam_network WHERE name = in_network FOR NO KEY UPDATE;
            -- Unless it went to another network before the lock was had.
            DELETE FROM ipam_allocation a USING ipam_prefix p
                WHERE a.owner = of_owner AND p.id = a.prefix AND p.network = in_network
                RETURNING a.prefix, a.address INTO within, freed;
            EXIT WHEN FOUND;
        END LOOP;
        DELETE FROM ipam_free WHERE prefix = within AND lo = ipam_next(freed) RETURNING hi INTO high;
        high := coalesce(high, freed);
        SELECT f.lo INTO low FROM (
            SELECT lo, hi FROM ipam_free WHERE prefix = within AND lo < freed ORDER BY lo DESC LIMIT 1) f
            WHERE f.hi = ipam_previous(freed);
        IF FOUND THEN
            UPDATE ipam_free SET hi = high WHERE prefix = within AND lo = low;
        ELSE
            INSERT INTO ipam_free (prefix, lo, hi) VALUES (within, freed, high);
        END IF;
    END $$""",
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
