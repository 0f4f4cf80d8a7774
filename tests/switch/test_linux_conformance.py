"""The driver `linux-bridged` against a real host in namespaces, by the suite of all drivers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drivers.base import Peer, SwitchEndpoint
from drivers.switch.linux import bridged_switches
from drivers.testing.switch_conformance import SwitchConformance, SwitchSubject
from tests.switch.leaf import Leaf, needs_leaf, running_leaf

PORTS = ("swp1", "swp2", "swp3", "swp4", "swp5")


@pytest.fixture(scope="module")
def leaf() -> Iterator[Leaf]:
    with running_leaf(ports=PORTS) as running:
        running.run("ip", "addr", "add", "10.0.0.11/32", "dev", "lo")
        yield running


def endpoint(leaf: Leaf) -> SwitchEndpoint:
    def login(_peer: Peer) -> str:
        return leaf.key()

    return SwitchEndpoint("linux-bridged", leaf.address, leaf.host_key, login)


@needs_leaf
class TestLinuxBridged(SwitchConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SwitchSubject]:
        leaf: Leaf = request.getfixturevalue("leaf")

        def by_hand(vlan: int) -> None:
            leaf.run("ip", "link", "add", f"vlan{vlan}", "type", "bridge", check=False)
            leaf.run("ip", "link", "set", "swp1", "master", f"vlan{vlan}")

        yield SwitchSubject(
            bridged_switches(), endpoint(leaf), ("swp1", "swp2"), ("swp5",), by_hand=by_hand, away=leaf.away
        )
