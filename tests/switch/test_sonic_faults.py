"""What goes wrong on a switch with SONiC, against redis behind sshd and an orchagent of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.base import (
    Busy,
    ManagedSwitch,
    PortConfig,
    Rejected,
    SwitchConfig,
    SwitchEndpoint,
    SwitchScope,
    Unreachable,
    Unreadable,
    VrfConfig,
)
from drivers.switch import sonic
from drivers.switch.sonic import SonicOptions, SonicSwitches
from tests.switch.leaf import until
from tests.switch.sonic_leaf import CONFIG, SonicLeaf, running_sonic_leaf, sonic_missing

pytestmark = pytest.mark.skipif(bool(sonic_missing()), reason=sonic_missing() or "runs")
RED = "Vrf104001"


@pytest.fixture(scope="module")
def leaf() -> Iterator[SonicLeaf]:
    with running_sonic_leaf() as running:
        yield running


@pytest.fixture
def endpoint(leaf: SonicLeaf) -> SwitchEndpoint:
    return SwitchEndpoint("sonic", leaf.address, leaf.host_key, lambda _peer: leaf.key())


@pytest.fixture
def switch(endpoint: SwitchEndpoint) -> ManagedSwitch:
    return SonicSwitches().open(endpoint)


def config(port: PortConfig) -> SwitchConfig:
    return SwitchConfig(SwitchScope.PORTS, 4000, {"Ethernet0": port}, {RED: VrfConfig(104001)})


def free(leaf: SonicLeaf, switch: ManagedSwitch) -> None:
    switch.apply(config(PortConfig(4000)))
    until(lambda: switch.read().ports["Ethernet0"].vlan == 4000)


def test_config_db_alone_is_not_the_fact(leaf: SonicLeaf, switch: ManagedSwitch) -> None:
    free(leaf, switch)
    leaf.orchagent.stuck = True
    try:
        leaf.database.put(CONFIG, "VLAN|Vlan4001", vlanid="4001")
        leaf.database.put(CONFIG, "VLAN_MEMBER|Vlan4001|Ethernet4", tagging_mode="untagged")
        port = switch.read().ports["Ethernet4"]
        assert (port.vlan, port.unsettled) == (None, True)
    finally:
        leaf.orchagent.stuck = False
    until(lambda: switch.read().ports["Ethernet4"].vlan == 4001)


def test_a_port_that_the_chip_does_not_release_goes_nowhere_and_the_next_apply_continues(
    leaf: SonicLeaf, switch: ManagedSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """metal-core#102: what comes too early crashes swss."""
    monkeypatch.setattr(sonic, "_RELEASE_TRIES", 5)
    free(leaf, switch)
    leaf.orchagent.stuck = True
    try:
        for _ in range(2):
            with pytest.raises(Unreachable, match="orchagent has not taken Ethernet0") as caught:
                switch.apply(config(PortConfig(vrf=RED)))
            assert caught.value.maybe_sent
        assert not leaf.database.row(CONFIG, "INTERFACE|Ethernet0")
    finally:
        leaf.orchagent.stuck = False
    until(lambda: switch.read().ports["Ethernet0"].vlan is None)
    monkeypatch.undo()
    switch.apply(config(PortConfig(vrf=RED)))
    until(lambda: switch.read().ports["Ethernet0"].vrf == RED)
    assert not leaf.orchagent.crashed


def test_what_runs_is_saved_last_and_a_change_by_hand_is_unsaved(leaf: SonicLeaf, switch: ManagedSwitch) -> None:
    free(leaf, switch)
    assert switch.read().saved is True
    leaf.database.put(CONFIG, "PORT|Ethernet8", mtu="1500")
    assert switch.read().saved is False
    switch.apply(config(PortConfig(4000)))
    assert switch.read().saved is True


def test_a_save_that_fails_is_said_to_have_failed(leaf: SonicLeaf, switch: ManagedSwitch) -> None:
    free(leaf, switch)
    leaf.run("mv", "/usr/local/sbin/config", "/run/config")
    leaf.write("/usr/local/sbin/config", "#!/bin/sh\necho no space left >&2\nexit 1\n", "755")
    try:
        leaf.database.put(CONFIG, "PORT|Ethernet8", mtu="1501")
        with pytest.raises(Busy, match="in force, but `config save` failed: no space left"):
            switch.apply(config(PortConfig(4000)))
        assert switch.read().saved is False
    finally:
        leaf.run("mv", "/run/config", "/usr/local/sbin/config")


def test_frr_that_does_not_run_refuses_the_routing_before_anything_is_written(
    leaf: SonicLeaf, switch: ManagedSwitch
) -> None:
    free(leaf, switch)
    before = leaf.database.table(CONFIG, "*|*")
    leaf.run("mv", "/usr/local/sbin/docker", "/run/docker")
    leaf.write("/usr/local/sbin/docker", "#!/bin/sh\necho 'Error: No such container: bgp' >&2\nexit 1\n", "755")
    try:
        whole = SwitchConfig(
            SwitchScope.ALL, 4000, {"Ethernet0": PortConfig(vrf=RED)}, {RED: VrfConfig(104001)}, (), "10.0.0.11", 65001
        )
        with pytest.raises(Rejected, match="FRR does not answer"):
            switch.apply(whole)
        assert switch.read().peers is None
    finally:
        leaf.run("mv", "/run/docker", "/usr/local/sbin/docker")
    assert leaf.database.table(CONFIG, "*|*") == before


def test_a_socket_that_is_not_there_is_unreachable(endpoint: SwitchEndpoint) -> None:
    options = SonicOptions(socket="/run/no-such.sock")
    other = SwitchEndpoint("sonic", endpoint.address, endpoint.host_key, endpoint.secret, options=options)
    with pytest.raises(Unreachable, match="redis cannot be reached"):
        SonicSwitches().open(other).read()


def test_a_vrf_with_a_vlan_needs_the_tunnel(leaf: SonicLeaf, switch: ManagedSwitch) -> None:
    leaf.database.ask(CONFIG, "DEL", "VXLAN_TUNNEL|vtep")
    try:
        with pytest.raises(Rejected, match="VXLAN_TUNNEL"):
            switch.apply(SwitchConfig(SwitchScope.PORTS, 4000, {}, {RED: VrfConfig(104001, 1001)}))
    finally:
        leaf.database.put(CONFIG, "VXLAN_TUNNEL|vtep", src_ip="10.0.0.11")


def test_a_config_db_without_ports_is_unreadable(leaf: SonicLeaf, switch: ManagedSwitch) -> None:
    rows = leaf.database.table(CONFIG, "PORT|*")
    leaf.orchagent.stuck = True
    leaf.database.ask(CONFIG, "DEL", *rows)
    try:
        with pytest.raises(Unreadable, match="no ports"):
            switch.read()
    finally:
        for key, fields in rows.items():
            leaf.database.put(CONFIG, key, **fields)
        leaf.orchagent.stuck = False
