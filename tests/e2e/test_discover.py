"""From a BMC's address to a managed machine: discover, commit, adopt; and what is kept of a machine's inventory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import Inventory
from reconciler.desired.manifest.yaml_reader import read_documents
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from tests.drivers.bmc_servers import LOGIN, ROOT, SYSTEM, Pki, RedfishServer, extended, reply, service
from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, machine, partition
from tests.e2e.simulated_bmcs import silence

ONE = "5a1f0000-0000-4000-8000-0000000000d1"
TWO = ["5a1f0000-0000-4000-8000-0000000000d2", "5a1f0000-0000-4000-8000-0000000000d3"]


class Hall:
    """Two BMCs, one with one system and one with two, of which the desk's repository declares nothing yet."""

    def __init__(self, fleet: EmulatorFleet, directory: Path) -> None:
        self.fleet, self._directory = fleet, directory
        self.ranges = [address.removeprefix("https://") for address in fleet.addresses]

    def partition(self, **changes: Any) -> dict[str, Any]:
        return partition(**{"credentialRef": {"name": "hall"}, "tls": {"caFile": str(self.fleet.ca_file)}, **changes})

    def let_in(self, desk: Desk) -> None:
        desk.environment |= {"HALL_USERNAME": self.fleet.username, "HALL_PASSWORD": self.fleet.password}
        desk.allow("hall", "HALL", self.fleet.ca_file)
        desk.secrets.add(self.fleet.password)

    def requests(self) -> str:
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self._directory.glob("bmc-*.log")))


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    directory = tmp_path_factory.mktemp("hall") / "bmcs"
    with EmulatorFleet(directory, [[ONE], TWO]) as fleet:
        yield Hall(fleet, directory)


@pytest.fixture
def open_desk(desk: Desk, hall: Hall) -> Desk:
    """A desk with the login, the partition, and nothing found yet."""
    hall.let_in(desk)
    desk.commit(partition=[hall.partition()])
    return desk


def machines(text: str) -> dict[str, Any]:
    return {one.value["metadata"]["name"]: one.value["spec"] for one in read_documents(text)}


def test_what_is_found_is_one_machine_a_system_that_is_only_looked_at(open_desk: Desk, hall: Hall) -> None:
    done = open_desk.run("discover", *hall.ranges)
    found = machines(done.out)
    assert (done.code, sorted(found)) == (0, [ONE, *TWO])
    assert found[ONE]["bmc"] == {"address": hall.fleet.addresses[0]}
    assert found[TWO[0]]["bmc"] == {"address": hall.fleet.addresses[1], "systemId": TWO[0]}
    assert {one["lifecycle"]["mode"] for one in found.values()} == {"Observe"}
    assert {one["partition"] for one in found.values()} == {"lab"}
    assert "2 BMCs found, 3 systems read" in done.err


def test_files_pass_validation_and_a_second_run_writes_nothing_new(open_desk: Desk, hall: Hall) -> None:
    assert open_desk.run("discover", *hall.ranges, "--out", "machines").code == 0
    written = {path.name: path.read_bytes() for path in (open_desk.repo / "machines").iterdir()}
    assert sorted(written) == [f"{name}.yaml" for name in (ONE, *TWO)]
    assert open_desk.run("validate", "--work-tree").code == 0
    again = open_desk.run("discover", *hall.ranges, "--out", "machines")
    assert "no new machines" in again.err
    assert {path.name: path.read_bytes() for path in (open_desk.repo / "machines").iterdir()} == written


def test_a_declared_bmc_is_skipped_and_named_and_not_even_asked(open_desk: Desk, hall: Hall) -> None:
    open_desk.commit(m=[machine("r1-01", hall.fleet.addresses[0].upper().replace("HTTPS", "https") + "/")])
    before = hall.requests()
    done = open_desk.run("discover", hall.ranges[0])
    assert (done.code, done.out) == (0, "")
    assert "skipped: the BMC of Machine/r1-01" in done.err
    assert hall.requests() == before


def test_ranges_come_from_the_partition_s_bmc_networks(open_desk: Desk, hall: Hall) -> None:
    open_desk.commit(
        partition=[hall.partition() | {"spec": {**hall.partition()["spec"], "bmcNetworks": ["127.0.0.0/30"]}}]
    )
    port = hall.ranges[0].partition(":")[2]
    assert list(machines(open_desk.run("discover", "--port", port).out)) == [ONE]


def test_leases_are_looked_at_and_a_line_that_makes_no_sense_is_named(open_desk: Desk, hall: Hall) -> None:
    file = open_desk.folder / "leases"
    file.write_text("rubbish\n0 52:54:00:00:00:01 127.0.0.1 bmc *\n")
    port = hall.ranges[0].partition(":")[2]
    done = open_desk.run("discover", "--leases", str(file), "--port", port)
    assert list(machines(done.out)) == [ONE]
    assert f"{file}:1: this lease is left out: the line has 1 word" in done.err


def test_a_lease_outside_of_declared_bmc_networks_is_not_even_asked(open_desk: Desk, hall: Hall) -> None:
    """Who sits there may be anybody's system that says to be a BMC, and would be sent the login."""
    open_desk.commit(
        partition=[hall.partition() | {"spec": {**hall.partition()["spec"], "bmcNetworks": ["10.44.0.0/24"]}}]
    )
    file = open_desk.folder / "leases"
    file.write_text("0 52:54:00:00:00:01 127.0.0.1 bmc *\n")
    before = hall.requests()
    done = open_desk.run("discover", "--leases", str(file), "--port", hall.ranges[0].partition(":")[2])
    assert (done.code, done.out) == (1, "")
    assert "1 lease left out, because no Partition has the address in its bmcNetworks" in done.err
    assert hall.requests() == before


def test_a_branch_takes_the_files_and_the_work_tree_stays_as_it_is(open_desk: Desk, hall: Hall) -> None:
    open_desk.git("init", "--quiet", "--bare", str(open_desk.folder / "origin.git"))
    open_desk.git("remote", "add", "origin", str(open_desk.folder / "origin.git"))
    (open_desk.repo / "edit.yaml").write_text("# not ready\n")
    before = [
        open_desk.git(*words) for words in (("rev-parse", "HEAD"), ("branch", "--show-current"), ("status", "-s"))
    ]
    done = open_desk.run("discover", *hall.ranges, "--branch", "found", "--push")
    assert done.code == 0, done.err
    assert before == [
        open_desk.git(*words) for words in (("rev-parse", "HEAD"), ("branch", "--show-current"), ("status", "-s"))
    ]
    assert open_desk.git("diff", "--name-only", "main", "found").split() == [f"machines/{n}.yaml" for n in (ONE, *TWO)]
    assert open_desk.git("ls-remote", "origin", "found").split()[0] == open_desk.git("rev-parse", "found")
    assert open_desk.run("validate", "--ref", "found").code == 0
    again = open_desk.run("discover", *hall.ranges, "--branch", "found", "--push")
    assert "no new machines" in again.err
    assert open_desk.git("rev-list", "--count", "found") == "2"


def test_a_certificate_that_nobody_declared_is_pinned_as_it_was_seen(desk: Desk, hall: Hall) -> None:
    hall.let_in(desk)
    desk.commit(partition=[partition(driver="redfish", credentialRef={"name": "hall"})])
    done = desk.run("discover", hall.ranges[0], "--out", ".")
    assert done.code == 0
    pinned = machines((desk.repo / f"{ONE}.yaml").read_text())[ONE]["bmc"]["tls"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", pinned["fingerprint"])
    desk.commit("Take it in")
    assert desk.run("plan").code == 0


def test_a_certificate_that_is_not_the_declared_one_gets_no_login(desk: Desk, hall: Hall) -> None:
    hall.let_in(desk)
    desk.commit(partition=[hall.partition(tls={"fingerprint": "sha256:" + "0" * 64})])
    done = desk.run("discover", hall.ranges[0])
    assert (done.code, done.out) == (1, "")
    assert "does not match spec.bmc.tls" in done.err


def test_a_login_that_is_refused_is_told_and_tried_once_a_bmc(open_desk: Desk, hall: Hall) -> None:
    open_desk.environment["HALL_PASSWORD"] = "wrong"
    before = hall.requests().count("/redfish/v1/Systems HTTP")
    done = open_desk.run("discover", *hall.ranges)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("AuthenticationFailed") == 2
    assert hall.requests().count("/redfish/v1/Systems HTTP") - before == 2


def test_of_a_bmc_that_lets_nobody_in_the_lease_tells_who_made_its_network_card(open_desk: Desk, hall: Hall) -> None:
    open_desk.environment["HALL_PASSWORD"] = "wrong"
    file = open_desk.folder / "leases"
    file.write_text("0 3C-EC-EF-00-00-01 127.0.0.1 bmc *\n")
    done = open_desk.run("discover", "--leases", str(file), "--port", hall.ranges[0].partition(":")[2])
    assert "AuthenticationFailed" in done.err
    assert "(its network card is of Super Micro Computer, Inc.)" in done.err


def test_a_host_that_is_silent_or_not_there_is_passed_over(open_desk: Desk, hall: Hall) -> None:
    with silence() as quiet:
        hosts = [quiet.addresses[0].removeprefix("https://"), "127.0.1.99:1", hall.ranges[0]]
        done = open_desk.run("discover", *hosts, "--connect-timeout", "0.5")
    assert done.code == 0
    assert list(machines(done.out)) == [ONE]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["10.0.0.0/8"], "more than 65,536"),
        (["10.0.0.1/8"], "has host bits set; the prefix is 10.0.0.0/8"),
        ([], "no address to scan"),
        (["127.0.0.1", "--partition", "nowhere"], "there is no Partition nowhere; there are lab"),
        (["127.0.0.1", "--branch", "main"], "branch main is checked out"),
        (["127.0.0.1", "--branch", "x", "--out", "../x"], "a folder of the repository"),
        (["127.0.0.1", "--push"], "--push needs --branch"),
        (["127.0.0.1", "--insecure", "--ca-file", "x"], "give only one of --insecure, --ca-file and --fingerprint"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(open_desk: Desk, arguments: list[str], said: str) -> None:
    done = open_desk.run("discover", *arguments)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


# -- adopt -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def observed(open_desk: Desk, hall: Hall) -> Desk:
    """A desk on which what was found is committed."""
    open_desk.run("discover", *hall.ranges, "--out", ".")
    path = open_desk.repo / f"{ONE}.yaml"
    path.write_text(path.read_text().replace("mode: Observe", "mode: Observe  # until Ada has seen it"))
    open_desk.commit("Found")
    return open_desk


def test_adopting_changes_the_one_word_and_keeps_the_comment(observed: Desk) -> None:
    before = (observed.repo / f"{ONE}.yaml").read_text()
    assert observed.run("adopt", ONE).code == 0
    assert (observed.repo / f"{ONE}.yaml").read_text() == before.replace("Observe", "Managed")
    assert observed.git("diff", "--name-only") == f"{ONE}.yaml"
    assert observed.run("validate", "--work-tree").code == 0


def test_a_dry_run_shows_the_difference_and_writes_nothing(observed: Desk) -> None:
    done = observed.run("adopt", "machines", "--dry-run")
    assert done.code == 0
    assert done.out.count("-    mode: Observe") == done.out.count("+    mode: Managed") == 3
    assert observed.git("status", "--short") == ""


def test_what_is_in_the_way_of_one_is_told_and_the_others_are_adopted(observed: Desk) -> None:
    path = observed.repo / f"{ONE}.yaml"
    path.write_text(path.read_text().replace("spec:\n", "spec:\n  indicatorLED: Blinking\n"))
    observed.write(away=[machine("away", "127.0.1.99:1", lifecycle={"mode": "Observe"})], bare=[machine("bare", "x:1")])
    done = observed.run("adopt", "machines")
    assert done.code == 1
    assert f"Machine/{ONE}: not adopted; the machine differs from its document: spec.indicatorLED" in done.err
    assert "Machine/away: not adopted; the machine cannot be read: Unreachable" in done.err
    assert "Machine/bare: not adopted; the document has no spec.lifecycle" in done.err
    assert "2 of 5 machines adopted" in done.err
    assert all("mode: Managed" in (observed.repo / f"{name}.yaml").read_text() for name in TWO)


def test_nothing_is_sent_to_a_machine_that_is_only_looked_at(observed: Desk, hall: Hall) -> None:
    path = observed.repo / f"{ONE}.yaml"
    path.write_text(path.read_text().replace("spec:\n", "spec:\n  indicatorLED: Blinking\n"))
    observed.commit("Light it")
    before = hall.requests().count("PATCH")
    assert observed.run("apply", "--yes").code == 0
    assert hall.requests().count("PATCH") == before
    plan = observed.run("plan", f"machine/{ONE}")
    assert (plan.code, "Machine is only observed" in plan.out) == (0, True)


# -- inventory -------------------------------------------------------------------------------------------------------


def test_an_inventory_is_read_kept_compared_and_accepted(observed: Desk, hall: Hall) -> None:
    assert observed.run("inventory", ONE, "--refresh").code == 0
    store = Store.open(f"sqlite:///{observed.store}")
    for disks in (2, 1):
        seen = {"processors": [{"model": "X", "cores": 8}], "memory": 1 << 36}
        listed = [{"name": f"/dev/sd{n}", "size": 10**12} for n in range(disks)]
        nics = [{"name": "eno1", "mac": "3c:ec:ef:00:00:01"}, {"name": "eno2", "mac": "52:54:00:00:00:01"}]
        inventory = msgspec.convert({**seen, "disks": listed, "nics": nics}, Inventory)
        store.inventories.put(ResourceKey("Machine", ONE), Origin.IN_BAND, inventory, datetime.now(UTC))
    store.close()
    lost = observed.run("inventory", ONE, "--diff")
    assert (lost.code, "disk /dev/sd1 is missing" in lost.out) == (2, True)
    form = observed.run("inventory", ONE, "-o", "json").json
    assert form["sources"]["in-band"]["changes"]
    vendors = [nic["vendor"] for nic in form["sources"]["in-band"]["value"]["nics"]]
    assert vendors == ["Super Micro Computer, Inc.", None]
    assert "eno1 3c:ec:ef:00:00:01, Super Micro Computer, Inc." in observed.run("inventory", ONE).out
    assert (form["aggregates"]["disks.count"], form["aggregates"]["cpus.threads"]) == (1, None)
    assert "InventoryComplete=False" in observed.run("describe", f"machine/{ONE}").out
    wide = observed.run("get", "machines", "-l", "aggregate/disks.count=1", "-o", "wide").out
    assert "DISKS.CAPACITY" in wide
    assert ONE in wide
    assert TWO[0] not in wide
    assert observed.run("inventory", ONE, "--accept").code == 0
    nothing = observed.run("inventory", ONE, "--diff")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "nothing changed\n")
    assert [one.reason for one in observed.events() if one.reason.startswith("Inventory")] == [
        "InventoryTaken",
        "InventoryAccepted",
    ]


def test_a_system_that_cannot_be_read_is_named_and_the_other_is_found(desk: Desk, tmp_path: Path) -> None:
    """dsx-ai-factory/infra-controller#5418: the baseboard of a DGX H100 that is off answers 503."""
    pki = Pki(tmp_path)
    board = f"{ROOT}/Systems/HGX"
    documents = {**service(), f"{ROOT}/Systems": {"Members": [{"@odata.id": board}, {"@odata.id": SYSTEM}]}}
    desk.environment |= {"HALL_USERNAME": LOGIN.username, "HALL_PASSWORD": LOGIN.password}
    desk.allow("hall", "HALL", pki.ca_file)
    desk.commit(partition=[partition(credentialRef={"name": "hall"}, tls={"caFile": str(pki.ca_file)})])
    with RedfishServer(pki.context, documents) as server:
        server.misbehave("GET", board, reply(503, extended("No HMC")), times=None)
        done = desk.run("discover", server.address.removeprefix("https://"))
    assert [one["bmc"] for one in machines(done.out).values()] == [{"address": server.address, "systemId": "1"}]
    assert re.search(r"a BMC.*, not read whole; system HGX: Busy: .*No HMC", done.err)
    assert "1 BMC found, 1 system read" in done.err
    assert done.code == 1
