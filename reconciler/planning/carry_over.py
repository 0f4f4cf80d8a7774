"""What is remembered of whom when a desired state takes force. Pure, so that `plan` foresees it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.kinds import FLEET, KINDS, RECONCILED
from reconciler.kinds.claim.renamed_from import carried
from reconciler.kinds.machine.lifecycle import unattended
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.access_changes import ways_in


def carried_over(
    desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts]
) -> dict[ResourceKey, ResourceFacts | None]:
    """The facts that are new or different because of what is declared now, by key; None: nothing is remembered of it
    any more, as it has another name now (`claim.renamed_from`).

    A machine at the place of one that is gone is that one under another name: what is remembered of it stays, so that
    no one-time order is given again, and nothing that was taken down is forgotten. A machine at another place than
    before has ignored no shutdown there, was not seen off there, and was not started from the network there.
    """
    moved = carried(desired, remembered)
    if moved:
        remembered = with_changes(remembered, moved)
    leaving = {key: facts for key, facts in remembered.items() if key not in desired.resources}
    gone = {(key.kind, facts.place): facts for key, facts in leaving.items()}
    losing = {key.kind for key in leaving}
    new_store = not any(key.kind in FLEET for key in remembered)
    changed: dict[ResourceKey, ResourceFacts | None] = dict(moved)
    ways = ways_in(desired)
    for key, resource in desired.resources.items():
        if key.kind not in RECONCILED:
            continue
        kind, before = KINDS[key.kind], remembered.get(key)
        here = kind.endpoint_of(resource) or None
        after = before or (gone.get((key.kind, here), NO_FACTS) if here else NO_FACTS)
        if after is NO_FACTS and kind.first_facts is not None:
            after = kind.first_facts(resource.spec, new_store)
        if after.place not in (None, here):
            after = msgspec.structs.replace(after, shutdown_ignored=None, life=unattended(after.life))
        policy = getattr(resource.spec, "deletion_policy", None)
        joining = kind.joins and key.kind in losing and (before is None or before.joining)
        # A name that is declared again is that one's own from now on.
        was = tuple(name for name in after.was if ResourceKey(key.kind, name) not in desired.resources)
        access = ways.get(key, after.access)
        # Value by value, as this is gone through for all of a fleet in every plan.
        if before is None or (before.place, before.deletion_policy, before.joining, before.was, before.access) != (
            (here, policy, joining, was, access)
        ):
            changed[key] = msgspec.structs.replace(
                after, place=here, deletion_policy=policy, joining=joining, was=was, access=access
            )
    return changed


def with_changes(
    remembered: Mapping[ResourceKey, ResourceFacts], changed: Mapping[ResourceKey, ResourceFacts | None]
) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered then."""
    every = {**remembered, **changed}
    return {key: facts for key, facts in every.items() if facts is not None}
