"""The pure decisions of a reconcile: what a commit concerns, who excludes whom, what is held, reported, recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from drivers.base import Busy, Conflict, ErrorReason, Rejected, ResetType, Unreachable
from reconciler.applying.key_memory import hold_reason
from reconciler.applying.settlement import lock_holder, new_flight, refuse_action
from reconciler.kinds import record_action
from reconciler.kinds.common.fact_rules import Occasion
from reconciler.kinds.common.machine_facts import (
    NO_MACHINE_FACTS,
    BootRequest,
    FactType,
    LifecycleFacts,
    MachineFacts,
    Written,
    as_machine_facts,
    machine_facts,
)
from reconciler.kinds.machine.lifecycle.deadlines import SERVED_WITHIN
from reconciler.kinds.machine.lifecycle.machine_reports import apply_report, facts_at_start, is_over
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.actions.ipam_actions import Acquire
from reconciler.model.actions.record_actions import Bind, Claim, Unclaim
from reconciler.model.event import EventReason
from reconciler.model.facts import NO_FACTS
from reconciler.model.outcome import Failed, OutcomeReason, Waiting
from reconciler.model.plans.plan import Cause, CauseKind, Change, Hold, HoldKind, Verb
from reconciler.model.resource import Resource, ResourceKey
from reconciler.model.values.boot_purpose import Purpose
from reconciler.planning.affected import affected_keys
from tests.unit.planning_worlds import desired, resource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
M, N, WEB = ResourceKey("Machine", "m"), ResourceKey("Machine", "n"), ResourceKey("MachineClaim", "web")
ADDRESS = ResourceKey("IPAddress", "a")
ON = PowerOn(key=M, reset_type=ResetType.ON)


def machine_at(name: str, bmc: str, system: str = "", power: str = "On") -> Resource[Any]:
    access = {"address": bmc} | ({"systemId": system} if system else {})
    return resource("Machine", name, msgspec.convert({"partition": "p", "bmc": access, "power": power}, MachineSpec))


# -- what a commit concerns --------------------------------------------------------------------------------------------


def test_a_first_revision_concerns_all_that_it_declares_and_all_that_is_remembered() -> None:
    assert set(affected_keys(None, desired(machine_at("m", "b1")), {N: NO_MACHINE_FACTS})) == {M, N}


def test_a_revision_concerns_whose_document_changed() -> None:
    before = desired(machine_at("m", "b1"), machine_at("n", "b2"))
    after = desired(machine_at("m", "b1", power="Off"), machine_at("n", "b2"))
    assert affected_keys(before, after, {}) == [M]


def test_a_claim_that_is_gone_concerns_its_machines() -> None:
    state = desired(machine_at("m", "b1"), machine_at("n", "b2"))
    facts = {WEB: NO_FACTS, M: MachineFacts(lifecycle=LifecycleFacts(claim="web")), N: NO_MACHINE_FACTS}
    assert set(affected_keys(state, state, facts)) == {WEB, M}


# -- who excludes whom -------------------------------------------------------------------------------------------------


def flight(key: ResourceKey, bmc: str) -> InFlight:
    action = PowerOn(key=key, reset_type=ResetType.ON)
    return new_flight("1-1", action, desired(machine_at(key.name, bmc)), NOW, "a", "")


@pytest.mark.parametrize(("bmc", "holder"), [("https://B1:443/", N), ("b1", N), ("b2", None)])
def test_one_bmc_does_one_thing_at_a_time_however_its_address_is_spelled(bmc: str, holder: ResourceKey | None) -> None:
    state = desired(machine_at("m", bmc, "1"), machine_at("n", "b1", "2"))
    assert lock_holder(M, state, [flight(N, "b1")], NOW) == holder


def test_a_resource_does_not_exclude_itself() -> None:
    assert lock_holder(M, desired(machine_at("m", "b1")), [flight(M, "b1")], NOW) is None


def test_a_bmc_is_free_after_the_deadline_of_its_action() -> None:
    state, other = desired(machine_at("m", "b1"), machine_at("n", "b1")), flight(N, "b1")
    assert lock_holder(M, state, [other], other.deadline) is None


def test_addresses_exclude_nothing() -> None:
    assert lock_holder(ADDRESS, desired(), [flight(N, "b1")], NOW) is None


# -- what a refusal means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "outcome", "terminal"),
    [
        (Unreachable("no route"), Waiting, False),
        (Busy("POST"), Waiting, False),
        (Rejected("no such reset"), Failed, True),
        (Conflict("held"), Failed, False),
    ],
    ids=lambda one: one if isinstance(one, bool) else getattr(one, "__name__", type(one).__name__),
)
def test_a_refusal_is_waited_for_or_failed_by_its_reason(error: Any, outcome: type, terminal: bool) -> None:
    settled, found = refuse_action(flight(M, "b1"), error, "print", NO_MACHINE_FACTS, NOW, 0.0)
    assert isinstance(found, outcome)
    assert settled.facts.failures[ON.path].terminal is terminal
    assert settled.facts.failures[ON.path].reason == error.reason


def test_an_address_that_was_rejected_is_tried_again_as_others_may_let_go() -> None:
    action = Acquire(key=ADDRESS, network="lan", address="10.0.0.1", family=None)
    sent = new_flight("1-1", action, desired(), NOW, "a", "")
    _, found = refuse_action(sent, Rejected("in use"), None, NO_FACTS, NOW, 0.0)
    assert found == Failed(ErrorReason.REJECTED, "in use", terminal=False, retry_after=60)


# -- what is held ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ((), OutcomeReason.CHANGING),
        ((HoldKind.BLOCKED,), OutcomeReason.BLOCKED),
        ((HoldKind.BLOCKED, HoldKind.DECLARED), OutcomeReason.PAUSED),
        ((HoldKind.DECLARED, HoldKind.GUARD), OutcomeReason.HELD),
        ((HoldKind.GUARD, HoldKind.FAILED), OutcomeReason.STALLED),
    ],
)
def test_the_gravest_hold_names_the_outcome(kinds: tuple[HoldKind, ...], reason: OutcomeReason) -> None:
    holds = tuple(Hold(kind, "by", "because", "do this") for kind in kinds)
    change = Change(M, Verb.UPDATE, Cause(CauseKind.COMMIT), held_by=holds)
    assert hold_reason(change) is reason


# -- what is reported --------------------------------------------------------------------------------------------------

ORDERED = MachineFacts(lifecycle=LifecycleFacts(boot_request=BootRequest("1-1", Purpose.INSTALL, NOW), stopped_at=NOW))


@pytest.mark.parametrize(("order", "over"), [("1-1", False), ("1-2", True), (None, False)])
def test_a_report_counts_for_the_boot_request_under_way(order: str | None, over: bool) -> None:
    assert is_over(ORDERED, FactType.REGISTERED, order) is over


def test_a_system_reports_for_the_boot_request_that_installed_it() -> None:
    facts = MachineFacts(
        lifecycle=LifecycleFacts(written=Written("debian", "sha256:0", "web", NOW, boot_request="1-1"))
    )
    assert not is_over(facts, FactType.PHONED_HOME, "1-1")
    assert is_over(facts, FactType.PHONED_HOME, "1-2")


def test_an_agent_that_registers_names_the_system_at_the_bmc() -> None:
    heard = apply_report(ORDERED, FactType.REGISTERED, "", "uuid-1", NOW)
    lifecycle = as_machine_facts(heard.facts).lifecycle
    assert lifecycle.boot_request is not None
    assert (lifecycle.system, lifecycle.boot_request.registered_at) == ("uuid-1", NOW)


def test_a_report_at_the_wrong_time_changes_nothing() -> None:
    heard = apply_report(NO_MACHINE_FACTS, FactType.WIPED, "", None, NOW)
    assert heard.facts is NO_MACHINE_FACTS
    assert heard.reason == EventReason.UNEXPECTED_FACT


def test_an_agent_s_silence_begins_with_the_process_that_listens() -> None:
    lifecycle = ORDERED.lifecycle.progressed(registered_at=NOW, last_heard_at=NOW)
    later = NOW + 2 * SERVED_WITHIN
    begun = facts_at_start(msgspec.structs.replace(ORDERED, lifecycle=lifecycle), later).lifecycle.boot_request
    assert begun is not None
    assert begun.last_heard_at == later


def test_a_start_right_after_changes_nothing_of_a_machine_at_rest() -> None:
    assert facts_at_start(ORDERED, NOW + timedelta(seconds=1)) is ORDERED


# -- what is written down ----------------------------------------------------------------------------------------------


def test_binding_is_remembered_and_reported() -> None:
    recorded = record_action(Bind(key=M, project="blue", reason=""), {}, Occasion(NOW, "1-1"))
    assert machine_facts(recorded.facts, M).project == "blue"
    assert recorded.events[M][0] == EventReason.BOUND


def test_a_claim_gets_its_machines_in_one_piece() -> None:
    recorded = record_action(Claim(key=WEB, project="blue", machines=((0, "m"), (1, "n"))), {}, Occasion(NOW, "1-1"))
    assert [
        (one.lifecycle.claim, one.lifecycle.slot, one.project)
        for one in (machine_facts(recorded.facts, M), machine_facts(recorded.facts, N))
    ] == [
        ("web", 0, "blue"),
        ("web", 1, "blue"),
    ]
    assert {key: reason for key, (reason, _) in recorded.events.items()} == {
        M: EventReason.CLAIMED,
        N: EventReason.CLAIMED,
        WEB: EventReason.PLACED,
    }


def test_a_machine_that_is_given_up_keeps_its_claim_until_it_is_wiped() -> None:
    facts = {M: MachineFacts(project="blue", lifecycle=LifecycleFacts(claim="web", slot=0))}
    recorded = record_action(Unclaim(key=WEB, machines=("m",)), facts, Occasion(NOW, "1-1", "commit 4f3c"))
    lifecycle = machine_facts(recorded.facts, M).lifecycle
    assert (lifecycle.claim, lifecycle.releasing_at, lifecycle.release_cause) == ("web", NOW, "commit 4f3c")
