"""Pings prove it: what a driver makes of a switch keeps tenants apart. Against real parts in namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest

from drivers.base import (
    LinkState,
    ManagedSwitch,
    Peer,
    PortConfig,
    SwitchConfig,
    SwitchEndpoint,
    SwitchScope,
    VrfConfig,
)
from drivers.switch.linux import bridged_switches
from drivers.switch.sonic import SonicSwitches
from tests.switch.leaf import Leaf, missing, running_leaf, until
from tests.switch.sonic_leaf import running_sonic_leaf, sonic_missing

RED, BLUE = "Vrf104001", "Vrf104002"
BOTH, NONE = {"IPv4", "IPv6"}, set[str]()
FREE, IN_RED, IN_BLUE = PortConfig(4000), PortConfig(vrf=RED), PortConfig(vrf=BLUE)


class Rack(msgspec.Struct, frozen=True):
    """A leaf with the machines `m1` to `m3` at its first ports, and the switch as a driver sees it."""

    leaf: Leaf
    switch: ManagedSwitch

    def put(self, *wanted: PortConfig) -> None:
        """Make the ports of the machines these, and wait until the switch says so."""
        ports = dict(zip(self.leaf.ports, wanted, strict=False))
        self.switch.apply(
            SwitchConfig(
                SwitchScope.PORTS,
                4000,
                ports={name: msgspec.structs.replace(port, admin=LinkState.UP) for name, port in ports.items()},
                vrfs={RED: VrfConfig(104001), BLUE: VrfConfig(104002)},
            )
        )

        def seen() -> bool:
            found = self.switch.read().ports
            return all((found[name].vlan, found[name].vrf) == (port.vlan, port.vrf) for name, port in ports.items())

        until(seen, "the ports")

    def reached(self, one: int, other: int) -> set[str]:
        """The families over which one machine reaches another. IPv6: at the link-local address, which it always has."""
        for machine in (one, other):
            # A link that came up says for a second or two whether another one has the address (RFC 4862, 5.4).
            until(partial(self._has_settled, machine), "an address of the machine's own")
        local = next(word.partition("/")[0] for word in self._addresses(other) if word.startswith("fe80:"))
        places = {"IPv4": f"10.9.0.{other}", "IPv6": f"{local}%eth0"}
        return {family for family, place in places.items() if self.leaf.pings(f"m{one}", place)}

    def _has_settled(self, machine: int) -> bool:
        return not self._addresses(machine, "tentative")

    def _addresses(self, machine: int, *which: str) -> list[str]:
        shown = ("ip", "-6", "-br", "address", "show", "dev", "eth0", *which)
        return self.leaf.run("ip", "netns", "exec", f"m{machine}", *shown).split()


def login(leaf: Leaf) -> Callable[[Peer], str]:
    return lambda _peer: leaf.key()


@contextmanager
def linux() -> Iterator[Rack]:
    with running_leaf() as leaf:
        endpoint = SwitchEndpoint("linux-bridged", leaf.address, leaf.host_key, login(leaf))
        yield Rack(leaf, bridged_switches().open(endpoint))


@contextmanager
def sonic() -> Iterator[Rack]:
    with running_sonic_leaf() as leaf:
        yield Rack(leaf, SonicSwitches().open(SwitchEndpoint("sonic", leaf.address, leaf.host_key, login(leaf))))
        assert not leaf.orchagent.crashed


@pytest.fixture(
    params=[
        pytest.param(linux, marks=pytest.mark.skipif(bool(missing()), reason=missing() or "runs"), id="linux"),
        pytest.param(
            sonic, marks=pytest.mark.skipif(bool(sonic_missing()), reason=sonic_missing() or "runs"), id="sonic"
        ),
    ]
)
def rack(request: pytest.FixtureRequest) -> Iterator[Rack]:
    with request.param() as made:
        yield made


def test_machines_of_one_project_reach_each_other_and_those_of_two_do_not(rack: Rack) -> None:
    rack.put(FREE, FREE, FREE)
    rack.put(IN_RED, IN_RED, IN_BLUE)
    assert rack.reached(1, 2) == BOTH
    assert rack.reached(1, 3) == NONE
    assert rack.reached(3, 2) == NONE


def test_a_released_machine_is_back_in_the_unprovisioned_vlan(rack: Rack) -> None:
    rack.put(IN_RED, IN_RED, FREE)
    assert rack.reached(1, 3) == NONE
    rack.put(FREE, IN_RED, FREE)
    assert rack.reached(1, 2) == NONE
    assert rack.reached(1, 3) == BOTH


def test_a_machine_goes_from_one_project_to_another_by_way_of_the_unprovisioned_vlan(rack: Rack) -> None:
    rack.put(IN_RED, IN_RED, IN_BLUE)
    rack.put(FREE, IN_RED, IN_BLUE)
    rack.put(IN_BLUE, IN_RED, IN_BLUE)
    assert rack.reached(1, 3) == BOTH
    assert rack.reached(1, 2) == NONE
