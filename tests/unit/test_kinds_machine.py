"""Machine: which Reset is chosen, what counts as equal, and what confirms an action."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drivers.base import BootOverride, IndicatorLED, PowerState, ResetType, SystemState, Tls
from reconciler.kinds.common.field_types.bmc_access import BmcDefaults
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.machine.rules.machine_rules import MachineRules
from reconciler.kinds.machine.spec import BootSpec, MachineSpec, access, check_machine, once_order
from reconciler.model.actions.action import Action
from reconciler.model.actions.bmc_actions import PowerOff, PowerOn, SetBoot, SetIndicator
from reconciler.model.facts import ResourceFacts
from reconciler.model.plans.plan import HoldKind
from reconciler.model.resource import Resource, ResourceKey
from tests.unit.planning_worlds import NOW, resource

RULES = MachineRules()
KEY = ResourceKey("Machine", "n1")
ONCE = {"target": "Pxe", "enabled": "Once"}


def document(**spec: Any) -> Resource[MachineSpec]:
    base = {"partition": "p", "bmc": {"address": "a"}, **spec}
    return resource("Machine", "n1", msgspec.convert(base, MachineSpec))


def look(facts: ResourceFacts = MachineFacts(), **state: Any) -> KindView:  # noqa: B008
    return KindView(KEY, msgspec.convert(state, SystemState), facts, {})


def steps(one: Resource[MachineSpec], at: KindView) -> tuple[list[Action], list[str]]:
    found = RULES.steps(one, at, RULES.fields(one, at))
    return list(found.actions), [hold.reason for hold in found.holds]


@pytest.mark.parametrize(
    ("allowed", "sent"),
    [
        (None, "On"),
        (["On", "ForceOn"], "On"),
        (["ForceOn", "PushPowerButton"], "ForceOn"),
        (["PushPowerButton"], "PushPowerButton"),
        (["ForceOff"], None),
        ([], None),
    ],
)
def test_the_reset_that_powers_on_is_one_that_the_bmc_offers(allowed: list[str] | None, sent: str | None) -> None:
    actions, reasons = steps(document(power="On"), look(power="Off", allowed_resets=allowed))
    assert [action.reset_type for action in actions if isinstance(action, PowerOn)] == ([sent] if sent else [])
    assert reasons == ([] if sent else ["the BMC offers no ResetType that powers on"])


@pytest.mark.parametrize(
    ("escalate", "ignored", "allowed", "sent", "reason"),
    [
        ("Never", False, None, "GracefulShutdown", None),
        ("Never", True, None, None, "the graceful shutdown was ignored"),
        ("Never", False, ["ForceOff"], None, "the BMC offers no graceful shutdown"),
        ("Never", False, ["On", "PushPowerButton"], "PushPowerButton", None),
        ("Never", True, ["On", "PushPowerButton"], None, "the graceful shutdown was ignored"),
        ("Force", False, ["PushPowerButton", "ForceOff"], "PushPowerButton", None),
        ("Force", True, ["PushPowerButton", "ForceOff"], "ForceOff", None),
        ("Force", True, ["PushPowerButton"], None, "the BMC offers no ResetType that powers off"),
        ("Force", False, None, "GracefulShutdown", None),
        ("Force", True, None, "ForceOff", None),
        ("Force", False, ["ForceOff"], "ForceOff", None),
        ("Force", True, ["GracefulShutdown"], None, "the BMC offers no ResetType that powers off"),
    ],
)
def test_power_is_cut_only_where_the_document_says_so(
    escalate: str, ignored: bool, allowed: list[str] | None, sent: str | None, reason: str | None
) -> None:
    facts = MachineFacts(shutdown_ignored=NOW if ignored else None)
    actions, reasons = steps(
        document(power="Off", shutdown={"escalate": escalate}), look(facts, power="On", allowed_resets=allowed)
    )
    assert [action.reset_type for action in actions if isinstance(action, PowerOff)] == ([sent] if sent else [])
    assert reasons == ([reason] if reason else [])


@pytest.mark.parametrize("moving", ["PoweringOn", "PoweringOff"])
@pytest.mark.parametrize("wanted", ["On", "Off"])
def test_nothing_is_sent_while_power_is_changing(moving: str, wanted: str) -> None:
    one, at = document(power=wanted), look(power=moving)
    found = RULES.steps(one, at, RULES.fields(one, at))
    assert not found.actions
    assert [hold.kind for hold in found.holds] == [HoldKind.IN_FLIGHT]


def test_a_power_state_that_is_not_known_is_not_taken_for_off() -> None:
    actions, reasons = steps(document(power="On"), look())
    assert not actions
    assert reasons == ["BMC reports no power state"]


@pytest.mark.parametrize(
    ("boot", "seen", "equal"),
    [
        ({"target": "Hdd", "enabled": "Continuous"}, {"target": "Hdd", "enabled": "Continuous"}, True),
        ({"target": "Hdd", "enabled": "Continuous"}, {"target": "Hdd", "enabled": "Continuous", "mode": "UEFI"}, True),
        ({"target": "Hdd", "enabled": "Continuous", "mode": "UEFI"}, {"target": "Hdd", "enabled": "Continuous"}, False),
        ({"target": "Hdd", "enabled": "Continuous"}, {"target": "Hdd", "enabled": "Once"}, False),
        ({"enabled": "Disabled"}, {"target": "Pxe", "enabled": "Disabled"}, True),
        ({"enabled": "Disabled"}, {"target": None, "enabled": None}, True),
        ({"enabled": "Disabled"}, {"target": "Pxe", "enabled": "Once"}, False),
        ({"enabled": "Disabled"}, None, False),
        (ONCE, {"target": "Pxe", "enabled": "Once"}, False),
    ],
)
def test_boot_overrides_are_compared_by_meaning(boot: Any, seen: Any, equal: bool) -> None:
    (field,) = RULES.fields(document(boot=boot), look(boot=seen))
    assert field.equal is equal


def test_a_once_order_is_equal_once_it_is_known_to_have_been_given() -> None:
    one = document(boot=ONCE)
    assert one.spec.boot is not None
    (field,) = RULES.fields(
        one, look(MachineFacts(once_done=once_order(one.spec.boot)), boot={"target": None, "enabled": "Disabled"})
    )
    assert field.equal


def test_another_request_word_is_another_order() -> None:
    words: list[dict[str, str]] = [{}, {"request": "a"}, {"request": "b"}]
    orders = {once_order(msgspec.convert({**ONCE, **word}, BootSpec)) for word in words}
    assert len(orders) == 3


@pytest.mark.parametrize(
    ("declared", "seen", "sent"),
    [("UEFI", "Legacy", "UEFI"), ("UEFI", "UEFI", None), (None, "UEFI", None)],
    ids=["differs", "the same", "not declared"],
)
def test_a_boot_mode_is_sent_only_where_it_differs(declared: str | None, seen: str, sent: str | None) -> None:
    boot = {"target": "Pxe", "enabled": "Continuous", **({"mode": declared} if declared else {})}
    actions, _ = steps(document(boot=boot), look(boot={"target": "None", "enabled": "Disabled", "mode": seen}))
    assert [a.override.mode for a in actions if isinstance(a, SetBoot)] == [sent]


@pytest.mark.parametrize(
    ("boot", "state", "reason"),
    [
        (ONCE, {}, "the BMC has no boot override"),
        (
            {**ONCE, "mode": "UEFI"},
            {"boot": {"target": None, "enabled": None}},
            "the BMC has no BootSourceOverrideMode",
        ),
        (
            ONCE,
            {"boot": {"target": None, "enabled": None}, "allowed_boot_targets": ["Hdd"]},
            "the BMC does not offer boot target Pxe",
        ),
    ],
)
def test_what_a_bmc_does_not_have_is_said_instead_of_sent(boot: Any, state: Any, reason: str) -> None:
    assert steps(document(boot=boot), look(**state)) == ([], [reason])


@pytest.mark.parametrize(
    ("asked", "seen", "kept"),
    [
        (("Pxe", "Once"), ("Pxe", "Once"), True),
        (("Pxe", "Once"), ("Pxe", "Continuous"), True),
        (("Pxe", "Once"), ("UefiTarget", "Once"), True),
        (("Pxe", "Once"), ("Hdd", "Once"), False),
        (("Pxe", "Once"), ("Pxe", "Disabled"), False),
        (("Pxe", "Continuous"), ("Pxe", "Once"), False),
        (("Pxe", "Continuous"), ("UefiTarget", "Continuous"), False),
        (("None", "Disabled"), ("Pxe", "Disabled"), True),
        (("None", "Disabled"), (None, None), True),
    ],
)
def test_what_confirms_a_boot_override(asked: tuple[str, str], seen: tuple[str | None, str | None], kept: bool) -> None:
    override, state = (
        msgspec.convert(dict(zip(("target", "enabled"), x, strict=True)), BootOverride) for x in (asked, seen)
    )
    assert RULES.confirmed(SetBoot(key=KEY, override=override), SystemState(boot=state)) is kept


def test_power_and_led_are_confirmed_by_reading_them_back() -> None:
    on, off = SystemState(power=PowerState.ON), SystemState(power=PowerState.OFF, indicator=IndicatorLED.LIT)
    assert RULES.confirmed(PowerOn(key=KEY, reset_type=ResetType.ON), on)
    assert not RULES.confirmed(PowerOn(key=KEY, reset_type=ResetType.ON), SystemState(power=PowerState.POWERING_ON))
    assert RULES.confirmed(PowerOff(key=KEY, reset_type=ResetType.FORCE_OFF), off)
    assert RULES.confirmed(SetIndicator(key=KEY, led=IndicatorLED.LIT), off)
    assert not RULES.confirmed(SetIndicator(key=KEY, led=IndicatorLED.LIT), None)


def test_what_is_not_declared_is_not_managed() -> None:
    assert RULES.fields(document(), look(power="On", indicator="Lit")) == ()


def test_a_removed_machine_keeps_its_power() -> None:
    assert [action.name for action in RULES.removal(look(power="On")).actions] == ["forget"]


def test_a_machine_inherits_access_from_its_partition_part_by_part() -> None:
    defaults = msgspec.convert(
        {"driver": "fake", "tls": {"insecure": True}, "credentialRef": {"env": "BMC"}}, BmcDefaults
    )
    own = document(bmc={"address": "a", "tls": {"caFile": "/ca.pem"}}).spec
    found = access(own, defaults)
    assert (found.driver, found.tls.ca_file, found.tls.insecure) == ("fake", "/ca.pem", False)
    assert found.credential_ref is not None
    assert access(own, None).driver == "redfish"


@pytest.mark.parametrize(
    ("own", "inherited", "seconds"),
    [({}, {}, None), ({}, {"timeoutSeconds": 40}, 40), ({"timeoutSeconds": 60}, {"timeoutSeconds": 40}, 60)],
)
def test_a_timeout_is_that_of_the_machine_or_else_of_its_partition(
    own: dict[str, int], inherited: dict[str, int], seconds: int | None
) -> None:
    one = document(bmc={"address": "a", "tls": {"oldCiphers": True}, **own}).spec
    found = access(one, msgspec.convert({"tls": {"caFile": "/ca.pem"}, **inherited}, BmcDefaults))
    assert found.timeout == seconds
    assert found.tls == Tls(old_ciphers=True), "the tls of a machine replaces that of its partition as a whole"


@pytest.mark.parametrize(
    ("boot", "code"),
    [
        ({"enabled": "Once"}, "boot-without-target"),
        ({"enabled": "Continuous", "target": "Pxe", "request": "a"}, "request-without-once"),
        ({"enabled": "Disabled"}, None),
        ({**ONCE, "request": "a"}, None),
    ],
)
def test_rules_of_one_document(boot: Any, code: str | None) -> None:
    assert [place.code for place in check_machine(document(boot=boot))] == ([code] if code else [])


@pytest.mark.parametrize(
    ("enabled", "offered", "hint"),
    [
        ("Once", None, None),
        ("Once", ["Once", "Disabled"], None),
        ("Continuous", ["Once", "Disabled"], "set spec.boot.enabled to Once"),
        ("Once", ["Continuous"], "set spec.boot.enabled to Continuous"),
        ("Once", ["Disabled"], "remove spec.boot"),
        ("Disabled", ["Once"], None),
    ],
)
def test_an_override_of_a_duration_that_the_bmc_does_not_offer_is_not_sent(
    enabled: str, offered: list[str] | None, hint: str | None
) -> None:
    at = look(power="Off", boot={"target": "Hdd", "enabled": "Continuous"}, allowed_boot_enabled=offered)
    target = {} if enabled == "Disabled" else {"target": "Pxe"}
    one = document(boot={"enabled": enabled, **target})
    found = RULES.steps(one, at, RULES.fields(one, at))
    assert (len(found.actions), [hold.hint for hold in found.holds]) == ((1, []) if hint is None else (0, [hint]))


@pytest.mark.parametrize(("offered", "target"), [(None, "None"), (["None", "Pxe"], "None"), (["Pxe"], "Pxe")])
def test_a_disabled_override_names_a_target_that_the_bmc_offers(offered: list[str] | None, target: str) -> None:
    at = look(boot={"target": "Pxe", "enabled": "Continuous"}, allowed_boot_targets=offered)
    [action], _ = steps(document(boot={"enabled": "Disabled"}), at)
    assert isinstance(action, SetBoot)
    assert (action.override.target, action.override.enabled) == (target, "Disabled")


@pytest.mark.parametrize(
    ("lifecycle", "sent", "held_by"),
    [
        ({"mode": "Observe"}, [], ["observe"]),
        ({"mode": "Managed"}, ["spec.indicatorLED"], ["running"]),
        (None, ["spec.indicatorLED"], []),
    ],
)
def test_nothing_is_sent_to_a_machine_that_is_only_observed(
    lifecycle: dict[str, str] | None, sent: list[str], held_by: list[str]
) -> None:
    more = {} if lifecycle is None else {"lifecycle": lifecycle}
    one, at = document(indicatorLED="Lit", **more), look(power="On", indicator="Off")
    found = RULES.steps(one, at, RULES.fields(one, at))
    held = {hold.path for hold in found.holds if hold.kind is HoldKind.DECLARED}
    assert [action.path for action in found.actions if action.path not in held] == sent
    assert [hold.by for hold in found.holds] == held_by


def test_a_claimed_machine_that_is_observed_for_a_while_stays_its_project_s() -> None:
    one = document(lifecycle={"mode": "Observe"})
    lifecycle = LifecycleFacts(claim="web", slot=0, claimed_at=NOW)
    has = MachineFacts(project="shop", image="debian-12.0.1", lifecycle=lifecycle)
    assert all(field.equal for field in RULES.fields(one, look(has, power="On")))
    leaving = msgspec.structs.replace(has, lifecycle=msgspec.structs.replace(lifecycle, releasing_at=NOW))
    assert not all(field.equal for field in RULES.fields(one, look(leaving, power="On")))


def test_a_machine_that_is_observed_and_as_declared_is_held_by_nothing() -> None:
    one, at = document(indicatorLED="Lit", lifecycle={"mode": "Observe"}), look(power="On", indicator="Lit")
    assert steps(one, at) == ([], [])
