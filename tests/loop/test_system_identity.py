"""Which machine a BMC belongs to is certain before anything is sent to the BMC.

openshift/baremetal-operator#415 and metal3-io/baremetal-operator#2022: two documents can name one BMC, or each other's,
and nothing in the documents shows that. The systems that the BMCs report do.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from drivers.base import PowerState
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from reconciler.model.event import EventReason
from reconciler.model.facts import Facts
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Change
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.planning.planner import plan
from tests.loop.world import World, declare

GUARD = "system-identity"
UUIDS = {"a": "aaaaaaaa-1111-4000-8000-000000000001", "b": "bbbbbbbb-2222-4000-8000-000000000002"}
UUIDS["c"] = "cccccccc-3333-4000-8000-000000000003"


def wire(world: World, address: str, uuid: str | None, serial: str | None = None, power: str = "On") -> None:
    """The system behind an address."""
    bmc = world.fleet.machine(address)
    bmc.state = msgspec.structs.replace(bmc.state, uuid=uuid, serial=serial, power=PowerState(power))


def documents(revision: str = "a", /, **machines: tuple[str, str]) -> DesiredState:
    """Machines by name, each with the address of its BMC and its power."""
    found = [("Machine", name, spec(address, power)) for name, (address, power) in machines.items()]
    return declare(*found, revision=revision * 40)


def spec(address: str, power: str) -> dict[str, object]:
    return {"partition": "lab", "bmc": {"driver": "fake", "address": address}, "power": power}


def changes(world: World) -> dict[str, Change]:
    return {change.key.name: change for change in world.engine.plan().changes}


def holders(world: World) -> dict[str, set[str]]:
    return {name: {hold.by for hold in change.held_by} for name, change in changes(world).items()}


def confirm(world: World, *names: str, hours: int = 1) -> None:
    """What `groundstate override system-identity machine/NAME` writes down."""
    now = world.now()
    targets = tuple(f"machine/{name}" for name in names)
    override = Override("o1", GUARD, "moved", "ada", now, now + timedelta(hours=hours), targets)
    world.standing = msgspec.structs.replace(world.standing, overrides=(*world.standing.overrides, override))


def writes(world: World) -> list[str]:
    return [write.address for write in world.fleet.writes]


@pytest.fixture
def swapped(tmp_path: Path) -> World:
    """m1 at A is off, m2 at B is on; then a commit exchanges their addresses."""
    world = World(tmp_path)
    wire(world, "a", UUIDS["a"], power="Off")
    wire(world, "b", UUIDS["b"], power="On")
    world.commit(documents("a", m1=("a", "Off"), m2=("b", "On")))
    world.run(60)
    assert world.engine.plan().changes == ()
    world.commit(documents("b", m1=("b", "Off"), m2=("a", "On")))
    world.run(600)
    return world


def test_exchanged_numbers_are_held_as_exchanged_names(tmp_path: Path) -> None:
    world = World(tmp_path)
    wire(world, "10.0.0.1", UUIDS["a"])
    wire(world, "10.0.0.2", UUIDS["b"])
    world.commit(documents("a", m1=("10.0.0.1", "On"), m2=("10.0.0.2", "On")))
    world.run(60)
    world.commit(documents("b", m1=("10.0.0.2", "Off"), m2=("10.0.0.1", "On")))
    world.run(600)
    assert writes(world) == []
    assert holders(world) == {"m1": {GUARD}, "m2": {GUARD}}


class TestExchangedAddresses:
    """Two machines of which each has got the other's BMC."""

    def test_nothing_is_sent_and_both_are_named(self, swapped: World) -> None:
        assert writes(swapped) == []
        assert holders(swapped) == {"m1": {GUARD}, "m2": {GUARD}}
        (hold,) = changes(swapped)["m1"].held_by
        assert hold.reason == (
            f"the BMC of Machine/m1 reports UUID {UUIDS['b']}, but Machine/m1 was recorded with UUID {UUIDS['a']}; "
            f"UUID {UUIDS['b']} is the system of Machine/m2"
        )
        assert "correct spec.bmc of Machine/m1 and Machine/m2" in hold.hint
        assert f"`groundstate override {GUARD} machine/m1 --for 1h --reason WHY`" in hold.hint

    def test_each_has_an_event(self, swapped: World) -> None:
        held = {event.key.name for event in swapped.events if event.key and GUARD in event.message}
        assert held == {"m1", "m2"}

    def test_a_restart_and_a_later_commit_change_nothing(self, swapped: World) -> None:
        swapped.restart()
        swapped.run(600)
        swapped.commit(documents("c", m1=("b", "Off"), m2=("a", "On"), m3=("c", "Off")))
        swapped.run(600)
        assert writes(swapped) == []
        assert holders(swapped) == {"m1": {GUARD}, "m2": {GUARD}}

    def test_the_corrected_documents_need_no_person(self, swapped: World) -> None:
        swapped.commit(documents("c", m1=("a", "Off"), m2=("b", "On")))
        swapped.run(60)
        assert swapped.engine.plan().changes == ()
        assert writes(swapped) == []

    @pytest.mark.parametrize("serial", [None, "SN-1234567"])
    def test_a_bmc_that_tells_no_uuid_for_a_while_is_still_the_other_ones(
        self, swapped: World, serial: str | None
    ) -> None:
        """ibm-openbmc/bmcweb#246: values of the host are missing while a BMC or its host starts."""
        wire(swapped, "a", None, serial, power="Off")
        wire(swapped, "b", None, power="On")
        swapped.run(600)
        swapped.restart()
        swapped.run(600)
        assert writes(swapped) == []
        assert holders(swapped) == {"m1": {GUARD}, "m2": {GUARD}}
        wire(swapped, "a", UUIDS["a"], serial, power="Off")
        wire(swapped, "b", UUIDS["b"], power="On")
        swapped.commit(documents("c", m1=("a", "Off"), m2=("b", "On")))
        swapped.run(600)
        assert swapped.engine.plan().changes == ()
        assert writes(swapped) == []

    def test_what_was_reported_last_is_accepted_while_the_bmcs_tell_nothing(self, swapped: World) -> None:
        wire(swapped, "a", None, power="Off")
        wire(swapped, "b", None, power="On")
        confirm(swapped, "m1", "m2")
        swapped.run(600)
        assert sorted(writes(swapped)) == ["a", "b"]
        found = {name: swapped.machine(ResourceKey("Machine", name)).uuid for name in ("m1", "m2")}
        assert found == {"m1": UUIDS["b"], "m2": UUIDS["a"]}

    def test_confirmed_by_name_they_go_and_stay_confirmed(self, swapped: World) -> None:
        confirm(swapped, "m1", "m2")
        swapped.run(600)
        assert sorted(writes(swapped)) == ["a", "b"]
        swapped.standing = msgspec.structs.replace(swapped.standing, overrides=())
        swapped.run(7200)
        assert swapped.engine.plan().changes == ()
        assert {event.reason for event in swapped.events} >= {"SystemAccepted"}

    def test_who_confirms_one_confirms_that_one_alone(self, swapped: World) -> None:
        confirm(swapped, "m1")
        swapped.run(600)
        assert writes(swapped) == ["b"]
        assert holders(swapped) == {"m2": {GUARD}}


@pytest.fixture
def moved(tmp_path: Path) -> World:
    """m1 was recorded at A; then a commit names B, where another system is on."""
    world = World(tmp_path)
    wire(world, "a", UUIDS["a"], power="Off")
    wire(world, "b", UUIDS["b"])
    wire(world, "c", UUIDS["c"])
    world.commit(documents("a", m1=("a", "Off")))
    world.run(60)
    world.commit(documents("b", m1=("b", "Off")))
    world.run(60)
    assert holders(world) == {"m1": {GUARD}}
    return world


class TestAnOverrideIsForTheSystemThatWasShown:
    """A person accepts what the plan showed, and no system that turns up later."""

    def test_it_accepts_one_system(self, moved: World) -> None:
        confirm(moved, "m1")
        moved.run(600)
        assert writes(moved) == ["b"]
        moved.commit(documents("c", m1=("c", "Off")))
        moved.run(600)
        assert writes(moved) == ["b"]
        assert holders(moved) == {"m1": {GUARD}}

    def test_it_does_not_accept_what_the_bmc_reports_afterwards(self, moved: World) -> None:
        confirm(moved, "m1")
        given, moved.standing = moved.standing, msgspec.structs.replace(moved.standing, overrides=())
        wire(moved, "b", UUIDS["c"])
        moved.run(600)
        moved.standing = given
        moved.run(600)
        assert writes(moved) == []
        confirm(moved, "m1")
        moved.run(600)
        assert writes(moved) == ["b"]


def test_a_new_document_at_the_bmc_of_a_machine_waits_until_that_machine_is_elsewhere(tmp_path: Path) -> None:
    world = World(tmp_path)
    wire(world, "a", UUIDS["a"])
    wire(world, "b", UUIDS["b"])
    world.commit(documents("a", m1=("a", "On"), m2=("b", "On")))
    world.run(60)
    world.fleet.machine("a").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    world.commit(documents("b", m2=("a", "On"), m3=("b", "Off")))
    world.run(600)
    assert writes(world) == []
    assert holders(world)["m3"] == {GUARD}


def test_two_documents_of_one_machine_are_both_held(tmp_path: Path) -> None:
    """As by a host name and an address, which only the DNS could tell to be one."""
    world = World(tmp_path)
    wire(world, "bmc1.example", UUIDS["a"])
    world.commit(documents("a", m1=("bmc1.example", "On")))
    world.run(60)
    wire(world, "10.0.0.1", UUIDS["a"].upper())
    world.commit(documents("b", m1=("bmc1.example", "Off"), m2=("10.0.0.1", "Off")))
    world.run(600)
    assert writes(world) == []
    assert holders(world) == {"m1": {GUARD}, "m2": {GUARD}}
    (hold,) = changes(world)["m2"].held_by
    assert hold.reason == f"the BMCs of Machine/m2 and Machine/m1 report the same system (UUID {UUIDS['a']})"
    assert "keep one document of the two machines" in hold.hint
    world.commit(documents("c", m1=("bmc1.example", "Off")))
    world.run(600)
    assert writes(world) == ["bmc1.example"]


def test_one_of_two_documents_of_one_machine_is_held_while_its_bmc_tells_no_uuid(tmp_path: Path) -> None:
    world = World(tmp_path)
    wire(world, "a", UUIDS["a"])
    wire(world, "b", UUIDS["a"])
    world.commit(documents("a", m1=("a", "On"), m2=("b", "On")))
    world.run(60)
    wire(world, "b", None)
    world.commit(documents("b", m1=("a", "On"), m2=("b", "Off")))
    world.run(600)
    assert writes(world) == []
    assert holders(world) == {"m1": {GUARD}, "m2": {GUARD}}


def test_a_plan_without_a_store_sees_two_documents_of_one_machine(tmp_path: Path) -> None:
    world = World(tmp_path)
    for address in ("x", "y", "z"):
        wire(world, address, UUIDS["b"] if address == "z" else UUIDS["a"])
    state = documents("a", m1=("x", "Off"), m2=("y", "Off"), m3=("z", "Off"))
    world.commit(state)
    for key in state.resources:
        world.engine.reconcile(key)
    looks = {one.key: one for one in world.engine.observations("Machine")}
    facts = with_changes({}, carried_over(state, {}, world.now()))
    found = plan(state, looks, Facts(facts, {}), world.now(), world.standing)
    assert [change.key.name for change in found.changes if change.held_by] == ["m1", "m2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((UUIDS["a"], "S-1"), (UUIDS["a"], "S-2")),
        ((None, "0000"), (None, "0000")),
        ((None, "123456789"), (None, "123456789")),
        (("03000200-0400-0500-0006-000700080009", None), ("03000200-0400-0500-0006-000700080009", None)),
        ((None, None), (None, None)),
        ((UUIDS["a"], "S-1"), (UUIDS["b"], "S-1")),
    ],
)
def test_what_board_makers_write_into_many_boards_identifies_none(
    tmp_path: Path, one: tuple[str | None, str | None], other: tuple[str | None, str | None]
) -> None:
    """fwupd/fwupd#5150: generic UUIDs; 17 of 50 recorded systems report no UUID."""
    world = World(tmp_path)
    wire(world, "a", *one)
    wire(world, "b", *other)
    world.commit(documents("a", m1=("a", "Off"), m2=("b", "Off")))
    world.run(600)
    assert sorted(writes(world)) == ["a", "b"]


@pytest.mark.parametrize("later", [UUIDS["a"].upper(), "aaaaaaaa-1111-0040-8000-000000000001", None])
def test_the_same_system_in_another_spelling_or_silent_is_the_same(tmp_path: Path, later: str | None) -> None:
    """metal-stack/go-hal#57: a firmware update turns the first three fields of the UUID."""
    world = World(tmp_path)
    wire(world, "a", "aaaaaaaa-1111-4000-8000-000000000001")
    world.commit(documents("a", m1=("a", "On")))
    world.run(60)
    wire(world, "a", later)
    world.commit(documents("b", m1=("a", "Off")))
    world.run(600)
    assert writes(world) == ["a"]


def test_two_systems_of_one_bmc_may_have_one_serial_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("1", "2"):
        bmc = world.fleet.machine("chassis", name)
        bmc.state = msgspec.structs.replace(bmc.state, serial="CHASSIS-77", power=PowerState.ON)
    found = [
        ("Machine", f"m{n}", {**spec("chassis", "Off"), "bmc": {"driver": "fake", "address": "chassis", "systemId": n}})
        for n in ("1", "2")
    ]
    world.commit(declare(*found))
    world.run(600)
    assert [write.system_id for write in world.fleet.writes] == ["1", "2"]


def test_a_system_that_no_other_machine_has_is_recorded_and_told(tmp_path: Path) -> None:
    """A new mainboard, or a machine that took the place of a broken one."""
    world = World(tmp_path)
    wire(world, "a", UUIDS["a"])
    world.commit(documents("a", m1=("a", "On")))
    world.run(60)
    wire(world, "a", UUIDS["b"])
    world.commit(documents("b", m1=("a", "Off")))
    world.run(600)
    assert writes(world) == ["a"]
    assert world.machine(ResourceKey("Machine", "m1")).uuid == UUIDS["b"]
    [told] = [event for event in world.events if event.reason is EventReason.SYSTEM_ACCEPTED]
    assert told.message.startswith(f"UUID {UUIDS['b']} replaces UUID {UUIDS['a']}, as no other machine has the system")


@pytest.mark.parametrize(
    ("address", "later", "held"),
    [
        ("bmc1.example", (UUIDS["b"], "SN-B234"), True),
        ("10.0.0.1", (UUIDS["b"], "SN-B234"), True),
        ("10.0.0.1", (UUIDS["b"], "SN-A123"), False),
        ("10.0.0.1", (UUIDS["b"], None), False),
        ("bmc1.example", (UUIDS["b"], "SN-A123"), False),
        ("bmc1.example", (UUIDS["b"], None), False),
        ("bmc1.example", (UUIDS["a"], "SN-B234"), False),
    ],
)
def test_an_address_that_leads_to_another_machine_waits_for_a_person(
    tmp_path: Path, address: str, later: tuple[str, str | None], held: bool
) -> None:
    """The other machine may be one that git and the store have forgotten. A new mainboard keeps the serial number."""
    world = World(tmp_path)
    wire(world, address, UUIDS["a"], "SN-A123", power="Off")
    world.commit(documents("a", m1=(address, "Off")))
    world.run(60)
    wire(world, address, *later)
    world.run(1200)
    assert (writes(world) == []) is held
    assert holders(world) == ({"m1": {GUARD}} if held else {})
    if held:
        (hold,) = changes(world)["m1"].held_by
        assert f"neither UUID nor serial number is the same, so {address} may lead to" in hold.reason
        confirm(world, "m1")
        world.run(1200)
        assert writes(world) == [address]


@pytest.mark.parametrize(
    ("before", "later", "held"),
    [
        ((None, "SN-A123"), (None, "SN-B234"), True),
        ((None, "SN-A123"), (UUIDS["b"], "SN-B234"), True),
        ((UUIDS["a"], "SN-A123"), (None, "SN-B234"), True),
        ((None, "SN-A123"), (UUIDS["b"], "SN-A123"), False),
        ((None, "SN-A123"), (None, None), False),
        ((UUIDS["a"], None), (None, "SN-B234"), False),
    ],
)
def test_a_serial_number_alone_shows_that_an_address_leads_to_another_machine(
    tmp_path: Path, before: tuple[str | None, str | None], later: tuple[str | None, str | None], held: bool
) -> None:
    """Many systems report no UUID. What runs at the address now is not powered off for the machine of the document."""
    world = World(tmp_path)
    wire(world, "10.0.0.1", *before, power="Off")
    world.commit(documents("a", m1=("10.0.0.1", "Off")))
    world.run(60)
    wire(world, "10.0.0.1", *later)
    world.run(1200)
    assert (writes(world) == []) is held
    if held:
        (hold,) = changes(world)["m1"].held_by
        assert "; the serial number is not the same, so 10.0.0.1 may lead to another machine now" in hold.reason
        confirm(world, "m1")
        world.run(1200)
        assert writes(world) == ["10.0.0.1"]


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1", "10.0.0.2"), ("bmc:8001", "bmc:8002"), ("[2001:db8::1]", "[2001:db8::2]")]
)
def test_certainly_two_bmcs_that_report_one_system_are_two_machines(tmp_path: Path, addresses: tuple[str, str]) -> None:
    """Boards with cloned firmware, and simulated BMCs, which have one address and many ports."""
    world = World(tmp_path)
    for address in addresses:
        wire(world, address, UUIDS["a"], "S-1")
    world.commit(documents("a", m1=(addresses[0], "Off"), m2=(addresses[1], "Off")))
    world.run(600)
    assert sorted(writes(world)) == sorted(addresses)


def test_a_text_that_more_machines_report_than_a_bmc_has_names_identifies_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    names = [f"bmc{number}.example" for number in range(9)]
    for name in names:
        wire(world, name, UUIDS["a"])
    world.commit(documents("a", **{f"m{number}": (name, "On") for number, name in enumerate(names)}))
    world.run(60)
    assert changes(world) == {}


def test_of_several_machines_with_one_uuid_a_few_are_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    names = [f"bmc{number}.example" for number in range(6)]
    for name in names:
        wire(world, name, UUIDS["a"])
    world.commit(documents("a", **{f"m{number}": (name, "On") for number, name in enumerate(names)}))
    world.run(60)
    (hold,) = changes(world)["m0"].held_by
    assert "Machine/m0 and Machine/m1 and Machine/m2 and Machine/m3 and 2 more report the same system" in hold.reason
