"""Which resources a guard guards: by their documents, and by what is remembered of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import FLEET, INVENTORIED
from reconciler.kinds.common.machine_inventory import is_derived
from reconciler.kinds.guard.guard_fact_rules import LOOSENS_AFTER
from reconciler.kinds.guard.matching import group_of_resource, guards_resource
from reconciler.model.facts import NO_FACTS, Guarded, LeftGroup, ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guards_in_force import (
    GUARD,
    GuardInForce,
    declared_guards,
    guards_in_force,
    rack_guard,
)
from reconciler.planning.guards.possible_renames import guarded_before


def guards_of(key: ResourceKey, world: GuardWorld) -> list[GuardInForce]:
    """Those that guard the resource. No guard guards a guard."""
    return [one for one in guards_in_force(world) if key.kind != GUARD and is_guarded(one, key, world)]


def is_guarded(guard: GuardInForce, key: ResourceKey, world: GuardWorld) -> bool:
    """Whether the guard is about the resource: by its document, or by what it was when it last matched. What a commit
    takes out of the match is guarded for another hour; what is not declared any more, until it is forgotten. What
    may be that under another name is guarded too (`possible_renames`)."""
    facts = world.facts.resources.get(key, NO_FACTS)
    resource, mark = world.desired.resources.get(key), facts.guarded.get(guard.name)
    if resource is None:
        return mark is not None
    if mark_of(guard, resource, facts) is not None or guarded_before(guard.name, key, world) is not None:
        return True
    if mark is None or (mark.until is not None and world.now >= mark.until):
        return False
    # A former spec guards what the new one guards: the same commit may have changed the document along with the match.
    return mark.until is not None or guard.until is not None


def mark_of(guard: GuardInForce, resource: Resource[Any], facts: ResourceFacts) -> Guarded | None:
    """That the guard's match holds for the resource by its document and its facts, with its group; None: it does not.
    What follows from the document alone is worked out once."""
    if guard.dynamic:
        return _mark(guard, resource, labels_of(resource, facts), _project(facts))
    if resource.key not in guard.known:
        guard.known[resource.key] = _mark(guard, resource, resource.labels, None)
    found: Guarded | None = guard.known[resource.key]
    return found


def _mark(
    guard: GuardInForce, resource: Resource[Any], labels: Mapping[str, str], project: str | None
) -> Guarded | None:
    if not guards_resource(guard.spec.match, guard.selector, resource, labels, project):
        return None
    return Guarded(group_of_resource(guard.spec.budget, resource, labels)) if guard.spec.budget else Guarded()


def _project(facts: ResourceFacts) -> str | None:
    """Whose it is by what is remembered: a machine of a claim is the claim's project's."""
    return getattr(facts, "project", None)


def labels_of(resource: Resource[Any], facts: ResourceFacts) -> Mapping[str, str]:
    """The labels of the document and those that follow from the inventory, which cannot be declared."""
    if resource.key.kind not in INVENTORIED:
        return resource.labels
    return {**{name: text for name, text in resource.labels.items() if not is_derived(name)}, **facts.labels}


def marked(
    desired: DesiredState,
    resource: Resource[Any],
    facts: ResourceFacts,
    now: datetime,
    new_guards: Collection[str] = (),
) -> ResourceFacts:
    """The facts with the guards that guard the resource when this state takes force. Those that match, and for an hour
    those that its document took leave of. The very same object where nothing is new. `new_guards`: the names of those
    that this state adds, into whose groups nothing comes from outside."""
    found: dict[str, Guarded] = {}
    for one in _marking_guards(desired, resource.key):
        mark = mark_of(one, resource, facts)
        if mark is not None:
            before = facts.guarded.get(one.name)
            comes = before is None and facts.added_at is None and one.name not in new_guards
            found[one.name] = _joining(mark, now) if comes else after_move(mark, before, now)
    if found == facts.guarded:
        return facts
    left = {
        name: mark if mark.until is not None else msgspec.structs.replace(mark, until=now + LOOSENS_AFTER)
        for name, mark in facts.guarded.items()
        if name not in found and (mark.until is None or now < mark.until)
    }
    after = found | left
    return facts if after == facts.guarded else msgspec.structs.replace(facts, guarded=after)


def after_move(mark: Guarded, before: Guarded | None, now: datetime) -> Guarded:
    """The mark, with the groups that the document took leave of: for an hour the budget counts it in them too."""
    if before is None or (before.group == mark.group and before.until is None and not before.left):
        return mark if before is None or before.joined_at is None else _lately(before, now)
    left = {one.group: one for one in before.left if now < one.until}
    stayed = before.until is None or now < before.until
    if stayed:
        left.setdefault(before.group, LeftGroup(before.group, now + LOOSENS_AFTER))
    was_in_it = left.pop(mark.group, None) is not None
    joined_at = before.joined_at if was_in_it and before.group == mark.group else None if was_in_it else now
    return Guarded(mark.group, left=tuple(left.values()), joined_at=joined_at)


def marks_follow(
    desired: DesiredState,
    changed: Mapping[ResourceKey, ResourceFacts | None],
    before: Mapping[ResourceKey, ResourceFacts],
    now: datetime,
) -> dict[ResourceKey, ResourceFacts | None]:
    """What changed, with the guards by the labels and the projects that are new in it. What these take out of a match
    is guarded for an hour more."""

    def after(key: ResourceKey, facts: ResourceFacts | None) -> ResourceFacts | None:
        resource, known = desired.resources.get(key), before.get(key)
        if facts is None or resource is None or known is None:
            return facts
        same = facts.labels == known.labels and _project(facts) == _project(known)
        return facts if same else marked(desired, resource, facts, now)

    return {key: after(key, facts) for key, facts in changed.items()}


def is_new(since: datetime | None, now: datetime) -> bool:
    """Whether it came so lately that no share counts it: a commit must not use the room that it makes itself."""
    return since is not None and now - since < LOOSENS_AFTER


def _joining(mark: Guarded, now: datetime) -> Guarded:
    return msgspec.structs.replace(mark, joined_at=now)


def _lately(mark: Guarded, now: datetime) -> Guarded:
    return mark if is_new(mark.joined_at, now) else msgspec.structs.replace(mark, joined_at=None)


def _marking_guards(desired: DesiredState, key: ResourceKey) -> tuple[GuardInForce, ...]:
    if key.kind == GUARD:
        return ()
    return (*declared_guards(desired), rack_guard(desired)) if key.kind in FLEET else declared_guards(desired)
