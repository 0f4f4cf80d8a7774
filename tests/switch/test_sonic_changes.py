"""What is written into CONFIG_DB and in which order, and what of SONiC's databases is a fact. Without a switch."""

from __future__ import annotations

import asyncio

import pytest

from drivers.base import LinkState, PortConfig, SwitchConfig, SwitchScope, VrfConfig
from drivers.switch.resp import MOST_VALUE_BYTES, RedisError, RedisReply, reply, request, table
from drivers.switch.sonic_changes import is_released, sonic_steps
from drivers.switch.sonic_tables import SonicTables, Table, is_saved, sonic_state

RED, BLUE = "Vrf104001", "Vrf104002"
PORTS: Table = {"PORT|Ethernet0": {"alias": "Eth1/1", "admin_status": "up"}, "PORT|Ethernet4": {"admin_status": "up"}}
IN_VLAN: Table = {
    **PORTS,
    "VLAN|Vlan4000": {"vlanid": "4000"},
    "VLAN_MEMBER|Vlan4000|Ethernet0": {"tagging_mode": "untagged"},
}
IN_VRF: Table = {
    **PORTS,
    "VLAN|Vlan4000": {"vlanid": "4000"},
    f"VRF|{RED}": {"fallback": "false", "vni": "104001"},
    "INTERFACE|Ethernet0": {"vrf_name": RED, "ipv6_use_link_local_only": "enable"},
}
OBJECT = "ASIC_STATE:SAI_OBJECT_TYPE_"
OIDS = {"Ethernet0": "oid:0x1", "Ethernet4": "oid:0x2"}
ASIC_VLAN: Table = {
    f"{OBJECT}VLAN:oid:0x26": {"SAI_VLAN_ATTR_VLAN_ID": "4000"},
    f"{OBJECT}BRIDGE_PORT:oid:0x3a": {"SAI_BRIDGE_PORT_ATTR_PORT_ID": "oid:0x1"},
    f"{OBJECT}VLAN_MEMBER:oid:0x27": {
        "SAI_VLAN_MEMBER_ATTR_BRIDGE_PORT_ID": "oid:0x3a",
        "SAI_VLAN_MEMBER_ATTR_VLAN_ID": "oid:0x26",
        "SAI_VLAN_MEMBER_ATTR_VLAN_TAGGING_MODE": "SAI_VLAN_TAGGING_MODE_UNTAGGED",
    },
}
ASIC_ROUTED: Table = {f"{OBJECT}ROUTER_INTERFACE:oid:0x6": {"SAI_ROUTER_INTERFACE_ATTR_PORT_ID": "oid:0x1"}}
STATE_VLAN: Table = {"VLAN_MEMBER_TABLE|Vlan4000|Ethernet0": {"state": "ok"}}
STATE_VRF: Table = {f"VRF_TABLE|{RED}": {"state": "ok"}, "INTERFACE_TABLE|Ethernet0": {"vrf": RED}}


def config(absent: tuple[str, ...] = (), vlan: int | None = None, **ports: PortConfig) -> SwitchConfig:
    vrfs = {} if absent else {RED: VrfConfig(104001, vlan)}
    return SwitchConfig(SwitchScope.PORTS, 4000, ports, vrfs, absent)


def words(wanted: SwitchConfig, have: Table) -> list[str]:
    return [" ".join(change.words()) for change in sonic_steps(wanted, SonicTables(have), "vtep").all()]


def test_a_port_leaves_its_vlan_in_one_step_and_joins_a_vrf_in_another() -> None:
    steps = sonic_steps(config(Ethernet0=PortConfig(vrf=RED)), SonicTables(IN_VLAN), None)
    assert [change.words() for change in steps.leave] == [("DEL", "VLAN_MEMBER|Vlan4000|Ethernet0")]
    assert [change.words() for change in steps.join] == [
        ("HSET", "INTERFACE|Ethernet0", "ipv6_use_link_local_only", "enable", "vrf_name", RED)
    ]
    assert steps.moving == ("Ethernet0",)


def test_a_port_that_leaves_a_vrf_loses_its_addresses_first() -> None:
    have = {**IN_VRF, "INTERFACE|Ethernet0|10.0.0.1/31": {"NULL": "NULL"}}
    steps = sonic_steps(config(Ethernet0=PortConfig(4000)), SonicTables(have), None)
    assert [change.key for change in steps.leave] == ["INTERFACE|Ethernet0|10.0.0.1/31", "INTERFACE|Ethernet0"]


def test_what_is_so_already_is_not_written() -> None:
    assert words(config(Ethernet0=PortConfig(vrf=RED)), IN_VRF) == []
    have = {**IN_VLAN, f"VRF|{RED}": {"fallback": "false", "vni": "104001"}}
    assert words(config(Ethernet0=PortConfig(4000, admin=LinkState.UP)), have) == []


def test_a_vni_comes_after_its_vlan_and_its_map() -> None:
    assert [line.split()[1] for line in words(config(vlan=1001), PORTS)] == [
        "VLAN|Vlan4000",
        f"VRF|{RED}",
        "VLAN|Vlan1001",
        "VLAN_INTERFACE|Vlan1001",
        "SUPPRESS_VLAN_NEIGH|Vlan1001",
        "VXLAN_TUNNEL_MAP|vtep|map_104001_Vlan1001",
        f"VRF|{RED}",
    ]


def test_a_vrf_is_taken_down_in_the_opposite_order() -> None:
    have = {
        **IN_VLAN,
        f"VRF|{RED}": {"vni": "104001"},
        "VLAN|Vlan1001": {"vlanid": "1001"},
        "VLAN_INTERFACE|Vlan1001": {"vrf_name": RED},
        "SUPPRESS_VLAN_NEIGH|Vlan1001": {"suppress": "on"},
        "VXLAN_TUNNEL_MAP|vtep|map_104001_Vlan1001": {"vlan": "Vlan1001", "vni": "104001"},
        "VXLAN_TUNNEL_MAP|vtep|map_9_Vlan9": {"vlan": "Vlan9", "vni": "9"},
    }
    assert words(config(absent=(RED,)), have) == [
        f"HSET VRF|{RED} vni 0",
        "DEL VXLAN_TUNNEL_MAP|vtep|map_104001_Vlan1001",
        "DEL SUPPRESS_VLAN_NEIGH|Vlan1001",
        "DEL VLAN_INTERFACE|Vlan1001",
        "DEL VLAN|Vlan1001",
        f"DEL VRF|{RED}",
    ]


@pytest.mark.parametrize(
    ("wanted", "state", "asic", "released"),
    [
        (PortConfig(4000), {}, ASIC_ROUTED, False),
        (PortConfig(4000), {}, {}, True),
        (PortConfig(vrf=RED), STATE_VRF, ASIC_VLAN, False),
        (PortConfig(vrf=RED), {}, {}, False),
        (PortConfig(vrf=RED), STATE_VRF, {}, True),
    ],
)
def test_a_port_joins_when_the_chip_has_released_it_and_the_vrf_is_made(
    wanted: PortConfig, state: Table, asic: Table, released: bool
) -> None:
    tables = SonicTables(PORTS, state=state, asic=asic, counters=OIDS)
    assert is_released("Ethernet0", config(Ethernet0=wanted), tables) is released


@pytest.mark.parametrize(
    ("asked", "state", "asic", "vlan", "vrf", "unsettled"),
    [
        pytest.param(IN_VLAN, STATE_VLAN, ASIC_VLAN, 4000, None, False, id="in the VLAN"),
        pytest.param(IN_VLAN, {}, {}, None, None, True, id="in CONFIG_DB alone"),
        pytest.param(IN_VLAN, STATE_VLAN, {}, None, None, True, id="not in the chip"),
        pytest.param(IN_VLAN, {}, ASIC_VLAN, None, None, True, id="not in STATE_DB"),
        pytest.param(IN_VRF, STATE_VRF, ASIC_ROUTED, None, RED, False, id="in the VRF"),
        pytest.param(IN_VRF, STATE_VRF, {}, None, None, True, id="without a router interface"),
        pytest.param(PORTS, STATE_VRF, ASIC_ROUTED, None, RED, True, id="not released yet"),
        pytest.param(PORTS, {}, {}, None, None, False, id="nowhere"),
    ],
)
def test_a_port_is_where_state_db_and_the_chip_have_it(
    asked: Table, state: Table, asic: Table, vlan: int | None, vrf: str | None, unsettled: bool
) -> None:
    appl = {"PORT_TABLE:Ethernet0": {"admin_status": "up", "oper_status": "down", "mtu": "9100"}}
    port = sonic_state(SonicTables(asked, appl, state, asic, OIDS), None, None).ports["Ethernet0"]
    assert (port.vlan, port.vrf, port.unsettled) == (vlan, vrf, unsettled)
    assert (port.admin, port.oper, port.alias) == (LinkState.UP, LinkState.DOWN, "Eth1/1")


def test_lldp_has_name_alias_description_and_mac() -> None:
    entry = {
        "lldp_rem_sys_name": "m1",
        "lldp_rem_port_id": "eth0",
        "lldp_rem_port_id_subtype": "5",
        "lldp_rem_port_desc": "to leaf01",
        "lldp_rem_chassis_id": "02:00:00:00:00:0A",
        "lldp_rem_chassis_id_subtype": "4",
    }
    (heard,) = sonic_state(SonicTables(PORTS, {"LLDP_ENTRY_TABLE:Ethernet0": entry}), None, None).neighbours or ()
    assert (heard.port, heard.system, heard.remote_port) == ("Ethernet0", "m1", "eth0")
    assert (heard.description, heard.mac) == ("to leaf01", "02:00:00:00:00:0a")


def test_saved_is_what_the_file_has() -> None:
    same = {
        "PORT": {"Ethernet0": PORTS["PORT|Ethernet0"], "Ethernet4": {"admin_status": "up"}},
        "FEATURE": {"lldp": {}},
    }
    assert is_saved(SonicTables(PORTS), same) is True
    assert is_saved(SonicTables(IN_VLAN), same) is False
    assert is_saved(SonicTables(PORTS), None) is None
    assert is_saved(SonicTables(PORTS), {"PORT": 5, "VRF": {"x": 7}}) is False


def read(data: bytes) -> RedisReply:
    async def whole() -> RedisReply:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await reply(reader)

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":7\r\n", 7),
        (b"$-1\r\n", None),
        (b"$4\r\na\r\nb\r\n", "a\r\nb"),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", [1]]),
        (b"*0\r\n", []),
    ],
)
def test_answers_of_redis_are_read(data: bytes, value: RedisReply) -> None:
    assert read(data) == value


def test_a_refusal_is_a_value_so_that_the_answers_after_it_are_read() -> None:
    answer = read(b"*2\r\n-ERR no\r\n+OK\r\n")
    assert isinstance(answer, list)
    assert isinstance(answer[0], RedisError)
    assert answer[1] == "OK"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0\r\n",
        b"$x\r\n",
        b"$%d\r\n" % (MOST_VALUE_BYTES + 1),
        b"*999999\r\n",
        b"*1\r\n" * 9,
        b":" + b"1" * 50 + b"\r\n",
    ],
)
def test_what_is_not_of_redis_is_an_error(data: bytes) -> None:
    with pytest.raises(RedisError):
        read(data)


@pytest.mark.parametrize("data", [b"", b"+OK", b"$5\r\nab", b"*2\r\n:1\r\n"])
def test_an_answer_that_breaks_off_is_the_end(data: bytes) -> None:
    with pytest.raises(EOFError):
        read(data)


def test_words_of_a_command_may_hold_anything() -> None:
    assert request("SET", "a\r\nb") == b"*2\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n"


@pytest.mark.parametrize("odd", [None, "x", 5, ["a"], ["a", None], ["a", ["b"]]])
def test_a_row_that_is_none_has_no_odd_fields(odd: RedisReply) -> None:
    assert all(isinstance(one, str) for one in table(odd).values())


def test_the_vlans_of_the_switch_are_known_with_the_vrf_of_each() -> None:
    bound: Table = {"VLAN|Vlan1001": {"vlanid": "1001"}, "VLAN_INTERFACE|Vlan1001": {"vrf_name": RED}, "VLAN|odd": {}}
    assert sonic_state(SonicTables({**IN_VLAN, **bound}), None, None).vlans == {1001: RED, 4000: None}
