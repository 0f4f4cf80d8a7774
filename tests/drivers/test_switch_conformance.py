"""The suite of switches over the fake, and the fake's faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from drivers.base import Busy, Rejected, SwitchEndpoint, SwitchNeighbour, Unreachable
from drivers.registry import Registry
from drivers.switch.fake.fake_switch import FakeSwitch, FakeSwitches, SwitchFault
from drivers.testing.switch_conformance import FREE, IN_RED, SwitchConformance, SwitchSubject

ENDPOINT = SwitchEndpoint("fake", "leaf01")


class Hall:
    """Fake switches in virtual time."""

    def __init__(self) -> None:
        self.at = 0.0
        self.switches = FakeSwitches(lambda: self.at)

    @property
    def leaf(self) -> FakeSwitch:
        return self.switches.switch("leaf01")

    def passes(self) -> None:
        self.at += 1

    @contextmanager
    def away(self) -> Iterator[None]:
        self.leaf.faults.append(SwitchFault.UNREACHABLE)
        yield
        self.leaf.faults.clear()

    def subject(self) -> SwitchSubject:
        return SwitchSubject(
            self.switches,
            ENDPOINT,
            ("Ethernet0", "Ethernet4"),
            ("Ethernet112",),
            away=self.away,
            by_hand=lambda vlan: self.leaf.change("Ethernet0", vlan=vlan),
            passes=self.passes,
        )


class TestFake(SwitchConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SwitchSubject]:
        yield Hall().subject()


class TestSlowFake(SwitchConformance):
    """What is accepted takes effect later; only what is read counts."""

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SwitchSubject]:
        return slow()


@contextmanager
def slow() -> Iterator[SwitchSubject]:
    hall = Hall()
    hall.leaf.faults.append(SwitchFault.SLOW_ORCHAGENT)
    hall.leaf.slowness = 10
    subject = hall.subject()
    yield subject


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_one_that_stops_in_the_middle_does_the_rest_when_it_is_applied_again(hall: Hall) -> None:
    config = hall.subject().config(FREE, FREE)
    hall.leaf.faults.append(SwitchFault.HALF_APPLIED)
    with pytest.raises(Unreachable) as caught:
        hall.leaf.apply(config)
    assert caught.value.maybe_sent
    assert [hall.leaf.read().ports[name].vlan for name in config.ports] == [4000, None]
    hall.leaf.apply(config)
    assert [hall.leaf.read().ports[name].vlan for name in config.ports] == [4000, 4000]


def test_a_routing_that_is_not_reloaded_leaves_the_ports_as_they_were(hall: Hall) -> None:
    hall.leaf.faults.append(SwitchFault.RELOAD_FAILED)
    with pytest.raises(Busy, match="no port was changed"):
        hall.leaf.apply(hall.subject().config(IN_RED))
    assert hall.leaf.read().ports["Ethernet0"].vrf is None


def test_a_slow_switch_says_that_it_is_not_done(hall: Hall) -> None:
    hall.leaf.faults.append(SwitchFault.SLOW_ORCHAGENT)
    hall.leaf.apply(hall.subject().config(FREE))
    state = hall.leaf.read()
    assert (state.ports["Ethernet0"].unsettled, state.ports["Ethernet0"].vlan, state.saved) == (True, None, False)


def test_lldp_may_forget_a_neighbour(hall: Hall) -> None:
    for port in ("Ethernet0", "Ethernet4"):
        hall.leaf.cable(SwitchNeighbour(port, system="r1-01"))
    hall.leaf.faults.append(SwitchFault.LLDP_FORGETS)
    assert [one.port for one in hall.leaf.read().neighbours or ()] == ["Ethernet4"]


def test_the_registry_has_it_by_name() -> None:
    registry = Registry()
    assert registry.switch("fake").open(ENDPOINT).read().ports
    with pytest.raises(Rejected, match=r"groundstate\.switch"):
        registry.switch("sonik")
    registry.close()
