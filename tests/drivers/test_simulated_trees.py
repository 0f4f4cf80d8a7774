"""Recorded Redfish trees as profiles of simulated BMCs, through the Redfish driver. They are not everywhere."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.base import Bmc, BootEnabled, BootOverride, BootTarget, Endpoint, PowerState, ResetType, Tls
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.simulator.bmc_profile import recorded_profile
from drivers.bmc.simulator.fleet.memory_connection import memory_address, memory_driver
from drivers.bmc.simulator.fleet.recorded_tree import read_recorded_tree
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet
from tests.trees.replay import MISSING, TREES

ROOT_ONLY = b'{"@odata.id": "/redfish/v1", "Systems": {"@odata.id": "/redfish/v1/Systems"}}'
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in TREES.glob("*.tar.xz")) or ["none"]
there = pytest.mark.skipif(not TREES.is_dir(), reason=MISSING)


class TreeFleet:
    """Two BMCs of a recording, and their time."""

    def __init__(self, tree: str, folder: Path) -> None:
        with tarfile.open(TREES / f"{tree}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        (root,) = folder.iterdir()
        self.now = 0.0
        self.fleet = SimulatedFleet(recorded_profile(tree, read_recorded_tree(root)), 2)
        self.driver: RedfishDriver = memory_driver(self.fleet, lambda: self.now)

    def systems(self, number: int) -> list[Bmc]:
        ids = [one.name for one in self.fleet.bmcs[number].systems]
        at = memory_address(number)
        return [self.driver.open(Endpoint("redfish", at, one, Tls(insecure=True))) for one in ids]


@pytest.fixture(params=NAMES)
def bmcs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TreeFleet]:
    found = TreeFleet(request.param, tmp_path)
    yield found
    found.driver.close()


@there
def test_a_recorded_system_powers_off_and_on_and_its_neighbours_do_not(bmcs: TreeFleet) -> None:
    for system in bmcs.systems(0):
        beside = [one.read().power for one in bmcs.systems(1)]
        for reset, power in ((ResetType.ON, PowerState.ON), (ResetType.FORCE_OFF, PowerState.OFF)):
            system.reset(reset)
            bmcs.now += 60
            assert system.read().power is power
        assert [one.read().power for one in bmcs.systems(1)] == beside


@there
def test_a_recorded_system_keeps_a_boot_override_where_it_has_one(bmcs: TreeFleet) -> None:
    for system in bmcs.systems(0):
        if system.read().boot is not None:
            system.set_boot(BootOverride(BootTarget.PXE, BootEnabled.ONCE))
            boot = system.read().boot
            assert boot is not None
            assert (boot.target, boot.enabled) == (BootTarget.PXE, BootEnabled.ONCE)


@there
def test_the_first_bmc_is_as_recorded_and_the_next_one_has_names_of_its_own(bmcs: TreeFleet) -> None:
    for place, first, second in zip(bmcs.fleet.profile.tree.systems, bmcs.systems(0), bmcs.systems(1), strict=True):
        recorded = bmcs.fleet.profile.tree.documents[place.path]
        assert first.read().serial in (recorded.get("SerialNumber"), None)
        assert second.read().uuid != first.read().uuid or recorded.get("UUID") is None
        assert first.inventory().processors == second.inventory().processors


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "is a file"),
        ({"index.json": b"{}"}, "there is no ComputerSystem"),
        ({"index.json": ROOT_ONLY}, "there is no ComputerSystem"),
        ({"index.json": b"nonsense"}, "there is no document"),
    ],
)
def test_a_folder_that_is_no_tree_is_refused_in_words(files: dict[str, bytes], words: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        recorded_profile("odd", read_recorded_tree(tmp_path))


def test_a_document_that_is_not_json_is_left_out(tmp_path: Path) -> None:
    for name, content in {"": ROOT_ONLY, "Systems": b"<html>"}.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "index.json").write_bytes(content)
    assert list(read_recorded_tree(tmp_path)) == ["/redfish/v1"]
