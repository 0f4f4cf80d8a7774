"""Which guards an override lifts, for which resources and how long. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.label_selector import Unmatched
from reconciler.kinds.selectors import means
from reconciler.model.facts import Facts
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import PAUSED
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.declared_guards import declared_guard_key, is_absolute_guard
from reconciler.planning.guards.guard import Lifted
from reconciler.planning.guards.pauses import OBSERVE_ONLY

OVERRIDABLE: dict[str, str] = {
    "disruption-budget": "more machines are taken down at once than the limit",
    "mass-removal": "more machines are removed from git than the limit",
    "empty-desired-state": "the desired state declares nothing, or no machine",
    "unreachable-fleet": "disruptive changes continue although many BMCs cannot be read",
    "mass-release": "more addresses, numbers and networks are released than the limit",
    "mass-unclaim": "more claimed machines are released and wiped than the limit",
    "first-sight": "a one-time boot override is sent although it may already have been executed",
}
"""The guards that can be overridden, with what then happens. They are limits and doubts, which a person can judge."""

NARROW = frozenset({"first-sight"})
"""These are overridden for named or selected machines only: a machine that runs may be installed again."""

NEVER: dict[str, str] = {
    "boot-service": "network boot needs the boot service; start `groundstate run --boot-address ADDR`",
    "first-look": "the daemon has not observed the fleet yet; the change continues automatically after that",
    "running": "power the machine off; see docs/reference/guards.md",
    "another-system": "correct spec.bmc, or accept the machine with spec.lifecycle.request",
    "unjudged": "the effect of the change cannot be counted; report the bug, or change the document",
    PAUSED: "`groundstate resume` ends a pause; `groundstate get pauses` lists them",
    OBSERVE_ONLY: "stop the daemon, and start `groundstate run` without --observe",
    "claimed": "declare the machine until its claim has released it",
}
"""Guards that no override lifts, and how to proceed instead: what they protect is lost for good, or cannot work."""

MAX_OVERRIDE = timedelta(days=7)


def parse_duration(text: str, most: timedelta = MAX_OVERRIDE) -> timedelta:
    """`2h`, `90m`, `1h30m`, `1d`: at most `most`. Raises ValueError saying what is accepted."""
    found = parse_duration_text(text)
    if not timedelta() < found <= most:
        raise ValueError(f"{text!r} is out of range: give more than 0 s and at most {most.days}d")
    return found


def override_refusal(guard: str, *, narrowed: bool) -> str | None:
    """Why the guard cannot be overridden so, and how to proceed; None: it can."""
    if guard in NEVER:
        return f"guard {guard} cannot be overridden: {NEVER[guard]}"
    if declared_guard_key(guard) is not None:
        return None
    if guard not in OVERRIDABLE:
        return (
            f"{guard!r} cannot be overridden; guards that can: {', '.join(sorted(OVERRIDABLE))}, and "
            "declared ones (guard/NAME). "
            "For other holds change the document; the plan says how"
        )
    if guard in NARROW and not narrowed:
        return (
            f"guard {guard} can only be overridden for chosen machines: name them (machine/NAME) or select them with -l"
        )
    return None


def in_force(overrides: tuple[Override, ...], now: datetime) -> tuple[Override, ...]:
    """Those that lift something now; a row of a guard that must not be overridden lifts nothing, whoever wrote it."""
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

    def lifted(guard: str, key: ResourceKey) -> str | None:
        covering = (one.id for one in by_guard.get(guard, ()) if covers(one, key, desired, facts))
        return next(covering, None)

    return lifted


def covers(override: Override, key: ResourceKey, desired: DesiredState, facts: Facts) -> bool:
    """Whether the override is about this resource. Labels that follow from a machine's inventory count."""
    remembered = facts.resources.get(key)
    try:
        return means(override.targets, override.selector, key, desired, remembered.labels if remembered else {})
    except Unmatched:
        return False
