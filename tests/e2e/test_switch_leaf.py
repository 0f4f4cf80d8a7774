"""Switches that are driven by the command: a Linux host and the databases of SONiC, in namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.e2e.desk import Desk, document, partition, until
from tests.switch.leaf import Leaf, running_leaf
from tests.switch.sonic_leaf import running_sonic_leaf, sonic_missing

pytestmark = pytest.mark.skipif(bool(sonic_missing()), reason=sonic_missing() or "runs")


@pytest.fixture(params=["linux-bridged", "sonic"])
def switch(request: pytest.FixtureRequest, desk: Desk) -> Iterator[tuple[Leaf, dict[str, Any]]]:
    """A leaf, and a document that declares it with its first two ports, which have no machine yet."""
    start: AbstractContextManager[Leaf] = running_leaf() if request.param == "linux-bridged" else running_sonic_leaf()
    with start as leaf:
        desk.settings(
            f'credentials.leaf = {{file = "{leaf.folder}/user", networks = ["127.0.0.0/8"], '
            f'drivers = ["{request.param}"]}}\n'
        )
        ports = [{"name": name, "admin": "Up"} for name in leaf.ports[:2]]
        reach = {"driver": request.param, "address": leaf.address, "hostKey": leaf.host_key}
        yield (
            leaf,
            document(
                "Switch", "leaf01", partition="lab", rack="r1", credentialRef={"name": "leaf"}, ports=ports, **reach
            ),
        )


def managed(declared: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**declared, "spec": {**declared["spec"], "manage": "Ports", **spec}}


def test_free_ports_go_into_the_unprovisioned_vlan(desk: Desk, switch: tuple[Leaf, dict[str, Any]]) -> None:
    leaf, declared = switch
    desk.commit(lab=[partition(), declared])
    assert desk.run("plan").code == 0
    desk.commit(lab=[partition(), managed(declared)])
    plan = desk.run("plan")
    assert plan.code == 2
    assert "Switch leaf01" in plan.out
    until(lambda: desk.run("apply", "--yes").code == 0 and desk.run("plan").code == 0, "the ports")
    assert [one.key and one.key.name for one in desk.told("ActionConfirmed")] == ["leaf01", "leaf01"]
    assert "vlan: 4000" in desk.run("describe", "switch/leaf01").out
    assert leaf.pings("m1", "10.9.0.2")
    assert not leaf.pings("m1", "10.9.0.3")


def test_another_host_key_is_not_spoken_to(desk: Desk, switch: tuple[Leaf, dict[str, Any]]) -> None:
    leaf, declared = switch
    stranger = (leaf.folder / "stranger.pub").read_text().strip()
    desk.commit(lab=[partition(), managed(declared, hostKey=stranger)])
    done = desk.run("plan")
    assert "the host key of the switch is not the one in spec.hostKey" in done.out + done.err
