"""The rules of a managed machine's life: which fact may come when, and what can never happen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import BootTarget, PowerState, SystemState
from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.kinds.common.machine_facts import (
    NO_MACHINE_FACTS,
    BootRequest,
    FactType,
    LifecycleFacts,
    MachineFacts,
    Wiped,
    Written,
)
from reconciler.kinds.machine.lifecycle import deadlines, phases
from reconciler.kinds.machine.lifecycle.deadlines import overdue
from reconciler.kinds.machine.lifecycle.lifecycle_events import EXPECTED, apply_fact
from reconciler.kinds.machine.lifecycle.phases import AgentTask, BootStage, Phase, agent_task, phase, purpose
from reconciler.kinds.machine.spec import LifecycleSpec, MachineSpec, Mode, Pause
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
IMAGE = "debian-12.0.1"
SPEC = msgspec.convert(
    {"partition": "p", "bmc": {"address": "https://bmc"}, "lifecycle": {"mode": "Managed"}}, MachineSpec
)
CLAIM = msgspec.convert({"project": "p", "partitions": ["p"], "size": "s", "image": IMAGE}, MachineClaimSpec)


def life(at: BootStage, why: Purpose | None, **more: object) -> LifecycleFacts:
    """A life in which an order for this has come so far."""
    found = LifecycleFacts(inspected_at=None if why is Purpose.INSPECT else NOW)
    if why in (Purpose.INSTALL, Purpose.WIPE):
        found = msgspec.structs.replace(found, claim="c", slot=0, claimed_at=NOW)
    if why is Purpose.WIPE:
        found = msgspec.structs.replace(found, releasing_at=NOW)
    if at is not BootStage.NONE and why is not None:
        found = msgspec.structs.replace(found, boot_request=BootRequest("1-1", why, NOW), attempts=1, stopped_at=NOW)
    if at in (BootStage.WORKING, BootStage.ENDED):
        found = found.progressed(served_at=NOW, registered_at=NOW, last_heard_at=NOW)
    if at is BootStage.ENDED:
        found = found.progressed(ended_at=NOW)
        if why is Purpose.INSTALL:
            found = msgspec.structs.replace(found, written=Written(IMAGE, "sha256:0", "c", NOW))
    return msgspec.structs.replace(found, **more)


PLACES = [(BootStage.NONE, None), *((at, why) for at in BootStage if at is not BootStage.NONE for why in Purpose)]


@pytest.mark.parametrize(("at", "why"), PLACES)
@pytest.mark.parametrize("fact", list(FactType))
def test_a_fact_moves_a_life_only_when_it_is_expected(fact: FactType, at: BootStage, why: Purpose | None) -> None:
    before = life(at, why)
    if (at, why) == (BootStage.NONE, None):
        before = life(at, why, claim="c", slot=0, written=Written(IMAGE, "sha256:0", "c", NOW))
    taken = apply_fact(before, fact, "words", IMAGE, LATER)
    assert taken.expected == ((at, why) in EXPECTED[fact])
    if not taken.expected:
        assert "words" in taken.message or taken.reason == "FailedReclaim"
        assert msgspec.structs.replace(taken.lifecycle, failure=None) == before
    else:
        assert taken.lifecycle != before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (NO_MACHINE_FACTS.lifecycle, Phase.DISCOVERED),
        (life(BootStage.ORDERED, Purpose.INSPECT), Phase.INSPECTING),
        (life(BootStage.NONE, None), Phase.AVAILABLE),
        (life(BootStage.NONE, None, claim="c", slot=0), Phase.CLAIMED),
        (life(BootStage.ORDERED, Purpose.INSTALL), Phase.PROVISIONING),
        (life(BootStage.NONE, None, claim="c", written=Written(IMAGE, "x", "c", NOW)), Phase.PROVISIONING),
        (
            life(BootStage.NONE, None, claim="c", written=Written(IMAGE, "x", "c", NOW), phoned_home_at=NOW),
            Phase.RUNNING,
        ),
        (life(BootStage.NONE, None, claim="c", releasing_at=NOW), Phase.RELEASING),
        (life(BootStage.ENDED, Purpose.WIPE), Phase.RELEASING),
        (
            life(
                BootStage.NONE,
                None,
                failure=LifecycleFailure(LifecycleFailureReason.AGENT_FAILED, "y", NOW, final=True),
            ),
            Phase.ERROR,
        ),
        (
            life(BootStage.NONE, None, failure=LifecycleFailure(LifecycleFailureReason.AGENT_FAILED, "y", NOW)),
            Phase.AVAILABLE,
        ),
    ],
)
def test_a_phase_follows_from_the_facts(before: LifecycleFacts, after: Phase) -> None:
    assert phase(MachineFacts(lifecycle=before, image=IMAGE), CLAIM) is after


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (life(BootStage.NONE, Purpose.INSPECT), Purpose.INSPECT),
        (life(BootStage.NONE, None), None),
        (life(BootStage.NONE, None, claim="c"), Purpose.INSTALL),
        (life(BootStage.NONE, None, claim="c", written=Written(IMAGE, "x", "c", NOW)), None),
        (life(BootStage.NONE, None, claim="c", written=Written("debian-11.0.1", "x", "c", NOW)), Purpose.INSTALL),
        (life(BootStage.NONE, None, claim="c", written=Written(IMAGE, "x", "another", NOW)), Purpose.INSTALL),
        (
            life(BootStage.NONE, None, claim="c", written=Written(IMAGE, "x", "c", NOW, document_request="again")),
            Purpose.INSTALL,
        ),
        (life(BootStage.NONE, None, claim="c", releasing_at=NOW), Purpose.WIPE),
        (life(BootStage.NONE, None, claim="c", releasing_at=LATER, wiped=Wiped(NOW)), Purpose.WIPE),
        (life(BootStage.NONE, None, claim="c", releasing_at=NOW, wiped=Wiped(LATER)), None),
    ],
)
def test_what_a_machine_is_started_for(facts: LifecycleFacts, wanted: Purpose | None) -> None:
    assert purpose(MachineFacts(lifecycle=facts, image=IMAGE), None, CLAIM) is wanted


def test_a_claim_that_is_gone_from_git_installs_nothing() -> None:
    assert purpose(MachineFacts(lifecycle=life(BootStage.NONE, None, claim="c"), image=IMAGE), None, None) is None


@pytest.mark.parametrize(("at", "why"), PLACES)
@pytest.mark.parametrize("releasing", [False, True])
@pytest.mark.parametrize("claim", [CLAIM, None])
def test_an_agent_writes_and_wipes_under_the_order_for_it_alone(
    at: BootStage, why: Purpose | None, releasing: bool, claim: MachineClaimSpec | None
) -> None:
    now = life(at, why, releasing_at=NOW if releasing else None)
    found = agent_task(MachineFacts(lifecycle=now, image=IMAGE), claim)
    if found is AgentTask.INSTALL:
        assert (at, why, releasing, claim) == (BootStage.WORKING, Purpose.INSTALL, False, CLAIM)
    if found is AgentTask.WIPE:
        assert (at, why, releasing) == (BootStage.WORKING, Purpose.WIPE, True)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (life(BootStage.ORDERED, Purpose.INSPECT), deadlines.SERVED_WITHIN, "AgentMissing"),
        (life(BootStage.WORKING, Purpose.INSTALL), deadlines.SILENT_AFTER, "AgentSilent"),
        (
            life(BootStage.WORKING, Purpose.INSTALL).progressed(last_heard_at=NOW + timedelta(hours=2)),
            deadlines.INSTALL_WITHIN,
            "AgentTimedOut",
        ),
        (
            life(BootStage.WORKING, Purpose.WIPE).progressed(last_heard_at=NOW + timedelta(hours=24)),
            deadlines.WIPE_WITHIN,
            "AgentTimedOut",
        ),
    ],
)
def test_an_order_may_take_so_long_and_no_longer(before: LifecycleFacts, after: timedelta, reason: str) -> None:
    assert overdue(before, NOW + after - timedelta(seconds=1)) is None
    found = overdue(before, NOW + after)
    assert found is not None
    assert (found.reason, found.final) == (reason, False)
    last = overdue(msgspec.structs.replace(before, attempts=deadlines.MAX_ATTEMPTS), NOW + after)
    assert last is not None
    assert last.final


@pytest.mark.parametrize("power", [PowerState.ON, PowerState.POWERING_OFF, PowerState.PAUSED, None])
def test_no_boot_is_ordered_of_a_machine_that_is_not_off(power: PowerState | None) -> None:
    facts = MachineFacts(lifecycle=life(BootStage.ORDERED, Purpose.INSTALL), image=IMAGE)
    spec = phases.effective_machine(SPEC, facts, SystemState(power=power), CLAIM, NOW)
    assert (spec.boot, spec.power) == (None, "Off")
    spec = phases.effective_machine(SPEC, facts, SystemState(power=PowerState.OFF), CLAIM, NOW)
    assert spec.boot is not None
    assert (spec.boot.target, spec.power) == (BootTarget.PXE, "Off")


def test_only_a_machine_without_a_system_is_cut_off_unasked() -> None:
    running = life(BootStage.NONE, None, claim="c", written=Written(IMAGE, "x", "c", NOW), releasing_at=NOW)
    spec = phases.effective_machine(SPEC, MachineFacts(lifecycle=running), SystemState(power=PowerState.ON), CLAIM, NOW)
    assert spec.shutdown == SPEC.shutdown
    unknown = phases.effective_machine(SPEC, NO_MACHINE_FACTS, SystemState(power=PowerState.ON), None, NOW)
    assert unknown.shutdown == SPEC.shutdown
    empty = MachineFacts(lifecycle=life(BootStage.WORKING, Purpose.WIPE))
    assert (
        phases.effective_machine(SPEC, empty, SystemState(power=PowerState.ON), None, NOW).shutdown == phases.NO_SYSTEM
    )
    unstopped = MachineFacts(lifecycle=life(BootStage.ORDERED, Purpose.INSPECT, attempts=2, stopped_at=None))
    assert (
        phases.effective_machine(SPEC, unstopped, SystemState(power=PowerState.ON), None, NOW).shutdown == SPEC.shutdown
    )


def test_an_order_is_not_late_before_its_machine_was_seen_off() -> None:
    assert overdue(life(BootStage.ORDERED, Purpose.INSTALL, stopped_at=None), NOW + timedelta(days=2)) is None


@pytest.mark.parametrize(
    ("changed", "stands"),
    [
        ({}, True),
        ({"suspend": Pause(reason="wait")}, False),
        ({"maintenance": Pause(reason="disk")}, False),
        ({"lifecycle": LifecycleSpec(mode=Mode.OBSERVE)}, False),
        ({"lifecycle": None}, False),
    ],
)
def test_an_order_stands_only_while_git_would_give_it_again(changed: dict[str, Any], stands: bool) -> None:
    spec = msgspec.structs.replace(SPEC, **changed)
    facts = MachineFacts(lifecycle=life(BootStage.ORDERED, Purpose.INSTALL), image=IMAGE)
    assert phases.boot_request_still_wanted(spec, facts, SystemState(), CLAIM, NOW) is stands


def test_an_order_does_not_stand_when_its_image_is_there_or_its_machine_is_another() -> None:
    there = life(BootStage.ORDERED, Purpose.INSTALL, written=Written(IMAGE, "x", "c", NOW))
    assert not phases.boot_request_still_wanted(
        SPEC, MachineFacts(lifecycle=there, image=IMAGE), SystemState(), CLAIM, NOW
    )
    known = MachineFacts(lifecycle=life(BootStage.ORDERED, Purpose.INSTALL, system="aa"), image=IMAGE)
    assert not phases.boot_request_still_wanted(SPEC, known, SystemState(uuid="bb"), CLAIM, NOW)
    assert phases.boot_request_still_wanted(SPEC, known, SystemState(uuid="AA"), CLAIM, NOW)
    assert not phases.boot_request_still_wanted(SPEC, known, SystemState(), CLAIM, NOW + timedelta(hours=1))


def test_a_request_that_is_taken_away_asks_for_nothing() -> None:
    inspected = MachineFacts(lifecycle=life(BootStage.NONE, None, heeded_request="now"))
    assert purpose(inspected, SPEC, None) is None


def test_a_system_that_is_started_again_and_again_and_does_not_call_is_in_a_crash_loop() -> None:
    now = life(BootStage.NONE, None, claim="c", slot=0, written=Written(IMAGE, "x", "c", NOW))
    reported = []
    for minute in (0, 5, 10):
        taken = apply_fact(now, FactType.SENT_TO_DISK, "", IMAGE, NOW + timedelta(minutes=minute))
        now = taken.lifecycle
        reported.append(taken.reason)
    assert reported == ["SentToDisk", "SentToDisk", "CrashLoop"]
    assert now.failure is not None
    assert not now.failure.final
    assert apply_fact(now, FactType.PHONED_HOME, "", IMAGE, NOW + timedelta(minutes=11)).lifecycle.failure is None
    later = apply_fact(now, FactType.SENT_TO_DISK, "", IMAGE, NOW + timedelta(minutes=40))
    assert later.reason == "SentToDisk"


def test_a_machine_is_wiped_once_though_the_clock_was_put_back_meanwhile() -> None:
    before = life(BootStage.WORKING, Purpose.WIPE, releasing_at=LATER)
    after = apply_fact(before, FactType.WIPED, "sda 1 bytes: overwrite", IMAGE, NOW).lifecycle
    assert purpose(MachineFacts(lifecycle=after, image=IMAGE), None, CLAIM) is None


@pytest.mark.parametrize("why", [Purpose.INSTALL, Purpose.WIPE])
def test_what_may_be_on_the_disks_is_remembered_until_they_are_wiped(why: Purpose) -> None:
    """Of the image that was there, of attempts that nothing was heard of, and of the one under way."""
    old = Written(IMAGE, "sha256:0", "c", NOW, boot_request="0-9")
    before = life(BootStage.ORDERED, why, installs=("0-7", "0-9"), written=old)
    now = apply_fact(before, FactType.REGISTERED, "", IMAGE, NOW).lifecycle
    assert now.installs == ("0-7", "0-9", "1-1")
    if why is Purpose.WIPE:
        assert apply_fact(now, FactType.WIPED, "sda", IMAGE, NOW).lifecycle.installs == ()
    else:
        assert apply_fact(now, FactType.WRITTEN, "sha256:0", IMAGE, NOW).lifecycle.installs == now.installs


@given(st.lists(st.tuples(st.sampled_from(list(FactType)), st.text(max_size=5)), max_size=30), st.sampled_from(PLACES))
def test_no_report_gives_a_machine_away_or_starts_or_frees_it(
    facts: list[tuple[FactType, str]], place: tuple[BootStage, Purpose | None]
) -> None:
    first = now = life(*place)
    for number, (fact, detail) in enumerate(facts):
        now = apply_fact(now, fact, detail, IMAGE, NOW + timedelta(minutes=number)).lifecycle
    assert (now.claim, now.slot, now.claimed_at, now.releasing_at) == (
        first.claim,
        first.slot,
        first.claimed_at,
        first.releasing_at,
    )
    begun, left = (one.boot_request.id if one.boot_request is not None else None for one in (first, now))
    assert left in (begun, None)
    if now.wiped is not None:
        assert first.boot_request is not None
        assert first.boot_request.purpose is Purpose.WIPE
    if now.written is not None:
        assert first.boot_request is not None
        assert first.boot_request.purpose is Purpose.INSTALL
