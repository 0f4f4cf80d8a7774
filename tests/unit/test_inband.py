"""What the agent collects becomes an inventory; what it did not send, or what makes no sense, is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Disk, Gpu, Inventory, MemoryModule, Neighbour, Nic, Processor
from reconciler.onboarding.inband import MAX_PARTS, MAX_TEXT, Dmi, read_dmi, read_inband

BANKS = [
    {"id": "bank:0", "class": "memory", "slot": "DIMM_A1", "size": 32 << 30, "product": "M393", "serial": "D1"},
    {"id": "bank:1", "class": "memory", "slot": "DIMM_A2", "description": "[empty]"},
]
CPU = {"class": "processor", "product": "Xeon", "configuration": {"cores": "16", "enabledcores": "16", "threads": "32"}}
LSHW = {
    "id": "server",
    "class": "system",
    "children": [
        {
            "id": "core",
            "class": "bus",
            "children": [
                {"id": "cache:0", "class": "memory", "size": 1 << 20},
                {"id": "memory", "class": "memory", "size": 32 << 30, "children": BANKS},
                {**CPU, "id": "cpu:0"},
                {"id": "cpu:1", "class": "processor", "disabled": True, "slot": "CPU2"},
                {
                    "id": "pci",
                    "class": "bridge",
                    "children": [
                        {
                            "class": "display",
                            "vendor": "ASPEED",
                            "product": "AST2500",
                            "description": "VGA compatible controller",
                        },
                        {
                            "class": "display",
                            "vendor": "NVIDIA Corporation",
                            "product": "H100",
                            "description": "3D controller",
                        },
                        {
                            "class": "network",
                            "logicalname": "eno1",
                            "businfo": "pci@0000:01:00.0",
                            "size": 25_000_000_000,
                        },
                        {"class": "network", "logicalname": ["eno2"], "businfo": "pci@0000:01:00.1"},
                    ],
                },
            ],
        }
    ],
}
LINK = [
    {"ifname": "lo", "link_type": "loopback", "address": "00:00:00:00:00:00"},
    {"ifname": "eno1", "link_type": "ether", "address": "02:00:00:00:00:01", "permaddr": "3C:EC:EF:00:00:01"},
    {"ifname": "eno2", "link_type": "ether", "address": "3c:ec:ef:00:00:02"},
    {"ifname": "br0", "link_type": "ether", "address": "3c:ec:ef:00:00:02", "linkinfo": {"info_kind": "bridge"}},
    {"ifname": "dummy0", "link_type": "ether", "address": "3c:ec:ef:00:00:03"},
]
LSBLK = {
    "blockdevices": [
        {
            "name": "nvme0n1",
            "type": "disk",
            "size": 960_197_124_096,
            "model": "PM9A3 ",
            "serial": "S1",
            "path": "/dev/nvme0n1",
            "children": [{"name": "nvme0n1p1", "type": "part", "size": 5}],
        },
        {"name": "sda", "type": "disk", "size": "480", "rm": "0"},
        {"name": "sdb", "type": "disk", "size": 8 << 30, "rm": True},
        {"name": "sr0", "type": "rom", "size": 1 << 30},
        {"name": "zram0", "type": "disk", "size": 1 << 30},
        {"name": "loop0", "type": "loop", "size": 1 << 30},
    ]
}
LEAF = {
    "chassis": {"leaf01": {"id": {"type": "mac", "value": "aa:aa:aa:aa:aa:aa"}}},
    "port": {"id": {"type": "ifname", "value": "swp1"}, "descr": "to r1-01"},
}
COLLECTED: dict[str, Any] = {
    "lshw": LSHW,
    "lsblk": LSBLK,
    "link": LINK,
    "memory_kb": 32_000_000,
    "lldp": {"lldp": {"interface": {"eno1": LEAF}}},
}
WHOLE = Inventory(
    processors=(Processor("Xeon", 16, 32),),
    memory=32 << 30,
    disks=(Disk("/dev/nvme0n1", 960_197_124_096, "PM9A3", "S1"), Disk("/dev/sda", 480)),
    gpus=(Gpu("H100"),),
    modules=(MemoryModule("DIMM_A1", 32 << 30, "M393", "D1"),),
    nics=(Nic("eno1", "3c:ec:ef:00:00:01", 25_000), Nic("eno2", "3c:ec:ef:00:00:02")),
    neighbours=(Neighbour("eno1", "leaf01", "swp1", "aa:aa:aa:aa:aa:aa"),),
)


PORT = {
    "ifname": "ib0",
    "link_type": "infiniband",
    "address": "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:a1:b2:c3",
    "linkinfo": {"info_kind": "ipoib"},
}


def test_an_infiniband_port_is_an_interface_and_its_children_are_none() -> None:
    """The kernel gives a port's interface the `linkinfo` of a made one."""
    links = [PORT, PORT | {"ifname": "ib0.8001", "link": "ib0"}]
    assert read_inband({**COLLECTED, "link": links, "lshw": None}).nics == (Nic("ib0", "24:8a:07:03:00:a1:b2:c3"),)


def test_a_whole_machine_is_read() -> None:
    assert read_inband(COLLECTED) == WHOLE


def test_a_serial_number_that_lsblk_does_not_know_is_taken_from_what_the_agent_found() -> None:
    found = read_inband({**COLLECTED, "serials": {"nvme0n1": "other", "sda": "S2"}})
    assert [disk.serial for disk in found.disks] == ["S1", "S2"]


# An empty list of links is ip's answer where there are none.
NOTHINGS: dict[str, list[object]] = {"lshw": [[]], "lsblk": [[]], "link": [], "lldp": [[]]}
PARTS = {
    "lshw": (("processors", "gpus"), ["modules"]),
    "lsblk": (("disks",), []),
    "link": ((), ["nics"]),
    "lldp": ((), ["neighbours"]),
}


@pytest.mark.parametrize(
    ("part", "nothing"),
    [(part, one) for part in PARTS for one in (None, {}, "", 7, {"lldp": None}, {"blockdevices": 3}, *NOTHINGS[part])],
)
def test_a_part_that_is_not_there_is_missing_and_the_others_are_read(part: str, nothing: object) -> None:
    missing, unknown = PARTS[part]
    seen = read_inband({**COLLECTED, part: nothing})
    assert set(missing) <= set(seen.missing)
    assert [name for name in ("modules", "nics", "neighbours") if getattr(seen, name) is None] == unknown


def test_without_lshw_memory_is_what_the_kernel_has() -> None:
    assert read_inband({"memory_kb": 1024}).memory == 1 << 20


def test_nothing_collected_is_all_missing_and_nothing_is_taken_for_none() -> None:
    assert read_inband({}) == Inventory(missing=("processors", "memory", "disks", "gpus"))


@pytest.mark.parametrize(
    ("said", "systems"),
    [
        ({}, []),
        ({"interface": {"eno1": LEAF}}, ["leaf01"]),
        ({"interface": [{"eno1": LEAF}, {"eno2": LEAF}]}, ["leaf01", "leaf01"]),
        (
            {"interface": [{"eno1": LEAF}, {"eno1": {**LEAF, "chassis": {"id": {"type": "mac", "value": "aa"}}}}]},
            ["leaf01", "aa"],
        ),
        (
            {"interface": {"eno1": {**LEAF, "chassis": {"capability": {"type": "Bridge"}, "id": {"value": "bb"}}}}},
            ["bb"],
        ),
        ({"interface": {"eno1": {"chassis": {}}}}, []),
    ],
    ids=["none", "one", "two interfaces", "two on one interface", "without a name", "without anything"],
)
def test_neighbours_are_read_in_each_of_lldpcli_s_shapes(said: dict[str, Any], systems: list[str]) -> None:
    found = read_inband({"lldp": {"lldp": said}}).neighbours
    assert [one.system for one in found or ()] == systems


@pytest.mark.parametrize(
    ("port", "name"),
    [
        ({"id": {"type": "ifname", "value": "swp1"}, "descr": "to r1-01"}, "swp1"),
        ({"id": {"type": "mac", "value": "aa:bb"}, "descr": "swp1"}, "swp1"),
        ({"id": {"type": "mac", "value": "aa:bb"}}, "aa:bb"),
        ({"descr": "swp1"}, "swp1"),
    ],
)
def test_a_port_is_called_by_its_name_rather_than_its_mac_address(port: dict[str, Any], name: str) -> None:
    (found,) = read_inband({"lldp": {"lldp": {"interface": {"e": {**LEAF, "port": port}}}}}).neighbours or ()
    assert found.port == name


def test_what_a_hostile_machine_sends_is_bounded() -> None:
    many = [{**CPU, "product": "x" * 100_000, "id": f"cpu:{n}"} for n in range(3 * MAX_PARTS)]
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"children": [deep]}
    seen = read_inband({"lshw": {"children": [*many, deep]}, "lsblk": {"blockdevices": LSBLK["blockdevices"] * 2_000}})
    assert len(seen.processors) == len(seen.disks) == MAX_PARTS
    assert len(seen.processors[0].model) == MAX_TEXT


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["disk", "memory", "ether"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class", "size", "children", "id", "lldp", "interface", "port", "name", "type"]), inner
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["lshw", "lsblk", "addr", "link", "lldp", "memory_kb"]), anything))
def test_nothing_that_is_sent_is_an_error(collected: dict[str, Any]) -> None:
    assert isinstance(read_inband(collected), Inventory)


@pytest.mark.skipif(not (shutil.which("lsblk") and shutil.which("ip")), reason="lsblk and ip are not installed")
def test_what_this_machine_s_own_tools_print_is_read() -> None:
    def printed(*command: str) -> Any:
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    seen = read_inband({"lsblk": printed("lsblk", "-J", "-b", "-O"), "link": printed("ip", "-j", "-d", "link")})
    assert "disks" not in seen.missing
    assert seen.nics is not None


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"uuid": "4C4C4544-0035", "serial": "S1 ", "product": "R750"}, Dmi("4c4c4544-0035", "S1", "R750")),
        ({"uuid": None, "serial": ["x"]}, Dmi("", "x")),
        (None, Dmi()),
        ("text", Dmi()),
    ],
)
def test_the_machine_says_which_it_is_as_far_as_it_does(said: object, read: Dmi) -> None:
    assert read_dmi({"dmi": said}) == read
