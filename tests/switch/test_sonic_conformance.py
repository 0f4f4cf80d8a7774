"""The driver `sonic` against redis behind sshd, with an orchagent of ours, by the suite of all drivers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drivers.base import Peer, SwitchEndpoint
from drivers.switch.sonic import SonicSwitches
from drivers.testing.switch_conformance import SwitchConformance, SwitchSubject
from tests.switch.sonic_leaf import CONFIG, SonicLeaf, running_sonic_leaf, sonic_missing

needs_sonic_leaf = pytest.mark.skipif(bool(sonic_missing()), reason=sonic_missing() or "runs")


@pytest.fixture(scope="module")
def leaf() -> Iterator[SonicLeaf]:
    with running_sonic_leaf() as running:
        running.run("ip", "addr", "add", "10.0.0.11/32", "dev", "lo")
        yield running
        assert not running.orchagent.crashed


def endpoint(leaf: SonicLeaf) -> SwitchEndpoint:
    def login(_peer: Peer) -> str:
        return leaf.key()

    return SwitchEndpoint("sonic", leaf.address, leaf.host_key, login)


@needs_sonic_leaf
class TestSonic(SwitchConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SwitchSubject]:
        leaf: SonicLeaf = request.getfixturevalue("leaf")

        def by_hand(vlan: int) -> None:
            leaf.database.ask(CONFIG, "DEL", "VLAN_MEMBER|Vlan4000|Ethernet0")
            leaf.database.put(CONFIG, f"VLAN|Vlan{vlan}", vlanid=str(vlan))
            leaf.database.put(CONFIG, f"VLAN_MEMBER|Vlan{vlan}|Ethernet0", tagging_mode="untagged")

        ports = ("Ethernet0", "Ethernet4")
        yield SwitchSubject(SonicSwitches(), endpoint(leaf), ports, ("Ethernet12",), by_hand=by_hand, away=leaf.away)
