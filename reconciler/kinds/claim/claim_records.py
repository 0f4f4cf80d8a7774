"""What claims do by writing it down: machines are given to a claim, and taken back from it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from reconciler.kinds.claim.renamed_from import Remembered
from reconciler.kinds.common.fact_rules import Recorded, undone
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.common.renamed_facts import ClaimFacts
from reconciler.model.actions.record_actions import Claim, ClaimRecord, Rename, Unclaim
from reconciler.model.event import EventReason
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey


def record_claim_action(action: ClaimRecord, facts: Remembered, now: datetime, why: str) -> Recorded:
    """What is remembered when the action is done. `why`: its cause in words."""
    match action:
        case Rename():
            return _renamed(action, facts)
        case Claim():
            return _claimed(action, facts, now)
        case Unclaim():
            return _unclaimed(action, facts, now, why)
        case _:
            assert_never(action)


def _renamed(action: Rename, facts: Remembered) -> Recorded:
    """All of it moved when the state took force; now it is reported."""
    before = ", ".join(f"MachineClaim/{name}" for name in action.was)
    kept = f"keeps {', '.join(action.machines)}" if action.machines else "the claim has no machines"
    reported = {action.key: (EventReason.RENAMED, f"renamed from {before}; {kept}; no machine is wiped")}
    reported |= {
        ResourceKey("Machine", name): (
            EventReason.RENAMED,
            f"claim {before}, which holds the machine, was renamed to {action.key}",
        )
        for name in action.machines
    }
    return Recorded({action.key: msgspec.structs.replace(facts.get(action.key, ClaimFacts()), was=())}, reported)


def _claimed(action: Claim, facts: Remembered, now: datetime) -> Recorded:
    changed, reported = dict[ResourceKey, ResourceFacts](), {}
    for slot, name in action.machines:
        key = ResourceKey("Machine", name)
        before = machine_facts(facts, key)
        lifecycle = msgspec.structs.replace(
            before.lifecycle, claim=action.key.name, slot=slot, claimed_at=now, wiped=None, written=None, attempts=0
        )
        changed[key] = msgspec.structs.replace(before, project=action.project, image=None, lifecycle=lifecycle)
        reported[key] = (EventReason.CLAIMED, f"by {action.key}, slot {slot}, for project {action.project}")
    named = ", ".join(name for _, name in action.machines)
    reported[action.key] = (EventReason.PLACED, f"{named}")
    return Recorded(changed, reported)


def _unclaimed(action: Unclaim, facts: Remembered, now: datetime, why: str) -> Recorded:
    claim, changed, reported = action.key, dict[ResourceKey, ResourceFacts](), {}
    for name in action.machines:
        key = ResourceKey("Machine", name)
        before = machine_facts(facts, key)
        lifecycle = msgspec.structs.replace(
            before.lifecycle,
            boot_request=None,
            releasing_at=now,
            release_cause=why or None,
            attempts=0,
            failure=None,
        )
        changed[key] = msgspec.structs.replace(before, lifecycle=lifecycle)
        reported[key] = (EventReason.RELEASING, f"by {claim}: the machine is stopped, wiped and then free again")
    reported[claim] = (EventReason.RELEASING, ", ".join(action.machines))
    if claim in facts and (after := undone(action, facts[claim])) is not facts[claim]:
        changed[claim] = after
    return Recorded(changed, reported)
