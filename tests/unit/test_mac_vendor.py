"""Who made a network card, by the IEEE's list."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reconciler.kinds.common.mac_vendor import mac_vendor, mac_vendors

KNOWN = {
    "3c:ec:ef:00:00:01": "Super Micro Computer, Inc.",
    "D0-94-66-01-02-03": "Dell Inc.",
    "b859.9f00.0001": "Mellanox Technologies, Inc.",
    # A small block of one that the IEEE divides.
    "00:50:c2:00:10:01": "JMBS Developpements",
}
UNKNOWN = {
    "a virtual machine's": "52:54:00:00:00:01",
    "chosen by whoever runs the network": "3e:ec:ef:00:00:01",
    "an owner without a name": "ac:de:48:00:00:01",
    "a divided block": "70:b3:d5:00:10:01",
    "no MAC address": "1.2.3",
    "a group": "01:00:5e:00:00:01",
    "nothing": "",
}


PORTS = {
    "an EUI-64": "24:8a:07:03:00:a1:b2:c3",
    "an IPoIB interface's": "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1",
}


@pytest.mark.parametrize("address", PORTS.values(), ids=PORTS.keys())
def test_an_infiniband_port_s_vendor_is_known(address: str) -> None:
    assert mac_vendor(address) == "Mellanox Technologies, Inc."


@pytest.mark.parametrize(("mac", "vendor"), KNOWN.items())
def test_a_card_s_vendor_is_known_by_its_mac(mac: str, vendor: str) -> None:
    assert mac_vendor(mac) == vendor


@pytest.mark.parametrize("mac", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_card_of_nobody_on_the_list_has_none(mac: str) -> None:
    assert mac_vendor(mac) == ""


def test_of_several_cards_each_vendor_is_named_once() -> None:
    assert mac_vendors([*UNKNOWN.values(), *KNOWN, *KNOWN]) == "; ".join(KNOWN.values())


def test_a_list_that_is_not_there_is_an_unknown_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distributions may leave netaddr's list out."""

    def missing(*_: object) -> object:
        raise FileNotFoundError

    monkeypatch.setattr("netaddr.eui._open_binary", missing)
    assert mac_vendor("d4:ae:52:00:00:01") == ""


def test_no_command_loads_the_list_before_it_is_needed() -> None:
    said = "import sys, cli, reconciler.kinds, drivers.base; print('netaddr.eui.ieee' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout == "False\n"
