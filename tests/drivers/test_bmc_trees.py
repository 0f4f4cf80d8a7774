"""What recorded BMCs answer, read through the driver. The recordings lie beside the repository, and not everywhere."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import pytest

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    ConsoleUse,
    IndicatorLED,
    Inventory,
    PowerState,
    Rejected,
    ResetType,
)
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import ROOT, Pki, RedfishServer, endpoint
from tests.trees.replay import MISSING, TREES

pytestmark = pytest.mark.skipif(not TREES.is_dir(), reason=MISSING)


class Recorded(NamedTuple):
    """What a person reads in a recording."""

    tree: str
    system_id: str
    model: str | None
    serial: str | None
    uuid: str | None
    health: str
    boot: BootOverride | None
    led: IndicatorLED | None
    resets: str
    power: PowerState = PowerState.ON


def disabled(mode: BootMode | None) -> BootOverride:
    return BootOverride(BootTarget.NONE, BootEnabled.DISABLED, mode)


ALL = "On ForceOff GracefulShutdown GracefulRestart ForceRestart Nmi ForceOn PushPowerButton"
RECORDED = [
    # Allowed resets by ActionInfo, no Boot, no UUID, no LED.
    Recorded("csm-rie-EX425", "Node0", "HPE CRAY EX425 (MILAN)", "HA19340017", None, "OK", None, None, "On ForceOff"),
    Recorded("csm-rie-EX425", "Node1", "HPE CRAY EX425 (MILAN)", "HA19340017", None, "OK", None, None, "On ForceOff"),
    Recorded(
        "csm-rie-Gigabyte", "Self", "H262-Z63-00", "GJG9NF512A000302", "e9184000-7983-11ec-8000-b42e99bade15", "OK",
        disabled(BootMode.LEGACY), IndicatorLED.OFF, "On ForceOff GracefulShutdown ForceRestart",
    ),
    Recorded(
        "csm-rie-Intel", "QSBP74100021", "S2600BPB", "QSBP74100021", "3504bf7d-ae5b-11e7-ab21-a4bf012890a8", "OK",
        disabled(BootMode.LEGACY), IndicatorLED.OFF,
        "PushPowerButton On GracefulShutdown ForceRestart Nmi ForceOn ForceOff",
    ),
    # Model and serial number are empty texts; it has the old LED and the new one.
    Recorded(
        "csm-rie-OpenBMC-stock", "system", None, None, None, "OK", disabled(BootMode.UEFI), IndicatorLED.OFF,
        "On ForceOff ForceOn ForceRestart GracefulRestart GracefulShutdown PowerCycle Nmi", PowerState.OFF,
    ),
    # Boot without a mode.
    Recorded(
        "dmtf-public-bladed", "529QB9452R6", "SX1000", "529QB9452R6", None, "OK", disabled(None), IndicatorLED.OFF, ALL
    ),
    # Its own health is OK; a part's is Warning.
    Recorded(
        "dmtf-public-rackmount1", "437XR1138R2", "3500", "437XR1138R2", "38947555-7742-3448-3784-823347823834",
        "Warning", BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.UEFI), IndicatorLED.OFF, ALL,
    ),
    Recorded(
        "nv-libredfish-dell", "System.Embedded.1", "PowerEdge R750", "CNIVC0014M0388",
        "4c4c4544-0035-3410-8050-c6c04f314733", "OK", disabled(BootMode.UEFI), IndicatorLED.LIT,
        "On ForceOff ForceRestart GracefulRestart GracefulShutdown PushPowerButton Nmi PowerCycle",
    ),
    Recorded(
        "nv-libredfish-hpe", "1", "ProLiant DL385 Gen10 Plus v2", "MXQ302099S", "34383350-3131-584D-5133-303230393953",
        "Critical", disabled(BootMode.UEFI), IndicatorLED.OFF,
        "On ForceOff GracefulShutdown ForceRestart Nmi PushPowerButton GracefulRestart",
    ),
    # A Settings resource with nothing of the override in it.
    Recorded(
        "nv-libredfish-lenovo", "1", "ThinkSystem SR670 V2", "J105958B", "6173ecec-6ef5-11ee-834a-0a8fc3a58a71", "OK",
        disabled(BootMode.UEFI), IndicatorLED.OFF,
        "On Nmi GracefulShutdown GracefulRestart ForceOn ForceOff ForceRestart",
    ),
]  # fmt: skip


@lru_cache
def recording(tree: str) -> dict[str, Any]:
    """The service root and all below Systems and Managers, by path."""
    documents = {}
    with tarfile.open(TREES / f"{tree}.tar.xz") as archive:
        for member in archive:
            parts = member.name.split("/")[1:-1]
            parts = parts[2:] if parts[:2] == ["redfish", "v1"] else parts
            file = archive.extractfile(member) if member.name.endswith("/index.json") else None
            if file and (not parts or parts[0] in ("Systems", "Managers")):
                documents["/".join([ROOT, *parts])] = json.load(file)
    return documents


@pytest.fixture(scope="module", params=RECORDED, ids=lambda one: f"{one.tree}-{one.system_id}")
def recorded(request: pytest.FixtureRequest) -> Recorded:
    found: Recorded = request.param
    return found


@pytest.fixture
def server(recorded: Recorded, pki: Pki) -> Iterator[RedfishServer]:
    with RedfishServer(pki.context, recording(recorded.tree)) as running:
        yield running


def test_a_recorded_system_is_read_as_a_person_reads_it(
    recorded: Recorded, server: RedfishServer, driver: RedfishDriver, pki: Pki
) -> None:
    state = driver.open(endpoint(server, pki.tls, recorded.system_id)).read()
    assert (state.power, state.boot, state.indicator) == (recorded.power, recorded.boot, recorded.led)
    assert (state.model, state.serial, state.uuid) == (recorded.model, recorded.serial, recorded.uuid)
    assert state.health == recorded.health
    assert set(state.allowed_resets or ()) == {ResetType(name) for name in recorded.resets.split()}


def test_a_steady_look_at_a_recorded_system_is_one_request(
    recorded: Recorded, server: RedfishServer, driver: RedfishDriver, pki: Pki
) -> None:
    bmc = driver.open(endpoint(server, pki.tls, recorded.system_id))
    bmc.read()
    before = len(server.requests)
    bmc.read()
    assert len(server.requests) == before + 1


def test_a_reset_goes_to_the_target_that_was_recorded(
    recorded: Recorded, server: RedfishServer, driver: RedfishDriver, pki: Pki
) -> None:
    driver.open(endpoint(server, pki.tls, recorded.system_id)).reset(ResetType.FORCE_OFF)
    path = f"{ROOT}/Systems/{recorded.system_id}"
    target = recording(recorded.tree)[path]["Actions"]["#ComputerSystem.Reset"]["target"]
    assert [one.json() for one in server.seen("POST", target)] == [{"ResetType": "ForceOff"}]


@pytest.mark.parametrize(
    "recorded", [one for one in RECORDED if one.boot], indirect=True, ids=lambda one: f"{one.tree}-{one.system_id}"
)
def test_an_override_goes_to_the_recorded_system_and_leaves_the_mode_alone(
    recorded: Recorded, server: RedfishServer, driver: RedfishDriver, pki: Pki
) -> None:
    bmc = driver.open(endpoint(server, pki.tls, recorded.system_id))
    bmc.set_boot(BootOverride(BootTarget.PXE, BootEnabled.ONCE))
    sent = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    assert [(one.path, one.json()) for one in server.seen("PATCH")] == [(f"{ROOT}/Systems/{recorded.system_id}", sent)]


@pytest.mark.parametrize(
    ("tree", "ids"),
    [
        ("csm-rie-EX425", "Node0, Node1"),
        ("dmtf-public-bladed", "529QB9450R6, 529QB9451R6, 529QB9452R6, 529QB9453R6"),
    ],
)
def test_of_several_recorded_systems_none_is_guessed(tree: str, ids: str, driver: RedfishDriver, pki: Pki) -> None:
    with (
        RedfishServer(pki.context, recording(tree)) as several,
        pytest.raises(Rejected, match=rf"set bmc\.systemId.*{ids}"),
    ):
        driver.open(endpoint(several, pki.tls)).read()


@pytest.mark.parametrize("tree", sorted({one.tree for one in RECORDED}))
def test_every_system_of_a_recorded_bmc_is_read_in_one_session_that_is_given_back(
    tree: str, driver: RedfishDriver, pki: Pki
) -> None:
    members = recording(tree)[f"{ROOT}/Systems"]["Members"]
    ids = [member["@odata.id"].rstrip("/").rpartition("/")[2] for member in members]
    assert {one.system_id for one in RECORDED if one.tree == tree} <= set(ids)
    with RedfishServer(pki.context, recording(tree)) as server:
        states = [driver.open(endpoint(server, pki.tls, system_id)).read() for system_id in ids]
        assert all(state.power and state.allowed_resets and state.health for state in states)
        assert (server.count("POST"), len(server.sessions), server.connections) == (1, 1, 1)
        driver.close()
        assert not server.sessions


class Inside(NamedTuple):
    """What a person counts in a recording. `memory` in MiB, `cores` of all processors, `disks` in bytes by name."""

    tree: str
    processors: int
    cores: int
    memory: int
    disks: dict[str, int]
    gpus: list[str]
    missing: str = ""


HPE_PLACES = ("00", "01", "04", "05", "08", "09", "0C", "0D", "10", "11", "14", "15", "18", "19", "1C", "1D")
INSIDE = [
    Inside("csm-rie-EX425", 2, 128, 262144, {}, [], "disks"),
    # It counts a module of 16 GB as 15625 MiB.
    Inside("csm-rie-Gigabyte", 2, 128, 250000, {"1": 2013667524608}, []),
    # The one drive is listed five times, and its document is an error.
    Inside("csm-rie-Intel", 2, 8, 49152, {}, [], "disks"),
    # Recorded with the power off: all collections are empty.
    Inside("csm-rie-OpenBMC-stock", 0, 0, 0, {}, [], "processors memory disks gpus"),
    # Memory by its summary alone, and SimpleStorage without a size.
    Inside("dmtf-public-bladed", 1, 4, 65536, {"SATA Bay 1": 0, "SATA Bay 2": 0}, []),
    # The second processor is absent, and so are two disks; an FPGA is neither processor nor GPU.
    Inside("dmtf-public-rackmount1", 1, 8, 98304, {"SATA Bay 1": 8000000000000, "SATA Bay 2": 4000000000000}, []),
    Inside(
        "nv-libredfish-dell", 2, 36, 524288,
        {f"Disk.Bay.{bay}:Enclosure.Internal.0-1": 1920383410176 for bay in range(3)}, ["NVIDIA H100 PCIe"],
    ),
    Inside(
        "nv-libredfish-hpe", 2, 128, 1048576,
        {f"DA0000{place}": 6401252745216 for place in HPE_PLACES}
        | {"0": 480103981056, "1": 480103981056}, [],
    ),
    # Its GPUs have no model.
    Inside(
        "nv-libredfish-lenovo", 2, 64, 1048576,
        {f"Drive.Bay_{bay}": 7680000000000 for bay in range(2)}
        | {f"Drive.M.2_Bay_{bay}": 960000000000 for bay in range(2)}, [""] * 8,
    ),
]  # fmt: skip


def look_inside(server: RedfishServer, driver: RedfishDriver, pki: Pki, tree: str) -> list[Inventory]:
    ids = [one.system_id for one in RECORDED if one.tree == tree]
    return [driver.open(endpoint(server, pki.tls, system_id)).inventory() for system_id in ids]


@pytest.mark.parametrize("inside", INSIDE, ids=lambda one: one.tree)
def test_a_recorded_machine_holds_what_a_person_counts(inside: Inside, driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, recording(inside.tree)) as server:
        for seen in look_inside(server, driver, pki, inside.tree):
            assert (len(seen.processors), sum(one.cores for one in seen.processors)) == inside[1:3]
            assert seen.memory == inside.memory << 20
            assert {disk.name: disk.size for disk in seen.disks} == inside.disks
            assert [gpu.model for gpu in seen.gpus] == inside.gpus
            assert " ".join(seen.missing) == inside.missing


# Lenovo's Settings resource is asked at the first look whether an override waits there for the next boot. One request
# is for the Manager, and one more at Lenovo for its NetworkProtocol.
@pytest.mark.parametrize(("tree", "most"), [("nv-libredfish-dell", 8), ("nv-libredfish-lenovo", 11)])
def test_a_recorded_bmc_that_expands_is_asked_little(tree: str, most: int, driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, recording(tree)) as server:
        look_inside(server, driver, pki, tree)
        before = len(server.requests)
        look_inside(server, driver, pki, tree)
        assert len(server.requests) - before <= most + 1


def test_every_machine_of_the_table_is_looked_into() -> None:
    assert {one.tree for one in INSIDE} == {one.tree for one in RECORDED}


def test_every_recording_is_in_the_table() -> None:
    assert {file.name.removesuffix(".tar.xz") for file in TREES.glob("*.tar.xz")} == {one.tree for one in RECORDED}


@pytest.mark.parametrize(
    ("tree", "modules", "nics"),
    [
        ("csm-rie-EX425", 16, 1),
        # The second and the third interface have one MAC address.
        ("csm-rie-Gigabyte", 16, 3),
        # Its interfaces have no MAC address.
        ("csm-rie-Intel", 6, 0),
        ("csm-rie-OpenBMC-stock", None, None),
        ("dmtf-public-bladed", None, None),
        # A VLAN has the MAC address of its interface.
        ("dmtf-public-rackmount1", 3, 4),
        ("nv-libredfish-dell", 16, 5),
        ("nv-libredfish-hpe", 16, 7),
        ("nv-libredfish-lenovo", 16, 5),
    ],
)
def test_a_recorded_machine_s_modules_and_interfaces_are_those_that_a_person_counts(
    tree: str, modules: int | None, nics: int | None, driver: RedfishDriver, pki: Pki
) -> None:
    with RedfishServer(pki.context, recording(tree)) as server:
        for seen in look_inside(server, driver, pki, tree):
            assert (None if seen.modules is None else len(seen.modules)) == modules
            assert (None if seen.nics is None else len(seen.nics)) == nics


@pytest.mark.parametrize("tree", sorted({one.tree for one in RECORDED}))
def test_a_recorded_bmc_is_found_and_its_systems_are_listed(tree: str, driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, recording(tree)) as server:
        found = driver.probe(server.address, pki.tls, 2.0)
        assert found is not None
        assert (found.sure, found.trusted) == (True, True)
        assert {one.system_id for one in RECORDED if one.tree == tree} <= set(
            driver.systems(endpoint(server, pki.tls)).ids
        )


SERIAL, SHELL, SCREEN = ConsoleUse.SERIAL, ConsoleUse.SHELL, ConsoleUse.GRAPHICAL
OFFERED = {
    "csm-rie-EX425": None,
    "csm-rie-Gigabyte": {(SERIAL, "IPMI", 623, True)},
    "csm-rie-Intel": {(SERIAL, "IPMI", 0, False), (SERIAL, "SSH", 0, False)},
    # The only one whose ComputerSystem has a SerialConsole, and so the only one with the port of the console.
    "csm-rie-OpenBMC-stock": {(SERIAL, "IPMI", 623, True), (SERIAL, "SSH", 2200, True)},
    "dmtf-public-bladed": set(),
    "dmtf-public-rackmount1": {
        (SERIAL, "IPMI", 623, True),
        (SERIAL, "SSH", 0, True),
        (SERIAL, "Telnet", 0, True),
    },
    "nv-libredfish-dell": set(),
    # SerialConsole says that IPMI is on, and NetworkProtocol that it is off.
    "nv-libredfish-hpe": {(SERIAL, "IPMI", 623, False), (SERIAL, "SSH", 0, True)},
    "nv-libredfish-lenovo": {(SERIAL, "IPMI", 623, False), (SERIAL, "SSH", 0, True)},
}
"""The serial consoles of a recording; None: it says nothing of any console."""


def test_what_a_recorded_bmc_says_of_its_serial_console_comes_with_the_inventory(
    recorded: Recorded, server: RedfishServer, driver: RedfishDriver, pki: Pki
) -> None:
    found = driver.open(endpoint(server, pki.tls, recorded.system_id)).inventory().consoles
    offered = OFFERED[recorded.tree]
    assert (found is None) == (offered is None)
    assert {msgspec.structs.astuple(one) for one in found or () if one.use is SERIAL} == (offered or set())
    asked = [one.path for one in server.seen("GET") if "/Managers/" in one.path]
    assert len(asked) <= 2
    assert not [path for path in asked if "SerialInterfaces" in path]


@pytest.mark.parametrize(
    ("tree", "offered"),
    [
        ("nv-libredfish-dell", {(SHELL, "SSH"), (SHELL, "IPMI"), (SCREEN, "KVMIP")}),
        ("dmtf-public-bladed", {(SCREEN, "KVMIP")}),
    ],
)
def test_the_shell_of_a_recorded_bmc_is_not_taken_for_a_console(
    tree: str, offered: set[tuple[str, str]], driver: RedfishDriver, pki: Pki
) -> None:
    """dsx-ai-factory/infra-controller#4887: people got onto the BMC instead."""
    system = next(one.system_id for one in RECORDED if one.tree == tree)
    with RedfishServer(pki.context, recording(tree)) as server:
        found = driver.open(endpoint(server, pki.tls, system)).inventory().consoles
    assert {(one.use, one.protocol) for one in found or ()} == offered
