"""What is in a machine, as a BMC or an agent says it."""

from __future__ import annotations

import msgspec


class Processor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A processor package; 0 cores or threads where the other side does not say."""

    model: str = ""
    cores: int = 0
    threads: int = 0


class Disk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A drive; `size` in bytes, 0 where the other side does not say."""

    name: str
    size: int
    model: str = ""
    serial: str = ""


class Gpu(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accelerator."""

    model: str = ""


class MemoryModule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A memory module; `size` in bytes, 0 where the other side does not say."""

    name: str
    size: int
    model: str = ""
    serial: str = ""


class Nic(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network interface; `mac` in lower case with colons, `speed` in Mbit/s, 0 where the other side does not say."""

    name: str
    mac: str
    speed: int = 0


class Neighbour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is at the other end of an interface's cable, as it says itself (LLDP, IEEE 802.1AB)."""

    interface: str
    system: str
    port: str
    chassis: str = ""


class UnreadPart(msgspec.Struct, frozen=True, order=True):
    """One part that is listed and could not be read. `part`: the field of Inventory that it belongs to. `name`: its
    own, empty where not even that is known, as for a page of a list."""

    part: str
    name: str = ""


class Inventory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in a machine; `memory` in bytes. `missing`: the parts of which the other side says nothing, or not all,
    by these names (`processors`, `memory`, `disks`, `gpus`): unknown, not absent. None for `modules`, `nics` or
    `neighbours` is that too.

    `unread`: what is listed and could not be read. The rest of such a list is there, and does not count as whole.
    """

    processors: tuple[Processor, ...] = ()
    memory: int = 0
    disks: tuple[Disk, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    missing: tuple[str, ...] = ()
    modules: tuple[MemoryModule, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    neighbours: tuple[Neighbour, ...] | None = None
    unread: tuple[UnreadPart, ...] = ()

    def is_whole(self, name: str) -> bool:
        """Whether all parts of this field are known."""
        return getattr(self, name) is not None and name not in self.missing and not self.unread_of(name)

    def unread_of(self, name: str) -> tuple[UnreadPart, ...]:
        """What of this field could not be read."""
        return tuple(one for one in self.unread if one.part == name)
