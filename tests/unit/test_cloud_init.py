"""What an installed machine finds at its first start."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import yaml

from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.kinds.machine.lifecycle.cloud_init import MARKS, Host, PhoneHome, SeedAddress, build, fill_seed, netplan

CLAIM = MachineClaimSpec(
    project="shop", partitions=("lab",), size="s", image="debian-12", ssh_keys=("ssh-ed25519 AAA a",)
)
HOST = Host(
    claim="web",
    machine="r01-01",
    slot=2,
    instance="1-7",
    macs=("52:54:00:ab:02:01", "52:54:00:AB:02:02"),
    addresses=(SeedAddress("shop", "10.20.0.7", 24, "10.20.0.1"), SeedAddress("storage", "10.30.0.7", 24)),
    dns=("10.20.0.2",),
    ntp=("ntp.example",),
)
HOME = PhoneHome(
    "https://[fd00::1]:9810/phone-home/v1", "gs-a_b-1", "sha256//A+b/c=", "http://x/phone-home/v1/gs-a_b-1"
)
IGNITION = '{"ignition": {"version": "3.4.0"}}'


def claim(**changes: Any) -> MachineClaimSpec:
    return msgspec.structs.replace(CLAIM, **changes)


def host(**changes: Any) -> Host:
    return msgspec.structs.replace(HOST, **changes)


def card(**changes: Any) -> Any:
    return netplan(host(**changes))["ethernets"]["lan0"]


def test_meta_data_say_who_the_machine_is_and_how_it_phones_home() -> None:
    text = build(CLAIM, HOST, HOME)["meta-data"]
    assert yaml.safe_load(text) == {
        "instance-id": "r01-01-1-7",
        "local-hostname": "web-2",
        "public-keys": ["ssh-ed25519 AAA a"],
        "phone_home_url": HOME.url,
        "phone_home_token": HOME.token,
        "phone_home_pin": HOME.pin,
        "phone_home_simple_url": HOME.simple_url,
    }
    assert f"\nphone_home_url: {HOME.url}\nphone_home_token: {HOME.token}\n" in text


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("{claim}-{slot}", "web-2"), ("{machine}.example", "r01-01.example"), ("db", "db"), ("{rack}-{slot}", "{rack}-2")],
)
def test_the_host_name_is_as_the_claim_says(pattern: str, name: str) -> None:
    meta = yaml.safe_load(build(claim(hostname=pattern), HOST)["meta-data"])
    assert meta["local-hostname"] == name


def test_all_files_are_yaml() -> None:
    files = build(CLAIM, HOST)
    assert sorted(files) == ["meta-data", "network-config", "user-data", "vendor-data"]
    for text in files.values():
        assert isinstance(yaml.safe_load(text), dict)
    assert files["user-data"].startswith("#cloud-config\n")
    assert files["vendor-data"].startswith("#cloud-config\n")


def test_without_user_data_cloud_init_phones_home_itself() -> None:
    vendor = yaml.safe_load(build(CLAIM, HOST, HOME)["vendor-data"])
    assert vendor["phone_home"]["url"] == HOME.simple_url
    assert vendor["ntp"] == {"enabled": True, "servers": ["ntp.example"]}


@pytest.mark.parametrize(
    "data", ["#cloud-config\npackages: [x]\n", "#!/bin/sh\ntrue\n", "", '{"a": 1}', "[1]", "{", "\N{SNOWMAN}"]
)
def test_user_data_are_passed_on_as_they_are(data: str) -> None:
    files = build(claim(user_data=data), HOST)
    assert files["user-data"] == data
    assert "phone_home" not in files["vendor-data"]
    assert "phone_home_token" in files["meta-data"]


def test_an_ignition_config_stands_alone_but_for_what_it_is_known_by_and_how_it_phones_home() -> None:
    """Without the token no unit of the config could report, and the machine would stay in Provisioning for ever."""
    files = fill_seed(build(claim(user_data=IGNITION), HOST), HOME)
    assert files.keys() == {"config.ign", "meta-data"}
    assert files["config.ign"] == IGNITION
    like_cloud_init = yaml.safe_load(fill_seed(build(CLAIM, HOST), HOME)["meta-data"])
    said = {name: like_cloud_init[name] for name in like_cloud_init if name.startswith("phone_home_")}
    assert len(said) == 4
    assert yaml.safe_load(files["meta-data"]) == {"instance-id": like_cloud_init["instance-id"], **said}


def test_without_a_way_to_phone_home_nothing_says_so() -> None:
    assert "phone_home" not in json.dumps(build(CLAIM, HOST, None))


def test_marks_are_filled_when_it_is_handed_out_and_user_data_are_left_alone() -> None:
    written = f"#cloud-config\n# {MARKS.token}\n"
    for data in (None, written):
        spec = claim(user_data=data)
        filled = fill_seed(build(spec, HOST), HOME)
        assert {**filled, "user-data": ""} == {**build(spec, HOST, HOME), "user-data": ""}
        assert filled["user-data"] == (data or "#cloud-config\n{}\n")
    assert fill_seed({"config.ign": MARKS.token}, HOME) == {"config.ign": MARKS.token}


def test_addresses_stand_on_the_first_card_with_one_way_out() -> None:
    assert netplan(HOST) == {
        "version": 2,
        "ethernets": {
            "lan0": {
                "match": {"macaddress": "52:54:00:ab:02:01"},
                "addresses": ["10.20.0.7/24", "10.30.0.7/24"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.20.0.1"}],
                "nameservers": {"addresses": ["10.20.0.2"]},
            }
        },
    }


def test_each_family_has_its_way_out_and_no_second_one() -> None:
    addresses = (
        SeedAddress("a", "10.20.0.7", 24, "10.20.0.1"),
        SeedAddress("b", "10.30.0.7", 24, "10.30.0.1"),
        SeedAddress("c", "2001:db8::7", 64, "fe80::1"),
    )
    ways = [(route["to"], route["via"]) for route in card(addresses=addresses)["routes"]]
    assert ways == [("0.0.0.0/0", "10.20.0.1"), ("::/0", "fe80::1")]


def test_a_gateway_outside_of_the_prefix_is_said_to_be_on_the_link() -> None:
    [route] = card(addresses=(SeedAddress("a", "10.20.0.7", 32, "10.0.0.1"),))["routes"]
    assert route == {"to": "0.0.0.0/0", "via": "10.0.0.1", "on-link": True}


def test_without_addresses_dhcp_is_asked() -> None:
    assert card(addresses=()) == {"match": {"macaddress": "52:54:00:ab:02:01"}, "dhcp4": True}
    assert card(addresses=(), macs=()) == {"match": {"name": "e*"}, "dhcp4": True}
