"""Which resources a guard guards: by their documents, and by what is remembered of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import INVENTORIED
from reconciler.kinds.common.inventory import is_derived
from reconciler.kinds.guard.matching import group_of_resource, guards_resource
from reconciler.kinds.guard.memory import LOOSENS_AFTER
from reconciler.model.facts import NO_FACTS, Guarded, LeftGroup, ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guards_in_force import GUARD, GuardInForce, declared_guards, guards_in_force


def guards_of(key: ResourceKey, world: GuardWorld) -> list[GuardInForce]:
    """Those that guard the resource. No guard guards a guard."""
    return [one for one in guards_in_force(world) if key.kind != GUARD and is_guarded(one, key, world)]


def is_guarded(guard: GuardInForce, key: ResourceKey, world: GuardWorld) -> bool:
    """Whether the guard is about the resource: by its document, or by what it was when it last matched. What a commit
    takes out of the match is guarded for another hour; what is not declared any more, until it is forgotten."""
    facts = world.facts.resources.get(key, NO_FACTS)
    resource, mark = world.desired.resources.get(key), facts.guarded.get(guard.name)
    if resource is None:
        return mark is not None
    if mark_of(guard, resource, facts) is not None:
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


def marked(desired: DesiredState, resource: Resource[Any], facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """The facts with the guards that guard the resource when this state takes force. Those that match, and for an hour
    those that its document took leave of. The very same object where nothing is new."""
    guards = declared_guards(desired) if resource.key.kind != GUARD else ()
    found = {
        one.name: after_move(mark, facts.guarded.get(one.name), now)
        for one in guards
        if (mark := mark_of(one, resource, facts)) is not None
    }
    if found == facts.guarded:
        return facts
    left = {
        name: mark if mark.until is not None else Guarded(mark.group, now + LOOSENS_AFTER, mark.left)
        for name, mark in facts.guarded.items()
        if name not in found and (mark.until is None or now < mark.until)
    }
    after = found | left
    return facts if after == facts.guarded else msgspec.structs.replace(facts, guarded=after)


def after_move(mark: Guarded, before: Guarded | None, now: datetime) -> Guarded:
    """The mark, with the groups that the document took leave of: for an hour the budget counts it in them too."""
    if before is None or (before.group == mark.group and not before.left):
        return mark
    left = {one.group: one for one in before.left if now < one.until}
    if before.until is None or now < before.until:
        left.setdefault(before.group, LeftGroup(before.group, now + LOOSENS_AFTER))
    left.pop(mark.group, None)
    return Guarded(mark.group, left=tuple(left.values()))
