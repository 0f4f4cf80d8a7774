"""A pool between groundstate and PostgreSQL, which gives each client or each transaction any of its sessions."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.databases import unprivileged
from tests.e2e.desk import Desk, address, free_port, network, until
from tests.e2e.shared_fleet import shared_fleet
from tests.e2e.test_shards import deciding_and_attending, each, until_writes

PGBOUNCER = shutil.which("pgbouncer")

SETTINGS = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
logfile = {folder}/log
"""


@pytest.fixture
def pooled(request: pytest.FixtureRequest, empty_postgresql_url: str) -> Iterator[str]:
    """The URL of an empty database behind PgBouncer in the mode that is asked for."""
    if PGBOUNCER is None:
        pytest.skip("no pgbouncer on this machine")
    if subprocess.run([PGBOUNCER, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("pgbouncer lacks a library on this machine")
    server, port = make_url(empty_postgresql_url), free_port()
    # Not in pytest's own folder, into which another user cannot look.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            SETTINGS.format(host=server.query["host"], port=port, folder=folder, mode=request.param), "utf-8"
        )
        with subprocess.Popen([PGBOUNCER, settings], stderr=subprocess.DEVNULL, **unprivileged()) as pool:
            try:
                until(lambda: "process up" in _log(folder), "PgBouncer", lambda: _log(folder))
                yield f"postgresql://postgres@127.0.0.1:{port}/{server.database}"
            finally:
                pool.kill()


@pytest.mark.parametrize("pooled", ["transaction", "session"], indirect=True)
def test_apply_and_two_daemons_work_behind_it(desk: Desk, pooled: str) -> None:
    desk.environment["GROUNDSTATE_STORE"] = pooled
    desk.commit(lab=[network(), *(address(f"ip{n}") for n in range(60))])
    done = desk.run("apply", "--yes")
    assert (done.code, "61 of 61 as declared" in done.out + done.err) == (0, True), done.err
    with desk.daemon("--lease", "3") as first:
        first.logged("Started")
        with desk.daemon("--lease", "3") as second:
            second.logged("StandingBy")
            first.end(signal.SIGKILL)
            second.logged("Started")
            desk.commit(lab=[network(), *(address(f"ip{n}") for n in range(120))])
            second.logged("ActionConfirmed", key="IPAddress/ip119")
            second.until(lambda: second.err.count("ActionConfirmed") == 60, "all addresses")
            assert second.end(signal.SIGTERM).code == 0
    assert desk.run("plan").code == 0


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_three_daemons_share_a_fleet_behind_it_and_two_of_them_are_killed(desk: Desk, pooled: str) -> None:
    """First one that attends to shards, and then the one that decides. A killed client leaves its server session to the
    pool, in the middle of a transaction perhaps."""
    with shared_fleet(desk, pooled, answer_seconds=0.05) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b", "host-c") as (first, second, third):
            fleet.declare("On")
            until_writes(fleet, 3)
            second.end(signal.SIGKILL)
            fleet.until_all("On")
            fleet.until_attended("host-c")
            assert fleet.resets() == each(fleet, 1)
            fleet.declare("Off")
            until_writes(fleet, len(fleet.machines) + 3)
            first.end(signal.SIGKILL)
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)
            assert third.end(signal.SIGTERM).code == 0


@pytest.mark.parametrize("pooled", ["statement"], indirect=True)
def test_a_mode_that_allows_no_transactions_is_refused_in_words(desk: Desk, pooled: str) -> None:
    desk.environment["GROUNDSTATE_STORE"] = pooled
    desk.commit(lab=[network()])
    done = desk.run("apply", "--yes")
    said = " ".join(done.err.split())
    assert (done.code, "set pool_mode to session or transaction" in said) == (1, True), said


def _log(folder: Path) -> str:
    file = folder / "log"
    return file.read_text("utf-8") if file.exists() else ""
