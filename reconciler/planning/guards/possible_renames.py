"""Which resource that is gone a new one may be under another name: the guards of the one guard the other too. Pure.

A document may name the same endpoint in another way, as localhost and 127.0.0.1. Then only the UUID shows that it is
the same machine. As long as a UUID is unknown, it may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

import msgspec

from reconciler.kinds import FLEET, KINDS
from reconciler.kinds.guard.guard_fact_rules import LOOSENS_AFTER
from reconciler.model.facts import NO_FACTS, Guarded, ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.model.values.system_uuid import either_order
from reconciler.planning.guards.guard import GuardWorld

FIRST_LOOK = timedelta(minutes=5)
"""For so long at most, what is disruptive waits for the first observation of a new machine."""

Marks = dict[str, tuple[ResourceKey, Guarded]]
"""By the name of a guard: a resource that is gone, and how the guard guards it."""


class GoneMarks(msgspec.Struct, frozen=True):
    """The guards of the resources of one kind that are declared no more, and that no other document took over. `every`:
    of all of them; `unknown`: of those whose UUID is unknown; `known`: of the others, by UUID in `either_order`."""

    keys: frozenset[ResourceKey]
    every: Marks
    unknown: Marks
    known: Mapping[str, Marks]

    def of(self, uuid: str | None) -> Iterator[Marks]:
        """The guards of those that a machine with this UUID may be. None: its UUID is unknown."""
        if uuid is None:
            yield self.every
        else:
            yield self.known.get(either_order(uuid), {})
            yield self.unknown


def guarded_before(guard: str, key: ResourceKey, world: GuardWorld) -> tuple[ResourceKey, Guarded] | None:
    """A resource that is gone, that this one may be, and that the guard guards; None: there is none. Only what came
    within the hour can be one."""
    if key.kind not in FLEET or not _is_newcomer(key, world):
        return None
    of_kind = _gone(world).get(key.kind)
    if of_kind is None:
        return None
    found = (marks.get(guard) for marks in of_kind.of(_uuid(key, world)))
    return next((one for one in found if one is not None), None)


def newcomer_for(key: ResourceKey, world: GuardWorld) -> ResourceKey | None:
    """A new resource that may be this one, which is gone; None: there is none."""
    of_kind = _gone(world).get(key.kind)
    if of_kind is None or key not in of_kind.keys:
        return None
    uuid = world.facts.resources.get(key, NO_FACTS).uuid
    new = (one for one in _newcomers(world) if one.kind == key.kind and _is_newcomer(one, world))
    return next((one for one in new if uuid is None or _may_have(one, uuid, world)), None)


def _may_have(key: ResourceKey, uuid: str, world: GuardWorld) -> bool:
    own = _uuid(key, world)
    return own is None or either_order(own) == either_order(uuid)


def _uuid(key: ResourceKey, world: GuardWorld) -> str | None:
    seen = world.observed.get(key)
    found = KINDS[key.kind].uuid(seen.value) if seen is not None and seen.error is None else None
    return found or world.facts.resources.get(key, NO_FACTS).uuid


def _is_newcomer(key: ResourceKey, world: GuardWorld) -> bool:
    added_at = world.facts.resources.get(key, NO_FACTS).added_at
    return added_at is not None and world.now - added_at < LOOSENS_AFTER and key in world.desired.resources


def unseen_newcomers(world: GuardWorld) -> list[ResourceKey]:
    """The machines that were added a moment ago, and of which no read has succeeded or failed yet."""
    facts = world.facts.resources
    return [
        key
        for key in _newcomers(world)
        if key not in world.observed and world.now - (facts[key].added_at or world.now) < FIRST_LOOK
    ]


def _newcomers(world: GuardWorld) -> tuple[ResourceKey, ...]:
    def build() -> tuple[ResourceKey, ...]:
        return tuple(sorted(key for key in world.facts.resources if key.kind in FLEET and _is_newcomer(key, world)))

    return world.survey.once("newcomers", build)


def _gone(world: GuardWorld) -> Mapping[str, GoneMarks]:
    def build() -> dict[str, GoneMarks]:
        known = {key: one for key, one in world.facts.resources.items() if key.kind in FLEET}
        taken = {(key.kind, one.place) for key, one in known.items() if key in world.desired.resources and one.place}
        gone = {
            key: known[key]
            for key in sorted(known)
            if key not in world.desired.resources and (key.kind, known[key].place) not in taken
        }
        kinds = {key.kind for key in gone}
        return {kind: _marks({key: one for key, one in gone.items() if key.kind == kind}, world) for kind in kinds}

    return world.survey.once("gone marks", build)


def _marks(gone: Mapping[ResourceKey, ResourceFacts], world: GuardWorld) -> GoneMarks:
    every: Marks = {}
    unknown: Marks = {}
    known: dict[str, Marks] = {}
    for key, facts in gone.items():
        of_uuid = unknown if facts.uuid is None else known.setdefault(either_order(facts.uuid), {})
        for name, mark in facts.guarded.items():
            if mark.until is None or world.now < mark.until:
                every.setdefault(name, (key, mark))
                of_uuid.setdefault(name, (key, mark))
    return GoneMarks(frozenset(gone), every, unknown, known)
