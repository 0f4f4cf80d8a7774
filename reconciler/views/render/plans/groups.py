"""What belongs together in a plan's view: sections, groups of identical changes, and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from reconciler.kinds import FLEET
from reconciler.model.actions.action_base import Disruption
from reconciler.model.plans.plan import CauseKind, Change, Hold, HoldKind, Plan, Verb, typed
from reconciler.model.resource import ResourceKey

_THESE = "KIND/NAME"
_NAMED = 4
_NOBODY = ResourceKey("", "")


class ChangeGroup(StrEnum):
    """The part of the view that a change belongs to; in the order in which they are shown."""

    CHANGES = "changes"
    DRIFT = "drift"
    WAITING = "waiting"
    HELD = "held"
    IN_FLIGHT = "in flight"
    FAILED = "failed"
    DISRUPTIVE = "disruptive"


class Summary(msgspec.Struct, frozen=True):
    """Counts of changes. The first four, by verb, cover all; the others say how many of those are so.

    `fleet`: how many are to change of the kinds that guards count, by kind, of `total_fleet`.
    """

    create: int
    update: int
    delete: int
    forget: int
    disruptive: int
    destructive: int
    drift: int
    leaked: int
    waiting: int
    held: int
    in_flight: int
    failed: int
    unknown: int
    fleet: Mapping[str, int]
    total_fleet: Mapping[str, int]
    access_changed: int = 0


def part_of(change: Change) -> ChangeGroup:
    """Where a change is shown: what is sent by how it hurts and who moved, what is not sent by what holds it."""
    if change.goes:
        if change.disruption is not Disruption.NONE:
            return ChangeGroup.DISRUPTIVE
        return ChangeGroup.DRIFT if change.cause.kind in (CauseKind.DRIFT, CauseKind.LEAK) else ChangeGroup.CHANGES
    for kind, part in (
        (HoldKind.GUARD, ChangeGroup.HELD),
        (HoldKind.IN_FLIGHT, ChangeGroup.IN_FLIGHT),
        (HoldKind.DECLARED, ChangeGroup.HELD),
        (HoldKind.FAILED, ChangeGroup.FAILED),
        (HoldKind.BLOCKED, ChangeGroup.WAITING),
    ):
        if change.held(kind):
            return part
    return ChangeGroup.HELD


def by_part(changes: Iterable[Change]) -> dict[ChangeGroup, list[Change]]:
    """The changes of each part, in the plan's order."""
    found: dict[ChangeGroup, list[Change]] = {part: [] for part in ChangeGroup}
    for change in changes:
        found[part_of(change)].append(change)
    return found


def alike(changes: Iterable[Change]) -> list[list[Change]]:
    """Groups of changes that are identical but for the resource: in order of first appearance."""
    groups: dict[bytes, list[Change]] = {}
    for change in changes:
        groups.setdefault(_likeness(change), []).append(change)
    return list(groups.values())


def holds(change: Change) -> tuple[Hold, ...]:
    """Its holds, each once: maintenance holds two fields for one reason, and the id of an action does not help
    people."""
    return tuple(dict.fromkeys(_told(hold, change.key) for hold in change.held_by))


def to_proceed(hold: Hold, group: Sequence[Change]) -> str:
    """The hint of a hold from `holds`, as typed for these changes; for many, by their labels."""
    these = " ".join(typed(change.key) for change in group)
    return hold.hint.replace(_THESE, these if len(group) <= _NAMED else "-l SELECTOR")


def summarize(plan: Plan) -> Summary:
    """Count."""
    verbs = {verb: sum(1 for change in plan.changes if change.verb is verb) for verb in Verb}
    hurts = {level: sum(1 for change in plan.changes if change.disruption is level) for level in Disruption}
    parts = {part: len(found) for part, found in by_part(plan.changes).items()}
    return Summary(
        create=verbs[Verb.CREATE],
        update=verbs[Verb.UPDATE],
        delete=verbs[Verb.DELETE],
        forget=verbs[Verb.FORGET],
        disruptive=hurts[Disruption.DISRUPTIVE],
        destructive=hurts[Disruption.DESTRUCTIVE],
        drift=sum(1 for change in plan.changes if change.cause.kind in (CauseKind.DRIFT, CauseKind.BOTH)),
        leaked=sum(1 for change in plan.changes if change.cause.kind is CauseKind.LEAK),
        waiting=parts[ChangeGroup.WAITING],
        held=parts[ChangeGroup.HELD],
        in_flight=parts[ChangeGroup.IN_FLIGHT],
        failed=parts[ChangeGroup.FAILED],
        unknown=len(plan.unknown),
        fleet=Counter(change.key.kind for change in plan.changes if change.key.kind in FLEET),
        total_fleet=plan.scope.total_fleet,
        access_changed=sum(1 for one in plan.access if not one.is_new),
    )


def _told(hold: Hold, key: ResourceKey) -> Hold:
    hold = msgspec.structs.replace(hold, hint=hold.hint.replace(f" {typed(key)} ", f" {_THESE} "))
    match hold.kind:
        case HoldKind.IN_FLIGHT:
            return msgspec.structs.replace(hold, by="")
        case HoldKind.DECLARED:
            return msgspec.structs.replace(hold, path=None)
        case _:
            return hold


def _likeness(change: Change) -> bytes:
    actions = [msgspec.structs.replace(action, key=_NOBODY, reason="") for action in change.actions]
    cause = msgspec.structs.replace(change.cause, since=None)
    advice = [(hold.by, hold.reason) for hold in change.advice]
    same = (change.key.kind, change.verb, change.differences, actions, cause, holds(change), change.lifted, advice)
    return msgspec.json.encode(same, order="deterministic")
