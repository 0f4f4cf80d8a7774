"""What FRR is given: golden files, which FRR itself has to accept, and what of a running configuration stays."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drivers.base import SwitchConfig, SwitchScope, VrfConfig
from drivers.switch.frr_config import frr_config, kept_sections
from drivers.switch.frr_state import bgp_peers, reload_lines, same_statements, vnis

GOLDEN = Path(__file__).parent / "frr"
RED, BLUE = "Vrf104001", "Vrf104002"
needs_vtysh = pytest.mark.skipif(shutil.which("vtysh") is None, reason="vtysh (Debian: frr) is not installed")


def leaf(vrfs: dict[str, VrfConfig], absent: tuple[str, ...] = ()) -> SwitchConfig:
    return SwitchConfig(
        SwitchScope.ALL,
        4000,
        vrfs=vrfs,
        absent_vrfs=absent,
        loopback="10.0.0.11",
        asn=4200000011,
        uplinks=("swp31", "swp32"),
    )


TWO = leaf({RED: VrfConfig(104001, 1001, ("10.0.2.0/24", "10.0.3.7/32")), BLUE: VrfConfig(104002, 1002)})
BOTH_FAMILIES = leaf({RED: VrfConfig(104001, 1001, ("10.0.2.0/24", "2001:db8:2::/64"))})
CASES = {
    "fabric-alone": frr_config(leaf({}), {}),
    "two-vrfs": frr_config(TWO, {"swp1": RED, "swp2": RED, "swp3": BLUE}),
    "both-families": frr_config(BOTH_FAMILIES, {"swp1": RED}),
    "vrf-without-ports": frr_config(TWO, {}),
    "bridged": frr_config(TWO, {"swp1": RED}, routed=False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_as_it_was(name: str, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / f"{name}.conf"
    if request.config.getoption("--update-golden"):
        file.write_text(CASES[name])
    assert CASES[name] == file.read_text()


@needs_vtysh
@pytest.mark.parametrize("name", CASES)
def test_frr_accepts_the_configuration(name: str) -> None:
    checked = subprocess.run(
        ["vtysh", "-C", "-f", GOLDEN / f"{name}.conf"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, "Unknown" in checked.stdout + checked.stderr) == (0, False), checked


@needs_vtysh
def test_frr_refuses_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.conf").write_text(CASES["two-vrfs"].replace("maximum-prefix 24000", "maximum-prefix lots"))
    checked = subprocess.run(["vtysh", "-C", "-f", tmp_path / "bad.conf"], capture_output=True, check=False)
    assert checked.returncode != 0


def test_a_vrf_without_prefixes_takes_no_route_from_its_machines() -> None:
    assert f"ip prefix-list {BLUE}-in-ipv4 seq 5 deny any" in CASES["two-vrfs"].splitlines()


def test_each_session_of_a_machine_is_filtered_and_bounded() -> None:
    sections = [text for text in CASES["two-vrfs"].split("\nrouter bgp ") if " vrf Vrf" in text.splitlines()[0]]
    assert len(sections) == 2
    for section in sections:
        assert re.search(r"neighbor MACHINE route-map Vrf\d+-in in\n", section)
        assert "neighbor MACHINE maximum-prefix 24000\n" in section


RUNNING = f"""Building configuration...

Current configuration:
!
frr version 8.4.4
frr defaults traditional
hostname leaf01
!
vrf mgmt
 ip route 0.0.0.0/0 10.1.1.1
exit-vrf
!
vrf {RED}
 vni 104001
exit-vrf
!
vrf Vrf9
 vni 9
exit-vrf
!
router bgp 4200000011
 bgp router-id 10.0.0.11
exit
!
router bgp 4200000011 vrf Vrf9
 neighbor swp9 interface remote-as external
exit
!
ip prefix-list {RED}-in-ipv4 seq 5 permit 10.0.2.0/24 le 32
ip prefix-list Vrf9-in-ipv4 seq 5 permit 10.9.0.0/24 le 32
!
route-map {RED}-in permit 10
 match ip address prefix-list {RED}-in-ipv4
exit
!
route-map of-a-person permit 10
exit
!
end
"""


def test_what_is_of_other_vrfs_and_of_other_names_stays() -> None:
    kept = "\n".join(kept_sections(RUNNING, TWO))
    for mine in (
        "vrf mgmt\n ip route",
        "vrf Vrf9\n vni 9\nexit-vrf",
        " vrf Vrf9\n neighbor swp9",
        "prefix-list Vrf9-in",
    ):
        assert mine in kept
    assert "route-map of-a-person permit 10\nexit" in kept
    assert RED not in kept
    assert "router bgp 4200000011\n" not in kept


def test_a_vrf_that_is_to_be_absent_is_not_kept() -> None:
    kept = "\n".join(kept_sections(RUNNING, leaf({}, absent=(RED, "Vrf9"))))
    assert RED not in kept
    assert "Vrf9" not in kept


def test_order_and_frames_make_no_difference() -> None:
    one = "router bgp 1\n neighbor a\n !\n address-family ipv4 unicast\n  network b\n exit-address-family\nexit\n"
    assert same_statements(one, "Current configuration:\n!\n" + one + "end\n")
    assert not same_statements(one, one.replace("network b", "network c"))
    assert not same_statements(one, one.replace("router bgp 1", "router bgp 1 vrf red"))


RELOAD = """
Lines To Delete
===============
no hostname leaf01
route-map old permit 10

Lines To Add
============
ip forwarding
router bgp 1 vrf red
 neighbor swp1 interface peer-group MACHINE
router bgp 1 vrf red
 address-family ipv4 unicast
  redistribute connected
"""


def test_lines_of_a_reload_name_what_they_stand_in() -> None:
    assert reload_lines(RELOAD) == (
        "no route-map old permit 10",
        "router bgp 1 vrf red / neighbor swp1 interface peer-group MACHINE",
        "router bgp 1 vrf red / address-family ipv4 unicast / redistribute connected",
    )


def test_a_peer_of_several_families_is_shown_once_and_at_its_worst() -> None:
    answer = {
        "default": {
            "ipv4Unicast": {"peers": {"swp31": {"state": "Established", "peerUptimeMsec": 60_000}}},
            "l2VpnEvpn": {"peers": {"swp31": {"state": "Active", "peerUptimeMsec": 0}}},
        },
        "red": {"ipv4Unicast": {"peers": {"swp1": {"state": "Established", "peerUptimeMsec": 60_000}}}},
    }
    found = bgp_peers(answer, 1_800_000_000)
    assert [(peer.vrf, peer.neighbour, peer.state) for peer in found] == [
        (None, "swp31", "Active"),
        ("red", "swp1", "Established"),
    ]
    assert found[1].since is not None
    assert found[1].since.timestamp() == 1_800_000_000 - 60


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        7,
        "text",
        {"default": 5},
        {"default": {"ipv4Unicast": []}},
        {"a": {"ipv4Unicast": {"peers": {"b": 1}}}},
    ],
)
def test_odd_answers_of_frr_raise_nothing(answer: object) -> None:
    assert all(peer.state == "Unknown" for peer in bgp_peers(answer, 0))
    assert vnis(answer) == {}
    assert vnis({"vrfs": [answer, {"vrf": "red", "vni": "x"}, {"vrf": "blue", "vni": 2}]}) == {"blue": 2}
