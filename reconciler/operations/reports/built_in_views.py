"""The built-in guards among what `get` and `describe` show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS, built_in_resource
from reconciler.kinds.selectors import names_kind
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.plans.override import Override
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.builtin_guards import limit_words
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.guards_in_force import GUARD

BUILT_IN_KEYS = frozenset(ResourceKey(GUARD, name) for name in BUILT_IN_GUARDS)


def asked_keys(targets: Iterable[str], selector: str) -> frozenset[ResourceKey]:
    """The built-in guards that are shown: where guards are asked for by their kind. They have no labels."""
    return BUILT_IN_KEYS if not selector and names_kind(targets, GUARD) else frozenset()


def built_in_view(
    key: ResourceKey,
    limits: GuardLimits,
    held_by: Mapping[str, tuple[ResourceKey, ...]],
    overrides: Iterable[Override],
) -> ResourceView:
    """The guard as a resource. `held_by`: whose changes each guard holds; `overrides`: those in force."""
    limit = limit_words(key.name, limits)
    message = f"is built into groundstate{f'; {limit}' if limit else ''}"
    ready = Condition(ConditionType.READY, Status.TRUE, ConditionReason.ACCEPTED, message)
    return ResourceView(
        key,
        built_in_resource(key),
        None,
        "Ready",
        (ready,),
        overrides=tuple(one for one in overrides if one.guard == key.name),
        held_changes=held_by.get(key.name, ()),
    )
