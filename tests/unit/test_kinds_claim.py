"""MachineClaim: its document, the addresses that it implies, and what is given back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drivers.base import About
from reconciler.desired.load import load_state
from reconciler.kinds.claim.claim_check import check_claim
from reconciler.kinds.claim.rules import ClaimRules
from reconciler.kinds.claim.spec import (
    ClaimedMachine,
    MachineClaimSpec,
    OfClaim,
    claim_of,
    display_key,
    lacking,
    of_claim,
    surplus,
)
from reconciler.kinds.common.field_types.fields import DeletionPolicy
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.rules.ipaddress_rules import IPAddressRules
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.ipam_actions import Release
from reconciler.model.actions.record_actions import Unclaim
from reconciler.model.facts import ResourceFacts
from reconciler.model.plans.plan import HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from tests.unit.desired_worlds import MemorySnapshot
from tests.unit.planning_worlds import NOW, desired, resource

WEB = ResourceKey("MachineClaim", "web")


def spec(**given: Any) -> MachineClaimSpec:
    return MachineClaimSpec(**{"project": "shop", "partitions": ("p",), "size": "c1", "image": "debian-12", **given})


def network(name: str, *addresses: str) -> dict[str, Any]:
    return {"network": name, "addresses": addresses}


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"size": None}, "claim-of-anything", "spec"),
        ({"machines": ("m1",), "count": 2}, "too-few-machines", "spec.machines"),
        ({"machines": ("m1", "m1")}, "named-twice", "spec.machines.1"),
        ({"partitions": ("p", "q", "p")}, "named-twice", "spec.partitions.2"),
        ({"networks": [network("a"), network("a")]}, "named-twice", "spec.networks.1.network"),
        ({"networks": [network("a", "10.0.0.1")], "count": 2}, "too-few-addresses", "spec.networks.0.addresses"),
        ({"hostname": "web-{number}"}, "hostname-words", "spec.hostname"),
        ({"hostname": "web-{slot"}, "hostname-words", "spec.hostname"),
        ({"hostname": "web", "count": 2}, "hostname-without-slot", "spec.hostname"),
        ({"hostname": f"{'x' * 61}-{{slot}}", "count": 11}, "hostname-too-long", "spec.hostname"),
        ({"hostname": f"{'x.' * 126}ab"}, "hostname-too-long", "spec.hostname"),
        ({"sshKeys": ["AAAAC3NzaC1lZDI1NTE5AAAAIExample ada"]}, "ssh-key", "spec.sshKeys.0"),
        ({"sshKeys": ["ssh-ed25519 AAAA a\nssh-ed25519 AAAA b"]}, "ssh-key", "spec.sshKeys.0"),
        ({"sshKeys": ["-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"]}, "ssh-key", "spec.sshKeys.0"),
        (
            {"tolerations": [{"key": "gpu", "operator": "Exists", "value": "a"}]},
            "toleration-value",
            "spec.tolerations.0.value",
        ),
    ],
)
def test_what_a_schema_cannot_say_is_said_at_its_place(given: dict[str, Any], code: str, path: str) -> None:
    base = {"project": "shop", "partitions": ["p"], "size": "c1", "image": "debian-12"}
    found = check_claim(resource("MachineClaim", "web", msgspec.convert({**base, **given}, MachineClaimSpec)))
    assert [(place.code, place.path) for place in found] == [(code, path)]


def test_a_claim_in_order_has_nothing_said_about_it() -> None:
    assert check_claim(resource("MachineClaim", "web", spec(count=3))) == []
    assert check_claim(resource("MachineClaim", "web", spec(hostname="web"))) == []
    assert check_claim(resource("MachineClaim", "web", spec(hostname=f"{'x' * 61}-{{slot}}", count=10))) == []


HELD = tuple(ClaimedMachine(slot, f"m{slot}") for slot in range(3))


@pytest.mark.parametrize(
    ("count", "machines", "without", "back"),
    [
        (3, (), (), []),
        (2, (), (), ["m2"]),
        (3, (), ("m1",), ["m1"]),
        (2, ("m1", "m2"), (), ["m0"]),
        (1, ("m1", "m2"), (), ["m0", "m2"]),
        (3, ("m9", "m1", "m2"), (), ["m0"]),
        (3, ("m9", "m8", "m7"), (), ["m0", "m1", "m2"]),
        (1, ("m0", "m1", "m2"), ("m0",), ["m0", "m2"]),
        (0, ("m0",), (), ["m0", "m1", "m2"]),
    ],
)
def test_what_is_not_named_goes_first_and_then_the_highest_slots(
    count: int, machines: tuple[str, ...], without: tuple[str, ...], back: list[str]
) -> None:
    """hashicorp/terraform#14275: of a list from which the first was taken, the last was given back."""
    claim = spec(count=count, machines=machines, without=without)
    assert [one.machine for one in surplus(claim, HELD)] == back


def test_open_slots_are_the_lowest_ones_beside_those_that_are_kept() -> None:
    assert lacking(3, HELD[:1]) == (1, 2)
    assert lacking(2, HELD[1:]) == ()
    assert lacking(3, HELD[1:]) == (0,)


@pytest.mark.parametrize(
    "key",
    [
        f"ssh-rsa {'A' * 716} ada@desk",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample",
        "ssh-ed25519  AAAAC3NzaC1lZDI1NTE5AAAAIExample\tada@example.org",
        'from="10.0.0.0/8",no-pty ecdsa-sha2-nistp521 AAAA== Ada of the desk\n',
        "sk-ssh-ed25519@openssh.com AAAA= key",
    ],
)
def test_public_keys_as_openssh_writes_them_are_taken(key: str) -> None:
    base = {"project": "shop", "partitions": ["p"], "size": "c1", "image": "debian-12", "sshKeys": [key]}
    assert check_claim(resource("MachineClaim", "web", msgspec.convert(base, MachineClaimSpec))) == []


def test_the_name_of_an_implied_address_says_what_it_is_for_and_no_document_can_have_it() -> None:
    meant = OfClaim("web.a-b", 12, "front.0", 6)
    key = ResourceKey.parse(f"IPAddress/{meant.name}")
    assert of_claim(key) == meant
    assert display_key(key) == "IPAddress/web.a-b:12:front.0:6 (MachineClaim/web.a-b, slot 12)"
    assert of_claim(ResourceKey("IPAddress", "web")) is None
    assert of_claim(ResourceKey("Machine", meant.name)) is None
    found = load_state(MemorySnapshot({"a.yaml": f"{HEAD}kind: IPAddress\nmetadata: {{name: '{meant.name}'}}\n"}))
    assert "malformed-value" in {one.code for one in found.diagnostics}


def test_the_claim_of_a_life() -> None:
    state = desired(resource("MachineClaim", "web", spec()))
    assert claim_of(state, LifecycleFacts(claim="web", slot=0)) is state.resources[WEB]
    assert claim_of(state, LifecycleFacts(claim="gone", slot=0)) is None
    assert claim_of(state, LifecycleFacts()) is None


# -- what is implied ---------------------------------------------------------------------------------------------------

HEAD = "apiVersion: groundstate/v1\n"
BASE = f"""{HEAD}kind: Partition
metadata: {{name: p}}
spec: {{}}
---
{HEAD}kind: Tenant
metadata: {{name: acme}}
spec: {{}}
---
{HEAD}kind: Project
metadata: {{name: shop}}
spec: {{tenant: acme}}
---
{HEAD}kind: Project
metadata: {{name: ware}}
spec: {{tenant: acme}}
---
{HEAD}kind: Image
metadata: {{name: debian-12.0.1}}
spec:
  os: debian
  version: "12.0.1"
  root: {{url: "https://images.example/x", checksum: "sha256:{"0" * 64}"}}
---
{HEAD}kind: Network
metadata: {{name: front}}
spec:
  project: shop
  prefixes: [{{cidr: 10.0.0.0/24, gateway: 10.0.0.1}}, {{cidr: "2001:db8::/64"}}]
---
{HEAD}kind: Network
metadata: {{name: back}}
spec: {{partition: p, prefixes: [{{cidr: 10.1.0.0/24}}]}}
---
{HEAD}kind: IPAddress
metadata: {{name: vip}}
spec: {{network: front, address: 10.0.0.9}}
"""


def document(count: int = 2, networks: str = "", **more: str) -> str:
    given = {"project": "shop", "partitions": "[p]", "selector": "{a: b}", "image": "debian-12", **more}
    lines = "".join(f"  {name}: {value}\n" for name, value in given.items())
    if networks:
        lines += f"  networks:{networks}\n"
    return f"{HEAD}kind: MachineClaim\nmetadata: {{name: web}}\nspec:\n  count: {count}\n{lines}"


def loaded(text: str) -> DesiredState:
    return load_state(MemorySnapshot({"base.yaml": BASE, "web.yaml": text})).raise_for_errors()


def said(text: str) -> list[str]:
    found = load_state(MemorySnapshot({"base.yaml": BASE, "web.yaml": text})).diagnostics
    return [f"{one.source} {one.code}: {one.summary}" for one in found]


def test_each_slot_has_an_address_of_each_family_of_each_network() -> None:
    state = loaded(document(2, "\n    - network: front\n    - network: back"))
    found = {key.name: one for key, one in state.resources.items() if of_claim(key)}
    assert sorted(found) == [
        *("web:0:back:4", "web:0:front:4", "web:0:front:6"),
        *("web:1:back:4", "web:1:front:4", "web:1:front:6"),
    ]
    one = found["web:1:front:6"]
    assert (one.spec.network, one.spec.family, one.spec.address, one.spec.project) == ("front", "IPv6", None, "shop")
    assert (one.spec.machine, one.spec.tags, one.spec.deletion_policy) == (None, (), DeletionPolicy.RELEASE)
    assert one.source == state.resources[WEB].source


def test_an_address_that_is_given_takes_the_place_of_a_free_one() -> None:
    state = loaded(document(2, "\n    - {network: front, addresses: [10.0.0.7, 10.0.0.8]}"))
    found = {key.name: one.spec for key, one in state.resources.items() if of_claim(key)}
    assert {name: one.address for name, one in found.items()} == {
        "web:0:front:4": "10.0.0.7",
        "web:1:front:4": "10.0.0.8",
        "web:0:front:6": None,
        "web:1:front:6": None,
    }


def test_a_smaller_claim_implies_fewer_and_none_without_networks() -> None:
    assert not [key for key in loaded(document(3)).resources if of_claim(key)]
    one = [key.name for key in loaded(document(1, "\n    - network: back")).resources if of_claim(key)]
    assert one == ["web:0:back:4"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            document(1, "\n    - network: bakc"),
            "web.yaml:11:16 dangling-reference: Network 'bakc' is not declared",
        ),
        (
            document(2, "\n    - {network: front, addresses: [10.0.0.7, 10.0.0.9]}"),
            "web.yaml:11:46 duplicate-address: 10.0.0.9 is already requested by IPAddress/vip",
        ),
        (
            document(1, "\n    - {network: front, addresses: [10.9.0.7]}"),
            "web.yaml:11:36 outside-network: 10.9.0.7 is not in Network/front",
        ),
        (
            document(1, "\n    - {network: front, addresses: [10.0.0.1]}"),
            "web.yaml:11:36 reserved-address: 10.0.0.1 is reserved and never allocated",
        ),
        (
            document(1, "\n    - {network: back, addresses: ['2001:db8::7']}"),
            "web.yaml:11:35 outside-network: 2001:db8::7 is not in Network/back",
        ),
        (
            document(3, "\n    - network: front", project="ware"),
            "web.yaml:11:16 other-project: Network/front is private to project shop",
        ),
        (document(1, image="debian-13"), "web.yaml:9:10 no-such-image: no declared Image matches debian-13"),
        (document(1, project="shpo"), "web.yaml:6:12 dangling-reference: Project 'shpo' is not declared"),
    ],
)
def test_what_is_wrong_with_it_is_said_once_at_the_claim(text: str, expected: str) -> None:
    assert said(text) == [expected]


def test_a_network_of_another_partition_is_of_no_use() -> None:
    other = f"---\n{HEAD}kind: Partition\nmetadata: {{name: q}}\nspec: {{}}\n"
    [found] = said(document(1, "\n    - network: back", partitions="[p, q]") + other)
    assert "other-partition: Network/back is in Partition/p, but spec.partitions also allows machines in q" in found


# -- what is given back ------------------------------------------------------------------------------------------------


def holding(*slots: int, leaving: tuple[int, ...] = ()) -> dict[ResourceKey, ResourceFacts]:
    return {
        ResourceKey("Machine", f"m{slot}"): MachineFacts(
            project="shop",
            lifecycle=LifecycleFacts(
                claim="web", slot=slot, claimed_at=NOW, releasing_at=NOW if slot in leaving else None
            ),
        )
        for slot in slots
    }


def look(key: ResourceKey, value: Any, remembered: dict[ResourceKey, ResourceFacts]) -> KindView:
    return KindView(key, value, remembered.get(key, ResourceFacts()), {}, remembered=remembered)


def test_fewer_machines_give_back_the_highest_slots() -> None:
    claim = resource("MachineClaim", "web", spec(count=2))
    here = look(WEB, None, holding(0, 1, 2, 3))
    fields = ClaimRules().fields(claim, here)
    [action] = ClaimRules().steps(claim, here, fields).actions
    assert isinstance(action, Unclaim)
    assert action.machines == ("m2", "m3")
    assert [(field.path, field.observed, field.desired) for field in fields if not field.equal] == [
        ("spec.count", 4, 2)
    ]


def test_what_is_on_its_way_back_is_not_given_back_again() -> None:
    claim = resource("MachineClaim", "web", spec(count=1))
    here = look(WEB, None, holding(0, 1, leaving=(1,)))
    assert all(field.equal for field in ClaimRules().fields(claim, here))


def test_a_claim_that_is_gone_gives_all_back_and_is_forgotten_when_they_are_free() -> None:
    rules = ClaimRules()
    all_there = rules.removal(look(WEB, None, holding(0, 1, 2, leaving=(1,))))
    assert [action.name for action in all_there.actions] == ["unclaim", "forget"]
    assert isinstance(all_there.actions[0], Unclaim)
    assert all_there.actions[0].machines == ("m0", "m2")
    on_their_way = rules.removal(look(WEB, None, holding(0, leaving=(0,))))
    assert [(hold.kind, hold.by) for hold in on_their_way.holds] == [(HoldKind.BLOCKED, "release")]
    assert [action.name for action in rules.removal(look(WEB, None, {})).actions] == ["forget"]


@pytest.mark.parametrize("stray", [False, True])
def test_an_address_stays_while_a_machine_is_in_its_slot(stray: bool) -> None:
    key, value = ResourceKey("IPAddress", "web:1:front:4"), AddressState("front", "10.0.0.7", About(ephemeral=True))
    facts = ResourceFacts(deletion_policy=DeletionPolicy.RELEASE)
    for remembered, blocked in ((holding(0, 1, leaving=(1,)), True), (holding(0), False)):
        here = KindView(key, value, facts, {}, remembered=remembered, stray=stray)
        steps = IPAddressRules().removal(here)
        assert [type(action) for action in steps.actions] == [Release, Forget]
        assert [hold.kind for hold in steps.holds] == ([HoldKind.BLOCKED] if blocked else [])
        if blocked:
            assert steps.holds[0].reason == "Machine/m1 still uses MachineClaim/web, slot 1"
