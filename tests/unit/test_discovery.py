"""What is looked through, and the documents of what was found: valid, unique, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import FoundBmc, Inventory, Nic, SystemState, Tls
from reconciler.desired.load import load_state
from reconciler.desired.manifest.manifests import dump_yaml
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.access.access_rules import Access
from reconciler.observed import address_scan
from reconciler.observed.address_scan import paced, trust
from reconciler.onboarding import discovery
from reconciler.onboarding.dhcp_leases import Lease, read_leases
from reconciler.onboarding.discovery import Declared, FoundSystem, parse_scan_range, partition_of, propose
from tests.unit.desired_worlds import PARTITION, MemorySnapshot
from tests.unit.planning_worlds import resource

NOBODY = Declared({}, {}, {}, frozenset())


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.0/31", ["10.0.0.0", "10.0.0.1"]),
        ("10.0.0.7", ["10.0.0.7"]),
        ("10.0.0.7:8443", ["10.0.0.7:8443"]),
        ("10.0.0.254-10.0.1.1", ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        ("2001:db8::/127", ["[2001:db8::]", "[2001:db8::1]"]),
        ("[2001:db8::7]:8443", ["[2001:db8::7]:8443"]),
        ("2001:db8::7", ["[2001:db8::7]"]),
    ],
)
def test_a_range_is_its_addresses(text: str, hosts: list[str]) -> None:
    found = parse_scan_range(text)
    assert list(found.hosts()) == hosts
    assert found.size == len(hosts)


@pytest.mark.parametrize(
    "text", ["", "host", "10.0.0.1/24", "10.0.0.9-10.0.0.1", "10.0.0.1:0", "10.0.0.1-::1", "10.0.0.1:99999"]
)
def test_what_is_no_range_is_refused_with_what_is_possible(text: str) -> None:
    with pytest.raises(ValueError, match="write a prefix, a range a-b or address:port"):
        parse_scan_range(text)


def test_a_whole_ipv6_network_is_counted_without_going_through_it() -> None:
    assert parse_scan_range("2001:db8::/64").size == 1 << 64


@pytest.mark.parametrize(
    ("address", "networks", "name"),
    [
        ("10.1.0.1", {"a": ["10.1.0.0/16"], "b": ["10.2.0.0/16"]}, "a"),
        ("10.1.0.1", {"a": ["10.0.0.0/8"], "b": ["10.1.0.0/16"]}, "b"),
        ("10.9.0.1", {"a": ["10.1.0.0/16"], "b": []}, None),
        ("10.9.0.1", {"a": ["10.1.0.0/16"]}, "a"),
        ("10.1.0.20", {"a": ["10.1.0.0/16"], "b": ["10.1.0.10-10.1.0.50"]}, "b"),
        ("[2001:db8::1]", {"a": ["2001:db8::/32"], "b": ["10.0.0.0/8"]}, "a"),
    ],
)
def test_the_partition_is_the_narrowest_around_the_address_or_the_only_one(
    address: str, networks: dict[str, list[str]], name: str | None
) -> None:
    every = [resource("Partition", n, PartitionSpec(bmc_networks=tuple(nets))) for n, nets in networks.items()]
    assert partition_of(address, every) == name


def found(n: int = 1, nics: tuple[str, ...] = (), system_id: str | None = None, **state: Any) -> FoundSystem:
    inventory = Inventory(nics=tuple(Nic(f"eth{at}", mac) for at, mac in enumerate(nics)))
    return FoundSystem(f"https://10.0.0.{n}", "p1", SystemState(**state), inventory, system_id)


@pytest.mark.parametrize(
    ("system", "taken", "name"),
    [
        (found(serial="CNIVC0014M0388", uuid="AB-1"), (), "cnivc0014m0388"),
        (found(serial="S/N 12_3 ", uuid="AB-1"), (), "s-n-12-3"),
        (found(uuid="4C4C4544-0035"), (), "4c4c4544-0035"),
        (found(serial="ÄÖ", uuid=None), (), "bmc-10.0.0.1"),
        (found(system_id="Node0"), (), "bmc-10.0.0.1-node0"),
        (found(serial="S1", uuid="AB-1"), ("s1",), "ab-1"),
        (found(serial="S1"), ("s1",), "bmc-10.0.0.1"),
        (found(serial="S1"), ("s1", "bmc-10.0.0.1"), "s1-2"),
    ],
)
def test_a_machine_is_called_by_its_serial_number_or_else_its_uuid_or_else_its_place(
    system: FoundSystem, taken: tuple[str, ...], name: str
) -> None:
    proposals, _ = propose([system], msgspec.structs.replace(NOBODY, names=frozenset(taken)))
    assert [one.name for one in proposals] == [name]


def test_systems_that_share_a_serial_number_are_told_apart_by_their_id() -> None:
    blades = [found(serial="CH1", uuid=f"u-{n}", system_id=f"Node{n}") for n in range(2)]
    assert [one.name for one in propose(blades, NOBODY)[0]] == ["ch1-node0", "ch1-node1"]


def test_a_system_that_is_declared_elsewhere_or_was_found_twice_is_skipped_by_its_uuid() -> None:
    known = msgspec.structs.replace(NOBODY, uuids={"u-1": "r1-01"})
    proposals, skipped = propose([found(uuid="U-1"), found(2, uuid="u-2"), found(3, uuid="u-2")], known)
    assert [one.name for one in proposals] == ["u-2"]
    assert [one.why for one in skipped] == [
        "Machine/r1-01 has the same UUID u-1",
        "Machine/u-2 has the same UUID u-2",
    ]


def test_a_uuid_is_known_with_its_first_fields_either_way_round() -> None:
    """metal-stack/go-hal#57."""
    one, turned = "005cb4e7-0989-eb11-8000-7cc255106afe", "e7b45c00-8909-11eb-8000-7cc255106afe"
    proposals, skipped = propose([found(uuid=turned)], msgspec.structs.replace(NOBODY, uuids={one: "r1-01"}))
    assert not proposals
    assert [one.why for one in skipped] == [f"Machine/r1-01 has the same UUID {turned}"]


def test_a_mac_address_that_another_machine_has_is_left_out_and_told() -> None:
    one, two = "52:54:00:00:00:01", "52:54:00:00:00:02"
    (first, second), _ = propose([found(1, (one, one), serial="a"), found(2, (one, two), serial="b")], NOBODY)
    assert (first.document["spec"]["macs"], second.document["spec"]["macs"]) == ([one], [two])
    assert second.notes == (f"MAC address {one} is left out: Machine/a has the same MAC address",)


def test_where_the_bmc_does_not_say_who_made_the_machine_its_network_cards_do() -> None:
    cards = ("3c:ec:ef:00:00:01", "52:54:00:00:00:01")
    (silent, named), _ = propose([found(1, cards, serial="a"), found(2, cards[1:], serial="b", model="X12")], NOBODY)
    assert silent.notes == ("the BMC reports no manufacturer; the network cards are from Super Micro Computer, Inc.",)
    assert not any("network cards" in note for note in named.notes)


texts = st.one_of(
    st.none(),
    st.text(max_size=300),
    st.sampled_from(["1e5", "0123", "on", "null", "12:30", "- x", "#", "&a", "2026-01-01"]),
)
macs = st.sampled_from(["52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"])
systems = st.builds(
    lambda n, nics, system_id, serial, uuid, model: found(
        n, tuple(nics), f"s{system_id}{n}", serial=serial, uuid=uuid, model=model
    ),
    st.integers(1, 5),
    st.lists(macs, max_size=3),
    st.integers(0, 99),
    texts,
    texts,
    texts,
)


@given(st.lists(systems, max_size=4, unique_by=lambda one: (one.address, one.system_id)))
def test_whatever_bmcs_say_the_documents_are_valid_together(everything: list[FoundSystem]) -> None:
    proposals, _ = propose(everything, NOBODY)
    files = {f"{one.name}.yaml": dump_yaml(one.document) for one in proposals}
    loaded = load_state(MemorySnapshot({"places/p.yaml": PARTITION, **files}))
    assert loaded.diagnostics == ()
    assert loaded.resources == len(proposals) + 1


# -- trust ----------------------------------------------------------------------------------------------------------

PIN = "sha256:" + "0" * 64
WAY = Access("redfish", "https://10.0.0.1", None, Tls(), None)


@pytest.mark.parametrize(
    ("sure", "trusted", "is_declared", "tls", "document"),
    [
        (True, True, False, Tls(), None),
        (False, True, False, Tls(), None),
        (True, False, False, Tls(fingerprint=PIN), {"fingerprint": PIN}),
        (False, False, False, None, None),
        (True, False, True, None, None),
    ],
)
def test_a_login_is_sent_only_to_what_is_trusted_or_can_be_pinned(
    sure: bool, trusted: bool, is_declared: bool, tls: Tls | None, document: dict[str, str] | None
) -> None:
    made = trust(FoundBmc("https://10.0.0.1", sure, trusted, PIN), WAY, is_declared=is_declared)
    assert (made.refused is None) is (tls is not None)
    if tls is not None:
        assert (made.tls, made.document) == (tls, document)


# -- pace -----------------------------------------------------------------------------------------------------------


def test_so_many_are_begun_a_second_and_all_come_back() -> None:
    clock = [0.0]
    begun: list[float] = []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def work(one: int) -> int:
        begun.append(clock[0])
        return 2 * one

    results = dict(paced(work, iter(range(10)), 5, 1, lambda: clock[0], sleep))
    assert results == {n: 2 * n for n in range(10)}
    assert begun == pytest.approx([n / 5 for n in range(10)])


def test_work_that_hangs_gives_up_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the BMCs hangs: the others are through before the first of those is."""
    monkeypatch.setattr(address_scan, "LATE_SECONDS", 0.05)
    others_are_through = threading.Event()
    left = set(range(30)) - set(range(0, 30, 3))

    def work(number: int) -> bool:
        if number % 3 == 0:
            return others_are_through.wait(20)
        left.discard(number)
        if not left:
            others_are_through.set()
        return True

    results = dict(paced(work, iter(range(30)), 10_000, 2))
    assert len(results) == 30
    assert all(results.values())


# -- leases ---------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AT = int(NOW.timestamp())

DNSMASQ = f"""{AT + 60} 52:54:00:00:00:01 10.0.0.7 bmc-1 01:52:54:00:00:00:01
{AT - 60} 52:54:00:00:00:02 10.0.0.8 * *
what is this
0 52:54:00:00:00:03 10.0.0.9 * *
{AT + 60} 52:54:00:00:00:04 10.0.0.300 x *
duid 00:01:00:01
{AT + 60} 1234 2001:db8::7 * 00:01
"""
KEA = f"""address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
10.0.0.7,52:54:00:00:00:01,,3600,{AT + 60},1,0,0,bmc-1,0,,0
10.0.0.8,52:54:00:00:00:02,,3600,{AT + 60},1,0,0,,0,,0
10.0.0.8,52:54:00:00:00:02,,0,{AT + 60},1,0,0,,0,,0
10.0.0.9,52:54:00:00:00:03,,3600,{AT - 60},1,0,0,,0,,0
10.0.0.10,52:54:00:00:00:04,,3600,{AT + 60},1,0,0,,1,,0
nonsense,,,x
10.0.0.11
"""


def test_dnsmasq_s_leases_are_read_and_what_makes_no_sense_is_told_by_its_line() -> None:
    read = read_leases(DNSMASQ, NOW)
    assert read.found == (
        Lease("10.0.0.7", "52:54:00:00:00:01", "bmc-1"),
        Lease("10.0.0.9", "52:54:00:00:00:03"),
        Lease("2001:db8::7"),
    )
    assert (read.expired, [line for line, _ in read.problems]) == (1, [3, 5])


def test_kea_s_leases_are_read_the_last_row_of_an_address_counting() -> None:
    read = read_leases(KEA, NOW)
    assert read.found == (Lease("10.0.0.7", "52:54:00:00:00:01", "bmc-1"),)
    assert (read.expired, [line for line, _ in read.problems]) == (3, [7, 8])


@given(st.text(max_size=200) | st.text(alphabet='0123456789:. ,\n\r\x00"address', max_size=200))
def test_a_file_of_garbage_is_no_error(text: str) -> None:
    read_leases(text, NOW)
    read_leases(f"address,hwaddr\n{text}", NOW)


def test_a_system_that_no_document_can_be_made_of_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made = discovery.document

    def document(name: str, one: FoundSystem, macs: Sequence[str]) -> dict[str, Any]:
        if one.state.serial == "odd":
            raise OverflowError("odd")
        return made(name, one, macs)

    monkeypatch.setattr(discovery, "document", document)
    proposals, skipped = propose([found(1, serial="a"), found(2, serial="odd"), found(3, serial="c")], NOBODY)
    assert [one.name for one in proposals] == ["a", "c"]
    assert "no document can be made for this system because of a bug in groundstate" in skipped[0].why


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%\x1b[2J", "fe80::1%25"])
def test_a_lease_behind_an_interface_of_the_server_is_left_out_in_words(address: str) -> None:
    """It ended `discover` with a traceback."""
    text = f"1900000000 1 {address} host *\n1900000000 52:54:00:00:00:01 10.0.0.1 host *\n"
    found = read_leases(text, datetime(2026, 3, 1, tzinfo=UTC))
    assert [one.address for one in found.found] == ["10.0.0.1"]
    assert "is not an address" in found.problems[0][1]


LEASED = {
    "1900000000 52-54-00-AB-CD-EF 10.0.0.7 bmc *": "52:54:00:ab:cd:ef",
    # The hardware type of InfiniBand, and an address of 20 bytes.
    "1900000000 20-80:00:00:48:fe:80:00:00:00:00:00:00:52:54:00:ff:fe:ab:cd:ef 10.0.0.7 ib0 *": "",
    "1900000000 1234567 2001:db8::7 bmc 00:01": "",
}


@pytest.mark.parametrize(("line", "mac"), LEASED.items())
def test_a_lease_s_mac_is_in_the_one_form_or_empty(line: str, mac: str) -> None:
    assert [one.mac for one in read_leases(line, NOW).found] == [mac]
