"""Recorded Redfish services of real machines: each system of each is found by its id and read, and nothing breaks.

The recordings lie beside the repository, are not part of it, and are skipped where they are absent.
"""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from drivers.base import BootEnabled, BootMode, BootOverride, BootTarget
from drivers.base import ResetType as Reset
from drivers.bmc.redfish import RedfishDriver
from tests.drivers.bmc_servers import Document, Pki, RedfishServer, endpoint

TREES = Path(__file__).resolve().parents[3] / "shared" / "redfish-trees"
ROOT = "/redfish/v1"

NO_BOOT = None
NONE = BootOverride(BootTarget.NONE, BootEnabled.DISABLED)
NONE_UEFI = BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI)
NONE_LEGACY = BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.LEGACY)
PXE_ONCE = BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.UEFI)

POWER = {Reset.ON, Reset.FORCE_OFF}
GRACEFUL = POWER | {Reset.GRACEFUL_SHUTDOWN, Reset.FORCE_RESTART}
FULL = GRACEFUL | {Reset.GRACEFUL_RESTART, Reset.NMI}
BUTTON = FULL | {Reset.PUSH_POWER_BUTTON}


class Seen(NamedTuple):
    """What a recorded system is to be read as."""

    power: str
    led: str | None
    boot: BootOverride | None
    resets: set[Reset]
    serial: str | None
    uuid: str | None = None


def blade(serial: str) -> Seen:
    return Seen("On", "Off", NONE, BUTTON | {Reset.FORCE_ON}, serial)


SYSTEMS = {
    "csm-rie-EX425": {
        "Node0": Seen("On", None, NO_BOOT, POWER, "HA19340017"),
        "Node1": Seen("On", None, NO_BOOT, POWER, "HA19340017"),
    },
    "csm-rie-Gigabyte": {
        "Self": Seen("On", "Off", NONE_LEGACY, GRACEFUL, "GJG9NF512A000302", "e9184000-7983-11ec-8000-b42e99bade15"),
    },
    "csm-rie-Intel": {
        "QSBP74100021": Seen(
            "On",
            "Off",
            NONE_LEGACY,
            GRACEFUL | {Reset.NMI, Reset.FORCE_ON, Reset.PUSH_POWER_BUTTON},
            "QSBP74100021",
            "3504bf7d-ae5b-11e7-ab21-a4bf012890a8",
        ),
    },
    "csm-rie-OpenBMC-stock": {
        "system": Seen("Off", "Off", NONE_UEFI, FULL | {Reset.FORCE_ON, Reset.POWER_CYCLE}, None),
    },
    "dmtf-public-bladed": {one: blade(one) for one in ("529QB9450R6", "529QB9451R6", "529QB9452R6", "529QB9453R6")},
    "dmtf-public-rackmount1": {
        "437XR1138R2": Seen(
            "On", "Off", PXE_ONCE, BUTTON | {Reset.FORCE_ON}, "437XR1138R2", "38947555-7742-3448-3784-823347823834"
        ),
    },
    "nv-libredfish-dell": {
        "System.Embedded.1": Seen(
            "On",
            "Lit",
            NONE_UEFI,
            BUTTON | {Reset.POWER_CYCLE},
            "CNIVC0014M0388",
            "4c4c4544-0035-3410-8050-c6c04f314733",
        ),
    },
    "nv-libredfish-hpe": {
        "1": Seen("On", "Off", NONE_UEFI, BUTTON, "MXQ302099S", "34383350-3131-584D-5133-303230393953"),
    },
    "nv-libredfish-lenovo": {
        "1": Seen("On", "Off", NONE_UEFI, FULL | {Reset.FORCE_ON}, "J105958B", "6173ecec-6ef5-11ee-834a-0a8fc3a58a71"),
    },
}

pytestmark = pytest.mark.skipif(
    not TREES.is_dir(), reason=f"no recorded Redfish services in {TREES.name}/ beside the repository"
pytestmark = pytest.mark.skipif(
    not TREES.is_dir(), reason="no recorded Redfish services in ../shared/redfish-trees, beside the repository"
)


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_every_system_of_a_recorded_service_is_read(driver: RedfishDriver, pki: Pki, tmp_path: Path, name: str) -> None:
    with RedfishServer(pki.context, unpacked(name, tmp_path)) as server:
        for system_id, seen in SYSTEMS[name].items():
            state = driver.open(endpoint(server, pki.tls, system_id)).read()
            assert (state.power, state.indicator, state.boot) == (seen.power, seen.led, seen.boot)
            assert set(state.allowed_resets or ()) == seen.resets
            assert (state.serial, state.uuid) == (seen.serial, seen.uuid)
        assert (server.count("POST"), len(server.sessions), server.connections) == (1, 1, 1)
        driver.close()
        assert not server.sessions


def test_every_recorded_service_and_system_is_in_the_table(tmp_path: Path) -> None:
    recorded = {file.name.removesuffix(".tar.xz") for file in TREES.glob("*.tar.xz")}
    assert recorded == set(SYSTEMS)
    for name, systems in SYSTEMS.items():
        members = unpacked(name, tmp_path)[f"{ROOT}/Systems"]["Members"]
        assert {member["@odata.id"].rstrip("/").rpartition("/")[2] for member in members} == set(systems)


def unpacked(name: str, directory: Path) -> Mapping[str, Document]:
    """The documents of a recording by path, without a slash at the end; those that are no JSON (F46) left out."""
    with tarfile.open(TREES / f"{name}.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    top = directory / name
    base = top / "redfish" / "v1" if (top / "redfish" / "v1" / "index.json").exists() else top
    documents = {}
    for file in base.rglob("index.json"):
        with contextlib.suppress(ValueError):
            documents["/".join([ROOT, *file.parent.relative_to(base).parts])] = json.loads(file.read_bytes())
    return documents
