"""The embedded IPAM: networks and pools of numbers, their prefixes, what is free in them, and who holds what.

The statements are written out, as in the first migration. `drivers/ipam` is the code that uses these tables.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COMMON = (
    # A name that begins with # is a pool's; no network's may.
    """CREATE TABLE ipam_network (
        name TEXT NOT NULL PRIMARY KEY, parent TEXT REFERENCES ipam_network (name), namespace TEXT NOT NULL DEFAULT '',
        container INTEGER NOT NULL DEFAULT 0, shared INTEGER NOT NULL DEFAULT 0, project TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX ipam_network_of_parent ON ipam_network (parent, name) WHERE parent IS NOT NULL",
    # `family` 0 is a pool's one row. Prefixes of one scope may not overlap: a scope is a namespace, for prefixes that
    # are nobody's children, or a parent. `declared` NULL: nothing was said beside lo and hi.
    """CREATE TABLE ipam_prefix (
        id {identity}, network TEXT NOT NULL REFERENCES ipam_network (name) ON DELETE CASCADE,
        position INTEGER NOT NULL, family INTEGER NOT NULL, scope TEXT NOT NULL, cidr TEXT,
        lo {bytes} NOT NULL, hi {bytes} NOT NULL, declared TEXT,
        CHECK (lo <= hi){exclusion})""",
    "CREATE INDEX ipam_prefix_of_network ON ipam_prefix (network, position)",
    "CREATE INDEX ipam_prefix_in_scope ON ipam_prefix (scope, lo)",
    """CREATE TABLE ipam_free (
        prefix BIGINT NOT NULL REFERENCES ipam_prefix (id) ON DELETE CASCADE, lo {bytes} NOT NULL, hi {bytes} NOT NULL,
        PRIMARY KEY (prefix, lo), CHECK (lo <= hi)){clustered}""",
    # What is free in a container, in the largest aligned blocks (of `length` as in a CIDR) that make it up.
    """CREATE TABLE ipam_block (
        prefix BIGINT NOT NULL REFERENCES ipam_prefix (id) ON DELETE CASCADE, length INTEGER NOT NULL,
        lo {bytes} NOT NULL, PRIMARY KEY (prefix, length, lo)){clustered}""",
    "CREATE INDEX ipam_block_at ON ipam_block (prefix, lo)",
    """CREATE TABLE ipam_allocation (
        owner TEXT NOT NULL PRIMARY KEY, prefix BIGINT NOT NULL REFERENCES ipam_prefix (id), address {bytes} NOT NULL,
        about TEXT, UNIQUE (prefix, address)){clustered}""",
)

SQLITE_WORDS = {"identity": "INTEGER PRIMARY KEY", "bytes": "BLOB", "exclusion": "", "clustered": " WITHOUT ROWID"}

POSTGRESQL_WORDS = {
    "identity": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "bytes": "bytea",
    # Judged at commit: while a network changes, its old and new prefixes may stand side by side. The scope's hash in
    # front makes one line of all scopes, with prefixes as spans of it: an index of this one column stays flat, where
    # one with the prefix and the scope apart slows down as it fills.
    "exclusion": """,
        EXCLUDE USING gist (ipam_span(
            int8send(hashtextextended(scope, 0)) || lo, int8send(hashtextextended(scope, 0)) || hi, '[]') WITH &&
        ) WHERE (family <> 0) DEFERRABLE INITIALLY DEFERRED""",
    "clustered": "",
}

POSTGRESQL_TYPES = ("CREATE TYPE ipam_span AS RANGE (subtype = bytea)",)

POSTGRESQL = (
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
    # The address with the bits from `at` (the highest is 0) on set, up to `past`: a prefix's last one, or, of one bit,
    # the upper half of a block. set_bit counts from a byte's lowest bit.
    """CREATE FUNCTION ipam_ones(address bytea, at integer, past integer) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN
        FOR bit IN at..past - 1 LOOP
            address := set_bit(address, bit + 7 - 2 * mod(bit, 8), 1);
        END LOOP;
        RETURN address;
    END $$""",
    """CREATE FUNCTION ipam_cidr(address bytea, family integer, length integer) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT AS $$
        SELECT CASE family WHEN 4 THEN concat_ws('.', get_byte(address, 12), get_byte(address, 13),
            get_byte(address, 14), get_byte(address, 15))
        ELSE host(rtrim(regexp_replace(encode(address, 'hex'), '(....)', '\\1:', 'g'), ':')::inet) END || '/' || length
    $$""",
    # One call, so one round trip. The network's row is the lock that acquire, release and changes to it share.
    """CREATE FUNCTION ipam_acquire(
        for_network text, for_owner text, wanted bytea, wanted_family integer, said text,
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
        INSERT INTO ipam_allocation (owner, prefix, address, about) VALUES (for_owner, chosen, given, said)
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
    # A new child with one chosen prefix of a family and nothing else, in one round trip; false when it is not as simple
    # as that, and nothing was done. The table's lock goes before the rows', in the order of all who change networks.
    """CREATE FUNCTION ipam_choose(
        child text, of_parent text, wanted_family integer, wanted_length integer,
        is_container integer, is_shared integer, of_project text,
        OUT done boolean, OUT in_namespace text, OUT given bytea
    ) LANGUAGE plpgsql AS $$
    DECLARE within bigint; was integer; made bigint; above integer := CASE wanted_family WHEN 4 THEN 96 ELSE 0 END;
    BEGIN
        done := false;
        LOCK TABLE ipam_prefix IN ROW EXCLUSIVE MODE;
        SELECT namespace INTO in_namespace FROM ipam_network
            WHERE name = of_parent AND container = 1 FOR NO KEY UPDATE;
        IF NOT FOUND THEN RETURN; END IF;
        SELECT p.id, b.length, b.lo INTO within, was, given
            FROM ipam_prefix p
            CROSS JOIN LATERAL (
                SELECT length, lo FROM ipam_block WHERE prefix = p.id AND length = (
                    SELECT max(length) FROM ipam_block WHERE prefix = p.id AND length <= wanted_length)
                ORDER BY lo LIMIT 1) b
            WHERE p.network = of_parent AND p.family = wanted_family
            ORDER BY b.length DESC, p.position LIMIT 1;
        IF NOT FOUND THEN RETURN; END IF;
        INSERT INTO ipam_network (name, parent, namespace, container, shared, project)
            VALUES (child, of_parent, in_namespace, is_container, is_shared, of_project) ON CONFLICT (name) DO NOTHING;
        IF NOT FOUND THEN RETURN; END IF;
        DELETE FROM ipam_block WHERE prefix = within AND length = was AND lo = given;
        FOR length IN was + 1..wanted_length LOOP
            INSERT INTO ipam_block (prefix, length, lo)
                VALUES (within, length, ipam_ones(given, above + length - 1, above + length));
        END LOOP;
        INSERT INTO ipam_prefix (network, position, family, scope, cidr, lo, hi)
            VALUES (child, 0, wanted_family, '/' || of_parent, ipam_cidr(given, wanted_family, wanted_length),
                given, ipam_ones(given, above + wanted_length, 128))
            RETURNING id INTO made;
        IF is_container = 1 THEN
            INSERT INTO ipam_block (prefix, length, lo) VALUES (made, wanted_length, given);
        ELSIF wanted_length + above >= 127 THEN
            INSERT INTO ipam_free (prefix, lo, hi) VALUES (made, given, ipam_ones(given, above + wanted_length, 128));
        ELSE
            -- The network's own address, and of IPv4 the broadcast address, are nobody's.
            INSERT INTO ipam_free (prefix, lo, hi) VALUES (made, ipam_ones(given, 127, 128),
                ipam_ones(given, above + wanted_length, CASE wanted_family WHEN 4 THEN 127 ELSE 128 END));
        END IF;
        done := true;
    END $$""",
)


def upgrade() -> None:
    """Make everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    words = SQLITE_WORDS if sqlite else POSTGRESQL_WORDS
    for statement in () if sqlite else POSTGRESQL_TYPES:
        op.get_bind().exec_driver_sql(statement)
    for statement in COMMON:
        op.get_bind().exec_driver_sql(statement.format_map(words))
    for statement in () if sqlite else POSTGRESQL:
        # As it stands: `:=` is no parameter.
        op.get_bind().exec_driver_sql(statement)
