"""MAC addresses: every spelling that is in use gives one form, and nothing else becomes one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import hardware_address, mac_address, mac_fault

MAC = "52:54:00:ab:cd:ef"

SPELLINGS = {
    "the form that is kept": MAC,
    "IEEE 802, Windows": "52-54-00-AB-CD-EF",
    "Cisco": "5254.00ab.cdef",
    "Huawei, HPE Comware": "5254-00ab-cdef",
    "ProCurve": "525400-abcdef",
    "PostgreSQL": "525400:abcdef",
    "bare, as on a sticker": "525400ABCDEF",
    "both cases": "52:54:00:aB:Cd:eF",
    "bytes without their zero, as BSD and ipmitool write them": "52:54:0:ab:cd:ef",
    "with space around": " 525400abcdef\n",
    "bytes apart, as Dell's racadm writes them": "52 54 00 ab cd ef",
}
OTHERS = {
    "nothing": "",
    "zero": "00:00:00:00:00:00",
    "all stations": "ff:ff:ff:ff:ff:ff",
    "a group": "01:00:5e:00:00:01",
    "five bytes": "52:54:00:ab:cd",
    "seven bytes": "52:54:00:ab:cd:ef:01",
    "an EUI-64": "52:54:00:ff:fe:ab:cd:ef",
    "an InfiniBand hardware address": "80:00:00:48:fe:80:00:00:00:00:00:00:52:54:00:ff:fe:ab:cd:ef",
    "no hex digit": "52:54:00:ab:cd:eg",
    # What an address library would make one of.
    "three numbers": "1:2:3",
    "a version": "1.2.3",
    "a lost digit": "52540012345",
    "a lost digit in a half": "52540-123456",
    "two separators": "52:54-00:ab:cd:ef",
    "a number": "10",
    "an IPv4 address": "10.0.0.1",
    "other alphabets' digits": "५२:५४:००:ab:cd:ef",
    "very much": MAC * 9,
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_mac_address_is_known_in_every_spelling(text: str) -> None:
    assert mac_address(text) == MAC
    assert mac_fault(text) == ""


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_what_no_card_has_is_none_and_has_a_reason(text: str) -> None:
    assert mac_address(text) is None
    assert mac_fault(text)


def test_an_eui_64_is_told_from_what_makes_no_sense() -> None:
    assert "EUI-64" in mac_fault(OTHERS["an EUI-64"])


PORT = "24:8a:07:03:00:a1:b2:c3"
PORTS = {
    "an EUI-64": PORT,
    "with dashes": "24-8A-07-03-00-A1-B2-C3",
    "in fours": "248a:0703:00a1:b2c3",
    "as one word": "248A070300A1B2C3",
    "an IPoIB hardware address": f"80:00:02:08:fe:80:00:00:00:00:00:00:{PORT}",
    "an IPoIB hardware address with another queue pair": f"a0:00:03:10:fe:80:00:00:00:00:00:01:{PORT}",
}
NO_PORTS = {
    "zero": "00:00:00:00:00:00:00:00",
    "a group": "01:8a:07:03:00:a1:b2:c3",
    "two separators": "24:8a-07:03:00:a1:b2:c3",
    "seven bytes": "24:8a:07:03:00:a1:b2",
    "a UUID": "5f1a2b3c-0000-4000-8000-0123456789ab",
    "single digits": "1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0",
    "no hexadecimal digits": "24:8a:07:03:00:a1:b2:cg",
    "very much": PORT * 9,
}


@pytest.mark.parametrize("text", PORTS.values(), ids=PORTS.keys())
def test_an_infiniband_port_is_known_by_its_eui_64(text: str) -> None:
    assert hardware_address(text) == PORT
    assert mac_address(text) is None


@pytest.mark.parametrize("text", NO_PORTS.values(), ids=NO_PORTS.keys())
def test_what_no_port_has_is_no_hardware_address(text: str) -> None:
    assert hardware_address(text) is None


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_mac_address_is_a_hardware_address(text: str) -> None:
    assert hardware_address(text) == MAC


@given(st.integers(1, 2**48 - 1).filter(lambda value: not value >> 40 & 1))
def test_all_spellings_of_an_address_are_one(value: int) -> None:
    bare = f"{value:012x}"
    pairs = [bare[at : at + 2] for at in range(0, 12, 2)]
    fours = [bare[at : at + 4] for at in range(0, 12, 4)]
    written = [
        bare.upper(),
        ":".join(pairs),
        "-".join(pairs).upper(),
        ".".join(fours),
        ":".join(f"{int(p, 16):x}" for p in pairs),
    ]
    assert {mac_address(text) for text in written} == {":".join(pairs)}


@given(st.text(max_size=40) | st.text("0123456789abcdefABCDEF:-. ", max_size=40))
def test_anything_is_none_or_in_the_one_form(text: str) -> None:
    found = mac_address(text)
    assert found is None or mac_address(found) == found
