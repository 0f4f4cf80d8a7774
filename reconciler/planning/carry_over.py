"""What is remembered of whom when a desired state takes force. Pure, so that `plan` foresees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconciler.kinds import FLEET, KINDS, RECONCILED
from reconciler.kinds.common.event_subject import declared_now
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.guard_marks import marked
from reconciler.planning.guards.guards_in_force import new_guards


def carried_over(
    desired: DesiredState,
    remembered: Mapping[ResourceKey, ResourceFacts],
    now: datetime,
    *,
    since_beginning: bool = False,
) -> dict[ResourceKey, ResourceFacts | None]:
    """The facts that are new or different because of what is declared now, by key. None: the facts were moved to a new
    name (`claim.renamed_from`).

    A new machine at the place of a removed one is the same machine under another name. Its facts stay, so that no
    one-time order is given again, and nothing that was taken down is forgotten. A machine at another place than before
    has ignored no shutdown there, was not seen off there, and was not started from the network there. A guard that is
    loosened from `now` on keeps its former spec for an hour, and so does what leaves a guard's match.
    `since_beginning`: see `Facts`."""
    moved = {key: facts for kind in KINDS.values() for key, facts in kind.renamed(desired, remembered).items()}
    if moved:
        remembered = with_changes(remembered, moved)
    leaving = {key: facts for key, facts in remembered.items() if key not in desired.resources}
    gone = {(key.kind, facts.place): facts for key, facts in leaving.items()}
    guarded_at = {(key.kind, facts.place): facts.guarded for key, facts in remembered.items() if facts.guarded}
    losing = {key.kind for key in leaving}
    new_store = not any(key.kind in FLEET for key in remembered)
    changed: dict[ResourceKey, ResourceFacts | None] = dict(moved)
    ways = {name: kind.access.words(desired) for name, kind in KINDS.items() if kind.access}
    guarding = sum(desired.count(name) for name, kind in KINDS.items() if kind.is_guard)
    new = new_guards(desired, remembered)
    for key, resource in desired.resources.items():
        if key.kind not in RECONCILED:
            continue
        kind, before = KINDS[key.kind], remembered.get(key)
        here = kind.endpoint_of(resource) or None
        after = before or (gone.get((key.kind, here)) if here else None)
        if after is None:
            after = kind.fact_rules.first(resource.spec, new_store and not since_beginning)
            if kind.in_fleet and not new_store:
                after = msgspec.structs.replace(after, added_at=now)
        if after.place not in (None, here):
            after = kind.fact_rules.moved(after)
        policy = getattr(resource.spec, "deletion_policy", None)
        joining = kind.joins and key.kind in losing and (before is None or before.joining)
        if here and (before is None or before.place != here) and (marks := guarded_at.get((key.kind, here))):
            # It acts on what was guarded there, whatever its document is called.
            after = msgspec.structs.replace(after, guarded={**marks, **after.guarded})
        after = kind.fact_rules.declared(after, resource, desired, now)
        if guarding or after.guarded or kind.in_fleet:
            after = marked(desired, resource, after, now, new)
        way = ways[key.kind].get(key, after.access) if key.kind in ways else after.access
        last = declared_now(resource)
        # Value by value, as this is gone through for all of a fleet in every plan.
        if (
            after is not before
            or (before.place, before.deletion_policy, before.joining) != (here, policy, joining)
            or way != before.access
            or last != before.last_declared
        ):
            changed[key] = msgspec.structs.replace(
                after, place=here, deletion_policy=policy, joining=joining, access=way, last_declared=last
            )
    return changed | _removed(leaving, now)


def _removed(leaving: Mapping[ResourceKey, ResourceFacts], now: datetime) -> dict[ResourceKey, ResourceFacts]:
    """The facts that are different because the resource is not declared any more."""
    known = {key: facts for key, facts in leaving.items() if key.kind in KINDS}
    kept = {key: KINDS[key.kind].fact_rules.removed(facts, now) for key, facts in known.items()}
    return {key: facts for key, facts in kept.items() if facts is not leaving[key]}


def with_changes(
    remembered: Mapping[ResourceKey, ResourceFacts], changed: Mapping[ResourceKey, ResourceFacts | None]
) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered then."""
    every = {**remembered, **changed}
    return {key: facts for key, facts in every.items() if facts is not None}
