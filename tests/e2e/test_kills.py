"""A few kills at random moments; `./dev crash --kills 200 [--postgresql | --shards]` makes many."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.databases import postgresql_server
from tests.e2e.kills import kill_many
from tests.e2e.shard_kills import kill_sharers


def test_whenever_apply_and_run_are_killed_each_write_reaches_its_bmc_once(tmp_path: Path) -> None:
    found = kill_many(tmp_path, kills=2, seed=11)
    assert not found.wrong, "\n".join(found.wrong)
    assert found.kills == 2


def test_whenever_one_of_two_daemons_is_killed_or_stopped_each_write_reaches_its_bmc_once(
    tmp_path: Path, empty_postgresql_url: str
) -> None:
    found = kill_many(tmp_path, kills=2, seed=128, store=empty_postgresql_url)
    assert not found.wrong, "\n".join(found.wrong)
    assert {"pair", "stopped"} <= set(found.of)


def test_whenever_one_of_three_daemons_that_share_a_fleet_ends_each_write_reaches_its_bmc_once() -> None:
    with TemporaryDirectory() as name:
        folder, server = Path(name), Path(name) / "server"
        folder.chmod(0o711)  # The server runs as another user.
        with postgresql_server(server) as url:
            found = kill_sharers(folder, server, url, kills=2, seed=4)
    assert not found.wrong, "\n".join(found.wrong)
    assert found.kills == 2
