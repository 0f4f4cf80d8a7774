"""Where logins go: a changed address, driver, credential or trust is seen in every view of a plan."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.field_types.bmc_access import BmcDefaults, BmcSpec, CredentialRef, TlsSpec
from reconciler.kinds.machine.machine_access import access_words_of
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.facts import ResourceFacts
from reconciler.model.plans.access import AccessChange
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.access_changes import access_changes, access_words
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.views.render.plans import plan_from_json, render_json, render_markdown, render_text
from tests.unit.planning_worlds import NOTHING, NOW, desired, resource

PIN = "sha256:" + "a" * 64
LATER = "sha256:" + "b" * 64
DEFAULTS = BmcDefaults(credential_ref=CredentialRef(env="BMC"), tls=TlsSpec(fingerprint=PIN))


def test_a_kind_that_is_no_machine_shows_where_its_logins_go_too() -> None:
    """Its endpoint is in a field of another name, and what has no words of its own is shown by its path."""
    way = {"spec.controller.driver": "sas", "spec.controller.tls.insecure": "true", "spec.controller.bus": "pcie"}
    changes = tuple(
        AccessChange(ResourceKey("Shelf", name), {}, {"spec.controller.address": f"{name}.lab", **way})
        for name in ("s1", "s2")
    )
    many = render_text(msgspec.structs.replace(NOTHING, access=changes))
    assert "+ Shelf s[1-2]  (2)  sas, any certificate (insecure), spec.controller.bus pcie" in many
    assert "s[1-2].lab" in many
    one = render_text(msgspec.structs.replace(NOTHING, access=changes[:1]))
    assert "+ Shelf s1  s1.lab, sas, any certificate (insecure), spec.controller.bus pcie" in one


def fleet(defaults: BmcDefaults | None = DEFAULTS, /, **machines: Any) -> DesiredState:
    """Machines of one partition: name to what their `bmc` says beside the address."""
    made = [
        resource("Machine", name, MachineSpec(partition="p", bmc=BmcSpec(**{"address": f"{name}.bmc", **said})))
        for name, said in machines.items()
    ]
    return desired(resource("Partition", "p", PartitionSpec(bmc=defaults)), *made)


def remembered(state: DesiredState) -> dict[ResourceKey, ResourceFacts]:
    """What the store knows when the state is in force."""
    return with_changes({}, carried_over(state, {}, NOW))


def plan_of(before: DesiredState | None, after: DesiredState) -> Plan:
    changes = access_changes(after, remembered(before) if before else {})
    scope = msgspec.structs.replace(NOTHING.scope, total_fleet={"Machine": len(after.of_kind("Machine"))})
    return msgspec.structs.replace(NOTHING, access=changes, scope=scope)


MOVED = {
    "address": (fleet(m1={}), fleet(m1={"address": "evil.example"}), "spec.bmc.address: m1.bmc -> evil.example"),
    "driver": (fleet(m1={}), fleet(m1={"driver": "other"}), "spec.bmc.driver: redfish -> other"),
    "an option of the driver": (
        fleet(m1={}),
        fleet(m1={"options": {"port": 7}}),
        'spec.bmc.options: (none) -> {"port":7}',
    ),
    "an option, inherited": (
        fleet(BmcDefaults(options={"port": 7}), m1={}),
        fleet(BmcDefaults(options={"port": 8}), m1={}),
        'spec.bmc.options: {"port":7} -> {"port":8}',
    ),
    "system": (fleet(m1={}), fleet(m1={"system_id": "2"}), "spec.bmc.systemId: (none) -> 2"),
    "credential": (
        fleet(m1={}),
        fleet(m1={"credential_ref": CredentialRef(env="DATABASE_URL")}),
        "spec.bmc.credentialRef: env BMC -> env DATABASE_URL",
    ),
    "credential, inherited": (
        fleet(m1={}),
        fleet(BmcDefaults(credential_ref=CredentialRef(file="x"), tls=DEFAULTS.tls), m1={}),
        "spec.bmc.credentialRef: env BMC -> file x",
    ),
    "pin": (
        fleet(m1={}),
        fleet(m1={"tls": TlsSpec(fingerprint=LATER)}),
        f"spec.bmc.tls.fingerprint: {PIN} -> {LATER}",
    ),
    "pin, inherited": (
        fleet(m1={}),
        fleet(BmcDefaults(credential_ref=DEFAULTS.credential_ref), m1={}),
        f"spec.bmc.tls.fingerprint: {PIN} -> (none)",
    ),
    "authority": (fleet(None, m1={}), fleet(None, m1={"tls": TlsSpec(ca_file="x.pem")}), "caFile: (none) -> x.pem"),
    "insecure": (fleet(None, m1={}), fleet(None, m1={"tls": TlsSpec(insecure=True)}), "insecure: (none) -> true"),
}


@pytest.mark.parametrize(("before", "after", "told"), MOVED.values(), ids=MOVED)
def test_each_part_of_the_way_in_is_seen_in_every_view(before: DesiredState, after: DesiredState, told: str) -> None:
    plan = plan_of(before, after)
    assert told in access_words(plan.access[0])
    for view in (render_text(plan), render_text(plan, full=True), render_markdown(plan)):
        assert told in view
        assert "Changed access: after apply, logins are sent to these addresses (1)" in view
    assert plan_from_json(render_json(plan).encode()) == plan
    [form] = json.loads(render_json(plan))["access"]
    assert form["key"] == {"kind": "Machine", "name": "m1"}
    assert form["before"] != form["after"]


@pytest.mark.parametrize(("before", "after", "told"), MOVED.values(), ids=MOVED)
def test_a_changed_way_is_a_change_though_nothing_is_to_be_done(
    before: DesiredState, after: DesiredState, told: str
) -> None:
    plan = plan_of(before, after)
    assert plan.exit_code == 2
    assert render_text(plan).endswith("Changed access: 1 machine.")
    assert "logins would be sent to other addresses" in render_markdown(plan).splitlines()[1]


def test_nothing_is_seen_of_what_is_in_force() -> None:
    state = fleet(m1={}, m2={"driver": "fake"})
    assert access_changes(state, remembered(state)) == ()
    assert carried_over(state, remembered(state), NOW) == {}


def test_a_machine_that_is_new_is_seen_with_its_way_in() -> None:
    plan = plan_of(fleet(m1={}), fleet(m1={}, m2={}))
    assert [one.key.name for one in plan.access] == ["m2"]
    assert plan.access[0].is_new
    assert plan.exit_code == 0
    said = "  + Machine m2  m2.bmc, redfish, credential env BMC, pinned to "
    assert f"{said}{PIN[:19]}..." in render_text(plan).splitlines()
    assert f"{said}{PIN}" in render_text(plan, full=True).splitlines()


def test_a_first_plan_has_a_line_for_each_machine_that_is_like_no_other() -> None:
    """Whatever its pin is; it said so in six lines each."""
    plan = plan_of(None, fleet(m1={}, m2={"driver": "other"}, m3={"tls": TlsSpec(insecure=True)}))
    lines = render_text(plan).splitlines()
    at = lines.index("Changed access: after apply, logins are sent to these addresses (3)")
    assert lines[at + 1].startswith("  This store records no earlier logins")
    assert [line.partition("  ")[2].split("  ")[0] for line in lines[at + 2 : at + 5]] == [
        "+ Machine m1",
        "+ Machine m2",
        "+ Machine m3",
    ]
    assert lines[at + 4].endswith("m3.bmc, redfish, credential env BMC, any certificate (insecure)")


def test_what_is_new_beside_what_is_known_needs_no_note() -> None:
    assert "This store records no earlier logins" not in render_text(plan_of(fleet(m1={}), fleet(m1={}, m2={})))


def test_hundreds_that_are_alike_are_summed_up_and_an_odd_one_stands_by_itself() -> None:
    """By network and domain; each has a pin of its own, and all of it is in the JSON form."""
    hosts = [f"https://10.{n % 3}.0.{n * 7 % 250}" for n in range(1, 200)] + [
        f"{'x' * n}.bmc.lab" for n in range(1, 99)
    ]
    odd = ("https://10.9.9.9", "https://10.0.0.9:8443", "http://10.0.0.8", "x.bmc.evil", "[fd00::1]", "alone")
    machines: dict[str, Any] = {
        f"m{n:03}": {"address": host, "tls": TlsSpec(fingerprint=f"sha256:{n:064}")}
        for n, host in enumerate([*hosts, *odd])
    }
    plan = plan_of(None, fleet(**machines))
    text = render_text(plan)
    assert len(text.splitlines()) < 20
    for said in ("https://10.1.0.0/24 (67)", "*.bmc.lab (98)", "certificate pinned", *odd):
        assert said in text
    assert json.dumps(json.loads(render_json(plan))["access"]).count("sha256:") == len(machines)


def test_a_machine_under_another_name_is_seen_only_when_its_way_in_is_another() -> None:
    before = fleet(m1={"address": "a.bmc"})
    assert access_changes(fleet(n1={"address": "a.bmc"}), remembered(before)) == ()
    [moved] = access_changes(fleet(n1={"address": "a.bmc", "driver": "other"}), remembered(before))
    assert access_words(moved) == "spec.bmc.driver: redfish -> other"


def test_new_machines_stand_together_and_none_of_their_addresses_is_left_out() -> None:
    """One address among forty must not hide."""
    several = {f"m{n:02}": {"address": f"https://10.1.0.{n}"} for n in range(10, 50)}
    text = render_text(plan_of(None, fleet(**several, odd={"address": "https://evil.example"})))
    assert text.count("  + Machine") == 1
    assert "https://10.1.0.[10-49]" in text
    assert "https://evil.example" in text


def test_machines_that_are_moved_together_stand_together() -> None:
    names: dict[str, Any] = {f"m{n}": {} for n in range(1, 6)}
    other = BmcDefaults(credential_ref=CredentialRef(env="OTHER"), tls=DEFAULTS.tls)
    text = render_text(plan_of(fleet(**names), fleet(other, **names)))
    assert "  ~ Machine m[1-5]  (5)\n      spec.bmc.credentialRef: env BMC -> env OTHER\n" in text


def test_a_comment_that_has_to_be_cut_keeps_what_is_moved() -> None:
    """Thousands of new machines must not push a moved one out of what a reviewer sees."""
    new: dict[str, Any] = {f"{'x' * (n % 40)}{n}y{n * 7919 % 4001}": {} for n in range(4000)}
    after = fleet(**new, m1={"address": "evil.example"})
    text = render_markdown(plan_of(fleet(m1={}), after), limit=20_000)
    assert len(text) <= 20_000
    assert "spec.bmc.address: m1.bmc -> evil.example" in text


def test_what_a_command_is_given_is_not_shown_and_its_change_is_seen() -> None:
    old, new = (
        access_words_of(
            MachineSpec(partition="p", bmc=BmcSpec(address="a", credential_ref=CredentialRef(exec=args))), fleet()
        )
        for args in (("op", "--token", "hunter2"), ("op", "--token", "hunter3"))
    )
    assert "hunter" not in str(old) + str(new)
    assert old != new


def test_a_login_in_an_address_is_not_shown() -> None:
    way = access_words_of(MachineSpec(partition="p", bmc=BmcSpec(address="https://root:hunter2@a.example")), fleet())
    assert "hunter2" not in str(way)


def test_control_characters_reach_no_terminal() -> None:
    change = AccessChange(ResourceKey("Machine", "m"), {}, {"spec.bmc.address": "a\x1b[2J"})
    assert "\x1b" not in render_text(msgspec.structs.replace(NOTHING, access=(change,)))
