"""Which guards an override lifts, for which resources and how long. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.label_selector import Unmatched
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.kinds.selectors import is_selected
from reconciler.model.facts import Facts
from reconciler.model.plans.override import Override
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.guard import Lifted
from reconciler.planning.guards.guards_in_force import declared_guard_key, is_absolute_guard

OVERRIDABLE: dict[str, str] = {one.name: one.overridden for one in BUILT_IN_GUARDS.values() if one.overridden}
"""The built-in guards that can be overridden, with what then happens. They are limits and doubts, which a person can
judge."""

MAX_OVERRIDE = timedelta(days=7)


def parse_duration(text: str, most: timedelta = MAX_OVERRIDE) -> timedelta:
    """`2h`, `90m`, `1h30m`, `1d`: at most `most`. Raises ValueError saying what is accepted."""
    found = parse_duration_text(text)
    if not timedelta() < found <= most:
        raise ValueError(f"{text!r} is out of range: write a time of more than 0 s and at most {most.days}d")
    return found


def override_refusal(guard: str, *, narrowed: bool) -> str | None:
    """Why the guard cannot be overridden so, and how to proceed; None: it can."""
    built_in = BUILT_IN_GUARDS.get(guard)
    if built_in is not None and built_in.overridden is None:
        return f"guard {guard} cannot be overridden. Instead: {built_in.instead}"
    if declared_guard_key(guard) is not None:
        return None
    if built_in is None:
        return (
            f"{guard!r} is not a guard that can be overridden; these guards can: {', '.join(sorted(OVERRIDABLE))}, and "
            "declared guards (guard/NAME). For other holds, the plan shows how to proceed"
        )
    if built_in.narrow and not narrowed:
        return (
            f"guard {guard} cannot be overridden for all resources at once: name resources (machine/NAME, "
            "switch/NAME), or select resources with -l"
        )
    return None


def lifts_only_held(guard: str) -> bool:
    """Whether an override of the guard may be given only for what the guard holds at that time."""
    built_in = BUILT_IN_GUARDS.get(guard)
    return built_in is not None and built_in.only_held


def in_force(overrides: tuple[Override, ...], now: datetime) -> tuple[Override, ...]:
    """The overrides that are active now; a row for a guard that must not be overridden has no effect."""
    return tuple(
        one
        for one in overrides
        if one.in_force(now) and not override_refusal(one.guard, narrowed=bool(one.targets or one.selector))
    )


def lifting(overrides: tuple[Override, ...], desired: DesiredState, facts: Facts, now: datetime) -> Lifted:
    """What these lift now. One that cannot be understood lifts nothing."""
    by_guard: dict[str, list[Override]] = {}
    for one in in_force(overrides, now):
        if is_absolute_guard(one.guard, desired, facts):
            continue
        by_guard.setdefault(one.guard, []).append(one)

    def lifted(guard: str, key: ResourceKey) -> Override | None:
        covering = (one for one in by_guard.get(guard, ()) if covers(one, key, desired, facts))
        return max(covering, key=lambda one: one.at, default=None)

    return lifted


def covers(override: Override, key: ResourceKey, desired: DesiredState, facts: Facts) -> bool:
    """Whether the override is about this resource. Labels that follow from a machine's inventory count."""
    remembered = facts.resources.get(key)
    try:
        return is_selected(override.targets, override.selector, key, desired, remembered.labels if remembered else {})
    except Unmatched:
        return False
