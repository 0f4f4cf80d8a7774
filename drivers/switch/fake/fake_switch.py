"""The driver `fake`: switches in memory, for tests, demos and the conformance suite.

A switch comes into being when it is first spoken of, with the ports of a small SONiC switch. What it is asked for
(`asked`) and what it runs (`SwitchPort`) are two things, as CONFIG_DB and ASIC_DB are. What it should do wrong is a
`SwitchFault`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec.structs import replace

from drivers.base import (
    BgpPeer,
    Busy,
    LinkState,
    ManagedSwitch,
    PortConfig,
    Rejected,
    SwitchConfig,
    SwitchDriver,
    SwitchEndpoint,
    SwitchNeighbour,
    SwitchPort,
    SwitchScope,
    SwitchState,
    Unreachable,
    require_permit,
)
from drivers.base.support import scheduling
from drivers.switch.legal_steps import vlan_conflict

PORT_COUNT = 32
_LANES = 4
MANAGEMENT_PORT = "eth0"


class SwitchFault(StrEnum):
    """What goes wrong. All but LLDP_FORGETS and SLOW_ORCHAGENT strike once."""

    UNREACHABLE = "unreachable"
    """No call gets an answer, until the fault is cleared."""
    BUSY = "busy"
    """The next call is refused for now."""
    REFUSED = "refused"
    """The next check or apply is refused, and nothing is done."""
    HALF_APPLIED = "half applied"
    """The connection ends in the middle of the next apply (metal-core#94)."""
    RELOAD_FAILED = "reload failed"
    """The routing is not reloaded, so no port is changed (metal-core#108)."""
    SLOW_ORCHAGENT = "slow orchagent"
    """What is accepted takes effect `slowness` seconds later."""
    LLDP_FORGETS = "LLDP forgets"
    """LLDP shows nothing of the first port that has a neighbour (sonic-buildimage#24685)."""


class FakeSwitch:
    """See ManagedSwitch. `applied`: every configuration that arrived."""

    def __init__(self, address: str, now: Callable[[], float]) -> None:
        self.address, self.applied = address, list[SwitchConfig]()
        self.ports = {
            f"Ethernet{lane}": SwitchPort(
                f"Ethernet{lane}",
                alias=f"Eth{number + 1}/1",
                mac=f"02:00:00:00:01:{number:02x}",
                admin=LinkState.UP,
                oper=LinkState.DOWN,
                mtu=9100,
            )
            for number, lane in enumerate(range(0, PORT_COUNT * _LANES, _LANES))
        }
        self.vrfs: dict[str, int | None] = {}
        self.open_vrfs: set[str] = set()
        self.management: tuple[str, ...] = ()
        self.vlans: dict[int, str | None] = {}
        self.neighbours: dict[str, SwitchNeighbour] = {}
        self.peers: tuple[BgpPeer, ...] = ()
        self.faults: list[SwitchFault] = []
        self.slowness = 60.0
        self._now = now
        self._asked: dict[str, tuple[float, PortConfig]] = {}
        self._lock = scheduling.lock()

    def read(self) -> SwitchState:
        """See ManagedSwitch."""
        with self._lock:
            self._answer()
            self._settle()
            heard = list(self.neighbours.values())
            return SwitchState(
                system=self.address,
                version="fake 1.0",
                ports={name: replace(port, unsettled=name in self._asked) for name, port in self.ports.items()},
                vrfs=dict(self.vrfs),
                open_vrfs=tuple(sorted(self.open_vrfs)),
                management=self.management,
                vlans=dict(self.vlans),
                neighbours=tuple(heard[1:] if SwitchFault.LLDP_FORGETS in self.faults else heard),
                peers=self.peers,
                saved=not self._asked,
            )

    def check(self, config: SwitchConfig) -> tuple[str, ...]:
        """See ManagedSwitch."""
        require_permit()
        with self._lock:
            self._answer()
            self._refuse(config)
            self._settle()
            changed = [
                f"port {name}: {_words(port)}" for name, port in config.ports.items() if self._differs(name, port)
            ]
            added = [f"vrf {name} vni {vrf.vni}" for name, vrf in config.vrfs.items() if self.vrfs.get(name) != vrf.vni]
            return (*added, *changed, *(f"no vrf {name}" for name in config.absent_vrfs if name in self.vrfs))

    def apply(self, config: SwitchConfig) -> None:
        """See ManagedSwitch."""
        with self._lock:
            self._answer()
            self._refuse(config)
            self._settle()
            self.applied.append(config)
            if self._strikes(SwitchFault.RELOAD_FAILED):
                raise Busy(f"{self.address}: FRR could not be reloaded; no port was changed")
            self.vrfs |= {name: vrf.vni for name, vrf in config.vrfs.items()}
            self.open_vrfs -= {*config.vrfs}
            self.vlans |= {vrf.vlan: name for name, vrf in config.vrfs.items() if vrf.vlan is not None}
            differing = [(name, port) for name, port in config.ports.items() if self._differs(name, port)]
            is_half = self._strikes(SwitchFault.HALF_APPLIED)
            due = self._now() + (self.slowness if SwitchFault.SLOW_ORCHAGENT in self.faults else 0.0)
            for name, port in differing[: len(differing) // 2] if is_half else differing:
                self._asked[name] = (due, port)
            self._settle()
            if is_half:
                raise Unreachable(f"{self.address}: the connection ended", maybe_sent=True)
            for name in config.absent_vrfs:
                self.vrfs.pop(name, None)
                self.vlans = {vlan: vrf for vlan, vrf in self.vlans.items() if vrf != name}

    def cable(self, neighbour: SwitchNeighbour) -> None:
        """Plug a cable in: the link is up, and LLDP hears the other side."""
        with self._lock:
            self.neighbours[neighbour.port] = neighbour
            self.ports[neighbour.port] = replace(self.ports[neighbour.port], oper=LinkState.UP)

    def change(self, name: str, *, vlan: int | None = None, vrf: str | None = None) -> None:
        """Change a port by hand, as a person at the switch does."""
        with self._lock:
            self.ports[name] = replace(self.ports[name], vlan=vlan, vrf=vrf)

    def forget(self) -> None:
        """Drop what was asked for and has not taken effect, as after a restart without a saved configuration."""
        with self._lock:
            self._asked.clear()

    def _answer(self) -> None:
        if SwitchFault.UNREACHABLE in self.faults:
            raise Unreachable(f"{self.address}: the switch does not answer")
        if self._strikes(SwitchFault.BUSY):
            raise Busy(f"{self.address}: another session has the configuration locked")

    def _refuse(self, config: SwitchConfig) -> None:
        """Raise for what a switch would not survive, or does not have."""
        if self._strikes(SwitchFault.REFUSED):
            raise Rejected(f"{self.address}: line 1: % Unknown command")
        if config.scope is SwitchScope.NONE:
            raise Rejected(f"{self.address}: nothing is to be changed on this switch")
        for name, port in config.ports.items():
            if name not in self.ports:
                raise Rejected(f"{self.address}: the switch has no port {name}")
            if name in config.uplinks or name == MANAGEMENT_PORT:
                raise Rejected(f"{self.address}: {name} is an uplink or the management port")
            before = self._asked[name][1].vrf if name in self._asked else self.ports[name].vrf
            if port.vrf is not None and before not in (None, port.vrf):
                raise Rejected(f"{self.address}: {name} cannot go from {before} into {port.vrf} in one step")
            if port.vrf is not None and port.vrf not in {*self.vrfs, *config.vrfs}:
                raise Rejected(f"{self.address}: there is no {port.vrf}")
        for name, vrf in config.vrfs.items():
            if conflict := vlan_conflict(name, vrf.vlan, self.vlans):
                raise Rejected(f"{self.address}: {name} cannot get VLAN {vrf.vlan}, because {conflict}")
        members = {port.vrf for name, port in self.ports.items() if name not in config.ports}
        if used := members & set(config.absent_vrfs):
            raise Rejected(f"{self.address}: {', '.join(sorted(map(str, used)))} still has ports")

    def _differs(self, name: str, port: PortConfig) -> bool:
        found = self.ports.get(name)
        return found is not None and _changed(found, port) != found

    def _settle(self) -> None:
        for name, (due, port) in list(self._asked.items()):
            if due <= self._now():
                self.ports[name] = _changed(self.ports[name], port)
                del self._asked[name]

    def _strikes(self, fault: SwitchFault) -> bool:
        if fault not in self.faults:
            return False
        self.faults.remove(fault)
        return True


def _changed(found: SwitchPort, port: PortConfig) -> SwitchPort:
    if port.vrf is not None or port.vlan is not None:
        found = replace(found, vlan=port.vlan, vrf=port.vrf)
    return found if port.admin is None else replace(found, admin=port.admin)


def _words(port: PortConfig) -> str:
    said = (f"vlan {port.vlan}" * (port.vlan is not None), f"vrf {port.vrf}" * (port.vrf is not None), port.admin or "")
    return " ".join(filter(None, said))


class FakeSwitches:
    """Switches by address: a SwitchDriver, and what tests hold on to."""

    offline = True

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = scheduling.lock()
        self._switches: dict[str, FakeSwitch] = {}

    def switch(self, address: str) -> FakeSwitch:
        """The switch, made now if need be."""
        with self._lock:
            return self._switches.setdefault(address, FakeSwitch(address, self._now))

    def open(self, endpoint: SwitchEndpoint) -> ManagedSwitch:
        """See SwitchDriver."""
        return _Opened(self.switch(endpoint.address))

    def close(self) -> None:
        """See SwitchDriver: switches outlive the connections to them."""


class _Opened:
    """A connection to a switch, which knows nothing more than the driver's Protocol."""

    def __init__(self, switch: FakeSwitch) -> None:
        self.read, self.check, self.apply = switch.read, switch.check, switch.apply


DEFAULT_SWITCHES = FakeSwitches(scheduling.monotonic)
"""The switches of this process."""


def open_driver() -> SwitchDriver:
    """The driver named `fake`."""
    return DEFAULT_SWITCHES
