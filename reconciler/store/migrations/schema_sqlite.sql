CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE instance (id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, holder TEXT);

CREATE TABLE facts (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, name));

CREATE TABLE in_flight (
        kind TEXT NOT NULL, name TEXT NOT NULL, action_id TEXT NOT NULL, epoch BIGINT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (kind, name));

CREATE TABLE observation (
        kind TEXT NOT NULL, name TEXT NOT NULL, taken_at TEXT NOT NULL, value TEXT, error TEXT,
        PRIMARY KEY (kind, name));

CREATE TABLE event (
        seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT, name TEXT, value TEXT NOT NULL);

CREATE INDEX event_by_key ON event (kind, name, seq);

CREATE TRIGGER event_no_update BEFORE update ON event BEGIN SELECT RAISE(ABORT, 'the event ledger is append-only'); END;

CREATE TABLE ipam_network (
        name TEXT NOT NULL PRIMARY KEY, parent TEXT REFERENCES ipam_network (name), namespace TEXT NOT NULL DEFAULT '',
        container INTEGER NOT NULL DEFAULT 0, shared INTEGER NOT NULL DEFAULT 0, project TEXT NOT NULL DEFAULT '');

CREATE INDEX ipam_network_of_parent ON ipam_network (parent, name) WHERE parent IS NOT NULL;

CREATE TABLE ipam_prefix (
        id INTEGER PRIMARY KEY, network TEXT NOT NULL REFERENCES ipam_network (name) ON DELETE CASCADE,
        position INTEGER NOT NULL, family INTEGER NOT NULL, scope TEXT NOT NULL, cidr TEXT,
        lo BLOB NOT NULL, hi BLOB NOT NULL, declared TEXT,
        CHECK (lo <= hi));

CREATE INDEX ipam_prefix_of_network ON ipam_prefix (network, position);

CREATE INDEX ipam_prefix_in_scope ON ipam_prefix (scope, lo);

CREATE TABLE ipam_free (
        prefix BIGINT NOT NULL REFERENCES ipam_prefix (id) ON DELETE CASCADE, lo BLOB NOT NULL, hi BLOB NOT NULL,
        PRIMARY KEY (prefix, lo), CHECK (lo <= hi)) WITHOUT ROWID;

CREATE TABLE ipam_block (
        prefix BIGINT NOT NULL REFERENCES ipam_prefix (id) ON DELETE CASCADE, length INTEGER NOT NULL,
        lo BLOB NOT NULL, PRIMARY KEY (prefix, length, lo)) WITHOUT ROWID;

CREATE INDEX ipam_block_at ON ipam_block (prefix, lo);

CREATE TABLE ipam_allocation (
        owner TEXT NOT NULL PRIMARY KEY, prefix BIGINT NOT NULL REFERENCES ipam_prefix (id), address BLOB NOT NULL,
        about TEXT, UNIQUE (prefix, address)) WITHOUT ROWID;

CREATE TABLE token (
        hash TEXT NOT NULL PRIMARY KEY, purpose TEXT NOT NULL, machine TEXT, order_id TEXT NOT NULL, uuid TEXT,
        macs TEXT NOT NULL, issued_at TEXT NOT NULL, expires TEXT NOT NULL, used_at TEXT, revoked_at TEXT);

CREATE UNIQUE INDEX token_in_force ON token (order_id, purpose) WHERE used_at IS NULL AND revoked_at IS NULL;

CREATE INDEX token_by_end ON token (expires);

CREATE TABLE binding (
    machine TEXT NOT NULL PRIMARY KEY, claim TEXT NOT NULL, slot INTEGER NOT NULL, UNIQUE (claim, slot));

CREATE TABLE override (
        id TEXT NOT NULL PRIMARY KEY, guard TEXT NOT NULL, targets TEXT NOT NULL, selector TEXT NOT NULL,
        reason TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, until TEXT NOT NULL,
        revoked_at TEXT, revoked_by TEXT, expired_at TEXT);

CREATE TABLE daemon (
        id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, heard TEXT NOT NULL, value TEXT NOT NULL);

CREATE TABLE repeat (seq BIGINT NOT NULL PRIMARY KEY, count BIGINT NOT NULL, last TEXT NOT NULL, message TEXT);

CREATE TRIGGER event_no_delete BEFORE DELETE ON event
    WHEN OLD.at >= coalesce((SELECT value FROM meta WHERE name = 'ledger-kept-from'), '')
    BEGIN SELECT RAISE(ABORT, 'the event ledger is append-only'); END;

CREATE INDEX repeat_by_last ON repeat (last);

CREATE TABLE pause (
        id TEXT NOT NULL PRIMARY KEY, targets TEXT NOT NULL, selector TEXT NOT NULL, known TEXT NOT NULL,
        reason TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, until TEXT,
        ended_at TEXT, ended_by TEXT);

CREATE TABLE restart_request (
        id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
        at TEXT NOT NULL, until TEXT NOT NULL, ended_at TEXT);

CREATE TABLE "inventory" (
        kind TEXT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, taken_at TEXT, value TEXT NOT NULL,
        PRIMARY KEY (kind, name, origin));

CREATE TABLE sink (name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, trouble TEXT NOT NULL);

CREATE TABLE lease (id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, ends_at TEXT);

CREATE TABLE standby (name TEXT NOT NULL PRIMARY KEY, heard TEXT NOT NULL, value TEXT NOT NULL);

CREATE TABLE refused_login (address TEXT NOT NULL, login TEXT NOT NULL, times INTEGER NOT NULL, until TEXT NOT NULL, PRIMARY KEY (address, login));

CREATE TABLE drained_host (host TEXT NOT NULL PRIMARY KEY, reason TEXT NOT NULL, "by" TEXT NOT NULL, at TEXT NOT NULL);

CREATE TABLE worker (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, ends_at TEXT NOT NULL);

CREATE TABLE shard (name TEXT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, wanted TEXT, owner TEXT);

CREATE TABLE relay_request (id TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, shard TEXT NOT NULL, shard_epoch BIGINT NOT NULL, control_epoch BIGINT NOT NULL, value TEXT NOT NULL, at TEXT NOT NULL);

CREATE INDEX relay_request_shard ON relay_request (shard);

CREATE TABLE relay_answer (seq INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE relay_reply (seq INTEGER NOT NULL PRIMARY KEY, asker TEXT NOT NULL, value TEXT NOT NULL, at TEXT NOT NULL);

CREATE INDEX relay_reply_asker ON relay_reply (asker);

INSERT INTO "alembic_version" VALUES ('0022');

INSERT INTO "instance" VALUES (1, 0, NULL);

INSERT INTO "lease" VALUES (1, 0, NULL)
