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


class Inventory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in a machine; `memory` in bytes. `missing`: the parts of which the other side says nothing, by these
    names (`processors`, `memory`, `disks`, `gpus`): unknown, not absent. None for one of the last three is that too."""

    processors: tuple[Processor, ...] = ()
    memory: int = 0
    disks: tuple[Disk, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    missing: tuple[str, ...] = ()
    modules: tuple[MemoryModule, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    neighbours: tuple[Neighbour, ...] | None = None
