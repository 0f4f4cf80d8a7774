"""What `validate` says of a BMC's address, and of labels that no selector could name."""

from __future__ import annotations

import json

import pytest

from reconciler.desired.load import load_state
from reconciler.kinds.common.field_types.bmc_address import address_fault, can_be_one_host, canonical_address
from reconciler.kinds.common.field_types.label_selector import parse_selector
from tests.unit.desired_worlds import PARTITION, MemorySnapshot

HEAD = "apiVersion: groundstate/v1\nkind: Machine\n"


def codes_of_machine(address: str, labels: dict[str, str] | None = None) -> list[str]:
    """What is wrong with a machine that has this address and these labels."""
    metadata, bmc = json.dumps({"name": "m", "labels": labels or {}}), json.dumps({"address": address})
    document = f"{HEAD}metadata: {metadata}\nspec: {{partition: p1, bmc: {bmc}}}\n"
    return [one.code for one in load_state(MemorySnapshot({"p.yaml": PARTITION, "m.yaml": document})).diagnostics]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ipmi://bmc-1", "ipmi://"),
        ("redfish+https://10.1.0.3/redfish/v1/Systems/1", "redfish+https://"),
        ("idrac-virtualmedia://10.1.0.3", "idrac-virtualmedia://"),
        ("https://10.1.0.3/redfish/v1/", "/redfish/v1/ follows the host"),
        ("10.1.0.3/24", "/24 follows the host"),
        ("10.1.0.300", "not an IPv4 address"),
        ("10.1.0", "not an IPv4 address"),
        ("10.01.0.3", "not an IPv4 address"),
        ("https://10.1.0.3:99999", "99999 is not a port"),
        ("bmc-1:0", "0 is not a port"),
        ("bmc-1:http", "http is not a port"),
        ("https:/10.1.0.3", "is not a port"),
        ("fe80::1", "has no brackets"),
        ("fe80::1%eth0", "has no brackets"),
        ("[10.1.0.3]", "not an IPv6 address"),
        ("[fe80::1%]:443", "not an IPv6 address"),
        ("[::1", "neither a host nor"),
        ("https://", "has no host"),
    ],
)
def test_what_cannot_be_connected_to_is_said_when_the_document_is_read(address: str, said: str) -> None:
    """openshift/baremetal-operator#415: addresses with schemes and paths of other tools are frequent."""
    fault = address_fault(address)
    assert fault is not None
    what, hint = fault
    assert said in what
    assert hint
    assert codes_of_machine(address) == ["bmc-address"]


@pytest.mark.parametrize(
    "address",
    [
        *("bmc-1", "bmc_1.example.", "10.1.0.3", "10.1.0.3:8443", "https://bmc-1/", "http://[::1]:8000", "m1"),
        *("[2001:db8::12]", "https://[fe80::1%25eth0]:8443", "[fe80::1%eth0]", "büro-bmc", "999"),
    ],
)
def test_a_host_and_a_url_are_addresses(address: str) -> None:
    """RFC 6874 for the zone."""
    assert address_fault(address) is None
    assert codes_of_machine(address) == []


@pytest.mark.parametrize(
    "labels", [{"rack": "r 1"}, {"rack": "a,b"}, {"rack": "a=b"}, {"the rack": "r1"}, {"!rack": "r1"}]
)
def test_a_label_that_no_selector_could_name_is_malformed(labels: dict[str, str]) -> None:
    assert codes_of_machine("bmc-1", labels) == ["malformed-value"]


@pytest.mark.parametrize("labels", [{"rack": "r1"}, {"example.org/rack": "é-1_2.3/4:5"}, {"spare": ""}])
def test_a_label_that_a_selector_names_is_one(labels: dict[str, str]) -> None:
    assert codes_of_machine("bmc-1", labels) == []
    ((key, value),) = labels.items()
    assert all(one.accepts(labels) for one in parse_selector(f"{key}={value}"))


@pytest.mark.parametrize(
    ("one", "other", "can_be"),
    [
        ("bmc-1.example", "10.1.0.3", True),
        ("bmc-1.example", "https://10.1.0.3:443/", True),
        ("bmc-1", "bmc-1.example", True),
        ("10.1.0.3", "2001:db8::3", True),
        ("bmc-1:8443", "[2001:db8::3]:8443", True),
        ("10.1.0.3", "10.1.0.4", False),
        ("[2001:db8::3]", "[2001:db8::4]", False),
        ("10.1.0.3:8001", "10.1.0.3:8002", False),
        ("localhost:8001", "127.0.0.1:8002", False),
    ],
)
def test_two_addresses_can_lead_to_one_host(one: str, other: str, can_be: bool) -> None:
    assert can_be_one_host(one, other) is can_be
    assert can_be_one_host(other, one) is can_be


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("bmc-1.example", "bmc-1.example"),
        ("https://bmc-1.example/", "bmc-1.example"),
        ("10.1.0.3", "10.1.0.3"),
        ("http://10.1.0.3:80", "10.1.0.3"),
        ("10.1.0.3:443/", "10.1.0.3"),
        ("10.1.0.3:8443", "10.1.0.3:8443"),
        ("10.1.0.3:44301", "10.1.0.3:44301"),
        ("167837699", "10.1.0.3"),
        ("[2001:db8:0::3]:443", "[2001:db8::3]"),
        ("[::ffff:10.1.0.3]", "10.1.0.3"),
    ],
)
def test_all_spellings_of_an_address_have_one_form(address: str, canonical: str) -> None:
    """The usual spelling is read in another way than all others, with the same result."""
    assert canonical_address(address) == canonical
    assert canonical_address(f" {address.upper()} ") == canonical
