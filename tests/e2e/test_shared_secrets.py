"""Secrets of a site, which only its own daemon has: the rows by which daemons talk to each other never hold one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from drivers.base import Credential
from tests.drivers.bmc_servers import RESET, SYSTEM, Pki, RedfishServer, extended, reply, service
from tests.e2e.desk import Desk, document, machine, until

PASSWORD, SHORT = 'Pl4nted-"Bmc"-Passw0rd', "calv1n"

KEPT_FOR_EVER = """
    CREATE TABLE said (value text);
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO said VALUES (NEW.value); RETURN NEW; END';
    CREATE TRIGGER keep AFTER INSERT ON relay_request FOR EACH ROW EXECUTE FUNCTION keep();
    CREATE TRIGGER keep AFTER INSERT ON relay_answer FOR EACH ROW EXECUTE FUNCTION keep();
"""


@pytest.fixture(params=[PASSWORD, SHORT], ids=["long", "short"])
def password(request: pytest.FixtureRequest) -> str:
    """Of the BMC. Many BMCs are left with a short one."""
    return str(request.param)


@pytest.fixture
def bmc(tmp_path: Path, password: str) -> Iterator[RedfishServer]:
    """It lets the daemon in, and repeats the password in what it says of itself, and in what it refuses."""
    said = {"Model": f"Model {password}", "SerialNumber": password} if password == PASSWORD else {}
    refused = reply(400, extended(f"{password} is no value; https://root:{password}@bmc.example/ is not reached"))
    with RedfishServer(Pki(tmp_path).context, service(**said), Credential("operator", password)) as server:
        server.misbehave("PATCH", SYSTEM, refused, times=None)
        server.misbehave("POST", RESET, refused, times=None)
        yield server


def test_no_row_and_no_log_holds_a_password_that_only_the_site_has(
    desk: Desk, bmc: RedfishServer, password: str, empty_postgresql_url: str
) -> None:
    forms = {password, password.replace('"', '\\"'), password.replace('"', '\\\\\\"')}
    desk.secrets |= forms
    desk.environment["GROUNDSTATE_STORE"] = empty_postgresql_url
    desk.allow("lab", "LAB", insecure=True)
    access = {"driver": "redfish", "credentialRef": {"name": "lab"}, "tls": {"insecure": True}}
    place = document("Partition", "lab", bmc=access, ownWorkers=True)
    desk.commit(lab=[place])
    assert desk.run("apply", "--yes").code == 0
    with psycopg.connect(empty_postgresql_url) as database:
        database.execute(KEPT_FOR_EVER)
    desk.commit(lab=[place, machine("m1", bmc.address, power="Off", indicatorLED="Lit")])
    shares = ("--share-above", "0", "--max-disrupted", "100%", "--lease", "3")
    login = {"LAB_USERNAME": "operator", "LAB_PASSWORD": password}
    with (
        desk.daemon(*shares, host="host-a") as first,
        desk.daemon(*shares, "--partitions", "lab", host="host-s", env=login) as site,
    ):
        first.logged("ActionRefused", key="Machine/m1")
        until(lambda: '"inventory"' in rows(empty_postgresql_url, "said"), "an inventory")
        assert "***" in desk.run("events").out
        assert [one.end(signal.SIGTERM).code for one in (site, first)] == [0, 0]
    assert '"send"' in rows(empty_postgresql_url, "said")
    with psycopg.connect(empty_postgresql_url) as database:
        tables = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    for (table,) in tables:
        found = rows(empty_postgresql_url, table)
        assert not [form for form in forms if form in found], f"a password is in the table {table}"


def rows(url: str, table: str) -> str:
    """All that is in the table."""
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
    with psycopg.connect(url) as database:
        return "\n".join(str(row) for row in database.execute(query).fetchall())
