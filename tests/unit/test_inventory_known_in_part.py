"""An inventory of which a part could not be read: the rest is used, and nothing counts that needs the whole."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from drivers.base import Disk, Inventory, MemoryModule, Nic, Processor, UnreadPart
from reconciler.kinds.common.machine_inventory import Kept, Origin, SizeFound, StoredInventory, as_json
from reconciler.views.render.tables.inventory_table import inventory_lines

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HALF = Inventory(
    (Processor("Xeon", 8, 16),),
    0,
    (Disk("Bay0", 1 << 40),),
    missing=("memory", "disks", "gpus"),
    modules=(MemoryModule("A1", 32 << 30),),
    nics=(Nic("eth0", "52:54:00:00:00:01"),),
    unread=(UnreadPart("disks", "Bay1"), UnreadPart("modules", "A2"), UnreadPart("nics")),
)
AGENT = Inventory(
    (Processor("Xeon", 8, 16),),
    64 << 30,
    (Disk("sda", 1 << 40), Disk("sdb", 1 << 40)),
    nics=(Nic("eth0", "52:54:00:00:00:01"), Nic("eth1", "52:54:00:00:00:02")),
)
FOUND = SizeFound(None, "no size is known", True)


def kept(origin: Origin, value: Inventory) -> Kept:
    return Kept(origin, value, NOW, NOW)


def test_what_was_read_is_shown_and_what_was_not_is_named() -> None:
    known = StoredInventory(kept(Origin.OUT_OF_BAND, HALF))
    lines = [line.strip() for line in inventory_lines("m1", known, FOUND, NOW)]
    for line in (
        "memory       size unknown in 1 module, and 1 module not read",
        "disks        Bay0 1 TiB",
        "Bay1 not read",
        "a part of this list not read",
        "GPUs         unknown",
    ):
        assert line in lines, "\n".join(lines)


def test_paths_see_only_lists_that_are_known_to_their_end() -> None:
    assert sorted(as_json(HALF)) == ["processors"]


def test_the_agent_s_whole_list_counts_rather_than_half_of_the_bmc_s() -> None:
    best = StoredInventory(kept(Origin.OUT_OF_BAND, HALF), kept(Origin.IN_BAND, AGENT)).best
    assert best is not None
    assert (best.disks, best.nics, best.memory, best.modules) == (AGENT.disks, AGENT.nics, AGENT.memory, HALF.modules)
    assert best.unread == (UnreadPart("modules", "A2"),)
    assert best.missing == ()


@pytest.mark.parametrize("name", ["disks", "nics", "modules"])
def test_half_a_list_counts_where_the_other_side_says_nothing(name: str) -> None:
    silent = Inventory(missing=("processors", "memory", "disks", "gpus"))
    best = StoredInventory(kept(Origin.OUT_OF_BAND, HALF), kept(Origin.IN_BAND, silent)).best
    assert best is not None
    assert getattr(best, name) == getattr(HALF, name)
    assert not best.is_whole(name)
    assert best.is_whole("processors")
