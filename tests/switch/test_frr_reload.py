"""FRR on real leaves: what is rendered is what runs, a reload that fails is said to have failed, and EVPN stretches a
segment between two leaves."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from drivers.base import (
    Busy,
    LinkState,
    ManagedSwitch,
    PortConfig,
    Rejected,
    SwitchConfig,
    SwitchEndpoint,
    SwitchScope,
    VrfConfig,
)
from drivers.switch.frr_shell import FrrShell
from drivers.switch.linux import LinuxSwitches, bridged_switches
from drivers.switch.ssh_shell import SwitchShell, in_session
from tests.switch.leaf import Leaf, needs_leaf, running_leaf, until

pytestmark = needs_leaf
RED = "Vrf104001"
RELOAD = "/usr/lib/frr/frr-reload.py"
FAILING = """#!/bin/sh
case "$*" in *--reload*) echo a daemon does not answer >&2; exit {status};; esac
exec /usr/bin/python3 /run/reload.py "$@"
"""


def config(number: int, vrfs: dict[str, VrfConfig], **ports: PortConfig) -> SwitchConfig:
    return SwitchConfig(
        SwitchScope.ALL,
        4000,
        ports,
        vrfs,
        loopback=f"10.0.0.1{number}",
        asn=4200000010 + number,
        uplinks=("swp3",),
    )


def endpoint(leaf: Leaf) -> SwitchEndpoint:
    return SwitchEndpoint("linux", leaf.address, leaf.host_key, lambda _peer: leaf.key())


@pytest.fixture
def leaf() -> Iterator[Leaf]:
    with running_leaf(ports=("swp1", "swp2", "swp3")) as running:
        running.run("ip", "addr", "add", "10.0.0.11/32", "dev", "lo")
        yield running


def test_what_is_rendered_is_what_runs_after_one_reload(leaf: Leaf) -> None:
    """Routed VRFs, which the kernel need not have for FRR to take them."""
    prefixes = ("10.0.2.0/24", "10.0.3.7/32", "2001:db8:2::/64")
    wanted = config(1, {RED: VrfConfig(104001, prefixes=prefixes), "Vrf104002": VrfConfig(104002)})
    members = {"swp1": RED, "swp2": "Vrf104002"}

    async def work(shell: SwitchShell) -> tuple[tuple[str, ...], bool, bool | None]:
        frr = FrrShell(shell)
        assert await frr.prepare(wanted, members)
        before = await frr.changes()
        await frr.reload()
        return before, await frr.prepare(wanted, members), await frr.is_saved()

    before, differs, saved = in_session(endpoint(leaf), work)
    assert f"router bgp 4200000011 vrf {RED} / neighbor swp1 interface peer-group MACHINE" in before
    assert (differs, saved) == (False, True)


def test_a_neighbour_and_a_vrf_are_withdrawn_and_what_a_person_wrote_stays(leaf: Leaf) -> None:
    leaf.run("vtysh", "-c", "configure", "-c", "route-map of-a-person permit 10")
    first = config(1, {RED: VrfConfig(104001)})
    then = msgspec.structs.replace(first, vrfs={}, absent_vrfs=(RED,))

    async def work(shell: SwitchShell) -> str | None:
        frr = FrrShell(shell)
        for wanted, members in ((first, {"swp1": RED}), (then, {})):
            assert await frr.prepare(wanted, members)
            await frr.reload()
        return await frr.running()

    running = in_session(endpoint(leaf), work)
    assert running is not None
    assert RED not in running
    assert "route-map of-a-person permit 10" in running


def test_what_frr_refuses_changes_nothing(leaf: Leaf) -> None:
    switch = bridged_switches().open(endpoint(leaf))
    before = leaf.run("ip", "-br", "link")
    wrong = SwitchConfig(
        SwitchScope.ALL, 4000, {"swp1": PortConfig(vrf=RED)}, {RED: VrfConfig(104001)}, (), "no address", 1
    )
    with pytest.raises(Rejected, match="FRR refuses the configuration, and nothing was changed"):
        switch.apply(wrong)
    assert leaf.run("ip", "-br", "link") == before


@pytest.mark.parametrize("status", [0, 1])
def test_a_reload_that_fails_is_not_taken_for_done_and_changes_no_port(leaf: Leaf, status: int) -> None:
    """metal-core#108. Whatever status it ends with: FRR is asked for what it runs."""
    switch = bridged_switches().open(endpoint(leaf))
    leaf.run("cp", RELOAD, "/run/reload.py")
    leaf.write("/run/failing", FAILING.format(status=status), "755")
    leaf.run("mount", "--bind", "/run/failing", RELOAD)
    wanted = config(1, {RED: VrfConfig(104001)}, swp1=PortConfig(vrf=RED))
    with pytest.raises(Busy, match="FRR was not reloaded in full, and no port was changed"):
        switch.apply(wanted)
    assert switch.read().ports["swp1"].vrf is None
    leaf.run("umount", RELOAD)
    switch.apply(wanted)
    assert switch.read().ports["swp1"].vrf == RED


def test_a_kernel_without_vrfs_refuses_them_in_words(leaf: Leaf) -> None:
    if "Unknown device type" not in leaf.run("sh", "-c", "ip link add probe type vrf table 9 2>&1 || true"):
        pytest.skip("this kernel has VRFs")
    wanted = SwitchConfig(SwitchScope.PORTS, 4000, {}, {RED: VrfConfig(104001)})
    with pytest.raises(Rejected, match=f"{RED} type vrf.*Unknown device type"):
        LinuxSwitches().open(endpoint(leaf)).apply(wanted)


def test_machines_of_one_project_reach_each_other_across_two_leaves_by_evpn() -> None:
    """Unnumbered BGP and EVPN between the leaves, VXLAN of the kernel between the machines."""
    ports = ("swp1", "swp2", "swp3")
    with running_leaf("leaf01", ports) as one, running_leaf("leaf02", ports) as two:
        one.cable_to(two, "swp3")
        switches: list[ManagedSwitch] = []
        vrfs = {RED: VrfConfig(104001), "Vrf104002": VrfConfig(104002)}
        for number, leaf in enumerate((one, two), 1):
            leaf.run("ip", "addr", "add", f"10.0.0.1{number}/32", "dev", "lo")
            switch = bridged_switches().open(endpoint(leaf))
            up = LinkState.UP
            switch.apply(
                config(number, vrfs, swp1=PortConfig(vrf=RED, admin=up), swp2=PortConfig(vrf="Vrf104002", admin=up))
            )
            switches.append(switch)
        two.run("ip", "-n", "m1", "addr", "flush", "dev", "eth0")
        two.run("ip", "-n", "m1", "addr", "add", "10.9.0.11/24", "dev", "eth0")
        for switch in switches:
            until(lambda switch=switch: peers_of(switch) == {"swp3": "Established"}, "BGP")  # type: ignore[misc]
        until(lambda: one.pings("m1", "10.9.0.11"), "the machine at the other leaf")
        assert not one.pings("m2", "10.9.0.11")
        peer = (switches[0].read().peers or ())[0]
        assert peer.since is not None


def peers_of(switch: ManagedSwitch) -> dict[str, str]:
    return {peer.neighbour: peer.state for peer in switch.read().peers or ()}
