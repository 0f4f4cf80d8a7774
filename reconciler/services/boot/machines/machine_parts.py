"""The parts of machines as the boot service needs them: by which MAC address one is known, and which disks were
wiped."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from drivers.base import Disk, Inventory, mac_address
from reconciler.kinds.common.machine_inventory import StoredInventory
from reconciler.model.resource import ResourceKey
from reconciler.onboarding.inband import read_inband

INDEX_KEPT = timedelta(seconds=30)
MACHINE = "Machine"
_BYTES = re.compile(r"[0-9]{1,19}")


class KeptParts(Protocol):
    """The inventories that are kept, also of other kinds. Every call may raise StoreError."""

    def each(self) -> Iterator[tuple[ResourceKey, StoredInventory]]:
        """What is kept of every resource."""

    def of(self, key: ResourceKey) -> StoredInventory:
        """What is kept of one."""


class MachineParts:
    """What is known of the parts of machines, as far as their lifecycles need it.

    `keep` keeps what an agent has found, and may raise StoreError."""

    def __init__(
        self, inventories: KeptParts, keep: Callable[[ResourceKey, Inventory], None], now: Callable[[], datetime]
    ) -> None:
        self._inventories, self._keep, self._now = inventories, keep, now
        self._index: tuple[datetime, dict[str, str]] | None = None

    def collected(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        """Keep what the agent found. Raises StoreError."""
        self._keep(key, read_inband(collected))
        self._index = None

    def macs(self, name: str) -> list[str]:
        """The MAC addresses of a machine as its BMC or the agent reported them, in lower case."""
        return _macs(self._inventories.of(ResourceKey(MACHINE, name)))

    def unwiped(self, name: str, proof: str) -> list[str]:
        """The disks that the agent has found in the machine, now or before, and that the proof does not name as large
        as they are. Which of those of now one of before is, is known by what it is: names change between two starts."""
        kept = self._inventories.of(ResourceKey(MACHINE, name)).in_band
        now = kept.value.disks if kept is not None and kept.value is not None else ()
        before = kept.previous.disks if kept is not None and kept.previous is not None else ()
        proved = dict(_proved(proof))
        left = [_spoken(disk) for disk in now if proved.get(disk.name.removeprefix("/dev/"), -1) < disk.size]
        there = list(now)
        # Those that tell their serial first; of several that are alike, the one that has kept its name.
        for disk in sorted(before, key=lambda one: (not one.serial, one.name)):
            found = sorted((one for one in there if _may_be(one, disk)), key=lambda one: one.name != disk.name)
            if found:
                there.remove(found[0])
            else:
                left.append(_spoken(disk))
        return sorted(left)

    def machine_of(self, mac: str) -> str | None:
        """The name of the machine whose BMC, or whose agent, reported this MAC address."""
        now = self._now()
        if self._index is None or now - self._index[0] > INDEX_KEPT:
            machines = ((key.name, known) for key, known in self._inventories.each() if key.kind == MACHINE)
            self._index = now, {mac: name for name, known in machines for mac in _macs(known)}
        return self._index[1].get(mac)


def _proved(proof: str) -> Iterable[tuple[str, float]]:
    """The agent's lines, as names and bytes: `sda 4096 bytes: ...`, or `sdb left alone: ...`, however large it is."""
    for name, *words in filter(None, map(str.split, proof.splitlines())):
        if words[:2] == ["left", "alone:"]:
            yield name, math.inf
        elif len(words) > 1 and _BYTES.fullmatch(words[0]) and words[1] == "bytes:":
            yield name, int(words[0])


def _may_be(one: Disk, other: Disk) -> bool:
    """Whether it may be the same disk. Whether a serial is reported may depend on the agent's tools."""
    known = bool(one.serial and other.serial)
    same = one.serial == other.serial if known else one.name == other.name or one.model == other.model
    return same and one.size == other.size


def _spoken(disk: Disk) -> str:
    name = disk.name.removeprefix("/dev/")
    return f"{name} (serial {disk.serial})" if disk.serial else name


def _macs(inventory: StoredInventory) -> list[str]:
    nics = (nic for kept in inventory.all if kept.value is not None for nic in kept.value.nics or ())
    return [mac for nic in nics if (mac := mac_address(nic.mac)) is not None]
