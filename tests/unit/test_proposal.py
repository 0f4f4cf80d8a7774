"""What becomes of the branch of found machines, case by case."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from drivers.base import SystemState
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.field_types.bmc_access import BmcSpec
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import Resource
from reconciler.onboarding.discovery import Declared, FoundSystem, Proposal, declared_systems, propose
from reconciler.onboarding.probe_targets import candidates, declared_ranges
from reconciler.onboarding.proposal import (
    Branch,
    BranchFile,
    Start,
    Update,
    proposal_message,
    proposal_paths,
    stale,
    still_open,
    subject,
    undeclared_systems,
    update,
)
from reconciler.onboarding.undeclared import UndeclaredMachine
from tests.unit.planning_worlds import resource

NOBODY = Declared({}, {}, {}, frozenset())


def machine(name: str, address: str = "", system: str | None = None, uuid: str = "") -> Resource[MachineSpec]:
    spec = MachineSpec(partition="p", bmc=BmcSpec(address=address or f"https://{name}.bmc", system_id=system))
    return replace(resource("Machine", name, spec), annotations={"uuid": uuid} if uuid else {})


def file(*machines: Resource[MachineSpec], **fields: bool) -> BranchFile:
    return BranchFile(f"machines/{machines[0].key.name}.yaml", machines, **{"only": True, **fields})


def proposals(*names: str) -> list[Proposal]:
    found = [FoundSystem(f"https://{name}.bmc", "p", SystemState(serial=name)) for name in names]
    return propose(found, NOBODY)[0]


# -- what is already declared ----------------------------------------------------------------------------------------

M = machine("m", uuid="u-1")


@pytest.mark.parametrize(
    ("declared", "on_branch", "is_stale"),
    [
        ([], file(M), False),
        ([machine("x")], file(M), False),
        ([machine("x", "https://M.bmc:443/")], file(M), True),
        ([machine("x", "https://m.bmc", "1")], file(machine("m", system="1")), True),
        ([machine("x", "https://m.bmc", "1")], file(machine("m", system="2")), False),
        ([machine("x", "https://m.bmc")], file(machine("m", system="2")), True),
        ([machine("x", "https://m.bmc", "1")], file(M), True),
        ([machine("m", "https://other.bmc")], file(M), True),
        ([machine("x", uuid="U-1")], file(M), True),
        ([machine("m")], file(M, added=False), False),
        ([machine("m")], file(M, only=False), False),
        ([machine("m")], file(M, merged=True), False),
        ([machine("m")], file(M, machine("n")), False),
        ([machine("m"), machine("n")], file(M, machine("n")), True),
        ([machine("m")], BranchFile("notes.yaml", (), only=True), False),
    ],
)
def test_a_file_is_stale_when_all_that_it_declares_is_declared_in_other_words(
    declared: list[Resource[MachineSpec]], on_branch: BranchFile, is_stale: bool
) -> None:
    branch = Branch("t", files=(on_branch,))
    assert stale(branch, declared, declared_systems(declared, {})) == ([on_branch] if is_stale else [])


def test_what_is_open_is_what_is_neither_merged_nor_stale() -> None:
    taken, gone, left = file(M, merged=True), file(machine("n")), file(machine("o"))
    assert still_open(Branch("t", files=(taken, gone, left)), [gone]) == [left]


def test_a_bmc_that_is_declared_since_it_was_found_is_found_no_more() -> None:
    found = [FoundSystem(f"https://{name}.bmc", "p", SystemState()) for name in ("m", "n")]
    assert undeclared_systems(found, declared_systems([machine("x", "https://m.bmc:443/")], {})) == found[1:]


# -- what is committed -------------------------------------------------------------------------------------------------

ADD = {"machines/n.yaml": "n"}
SLIP = BranchFile("machines/a.yaml", broken=True)
OPEN, TAKEN, GONE = file(machine("o")), file(machine("t"), merged=True), file(machine("g"))


@pytest.mark.parametrize(
    ("branch", "gone", "add", "made"),
    [
        (Branch(), [], {}, None),
        (Branch(), [], ADD, Update(Start.FOLLOWED, ADD)),
        (Branch("t", merged=True), [], {}, None),
        (Branch("t", merged=True), [], ADD, Update(Start.FOLLOWED, ADD)),
        (Branch("t", files=(OPEN,)), [], {}, None),
        (Branch("t", files=(OPEN,)), [], ADD, Update(Start.TIP, ADD)),
        (Branch("t", files=(OPEN, TAKEN)), [], ADD, Update(Start.TIP, ADD)),
        (Branch("t", files=(OPEN, GONE)), [GONE], {}, Update(Start.TIP, {}, (GONE.path,))),
        (Branch("t", files=(OPEN, GONE)), [GONE], ADD, Update(Start.TIP, ADD, (GONE.path,))),
        (Branch("t", files=(TAKEN,)), [], {}, None),
        (Branch("t", files=(TAKEN,)), [], ADD, Update(Start.ANEW, ADD)),
        (Branch("t", files=(GONE,)), [GONE], {}, Update(Start.TIP, {}, (GONE.path,))),
        (Branch("t", files=(GONE, TAKEN)), [GONE], ADD, Update(Start.ANEW, ADD)),
        (Branch("t"), [], ADD, Update(Start.TIP, ADD)),
    ],
)
def test_the_branch_begins_goes_on_or_begins_anew(
    branch: Branch, gone: list[BranchFile], add: dict[str, str], made: Update | None
) -> None:
    assert update(branch, gone, add) == made


@pytest.mark.parametrize(
    ("branch", "paths"),
    [
        (Branch(), ["machines/a.yaml", "machines/b.yaml"]),
        (Branch(paths=frozenset({"machines/a.yaml"})), ["machines/a-2.yaml", "machines/b.yaml"]),
        (Branch("t", files=(OPEN,), deleted=frozenset({"machines/a.yaml"})), ["machines/b.yaml"]),
        (Branch("t", deleted=frozenset({"machines/a.yaml"})), ["machines/b.yaml"]),
        (Branch("t", files=(SLIP,), paths=frozenset({"machines/a.yaml"})), ["machines/b.yaml"]),
        (Branch("t", files=(TAKEN,), deleted=frozenset({"machines/a.yaml"})), ["machines/a.yaml", "machines/b.yaml"]),
    ],
)
def test_nothing_is_written_over_and_what_people_took_away_stays_away_while_the_branch_is_open(
    branch: Branch, paths: list[str]
) -> None:
    assert list(proposal_paths(proposals("a", "b"), "machines", branch, [])) == paths


@pytest.mark.parametrize(
    ("added", "removed", "said"),
    [
        (1, 0, "Add 1 found machine"),
        (2, 0, "Add 2 found machines"),
        (0, 1, "Leave out 1 machine that is already declared"),
        (3, 2, "Add 3 found machines, leave out 2 machines that are already declared"),
    ],
)
def test_the_subject_says_what_is_done(added: int, removed: int, said: str) -> None:
    assert subject(added, removed) == said


def test_the_message_names_what_is_proposed_what_went_and_who_has_no_bmc() -> None:
    lone = [UndeclaredMachine(datetime(2026, 1, 1, tzinfo=UTC), "u-9", parts="2 disks")]
    text = proposal_message(Update(Start.TIP, ADD, ("machines/g.yaml",)), proposals("n"), lone)
    assert text.splitlines()[0] == "Add 1 found machine, leave out 1 machine that is already declared"
    assert "- Machine/n at https://n.bmc; serial n\n" in text
    assert "- machines/g.yaml\n" in text
    assert "- UUID u-9, MAC addresses unknown; 2 disks\n" in text


def test_a_serial_number_gives_a_forge_nothing_to_act_on() -> None:
    found = [FoundSystem("https://n.bmc", "p", SystemState(serial="x #1 @ops", model="[skip ci]"))]
    text = proposal_message(Update(Start.FOLLOWED, ADD), propose(found, NOBODY)[0], [])
    assert not set("#@[]") & set(text)


# -- what is looked at -------------------------------------------------------------------------------------------------


def partition(name: str, *networks: str) -> Resource[PartitionSpec]:
    return resource("Partition", name, PartitionSpec(bmc_networks=networks))


def test_networks_are_looked_through_as_far_as_they_are_not_too_many_addresses() -> None:
    places = [partition("a", "10.0.0.0/17", "2001:db8::/64"), partition("b", "10.0.128.0/17", "10.1.0.0/30")]
    ranges, left_out = declared_ranges(places, 8443)
    assert [(one.partition, one.size, one.port) for one in ranges] == [
        ("a", 32766, 8443),
        ("b", 32766, 8443),
        ("b", 2, 8443),
    ]
    assert [text.partition(" is left out")[0] for text in left_out] == ["Partition/a: 2001:db8::/64"]


def test_an_address_is_asked_once_and_a_declared_bmc_is_not_asked() -> None:
    places = [partition("a", "10.0.0.0/30"), partition("b", "10.0.0.0/29")]
    skipped: list[str] = []
    there = declared_systems([machine("m", "https://10.0.0.1")], {})
    found = list(candidates(declared_ranges(places)[0], places, there, skipped))
    assert [(one.url[-1], one.partition) for one in found] == [
        ("2", "a"),
        ("3", "b"),
        ("4", "b"),
        ("5", "b"),
        ("6", "b"),
    ]
    assert skipped == ["https://10.0.0.1: skipped: the BMC of Machine/m"]
