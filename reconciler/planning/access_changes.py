"""Where logins go: the declared access to each endpoint, beside the access that was in force. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.kinds import KINDS
from reconciler.model.facts import ResourceFacts
from reconciler.model.plans.access import AccessChange
from reconciler.model.resource import DesiredState, ResourceKey


def access_changes(desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts]) -> tuple[AccessChange, ...]:
    """The resources whose access differs from the access in force, in the order of names; new resources are included.

    `remembered`: the facts before this state came into force. A new machine at the place of a removed one counts as the
    same machine.
    """
    gone = {(key.kind, facts.place): facts.access for key, facts in remembered.items() if key not in desired.resources}
    found = []
    declared = (pair for kind in KINDS.values() if kind.access for pair in kind.access.words(desired).items())
    for key, after in declared:
        resource, known = desired.resources[key], remembered.get(key)
        # Of what is known the place is not asked for: a whole fleet is gone through in every plan.
        before = known.access if known else gone.get((key.kind, KINDS[key.kind].endpoint_of(resource)), {})
        if after != before:
            found.append(AccessChange(key, before, after, resource.source))
    return tuple(sorted(found, key=lambda one: one.key))


def access_words(change: AccessChange) -> str:
    """`spec.bmc.address: https://10.1.0.11 -> https://10.1.0.12`; several are joined by semicolons."""
    return "; ".join(f"{path}: {was or '(none)'} -> {to or '(none)'}" for path, was, to in change.differences)
