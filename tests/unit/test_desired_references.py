"""Rules between documents."""

from __future__ import annotations

import pytest

from reconciler.desired.load import load_state
from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.bmc_access import same_bmc
from reconciler.kinds.common.field_types.reference_fields import reference_fields
from tests.unit.desired_worlds import HEAD, PARTITION, TENANT, MemorySnapshot, address, machine, network


def said(*documents: str) -> list[str]:
    """`file:line:column code: summary` for documents that stand in a.yaml, b.yaml and so on."""
    files = {f"{chr(ord('a') + index)}.yaml": text for index, text in enumerate(documents)}
    return [f"{d.source} {d.code}: {d.summary}" for d in load_state(MemorySnapshot(files)).diagnostics]


def size(name: str) -> str:
    constraints = "{type: cores, min: 1, max: 8}, {type: memory, min: 1Gi, max: 8Gi}"
    return f"{HEAD}kind: Size\nmetadata: {{name: {name}}}\nspec:\n  constraints: [{constraints}]\n"


def test_the_fields_that_refer_to_others_are_found_in_the_types() -> None:
    found = {kind: {field: target for _, field, target in reference_fields(KINDS[kind].spec_type)} for kind in KINDS}
    assert found == {
        "Tenant": {},
        "Project": {"tenant": "Tenant"},
        "Partition": {},
        "EventSink": {},
        "Size": {},
        "Aggregate": {},
        "Guard": {},
        "Image": {},
        "Pool": {"partition": "Partition"},
        "Network": {"parent": "Network", "partition": "Partition", "project": "Project"},
        "Number": {"pool": "Pool", "project": "Project"},
        "IPAddress": {"network": "Network", "project": "Project"},
        "SizeReservation": {"size": "Size", "project": "Project", "partitions": "Partition"},
        "Machine": {"partition": "Partition", "size": "Size", "project": "Project"},
        "Switch": {"partition": "Partition", "asnNumber": "Number", "ports.machine": "Machine"},
        "MachineClaim": {
            "project": "Project",
            "partitions": "Partition",
            "size": "Size",
            "machines": "Machine",
            "without": "Machine",
            "networks.network": "Network",
        },
    }


def test_a_fleet_in_order_has_nothing_said_about_it() -> None:
    assert said(PARTITION, machine("m1"), machine("m2"), network("n", "cidr: 10.0.0.0/24"), address("i", "n", "")) == []


def test_a_dangling_reference_is_placed_and_the_nearest_name_suggested() -> None:
    (found,) = load_state(MemorySnapshot({"a.yaml": PARTITION, "m.yaml": machine("m1", partition="p11")})).diagnostics
    assert str(found.source) == "m.yaml:6:14"
    assert (found.code, found.summary, found.hint) == (
        "dangling-reference",
        "Partition 'p11' is not declared",
        "did you mean p1?",
    )
    assert found.snippet == "  partition: p11"


def test_a_target_that_is_gone_is_told_once_with_all_who_name_it() -> None:
    files = {f"m{n:02d}.yaml": machine(f"m{n:02d}", partition="gone") for n in range(12)}
    (found,) = load_state(MemorySnapshot(files)).diagnostics
    places = ", ".join(f"Machine/m{n:02d} (m{n:02d}.yaml:1)" for n in range(10))
    assert str(found.source) == "m00.yaml:6:14"
    assert found.summary == "Partition 'gone' is not declared"
    assert found.detail == f"12 documents name it: {places} and 2 more"


def test_a_reference_in_a_list_is_placed_in_the_list() -> None:
    spec = "{size: c1, project: shop, amount: 1, partitions: [p1, p2]}"
    project = HEAD + "kind: Project\nmetadata: {name: shop}\nspec: {tenant: acme}\n"
    reserved = f"{HEAD}kind: SizeReservation\nmetadata: {{name: r}}\nspec: {spec}\n"
    assert said(PARTITION, TENANT, project, size("c1"), reserved) == [
        "e.yaml:4:61 dangling-reference: Partition 'p2' is not declared"
    ]


def test_what_a_broken_document_claims_is_not_dangling() -> None:
    broken = PARTITION.replace("spec: {}", "spec: {plaec: x}")
    assert said(broken, machine("m1")) == ["a.yaml:4:8 unknown-field: unknown field 'plaec' in spec"]


def test_beside_a_file_that_cannot_be_read_a_dangling_reference_says_so() -> None:
    found = load_state(MemorySnapshot({"a.yaml": "a: [", "m.yaml": machine("m1")})).diagnostics
    assert [d.code for d in found] == ["yaml-syntax", "dangling-reference"]
    assert found[1].detail == "the document may be in a.yaml, which could not be read"


def test_a_name_twice_names_both_places_and_nothing_that_follows_from_it() -> None:
    (found,) = load_state(
        MemorySnapshot({"a.yaml": PARTITION, "b.yaml": machine("m", "x"), "c.yaml": machine("m", "x")})
    ).diagnostics
    assert (str(found.source), found.code) == ("c.yaml:4:9", "duplicate-name")
    assert found.detail == "the other document is at b.yaml:1:1"


def test_one_name_may_be_of_two_kinds() -> None:
    assert said(PARTITION, TENANT.replace("acme", "p1")) == []


A, B, NONE = "    systemId: A\n", "    systemId: B\n", ""


@pytest.mark.parametrize(
    ("first", "second", "third", "refused"),
    [
        (A, B, None, []),
        (A, A, None, ["m2"]),
        (NONE, NONE, None, ["m2"]),
        (NONE, A, None, ["m2"]),
        (A, NONE, None, ["m2"]),
        (A, B, NONE, ["m3"]),
        (A, B, A, ["m3"]),
    ],
)
def test_one_bmc_has_each_system_once(first: str, second: str, third: str | None, refused: list[str]) -> None:
    systems = [system for system in (first, second, third) if system is not None]
    documents = [machine(f"m{n}", "bmc.example", system) for n, system in enumerate(systems, 1)]
    found = load_state(
        MemorySnapshot({f"m{n}.yaml": d for n, d in enumerate(documents, 1)} | {"p.yaml": PARTITION})
    ).diagnostics
    assert [d.source.file.removesuffix(".yaml") for d in found if d.source] == refused
    assert {d.code for d in found} <= {"duplicate-bmc"}


@pytest.mark.parametrize(
    "spellings",
    [
        ("bmc1", "https://bmc1", "BMC1", "bmc1:443", "https://BMC1:443/", "http://bmc1", "bmc1.", "https://u:p@bmc1/"),
        ("bmc1:8443", "https://BMC1.:08443/", "HTTPS://bmc1:8443"),
        ("10.1.0.3", "https://10.1.0.3/", "[::ffff:10.1.0.3]", "[::FFFF:0A01:0003]:443", "0x0a010003", "167837699"),
        ("[2001:db8::12]", "https://[2001:DB8:0:0::0012]:443/", "[2001:0db8:0000:0000:0000:0000:0000:0012]"),
        ("[fe80::1%eth0]:8443", "https://[FE80:0::1%25eth0]:8443/"),
        ("büro-bmc.example", "xn--bro-bmc-n2a.example", "BÜRO-BMC.example."),
    ],
)
def test_all_spellings_of_one_address_are_one_bmc(spellings: tuple[str, ...]) -> None:
    """RFC 3986 (case, port, path), RFC 4291 and RFC 5952 (IPv6), RFC 6874 (zone)."""
    assert {same_bmc(one) for one in spellings} == {same_bmc(spellings[0])}
    for number, spelled in enumerate(spellings[1:]):
        if "@" not in spelled:  # A login in an address is refused by itself.
            one, other = f'"{spellings[0]}"', f'"{spelled}"'
            found = said(PARTITION, machine("m1", one), machine(f"m2-{number}", other))
            assert [line.split()[1] for line in found] == ["duplicate-bmc:"]
            assert f"Machine/m1 has the same BMC, written {spellings[0]!r}" in found[0]


@pytest.mark.parametrize("other", ["bmc1:8443", "bmc10", "[2001:db8::1]", "10.1.0.3", "bmc1.example", "[fe80::1%eth0]"])
def test_other_addresses_are_others(other: str) -> None:
    assert same_bmc(other) != "bmc1"
    assert same_bmc("[fe80::1%eth0]") != same_bmc("[fe80::1%eth1]")


@pytest.mark.parametrize("spelled", ["52:54:00:AA:00:01", "52-54-00-AA-00-01", "5254.00aa.0001", "525400AA0001"])
def test_a_mac_belongs_to_one_machine_however_it_is_spelled(spelled: str) -> None:
    macs = f'  macs: ["{spelled}"]\n', '  macs: ["52:54:00:00:00:02", "52:54:00:aa:00:01"]\n'
    found = said(PARTITION, machine("m1", "a", macs[0]), machine("m2", "b", macs[1]))
    assert found == ["c.yaml:9:31 duplicate-mac: Machine/m1 also has the MAC address 52:54:00:aa:00:01"]


def test_a_mac_twice_in_one_machine_is_told_too() -> None:
    twice = '  macs: ["52:54:00:AA:00:01", "52:54:00:aa:00:01"]\n'
    assert [line.split()[1] for line in said(PARTITION, machine("m1", "a", twice))] == ["duplicate-mac:"]


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ("10.0.0.0/24", "10.0.1.0/24", False),
        ("10.0.0.0/24", "10.0.0.0/24", True),
        ("10.0.0.0/8", "10.9.0.0/16", True),
        ("10.9.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/24", "::/0", False),
        ("2001:db8::/32", "2001:db8:1::/48", True),
        ("0.0.0.0/0", "255.255.255.255/32", True),
    ],
)
def test_prefixes_are_disjoint_within_and_between_networks(first: str, second: str, overlap: bool) -> None:
    between = said(network("n1", f"cidr: '{first}'"), network("n2", f"cidr: '{second}'"))
    within = said(network("n1", f"cidr: '{first}'", f"cidr: '{second}'"))
    expected = ["overlapping-prefixes:"] if overlap else []
    assert [line.split()[1] for line in between] == expected
    assert [line.split()[1] for line in within] == expected


def test_overlap_behind_a_prefix_that_lies_in_between_is_found() -> None:
    found = said(
        network("wide", "cidr: 10.0.0.0/8"), network("in", "cidr: 10.1.0.0/16"), network("late", "cidr: 10.9.0.0/16")
    )
    assert found == [
        "b.yaml:6:14 overlapping-prefixes: 10.1.0.0/16 overlaps 10.0.0.0/8 of Network/wide",
        "c.yaml:6:14 overlapping-prefixes: 10.9.0.0/16 overlaps 10.0.0.0/8 of Network/wide",
    ]


def test_gateway_and_what_is_reserved_lie_in_their_prefix() -> None:
    found = said(network("n", "cidr: 10.0.0.0/24, gateway: 10.0.1.1, reserved: [10.0.0.9, 10.0.0.250-10.0.1.5]"))
    assert found == [
        "a.yaml:6:36 outside-prefix: the gateway 10.0.1.1 is not in 10.0.0.0/24",
        "a.yaml:6:67 outside-prefix: 10.0.0.250-10.0.1.5 is not in 10.0.0.0/24",
    ]


NETWORK = network(
    "n",
    "cidr: 10.0.0.0/24, gateway: 10.0.0.1, reserved: [10.0.0.2, 10.0.0.16/28, 10.0.0.50-10.0.0.59]",
    "cidr: 10.0.1.0/31",
    "cidr: '2001:db8::/64'",
    "cidr: '2001:db8:1::/127'",
)


@pytest.mark.parametrize(
    ("wanted", "code", "why"),
    [
        ("10.0.0.3", "", ""),
        ("10.0.0.60", "", ""),
        ("10.0.1.0", "", ""),
        ("10.0.1.1", "", ""),
        ("2001:db8::1", "", ""),
        ("2001:db8::ffff:ffff:ffff:ffff", "", ""),
        ("2001:db8:1::", "", ""),
        ("10.0.0.0", "reserved-address", "the network's own address"),
        ("10.0.0.255", "reserved-address", "the broadcast address"),
        ("10.0.0.1", "reserved-address", "the gateway"),
        ("10.0.0.2", "reserved-address", "reserved (10.0.0.2)"),
        ("10.0.0.31", "reserved-address", "reserved (10.0.0.16/28)"),
        ("10.0.0.55", "reserved-address", "reserved (10.0.0.50-10.0.0.59)"),
        ("2001:db8::", "reserved-address", "the subnet-router anycast address"),
        ("10.0.2.1", "outside-network", "at a.yaml:1:1"),
        ("2001:db9::1", "outside-network", "at a.yaml:1:1"),
    ],
)
def test_an_address_is_one_that_its_network_can_hand_out(wanted: str, code: str, why: str) -> None:
    found = load_state(
        MemorySnapshot({"a.yaml": NETWORK, "b.yaml": address("i", "n", f"address: '{wanted}'")})
    ).diagnostics
    assert [d.code for d in found] == ([code] if code else [])
    assert all(why in d.detail for d in found)


def test_a_family_is_one_that_the_network_has() -> None:
    only_four = network("n", "cidr: 10.0.0.0/24")
    assert said(only_four, address("i", "n", "family: IPv4")) == []
    assert said(only_four, address("i", "n", "family: IPv6")) == [
        "b.yaml:6:11 no-such-family: Network/n has no IPv6 prefix"
    ]


def test_an_address_is_asked_for_once() -> None:
    asked = "address: 10.0.0.7"
    found = said(network("n", "cidr: 10.0.0.0/24"), address("i", "n", asked), address("j", "n", asked))
    assert found == ["c.yaml:6:12 duplicate-address: 10.0.0.7 is already requested by IPAddress/i"]


def test_a_size_is_referred_to_by_name() -> None:
    assert said(PARTITION, size("c1"), machine("m", "a", "  size: c1\n")) == []
    assert len(said(PARTITION, size("c1"), machine("m", "a", "  size: c2\n"))) == 1


def test_a_machine_by_virtual_media_needs_a_partition_that_says_what_its_bmc_fetches() -> None:
    start = "lifecycle: {mode: Managed, startFrom: VirtualMedia}"
    document = machine("m1").rstrip("\n") + f"\n  {start}\n"
    [finding] = said(PARTITION, document)
    assert "start-from: Machine is set to boot from virtual media, but Partition/" in finding


class TestRenamedFrom:
    """hashicorp/terraform#18347: who says what a document was called before."""

    @staticmethod
    def web(name: str, before: str) -> str:
        return address(name, "n", f"renamedFrom: {before}")

    @pytest.mark.parametrize("before", ["old", "[old]", "[older, old]"])
    def test_a_name_that_is_gone_may_be_named_alone_or_in_a_list(self, before: str) -> None:
        assert said(network("n", "cidr: 10.0.0.0/24"), self.web("new", before)) == []

    @pytest.mark.parametrize(
        ("documents", "summary"),
        [
            ((("new", "new"),), "IPAddress/new names itself in spec.renamedFrom"),
            (
                (("new", "old"), ("old", "[]")),
                "IPAddress/new names IPAddress/old in spec.renamedFrom, but IPAddress/old is still declared",
            ),
            ((("a", "old"), ("b", "[older, old]")), "IPAddress/a also names IPAddress/old in spec.renamedFrom"),
        ],
    )
    def test_one_that_is_there_or_is_named_by_two_is_refused(
        self, documents: tuple[tuple[str, str], ...], summary: str
    ) -> None:
        found = said(network("n", "cidr: 10.0.0.0/24"), *(self.web(*one) for one in documents))
        assert [one.partition(" ")[2] for one in found] == [f"renamed-from: {summary}"]

    @pytest.mark.parametrize("before", ["'A b'", "[1]", "{a: b}", "7"])
    def test_what_is_no_name_is_refused_in_words(self, before: str) -> None:
        (found,) = said(network("n", "cidr: 10.0.0.0/24"), self.web("new", before))
        assert " schema: " not in found
