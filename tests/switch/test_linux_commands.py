"""What a Linux host says, and the commands that make it what it is to be: tables, without a host."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drivers.base import LinkState, PortConfig, Rejected, SwitchConfig, SwitchPort, SwitchScope, SwitchState, VrfConfig
from drivers.switch.legal_steps import complete, refuse_unsafe
from drivers.switch.linux_commands import port_commands, vrf_commands
from drivers.switch.linux_state import LinuxLinks, linux_links, lldp_name, lldp_neighbours, os_version

RED = VrfConfig(104001)


def device(name: str, kind: str = "", **fields: object) -> dict[str, object]:
    """A row of `ip -j -d address show`."""
    data = {key: fields.pop(key) for key in ("vlan_filtering", "id", "table") if key in fields}
    up = {"flags": ["BROADCAST", "UP"], "operstate": "UP", "mtu": 9000, "address": "02:00:00:00:00:01"}
    return {"ifname": name, **up, "linkinfo": {"info_kind": kind, "info_data": data}, **fields}


PLAIN = [
    device("vlan4000", "bridge"),
    device("swp1", master="vlan4000"),
    device("swp2"),
    device("lo", link_type="loopback"),
]
CUMULUS = [device("bridge", "bridge", vlan_filtering=1), device("swp1", master="bridge"), device("swp2")]
CUMULUS_VLANS = [{"ifname": "swp1", "vlans": [{"vlan": 4000, "flags": ["PVID", "Egress Untagged"]}, {"vlan": 7}]}]
VRF_RED = device("Vrf104001", "vrf", ifalias="groundstate vni 104001", table=105001)
CLOSED = [{"type": "7", "dst": "default", "table": "105001", "metric": 4278198272, "flags": []}]


def config(scope: SwitchScope = SwitchScope.PORTS, absent: tuple[str, ...] = (), **ports: PortConfig) -> SwitchConfig:
    vrfs = {} if absent else {"Vrf104001": RED}
    return SwitchConfig(scope, 4000, ports, vrfs, absent, "10.0.0.11", 4200000011, ("swp9",))


def lines(commands: list[tuple[str, ...]]) -> list[str]:
    return [" ".join(command) for command in commands]


def test_a_port_of_a_bridge_that_is_a_vlan_is_in_that_vlan() -> None:
    ports = linux_links(PLAIN, []).ports()
    assert set(ports) == {"swp1", "swp2"}
    assert (ports["swp1"].vlan, ports["swp1"].vrf, ports["swp2"].vlan) == (4000, None, None)


def test_a_port_of_a_bridge_that_filters_is_in_its_untagged_vlan() -> None:
    ports = linux_links(CUMULUS, CUMULUS_VLANS).ports()
    assert (ports["swp1"].vlan, ports["swp2"].vlan) == (4000, None)


def test_a_port_of_a_vrf_is_in_no_vlan_and_the_vrf_has_its_vni() -> None:
    links = linux_links([VRF_RED, device("swp1", master="Vrf104001")], CUMULUS_VLANS)
    assert (links.ports()["swp1"].vlan, links.ports()["swp1"].vrf) == (None, "Vrf104001")
    assert links.vrfs() == {"Vrf104001": 104001}


@pytest.mark.parametrize(
    ("flags", "operstate", "admin", "oper"),
    [
        (["UP"], "UP", LinkState.UP, LinkState.UP),
        (["UP"], "DOWN", LinkState.UP, LinkState.DOWN),
        ([], "DOWN", LinkState.DOWN, LinkState.DOWN),
        (["UP"], "UNKNOWN", LinkState.UP, None),
    ],
)
def test_admin_and_oper_are_two_things(
    flags: list[str], operstate: str, admin: LinkState, oper: LinkState | None
) -> None:
    port = linux_links([device("swp1", flags=flags, operstate=operstate)], []).ports()["swp1"]
    assert (port.admin, port.oper) == (admin, oper)


ODD: list[object] = [
    None,
    1,
    "x",
    [],
    [1],
    {},
    [{}],
    [{"ifname": 3}],
    [{"ifname": "swp1", "linkinfo": [], "flags": 5, "mtu": "x"}],
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_unknown(odd: object) -> None:
    links = linux_links(odd, odd)
    assert all(port.vlan is None and port.mtu is None for port in links.ports().values())
    assert lldp_neighbours(odd) == ()
    assert lldp_neighbours({"lldp": [{"interface": odd}]}) == ()
    assert lldp_name(odd) is None


def test_the_mac_of_a_neighbour_is_its_port_id_before_its_chassis_id() -> None:
    def row(port_id: tuple[str, str], chassis_id: tuple[str, str]) -> dict[str, object]:
        ids = [[{"type": kind, "value": value}] for kind, value in (port_id, chassis_id)]
        return {"name": "swp1", "chassis": [{"id": ids[1], "name": [{"value": "m1"}]}], "port": [{"id": ids[0]}]}

    def mac(port_id: tuple[str, str], chassis_id: tuple[str, str]) -> str | None:
        return lldp_neighbours({"lldp": [{"interface": [row(port_id, chassis_id)]}]})[0].mac

    one, other = ("mac", "02:00:00:00:00:01"), ("mac", "02:00:00:00:00:02")
    assert mac(one, other) == "02:00:00:00:00:01"
    assert mac(("ifname", "eth0"), other) == "02:00:00:00:00:02"
    assert mac(("ifname", "eth0"), ("local", "m1")) is None


def test_the_version_is_the_pretty_name() -> None:
    assert os_version('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12"\n') == "Debian GNU/Linux 12"
    assert os_version("") is None


def moved(have: list[dict[str, object]], vlans: object, **ports: PortConfig) -> list[str]:
    links, wanted = linux_links(have, vlans, {"-4": CLOSED}), msgspec.structs.replace(config(), ports=ports)
    return lines([*vrf_commands(wanted, links, routed=True), *port_commands(wanted, links)])


def test_a_port_is_never_without_a_bridge_or_vrf() -> None:
    assert moved([*PLAIN, VRF_RED], [], swp1=PortConfig(vrf="Vrf104001")) == ["ip link set swp1 master Vrf104001"]


def test_a_vrf_that_is_missing_is_made_before_its_ports() -> None:
    assert moved(PLAIN, [], swp2=PortConfig(vrf="Vrf104001")) == [
        "ip link add Vrf104001 type vrf table 105001",
        "ip link set Vrf104001 alias groundstate vni 104001",
        "ip link set Vrf104001 up",
        "ip link set swp2 master Vrf104001",
    ]


def closing(have: list[dict[str, object]], refusals: dict[str, object], **changes: bool) -> list[str]:
    found = vrf_commands(config(), linux_links(have, [], refusals), **{"routed": True, **changes})
    return [line for line in lines(found) if " route " in line]


def test_what_a_vrf_has_no_route_to_is_refused_and_not_looked_for_in_the_table_of_the_host() -> None:
    """Seen on the kernel: without these routes, a machine in a VRF reached the switch's management network."""
    both = [f"ip {family} route replace vrf Vrf104001 unreachable default metric 4278198272" for family in ("-4", "-6")]
    assert closing(PLAIN, {"-4": [], "-6": []}) == both
    assert closing([*PLAIN, VRF_RED], {"-4": CLOSED, "-6": []}) == both[1:]
    assert closing([*PLAIN, VRF_RED], {"-4": CLOSED, "-6": CLOSED}) == []


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ({"-4": CLOSED, "-6": CLOSED}, ()),
        ({"-4": CLOSED, "-6": []}, ("Vrf104001",)),
        ({"-4": [], "-6": CLOSED}, ("Vrf104001",)),
        ({"-4": CLOSED}, ()),
        ({}, ()),
    ],
)
def test_a_vrf_without_its_last_route_in_one_family_is_open(
    refusals: dict[str, object], expected: tuple[str, ...]
) -> None:
    bridged = device("Vrf7", "bridge", ifalias="groundstate vni 7")
    assert linux_links([*PLAIN, VRF_RED, bridged], [], refusals).open_vrfs() == expected


def test_a_vrf_that_another_made_is_closed_in_its_own_table() -> None:
    other = device("Vrf104001", "vrf", table=1001)
    assert len(closing([*PLAIN, other], {"-4": CLOSED})) == 1
    assert closing([*PLAIN, other], {"-4": [{**CLOSED[0], "table": "1001"}]}) == []


def test_a_bridge_that_is_a_vrf_has_no_routes() -> None:
    assert closing(PLAIN, {"-4": [], "-6": []}, routed=False) == []


def test_a_port_is_down_while_a_bridge_would_have_it_in_its_first_vlan() -> None:
    have = [*CUMULUS, VRF_RED, device("swp3", master="Vrf104001")]
    assert moved(have, CUMULUS_VLANS, swp3=PortConfig(4000)) == [
        "ip link set swp3 down",
        "ip link set swp3 master bridge",
        "bridge vlan del dev swp3 vid 1-4094",
        "bridge vlan add dev swp3 vid 4000 pvid untagged",
        "ip link set swp3 up",
    ]


def test_a_port_that_is_switched_off_stays_so_when_it_moves() -> None:
    have = [*CUMULUS, device("swp3", flags=[])]
    assert "ip link set swp3 up" not in moved(have, CUMULUS_VLANS, swp3=PortConfig(4000))


def test_ports_leave_vrfs_before_others_join_them() -> None:
    have = [*PLAIN, VRF_RED, device("swp3", master="Vrf104001")]
    commands = moved(have, [], swp1=PortConfig(vrf="Vrf104001"), swp3=PortConfig(4000))
    assert commands.index("ip link set swp3 master vlan4000") < commands.index("ip link set swp1 master Vrf104001")


def test_what_is_so_already_needs_no_command() -> None:
    assert moved([*PLAIN, VRF_RED], [], swp1=PortConfig(4000), swp2=PortConfig()) == []


def test_a_routed_vrf_has_its_vxlan_in_a_bridge_of_its_own() -> None:
    wanted = config(SwitchScope.ALL)
    commands = lines(vrf_commands(wanted, linux_links([*PLAIN, VRF_RED], []), routed=True))
    assert commands[0:2] == [
        "ip link add br104001 type bridge",
        "ip link set br104001 master Vrf104001 addrgenmode none",
    ]
    assert "ip link add vx104001 type vxlan id 104001 local 10.0.0.11 dstport 4789 nolearning" in commands


def test_a_removed_vrf_takes_its_vxlan_and_its_routes_with_it() -> None:
    devices = [*PLAIN, VRF_RED, device("vx104001", "vxlan"), device("br104001", "bridge")]
    have = linux_links(devices, [], {"-4": CLOSED, "-6": []})
    assert lines(port_commands(config(absent=("Vrf104001",)), have)) == [
        "ip -4 route del vrf Vrf104001 unreachable default metric 4278198272",
        "ip link del vx104001",
        "ip link del br104001",
        "ip link del Vrf104001",
    ]
    assert port_commands(config(absent=("Vrf104001",)), LinuxLinks({}, {})) == []


STATE = SwitchState(
    ports={
        "swp1": SwitchPort("swp1", vlan=4000),
        "swp2": SwitchPort("swp2", vrf="Vrf104001"),
        "swp9": SwitchPort("swp9"),
    },
    vrfs={"Vrf104001": 104001, "Vrf104002": 104002},
    vlans={4000: None, 1001: "Vrf104001", 1002: "Vrf104002"},
)


def in_vlan(vlan: int) -> SwitchConfig:
    return msgspec.structs.replace(config(), vrfs={"Vrf104001": VrfConfig(104001, vlan)})


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (config(SwitchScope.NONE), "scope is None"),
        (config(swp7=PortConfig(4000)), "no port swp7"),
        (config(swp9=PortConfig(4000)), "swp9 is an uplink"),
        (config(swp2=PortConfig(vrf="Vrf104002")), "only by way of VLAN 4000"),
        (config(swp1=PortConfig(vrf="Vrf9")), "no such VRF"),
        (in_vlan(1002), "belongs to Vrf104002"),
        (in_vlan(4000), "belongs to no VRF"),
        (in_vlan(1003), "Vrf104001 has VLAN 1001"),
        (config(absent=("Vrf104001",)), "swp2 is in Vrf104001"),
        (config(absent=("Vrf104002",), swp1=PortConfig(vrf="Vrf104002")), "swp1 is in Vrf104002"),
    ],
)
def test_what_a_switch_would_not_survive_is_refused(wanted: SwitchConfig, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        refuse_unsafe("leaf01", wanted, STATE)


def at(address: str) -> dict[str, Any]:
    return {"addr_info": [{"family": "inet6", "local": "fe80::1"}, {"family": "inet", "local": address}]}


@pytest.mark.parametrize(
    ("have", "ports"),
    [
        pytest.param([device("lo", link_type="loopback", **at("10.1.1.1")), device("eth1")], (), id="loopback"),
        pytest.param([device("ens3", **at("10.1.1.1")), device("swp1", **at("10.1.1.9"))], ("ens3",), id="port"),
        pytest.param([device("ens3"), device("ens3.7", "vlan", link="ens3", **at("10.1.1.1"))], ("ens3",), id="VLAN"),
        pytest.param(
            [device("br0", "bridge", **at("10.1.1.1")), *(device(name, master="br0") for name in ("a", "b"))],
            (),
            id="bridge",
        ),
        pytest.param(
            [
                device("bond0", "bond"),
                device("bond0.7", "vlan", link="bond0", **at("10.1.1.1")),
                device("ens3", master="bond0"),
            ],
            ("bond0", "ens3"),
            id="VLAN of a bond",
        ),
        pytest.param([device("veth1", "veth", link="far", **at("10.1.1.1")), device("far")], ("veth1",), id="veth"),
    ],
)
def test_the_ports_by_which_the_host_is_reached_are_known(
    have: list[dict[str, object]], ports: tuple[str, ...]
) -> None:
    assert linux_links(have, []).management("10.1.1.1") == ports
    assert linux_links(have, []).management("") == ()


def test_a_port_that_is_not_named_stays_in_its_vrf() -> None:
    assert complete(config(swp1=PortConfig(vrf="Vrf104001")), STATE) == {"swp1": "Vrf104001", "swp2": "Vrf104001"}
    assert complete(config(swp2=PortConfig(4000)), STATE) == {}
    assert complete(config(swp2=PortConfig(admin=LinkState.DOWN)), STATE) == {"swp2": "Vrf104001"}
