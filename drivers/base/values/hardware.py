"""What is in a machine, as a BMC or an agent says it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Processor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A processor package; 0 cores or threads where the other side does not say."""

    model: str = ""
    """The model, as the part reports it."""
    cores: int = 0
    """How many cores; 0: not reported."""
    threads: int = 0
    """How many threads; 0: not reported."""


class Disk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A drive; `size` in bytes, 0 where the other side does not say."""

    name: str
    """The name at its BMC or in the system."""
    size: int
    """Bytes; 0: not reported."""
    model: str = ""
    """The model, as the part reports it."""
    serial: str = ""
    """The serial number."""


class Gpu(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accelerator."""

    model: str = ""
    """The model, as the part reports it."""


class MemoryModule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A memory module; `size` in bytes, 0 where the other side does not say."""

    name: str
    """The slot."""
    size: int
    """Bytes; 0: not reported."""
    model: str = ""
    """The model, as the part reports it."""
    serial: str = ""
    """The serial number."""


class Nic(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network interface. `mac`: as `hardware_address` has it. `speed`: Mbit/s, 0 where none is reported."""

    name: str
    """The name at its BMC or in the system."""
    mac: str
    """The MAC address, or the EUI-64 of an InfiniBand port, in lower case with colons."""
    speed: int = 0
    """Mbit/s; 0: not reported."""


class Neighbour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is at the other end of an interface's cable, as it says itself (LLDP, IEEE 802.1AB)."""

    interface: str
    """The machine's own interface."""
    system: str
    """The name of the other side, such as a switch."""
    port: str
    """The port of the other side."""
    chassis: str = ""
    """The chassis id of the other side."""


class ConsoleUse(StrEnum):
    """What a person gets who connects."""

    SERIAL = "serial"
    SHELL = "shell"
    GRAPHICAL = "graphical"


class ConsoleOffer(msgspec.Struct, frozen=True, omit_defaults=True, order=True):
    """One way to a console, as a BMC reports it. It is a hint for people: nothing is done because of it."""

    use: ConsoleUse
    """`serial`: the console of the machine. `shell`: the shell of the BMC itself. `graphical`: the screen."""
    protocol: str
    """`IPMI`, `SSH`, `Telnet` or `KVMIP`."""
    port: int = 0
    """The port; 0: not reported."""
    enabled: bool | None = None
    """Whether it is on in the BMC; None: not reported."""


class UnreadPart(msgspec.Struct, frozen=True, order=True):
    """One part that is listed and could not be read. `part`: the field of Inventory that it belongs to. `name`: its
    own, empty where not even that is known, as for a page of a list."""

    part: str
    """The field of the inventory."""
    name: str = ""
    """The name of the part, where it is known."""


class Inventory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in a machine; `memory` in bytes. `missing`: the parts of which the other side says nothing, or not all,
    by these names (`processors`, `memory`, `disks`, `gpus`): unknown, not absent. None for `modules`, `nics` or
    `neighbours` is that too.

    `unread`: what is listed and could not be read. The rest of such a list is there, and does not count as whole.
    """

    processors: tuple[Processor, ...] = ()
    """The processors."""
    memory: int = 0
    """Bytes in all."""
    disks: tuple[Disk, ...] = ()
    """The disks."""
    gpus: tuple[Gpu, ...] = ()
    """The accelerators."""
    missing: tuple[str, ...] = ()
    """The names of the first four lists that are not reported, or not whole: unknown, and not absent."""
    modules: tuple[MemoryModule, ...] | None = None
    """The memory modules; None: not reported."""
    nics: tuple[Nic, ...] | None = None
    """The network interfaces; None: not reported."""
    neighbours: tuple[Neighbour, ...] | None = None
    """What is at the other end of their cables; None: not reported."""
    unread: tuple[UnreadPart, ...] = ()
    """What is listed and could not be read. The rest of such a list is there, and not whole."""
    consoles: tuple[ConsoleOffer, ...] | None = None
    """The consoles that the BMC offers; None: not reported."""

    def is_whole(self, name: str) -> bool:
        """Whether all parts of this field are known."""
        return getattr(self, name) is not None and name not in self.missing and not self.unread_of(name)

    def unread_of(self, name: str) -> tuple[UnreadPart, ...]:
        """What of this field could not be read."""
        return tuple(one for one in self.unread if one.part == name)
