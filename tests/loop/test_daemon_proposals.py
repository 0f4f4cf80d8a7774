"""The daemon proposes what it finds: rounds under a virtual clock, with a real remote."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from drivers.base import AuthenticationFailed, Endpoint, FoundBmc, Inventory, ListedSystems, Nic, Tls
from drivers.bmc.fake.fake import FakeFleet
from reconciler.daemon.proposals import Proposer, Schedule
from reconciler.daemon.undeclared_machines import UndeclaredMachines
from reconciler.desired.git.branches.proposal_branch import ProposalBranch
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.repository import Repository
from reconciler.kinds.common.access.credentials import grants_from
from reconciler.observed.connections import Connections, Drivers
from reconciler.observed.inventory_reader import in_band_keeper
from reconciler.services.boot.machines.machine_parts import MachineParts
from reconciler.services.boot.machines.provisioning import MachineProvisioning
from tests.loop.world import World, declare, machine
from tests.unit.desired_worlds import PARTITION, Git

UUID = "5a1f0000-0000-4000-8000-00000000000a"
MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
HOUR = timedelta(hours=1).total_seconds()


GRANTS = grants_from({"credentials": {"bmc": {"env": "BMC", "networks": ["10.0.0.0/8"], "drivers": ["fake"]}}})


class Hall(FakeFleet):
    """BMCs that can be found. `asked`: each login, by address; those in `locked` refuse it."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.there: set[str] = set()
        self.trusted = True
        self.locked: set[str] = set()
        self.asked: list[str] = []

    def add(self, n: int, uuid: str | None = None, *macs: str) -> None:
        """The BMC at 10.0.0.n."""
        address = f"https://10.0.0.{n}"
        self.there.add(address)
        system = self.machine(address)
        system.state = replace(system.state, serial=f"S{n}", uuid=uuid)
        system.inventory = Inventory(nics=tuple(Nic(f"eth{at}", mac) for at, mac in enumerate(macs)))

    def probe(self, address: str, _tls: Tls, _seconds: float) -> FoundBmc | None:
        """See Finder."""
        return (
            FoundBmc(address, sure=True, trusted=self.trusted, fingerprint="sha256:" + "0" * 64)
            if address in self.there
            else None
        )

    def systems(self, endpoint: Endpoint) -> ListedSystems:
        """See Finder."""
        self.asked.append(endpoint.address)
        if endpoint.address in self.locked:
            raise AuthenticationFailed("wrong password")
        return ListedSystems(("1",))


class Office:
    """A world whose desired state stands in a real repository with a remote, and a proposer beside its engine."""

    def __init__(self, folder: Path) -> None:
        self.world, self.hall = World(folder), Hall()
        self.git, self.remote = Git(folder / "fleet"), folder / "remote.git"
        self.git("init", "--quiet", "--bare", "-b", "main", str(self.remote))
        self.git("remote", "add", "origin", str(self.remote))
        self.commit()
        source = open_source(self.git.folder)
        assert isinstance(source, Repository)
        drivers = Drivers(
            lambda _: self.hall, lambda _: pytest.fail("no credential"), self.world.ipam, self.world.pools
        )
        self.met = UndeclaredMachines(self.world.store)
        self.proposer = Proposer(
            ProposalBranch(source, "found", "machines"),
            self.world.engine,
            Connections(drivers, folder, GRANTS),
            self.met,
            self.world.events.append,
            self.world.now,
            Schedule(every=HOUR),
        )
        keep = in_band_keeper(self.world.store.inventories, self.world.events.append, self.world.now)
        parts = MachineParts(self.world.store.inventories, keep, self.world.now)
        self.provisioning = MachineProvisioning(
            self.world.engine, lambda _: None, lambda *_: None, parts, self.world.now, self.met.add
        )

    def commit(self, *documents: tuple[str, str, dict[str, Any]], networks: tuple[str, ...] = ("10.0.0.0/29",)) -> None:
        """A revision takes force."""
        sha = self.git.commit({"partition.yaml": PARTITION})
        bmc = {"driver": "fake", "credentialRef": {"name": "bmc"}}
        place = ("Partition", "lab", {"bmcNetworks": list(networks), "bmc": bmc})
        self.world.commit(declare(place, *documents, revision=sha))

    def round(self, after: float = 0.0) -> float:
        """A round, so many seconds later."""
        self.world.at += after
        return self.proposer.round(threading.Event())

    def told(self, reason: str) -> list[str]:
        return [event.message for event in self.world.events if event.reason == reason]

    @property
    def tip(self) -> str:
        return self.git("ls-remote", str(self.remote), "refs/heads/found").partition("\t")[0]

    @property
    def files(self) -> list[str]:
        """What the branch has more than the followed one."""
        return self.git("diff", "--name-only", "main", self.tip).split()

    def show(self, name: str) -> str:
        return self.git("show", f"{self.tip}:machines/{name}.yaml")


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Office(tmp_path)


# -- the branch --------------------------------------------------------------------------------------------------------


def test_nobody_gets_the_login_for_whose_certificate_nobody_vouches(office: Office) -> None:
    office.hall.add(1)
    office.hall.trusted = False
    office.round()
    assert office.hall.asked == []
    assert office.tip == ""
    assert "set spec.bmc.tls of the Partition, or run `groundstate discover`" in office.told("BmcNotRead")[0]


def test_where_nothing_is_found_nothing_is_pushed(office: Office) -> None:
    assert office.round() == HOUR
    assert (office.tip, office.world.events) == ("", [])


def test_the_same_finding_again_is_no_second_commit_and_no_second_login(office: Office) -> None:
    office.hall.add(1)
    office.round()
    tip = office.tip
    assert office.files == ["machines/s1.yaml"]
    for _ in range(3):
        office.round(HOUR)
    assert (office.tip, office.hall.asked) == (tip, ["https://10.0.0.1"])
    assert len(office.told("MachinesProposed")) == 1


def test_an_open_branch_is_gone_on_with(office: Office) -> None:
    office.hall.add(1)
    office.round()
    first = office.tip
    office.hall.add(2)
    office.round(HOUR)
    assert office.files == ["machines/s1.yaml", "machines/s2.yaml"]
    assert office.git("rev-parse", f"{office.tip}^") == first


def test_a_machine_that_is_declared_meanwhile_leaves_the_branch_without_another_look(office: Office) -> None:
    for n in (1, 2):
        office.hall.add(n)
    office.round()
    office.commit(("Machine", "r1", {"partition": "lab", "bmc": {"address": "https://10.0.0.1"}}))
    office.round(1)
    assert office.files == ["machines/s2.yaml"]
    assert office.told("MachinesProposed")[1].startswith(
        "Leave out 1 machine that is already declared; found at origin is"
    )
    tip = office.tip
    office.round(HOUR)
    assert office.tip == tip


def test_a_deleted_branch_begins_anew_from_the_followed_one(office: Office) -> None:
    office.hall.add(1)
    office.round()
    office.git("push", "--quiet", "origin", ":found")
    office.commit()
    office.round(HOUR)
    assert office.files == ["machines/s1.yaml"]
    assert office.git("rev-parse", f"{office.tip}^") == office.git("rev-parse", "main")


def test_what_a_reviewer_took_away_is_not_proposed_again(office: Office) -> None:
    for n in (1, 2):
        office.hall.add(n)
    office.round()
    office.git("fetch", "--quiet", "origin", "found")
    office.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    office.git("rm", "--quiet", "machines/s1.yaml")
    office.git("commit", "--quiet", "-m", "Not ours")
    office.git("push", "--quiet", "origin", "HEAD:found")
    office.git("checkout", "--quiet", "main")
    tip = office.tip
    office.round(HOUR)
    assert office.tip == tip


def test_a_push_that_fails_is_told_once_and_made_up_for_later(office: Office) -> None:
    office.hall.add(1)
    hook = office.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    waits = [office.round(), office.round(60), office.round(120)]
    assert waits == [60, 120, 240]
    assert [text.partition(";")[0] for text in office.told("ProposalFailed")] == ["found at origin was not pushed"]
    hook.unlink()
    office.round(240)
    assert office.files == ["machines/s1.yaml"]
    assert office.hall.asked == ["https://10.0.0.1"], "what was found is kept"
    office.remote.rename(office.remote.with_suffix(".away"))
    assert office.round(HOUR) == 60
    assert len(office.told("ProposalFailed")) == 2


def test_a_defect_is_told_and_does_not_end_the_daemon(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.daemon.proposals.declared_ranges", lambda *_: vars()["a defect"])
    assert office.round() == 60
    assert office.told("ProposalFailed") == ["KeyError: 'a defect'"]


# -- the looking -------------------------------------------------------------------------------------------------------


def test_the_networks_are_looked_through_once_an_interval(office: Office) -> None:
    assert office.round() == HOUR
    office.hall.add(1)
    assert office.round(HOUR - 1) == 1
    assert office.tip == ""
    office.round(1)
    assert office.tip


def test_a_look_that_was_taken_by_a_clock_that_has_been_put_back_since_is_taken_again(office: Office) -> None:
    office.world.at = 24 * HOUR
    office.round()
    office.hall.add(1)
    assert office.round(-24 * HOUR) == HOUR
    assert office.tip


def test_a_refused_login_is_told_once_and_tried_again_after_a_day(office: Office) -> None:
    office.hall.add(1)
    office.hall.locked = {"https://10.0.0.1"}
    for _ in range(24):
        office.round(HOUR)
    assert len(office.hall.asked) == 1
    office.round(HOUR)
    assert len(office.hall.asked) == 2
    assert office.told("BmcNotRead") == ["https://10.0.0.1: a BMC, not read; AuthenticationFailed: wrong password"]


def test_a_network_that_is_too_large_is_told_once_and_the_others_are_looked_through(office: Office) -> None:
    office.commit(networks=("10.0.0.0/8", "10.0.0.0/29"))
    office.hall.add(1)
    office.round()
    office.round(HOUR)
    assert office.files == ["machines/s1.yaml"]
    assert len(office.told("NetworkTooLarge")) == 1


def test_who_is_to_stop_stops_looking(office: Office) -> None:
    office.hall.add(1)
    stop = threading.Event()
    stop.set()
    office.proposer.round(stop)
    assert (office.hall.asked, office.tip) == ([], "")


# -- the boot service --------------------------------------------------------------------------------------------------


def test_a_machine_that_was_met_is_joined_with_its_bmc(office: Office) -> None:
    office.provisioning.found(UUID, [OTHER, MAC], {})
    office.hall.add(1, UUID, MAC)
    office.round(1)
    assert f"macs:\n  - '{MAC}'\n  - '{OTHER}'\n" in office.show("s1")
    assert "found by the boot service" in office.git("log", "-1", "--format=%B", office.tip)
    assert office.told("BmcNotFound") == []


def test_a_machine_whose_bmc_is_not_found_is_named_and_not_proposed(office: Office) -> None:
    office.provisioning.found(UUID, [OTHER], {"dmi": {"product": "R650"}})
    office.round(1)
    office.round(HOUR)
    assert office.tip == ""
    assert [UUID in text and "R650" in text for text in office.told("BmcNotFound")] == [True]
    office.hall.add(1)
    office.round(HOUR)
    assert f"- UUID {UUID}, MAC addresses {OTHER}; R650" in office.git("log", "-1", "--format=%B", office.tip)


def test_a_machine_that_is_met_brings_the_next_look_forward(office: Office) -> None:
    office.round()
    office.world.at += 10
    office.provisioning.found(UUID, [OTHER], {})
    assert office.round() == 290
    assert office.told("BmcNotFound") == [], "its BMC was not looked for yet"


def test_a_machine_that_is_declared_by_its_mac_is_not_named(office: Office) -> None:
    office.commit(machine("r1", macs=[OTHER]))
    office.provisioning.found(None, [OTHER], {})
    office.round(1)
    assert office.told("BmcNotFound") == []


def test_what_was_met_is_known_after_a_restart(office: Office) -> None:
    office.provisioning.found(UUID, [OTHER], {})
    office.world.restart()
    assert [one.uuid for one in UndeclaredMachines(office.world.store).all()] == [UUID]
