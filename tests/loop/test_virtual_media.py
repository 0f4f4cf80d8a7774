"""Machines that start the agent from virtual media, under a virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from drivers.base import BootTarget, PowerState, is_image
from drivers.bmc.fake.fake_faults import Call, Eject, Fault, FaultKind, Insert
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import Inserted, LifecycleFacts, MachineFacts
from reconciler.kinds.machine.lifecycle.phases import Phase, claim_spec, phase
from reconciler.kinds.machine.rules.machine_rules import MachineRules
from reconciler.model.resource import DesiredState, ResourceKey
from tests.loop.metal import Metal, live
from tests.loop.test_claims import fleet
from tests.loop.world import World, declare, machine

URL = "http://10.77.0.1:9809/agent.iso"
NETWORKS = [{"cidr": "10.77.0.0/24", "range": "10.77.0.100-10.77.0.200"}]
BY_MEDIA = {"server": "10.77.0.1", "networks": NETWORKS, "startFrom": "VirtualMedia"}


def place(boot: dict[str, Any] | None, **lifecycle: str) -> DesiredState:
    lab = ("Partition", "lab", {} if boot is None else {"boot": boot})
    return declare(lab, machine("m1", lifecycle={"mode": "Managed", **lifecycle}))


def with_claim(count: int | None, revision: str) -> DesiredState:
    """The same with a claim for so many."""
    declared = fleet(count, "m1")
    key = next(key for key in declared.resources if key.kind == "Partition")
    resources = {**declared.resources, key: place(BY_MEDIA).resources[key]}
    return replace(declared, resources=resources, revision=replace(declared.revision, id=revision))


def at(world: World) -> Phase:
    facts = world.machine(Metal(world, "m1").key)
    return phase(facts, claim_spec(facts, world.desired))


def moves(metal: Metal) -> list[object]:
    """What was written about media and power."""
    told: dict[type, Any] = {Insert: "in", Eject: "out"}
    return [told.get(type(one.value), one.value) for one in metal.bmc.writes]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=2.0, off_after=2.0)


@pytest.fixture
def metal(world: World) -> Metal:
    return Metal(world, "m1")


def test_the_image_goes_in_before_the_boot_order_and_out_when_it_is_over(world: World, metal: Metal) -> None:
    world.commit(place(BY_MEDIA))
    live(world, [metal], 120)
    assert at(world) is Phase.AVAILABLE
    first, boot, power, last = metal.bmc.writes
    assert (first.value, last.value) == (Insert(URL), Eject(URL))
    assert [str(power.value), metal.bmc.booted_from] == ["On", ["Cd"]]
    assert getattr(boot.value, "target", None) is BootTarget.CD
    assert world.machine(metal.key).lifecycle.media is None
    live(world, [metal], 3600)
    assert len(metal.bmc.writes) == 4


CHOICES = {
    "the network where it is offered": ({**BY_MEDIA, "startFrom": "Network"}, {}, None, "Pxe"),
    "the network where nothing is said": ({"server": "10.77.0.1", "networks": NETWORKS}, {}, None, "Pxe"),
    "the drive where the network is not offered": (
        {"server": "10.77.0.1", "networks": NETWORKS},
        {},
        (BootTarget.HDD, BootTarget.CD),
        "Cd",
    ),
    "the machine's own word before its partition's": (
        {**BY_MEDIA, "startFrom": "Network"},
        {"startFrom": "VirtualMedia"},
        None,
        "Cd",
    ),
    "Supermicro's name for the drive": (BY_MEDIA, {}, (BootTarget.PXE, BootTarget.CD, BootTarget.USB_CD), "UsbCd"),
    "HTTP before the drive": (
        {"server": "10.77.0.1", "networks": NETWORKS},
        {},
        (BootTarget.UEFI_HTTP, BootTarget.CD),
        "UefiHttp",
    ),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_from_where_a_machine_starts(world: World, metal: Metal, choice: tuple[Any, Any, Any, str]) -> None:
    boot, lifecycle, offered, expected = choice
    metal.bmc.state = replace(metal.bmc.state, allowed_boot_targets=offered)
    world.commit(place(boot, **lifecycle))
    live(world, [metal], 60)
    assert metal.bmc.booted_from == [expected]


def test_a_whole_life_takes_the_image_in_and_out_three_times(world: World) -> None:
    metal = Metal(world, "m1")
    world.commit(with_claim(1, "a" * 40))
    live(world, [metal], 600)
    assert at(world) is Phase.RUNNING
    assert metal.bmc.booted_from == ["Cd", "Cd", "Hdd"]
    world.commit(with_claim(None, "b" * 40))
    live(world, [metal], 900)
    assert at(world) is Phase.AVAILABLE
    assert [move for move in moves(metal) if move in ("in", "out")] == ["in", "out"] * 3
    assert metal.bmc.media == ()


def test_what_somebody_else_has_in_the_drive_is_left_there(world: World, metal: Metal) -> None:
    metal.bmc.media = ("http://rescue.example/rescue.iso",)
    world.commit(place(BY_MEDIA))
    live(world, [metal], 1200)
    assert at(world) is Phase.ERROR
    assert metal.bmc.media == ("http://rescue.example/rescue.iso",)
    assert metal.bmc.booted_from == []
    failure = world.machine(metal.key).lifecycle.failure
    assert failure is not None
    assert "rescue.iso" in failure.message


def test_a_bmc_without_virtual_media_ends_in_an_error_that_says_so(world: World, metal: Metal) -> None:
    metal.bmc.media = None
    world.commit(place(BY_MEDIA))
    live(world, [metal], 1200)
    assert at(world) is Phase.ERROR
    assert "virtual drive" in str(world.machine(metal.key).lifecycle.failure)


def test_a_remnant_that_looks_inserted_is_taken_out_first(world: World, metal: Metal) -> None:
    metal.bmc.media = (URL,)
    world.commit(place(BY_MEDIA))
    live(world, [metal], 120)
    assert moves(metal)[:2] == ["out", "in"]
    assert at(world) is Phase.AVAILABLE


@pytest.mark.parametrize("kind", [FaultKind.REPLY_LOST, FaultKind.REQUEST_LOST])
def test_an_insertion_of_which_the_answer_is_lost_is_looked_for(world: World, metal: Metal, kind: FaultKind) -> None:
    metal.bmc.faults.add(Fault(kind, frozenset({Call.INSERT_MEDIA})))
    world.commit(place(BY_MEDIA))
    live(world, [metal], 600)
    assert at(world) is Phase.AVAILABLE
    assert metal.bmc.booted_from == ["Cd"]
    assert moves(metal).count("in") == (1 if kind is FaultKind.REPLY_LOST else 2)


def test_a_machine_is_off_before_the_image_goes_in(world: World, metal: Metal) -> None:
    metal.bmc.state = replace(metal.bmc.state, power=PowerState.ON)
    world.commit(place(BY_MEDIA, request="now"))
    live(world, [metal], 300)
    assert [str(move) for move in moves(metal)][:2] == ["GracefulShutdown", "in"]
    assert at(world) is Phase.AVAILABLE


def test_a_daemon_that_died_meanwhile_takes_the_image_out_all_the_same(world: World, metal: Metal) -> None:
    world.commit(place(BY_MEDIA))
    for _ in range(24):
        live(world, [metal], 5)
        world.restart()
        world.commit(place(BY_MEDIA))
    live(world, [metal], 120)
    assert at(world) is Phase.AVAILABLE
    assert metal.bmc.media == ()
    assert moves(metal).count("in") == 1


def test_an_image_that_never_goes_in_ends_the_order_and_says_so(world: World, metal: Metal) -> None:
    metal.bmc.faults.add(Fault(FaultKind.MEDIA_NOT_KEPT, times=None))
    world.commit(place(BY_MEDIA))
    live(world, [metal], 3600)
    assert at(world) is Phase.ERROR
    assert world.reasons("m1").count("BootRequestFailed") == 3
    assert moves(metal).count("in") == 9
    assert metal.bmc.booted_from == []


def test_an_image_that_does_not_go_out_keeps_nothing_from_going_on(world: World) -> None:
    metal = Metal(world, "m1")
    world.commit(with_claim(None, "a" * 40))
    live(world, [metal], 120)
    assert metal.bmc.media == ()
    metal.bmc.faults.add(Fault(FaultKind.MEDIA_NOT_KEPT, frozenset({Call.EJECT_MEDIA}), times=None))
    world.commit(with_claim(1, "b" * 40))
    live(world, [metal], 600)
    assert at(world) is Phase.RUNNING
    live(world, [metal], 86400)
    assert moves(metal).count("out") < 40
    metal.bmc.faults.clear()
    live(world, [metal], 7200)
    assert metal.bmc.media == ()
    assert world.engine.plan().changes == ()


def test_an_ejection_that_is_refused_once_is_tried_again(world: World, metal: Metal) -> None:
    metal.bmc.faults.add(Fault(FaultKind.REJECTED, frozenset({Call.EJECT_MEDIA})))
    world.commit(place(BY_MEDIA))
    live(world, [metal], 600)
    assert metal.bmc.media == ()


def test_without_a_start_from_a_cd_no_order_is_given(world: World, metal: Metal) -> None:
    metal.bmc.state = replace(metal.bmc.state, allowed_boot_targets=(BootTarget.PXE, BootTarget.HDD))
    world.commit(place(BY_MEDIA))
    live(world, [metal], 600)
    assert metal.bmc.writes == []
    [change] = world.engine.plan().changes
    assert [hold.by for hold in change.held_by] == ["virtual-media"]


def test_an_agent_at_work_is_left_alone_when_the_bmc_offers_something_else(world: World) -> None:
    metal = Metal(world, "m1")
    metal.ticks_to_write = 8
    metal.bmc.state = replace(metal.bmc.state, allowed_boot_targets=tuple(BootTarget))
    world.commit(with_claim(1, "a" * 40))
    while not metal.half_written:
        live(world, [metal], 5)
    metal.bmc.state = replace(metal.bmc.state, allowed_boot_targets=None)
    live(world, [metal], 600)
    assert at(world) is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"]


def test_an_image_of_the_server_that_was_declared_before_goes_out_first(world: World, metal: Metal) -> None:
    metal.dead = True
    world.commit(place(BY_MEDIA))
    live(world, [metal], 60)
    moved = {**BY_MEDIA, "server": "10.77.0.2"}
    world.commit(place(moved, request="from there"))
    metal.dead = False
    live(world, [metal], 3600)
    assert at(world) is Phase.AVAILABLE
    assert metal.bmc.media == ()
    assert Insert("http://10.77.0.2:9809/agent.iso") in [one.value for one in metal.bmc.writes]


def test_a_machine_that_leaves_git_with_the_image_in_is_told_so() -> None:
    facts = MachineFacts(lifecycle=LifecycleFacts(media=Inserted(URL, "1-1")))
    steps = MachineRules().removal(KindView(ResourceKey("Machine", "m1"), None, facts, {}))
    assert steps.actions[-1].reason.endswith(f"{URL} stays in the virtual drive of the BMC")


FORMS = {
    URL: True,
    "HTTP://10.77.0.1:9809/agent.iso": True,
    "http://10.77.0.1:9809/agent%2Eiso": True,
    f"{URL}?name=x": True,
    "agent.iso": True,
    "Agent.ISO": True,
    "http://10.77.0.1:9809/other.iso": False,
    "http://10.77.0.9:9809/agent.iso": False,
    "Applet": False,
    "": False,
}


@pytest.mark.parametrize(("shown", "same"), FORMS.items(), ids=FORMS)
def test_how_bmcs_show_an_image(shown: str, same: bool) -> None:
    assert is_image(shown, URL) is same
