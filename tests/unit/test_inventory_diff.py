"""What became of a machine's parts is told part by part, and only of what both sides know."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Disk, Gpu, Inventory, MemoryModule, Neighbour, Nic, Processor, UnreadPart
from reconciler.kinds.common.inventory_diff import between, inventory_differences

MODULES = (MemoryModule("A1", 32 << 30, "M", "D1"), MemoryModule("A2", 32 << 30, "M", "D2"))
NICS = (Nic("eth0", "52:54:00:00:00:01"), Nic("eth1", "52:54:00:00:00:02"))
WHOLE = Inventory(
    processors=(Processor("Xeon", 8, 16), Processor("Xeon", 8, 16)),
    memory=64 << 30,
    disks=(Disk("sda", 960, "PM9A3", "S1"), Disk("sdb", 960, "PM9A3", "S2")),
    gpus=(Gpu("H100"),),
    modules=MODULES,
    nics=NICS,
    neighbours=(Neighbour("eth0", "leaf01", "swp1"),),
)


def but(**fields: object) -> Inventory:
    return msgspec.structs.replace(WHOLE, **fields)


@pytest.mark.parametrize(
    ("after", "said", "loss"),
    [
        (but(modules=MODULES[:1], memory=32 << 30), "memory module A2 is missing", True),
        (but(disks=WHOLE.disks[1:]), "disk sda is missing; it was PM9A3, 960 bytes, S1", True),
        (but(disks=(*WHOLE.disks, Disk("sdc", 5, "", "S3"))), "disk sdc is new: 5 bytes, S3", False),
        (but(disks=(Disk("sda", 960, "PM9A3", "S9"), WHOLE.disks[1])), "disk sda: PM9A3, 960 bytes, S1 ->", False),
        (but(disks=(Disk("sda", 480, "PM9A3", "S1"), WHOLE.disks[1])), "-> PM9A3, 480 bytes, S1", True),
        (but(processors=WHOLE.processors[:1]), "processor is missing; it was Xeon, 8 cores", True),
        (but(processors=(WHOLE.processors[0], Processor("Xeon", 6, 12))), "-> Xeon, 6 cores", True),
        (but(gpus=()), "GPU is missing; it was H100", True),
        (but(gpus=(Gpu("H100"), Gpu("H100"))), "GPU is new: H100", False),
        (but(nics=NICS[:1]), "interface eth1 is missing; it was 52:54:00:00:00:02", True),
        (
            but(nics=(NICS[0], Nic("eth1", "52:54:00:00:00:03"))),
            "interface eth1: 52:54:00:00:00:02 -> 52:54:00:00:00:03",
            False,
        ),
        (
            but(neighbours=(Neighbour("eth0", "leaf02", "swp1"),)),
            "neighbour of eth0: leaf01 port swp1 -> leaf02 port swp1",
            False,
        ),
        (but(neighbours=()), "neighbour of eth0 is missing; it was leaf01 port swp1", True),
        (but(modules=None, memory=32 << 30), "memory: 68,719,476,736 bytes -> 34,359,738,368 bytes", True),
    ],
)
def test_one_change_is_told_once_with_what_it_is(after: Inventory, said: str, loss: bool) -> None:
    (found,) = inventory_differences(WHOLE, after)
    assert said in str(found)
    assert found.loss is loss


@pytest.mark.parametrize(
    "after",
    [
        but(disks=(Disk("sdb", 960, "PM9A3", "S1"), Disk("sda", 960, "PM9A3", "S2"))),
        but(nics=NICS[::-1]),
        but(nics=None, neighbours=None, modules=None),
        but(disks=(), gpus=(), missing=("disks", "gpus")),
        but(modules=None, memory=(64 << 30) - (100 << 20)),
    ],
    ids=["other names for the same disks", "another order", "not told", "missing", "a kernel that takes more"],
)
def test_what_is_the_same_or_not_known_is_no_change(after: Inventory) -> None:
    assert inventory_differences(WHOLE, after) == ()
    assert inventory_differences(after, WHOLE) == ()


parts = st.lists(
    st.builds(Disk, st.sampled_from("abc"), st.integers(1, 3), st.sampled_from("xy"), st.sampled_from(["", "1", "2"])),
    max_size=5,
)


@given(parts, parts)
def test_every_disk_is_accounted_for(before: list[Disk], after: list[Disk]) -> None:
    found = inventory_differences(Inventory(disks=tuple(before)), Inventory(disks=tuple(after)))
    lost = sum(one.turn == "lost" for one in found)
    new = sum(one.turn == "new" for one in found)
    assert len(before) - lost == len(after) - new
    assert not inventory_differences(Inventory(disks=tuple(before)), Inventory(disks=tuple(before[::-1])))


def test_an_infiniband_port_that_the_agent_does_not_see_is_not_lost() -> None:
    """The image of the agent may lack its driver, and a BMC may give the EUI-64 of the card and not of the port."""
    port = Nic("ib0", "24:8a:07:03:00:a1:b2:c3")
    assert between(but(nics=(*NICS, port)), WHOLE) == ()


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (but(disks=WHOLE.disks[:1]), ["number of disks: 2 -> 1", "bytes of disks: 1,920 -> 960"]),
        (but(processors=WHOLE.processors[:1]), ["number of processors: 2 -> 1", "number of cores: 16 -> 8"]),
        (but(nics=NICS[:1]), ["interface eth1 is missing; it was 52:54:00:00:00:02"]),
        (but(memory=32 << 30), ["memory: 68,719,476,736 bytes -> 34,359,738,368 bytes"]),
        (but(memory=(64 << 30) - (2 << 30)), []),
        (
            but(
                disks=(Disk("/dev/nvme0n1", 960), Disk("/dev/nvme1n1", 960)),
                nics=(*NICS, Nic("x", "02:00:00:00:00:09")),
            ),
            [],
        ),
        (but(nics=None, missing=("disks", "processors")), []),
    ],
)
def test_bmc_and_agent_are_compared_by_sums_and_by_what_is_unique(agent: Inventory, said: list[str]) -> None:
    assert sorted(map(str, between(WHOLE, agent))) == sorted(said)


SDA, SDC = WHOLE.disks[0], Disk("sdc", 5, "", "S3")


def half(*unread: str, disks: tuple[Disk, ...]) -> Inventory:
    """Of which these disks could not be read."""
    return but(disks=disks, missing=("disks",), unread=tuple(UnreadPart("disks", name) for name in unread))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        pytest.param(half("sdb", disks=(SDA,)), [], id="the one that could not be read is not gone"),
        pytest.param(half("sdb", disks=()), [], id="nothing of them was read"),
        pytest.param(half("", disks=(SDA,)), [], id="a page may have any of them"),
        pytest.param(half("Bay9", disks=(SDA,)), [], id="a disk of another name may be any of them"),
        pytest.param(
            half("sdb", disks=(SDC,)), ["disk sda is missing", "disk sdc is new"], id="what was read is compared"
        ),
        pytest.param(but(nics=NICS[:1], unread=(UnreadPart("nics", "eth1"),)), [], id="an interface"),
        pytest.param(but(modules=MODULES[:1], unread=(UnreadPart("modules", "A2"),)), [], id="a module"),
        pytest.param(
            but(processors=WHOLE.processors[:1], missing=("processors",), unread=(UnreadPart("processors", "2"),)),
            [],
            id="a processor",
        ),
    ],
)
def test_what_could_not_be_read_is_neither_lost_nor_new(after: Inventory, said: list[str]) -> None:
    found = [re.split("[:;]", str(one))[0] for one in inventory_differences(WHOLE, after)]
    assert found == said
    if not said:
        assert inventory_differences(after, WHOLE) == ()
        assert between(WHOLE, after) == ()
