"""`groundstate run --propose-branch`: a BMC that answers becomes a branch at the remote, for a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, machine, partition

ONE = "5a1f0000-0000-4000-8000-0000000000e1"
FILE = f"machines/{ONE}.yaml"


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorFleet]:
    with EmulatorFleet(tmp_path_factory.mktemp("proposing") / "bmcs", [[ONE]]) as fleet:
        yield fleet


@pytest.fixture
def office(desk: Desk, hall: EmulatorFleet) -> Desk:
    """A desk whose repository has a remote and a partition with the BMC in its networks, and declares no machine."""
    desk.allow("hall", "HALL", hall.ca_file)
    desk.environment |= {"HALL_USERNAME": hall.username, "HALL_PASSWORD": hall.password}
    desk.secrets.add(hall.password)
    bmc = {"credentialRef": {"name": "hall"}, "tls": {"caFile": str(hall.ca_file)}}
    place = partition(**bmc)
    place["spec"]["bmcNetworks"] = ["127.0.0.0/30"]
    desk.commit(partition=[place])
    desk.git("init", "--quiet", "--bare", "--initial-branch=main", str(desk.folder / "origin.git"))
    desk.git("remote", "add", "origin", str(desk.folder / "origin.git"))
    desk.git("push", "--quiet", "origin", "main")
    return desk


def proposing(desk: Desk, hall: EmulatorFleet, *more: str) -> Any:
    port = hall.addresses[0].rpartition(":")[2]
    options = ("--propose-branch", "found", "--propose-interval", "1", "--propose-port", port)
    return desk.daemon(*options, *more)


def at_remote(desk: Desk) -> str:
    return desk.git("ls-remote", "origin", "refs/heads/found").partition("\t")[0]


def test_what_is_found_arrives_once_and_leaves_the_branch_when_it_is_declared(
    office: Desk, hall: EmulatorFleet
) -> None:
    before = [office.git(*words) for words in (("show-ref",), ("status", "--short"))]
    with proposing(office, hall) as daemon:
        said = daemon.logged("MachinesProposed")
        first = at_remote(office)
        assert f"Add 1 found machine: Machine/{ONE}; found at origin is {first[:10]}" in said["message"]
        office.git("fetch", "--quiet", "origin", "found")
        assert office.git("diff", "--name-only", "main", "FETCH_HEAD") == FILE
        assert "mode: Observe" in office.git("show", f"FETCH_HEAD:{FILE}")
        assert hall.password not in office.git("log", "-p", "FETCH_HEAD")
        assert office.run("validate", "--ref", "FETCH_HEAD").code == 0

    with proposing(office, hall) as daemon:
        daemon.logged("RevisionApplied")
        office.commit("Declare it by hand", hand=[machine("r1-01", hall.addresses[0])])
        gone = daemon.logged("MachinesProposed")
    assert "Leave out 1 machine that is already declared" in gone["message"]
    office.git("fetch", "--quiet", "origin", "found")
    assert office.git("rev-parse", "FETCH_HEAD^") == first, "nothing was committed for what stood there already"
    assert office.git("diff", "--name-only", "main~1", "FETCH_HEAD") == ""
    assert before[1] == office.git("status", "--short")
    assert "refs/heads/found" not in office.git("show-ref")


def test_a_remote_that_is_away_is_told_once_and_the_daemon_goes_on(office: Desk, hall: EmulatorFleet) -> None:
    away = office.folder / "away.git"
    (office.folder / "origin.git").rename(away)
    with proposing(office, hall) as daemon:
        daemon.logged("ProposalFailed")
        daemon.logged("RevisionApplied")
        away.rename(office.folder / "origin.git")
        daemon.logged("MachinesProposed")
    assert at_remote(office)
    assert len(office.told("ProposalFailed")) == 1


def test_a_followed_remote_gets_the_branch(office: Desk, hall: EmulatorFleet, tmp_path: Path) -> None:
    url = (office.folder / "origin.git").as_uri()
    with proposing(office, hall, "--repo", url) as daemon:
        daemon.logged("MachinesProposed")
    assert at_remote(office)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--propose-branch", "main"], "groundstate follows this branch"),
        (["--propose-branch", "a..b"], "is not a valid branch name"),
        (["--propose-branch", "found", "--work-tree"], "leave out --work-tree"),
    ],
)
def test_what_cannot_be_is_said_before_the_daemon_starts(office: Desk, arguments: list[str], said: str) -> None:
    done = office.run("run", *arguments)
    assert (done.code, said in done.err) == (1, True), done.err
