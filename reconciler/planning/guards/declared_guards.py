"""What the windows and the protections of declared guards hold. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from reconciler.kinds import KINDS
from reconciler.kinds.guard.spec import GuardCause, GuardSpec, Level, Protection
from reconciler.kinds.guard.windows import WindowState, window_state
from reconciler.model.actions.action_base import Disruption
from reconciler.model.facts import NO_FACTS
from reconciler.model.plans.plan import CauseKind, Change, Hold, HoldKind, override_hint
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guard_marks import is_guarded, mark_of
from reconciler.planning.guards.guards_in_force import GUARD, GuardInForce, guards_in_force
from reconciler.planning.guards.possible_renames import guarded_before, newcomer_for

UNDER_WAY = timedelta(hours=1)
"""For so long after a machine was taken down, what is done to it ends what was begun."""
_CAUSES = {
    CauseKind.COMMIT: {GuardCause.COMMIT},
    CauseKind.DRIFT: {GuardCause.DRIFT},
    CauseKind.BOTH: {GuardCause.COMMIT, GuardCause.DRIFT},
    CauseKind.LEAK: {GuardCause.RELEASE},
}


def hold_declared(changes: Iterable[Change], world: GuardWorld) -> Mapping[ResourceKey, tuple[Hold, ...]]:
    """What the windows and protections hold."""
    changes = tuple(changes)
    removes = any(change.source is None for change in changes)
    guards = [one for one in guards_in_force(world) if removes or one.spec.windows or one.spec.protection]
    if not guards:
        return {}
    found = {
        change.key: tuple(_holds(guards, change, world))
        for change in changes
        if change.key.kind != GUARD and change.actions
    }
    return {key: holds for key, holds in found.items() if holds}


def guards_of_change(change: Change, world: GuardWorld) -> list[GuardInForce]:
    """Those that guard the resource of the change, or one that the change gives up."""
    return [one for one in guards_in_force(world) if any(is_guarded(one, key, world) for key in _concerned(change))]


def holds_on(guard: GuardInForce, change: Change, world: GuardWorld) -> Iterator[Hold]:
    """The holds of the guard's windows and of its protection on a change of what it guards, or by which that is given
    up. A claim that is removed takes its machines down."""
    return _holds((guard,), change, world)


def _holds(guards: Iterable[GuardInForce], change: Change, world: GuardWorld) -> Iterator[Hold]:
    keys = _concerned(change)
    for guard in guards:
        if guarded := [key for key in keys if is_guarded(guard, key, world)]:
            yield from _holds_on(guard, change, guarded, world)


def _holds_on(
    guard: GuardInForce, change: Change, guarded: Collection[ResourceKey], world: GuardWorld
) -> Iterator[Hold]:
    others = _others_words(change, [key for key in guarded if key != change.key]) + _former_words(guard, change, world)
    if guard.spec.windows is not None and judges(guard.spec, change) and begins(change, world):
        state = window_of(guard, world.now)
        if not state.open:
            yield _hold(guard, window_words(guard, state) + others, _wait_hint(guard, change, state))
    taken = protected(guard.spec.protection, change, is_own=change.key in guarded)
    if taken is not None:
        hint = "remove the protection from the guard in a commit; the removal takes effect an hour after the commit"
        yield _hold(
            guard, f"{taken}; the guard forbids that (spec.protection){others}", or_override(guard, change, hint)
        )
    elif change.source is None and (new := newcomer_for(change.key, world)) is not None:
        reason = f"{new} may be {change.key} under another name, so {change.key} is not forgotten for an hour"
        yield _hold(guard, reason, or_override(guard, change, f"wait until the UUID of {new} is known, or for an hour"))


def _concerned(change: Change) -> tuple[ResourceKey, ...]:
    kind = KINDS.get(change.key.kind)
    others = (key for action in change.actions for key in kind.gives_up(action)) if kind is not None else ()
    return (change.key, *dict.fromkeys(others))


def _former_words(guard: GuardInForce, change: Change, world: GuardWorld) -> str:
    former = guarded_before(guard.name, change.key, world)
    resource, facts = world.desired.resources.get(change.key), world.facts.resources.get(change.key, NO_FACTS)
    if former is None or resource is None or mark_of(guard, resource, facts) is not None:
        return ""
    return f"; the guard guards {former[0]}, which is no longer declared, and may be {change.key} under another name"


def _others_words(change: Change, keys: Collection[ResourceKey]) -> str:
    names = [str(key) for key in keys]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    does = "cuts off" if change.disruption is Disruption.DISRUPTIVE else "releases"
    return f"; the change {does} {', '.join(names[:5])}{more}" if names else ""


def judges(spec: GuardSpec, change: Change) -> bool:
    """Whether the change has an action and a cause that the guard is about."""
    if spec.causes and not _causes(change) & set(spec.causes):
        return False
    return any(
        action.disruption.value in spec.actions or action.name in spec.actions
        for action in change.actions
        if not action.brings_up
    )


def begins(change: Change, world: GuardWorld) -> bool:
    """Whether something begins with the change. What ends what was begun is never held, and neither is powering on."""
    if change.disruption is Disruption.NONE and any(action.brings_up for action in change.actions):
        return False
    if change.key in world.facts.in_flight:
        return False
    facts = world.facts.resources.get(change.key, NO_FACTS)
    if facts.disrupted_at is not None and world.now - facts.disrupted_at < UNDER_WAY:
        return False
    return not KINDS[change.key.kind].under_way(facts, world.now)


def protected(protection: Protection | None, change: Change, *, is_own: bool) -> str | None:
    """What the change would do that the protection forbids, in words. `is_own`: the guard guards the resource of the
    change, and not only what the change gives up."""
    if protection in (Protection.DELETE, Protection.ALL) and change.source is None and is_own:
        return "the resource is no longer declared, and would be removed"
    if protection in (Protection.RELEASE, Protection.ALL) and change.disruption is Disruption.DESTRUCTIVE:
        names = dict.fromkeys(one.name for one in change.actions if one.disruption is Disruption.DESTRUCTIVE)
        return f"the change would release values that another owner may then acquire ({', '.join(names)})"
    return None


def window_of(guard: GuardInForce, now: datetime) -> WindowState:
    """Whether the guard's windows are open then. The guard must have windows."""
    assert guard.spec.windows is not None  # noqa: S101
    kept = guard.known.get("window")
    if kept is None or not kept[0] <= now or (kept[1].until is not None and kept[1].until <= now):
        kept = guard.known["window"] = (now, window_state(guard.spec.windows, now))
    found: WindowState = kept[1]
    return found


def window_words(guard: GuardInForce, state: WindowState) -> str:
    """Why the windows are closed, and until when."""
    assert guard.spec.windows is not None  # noqa: S101
    zone = guard.spec.windows.time_zone
    opens = f"until {local_words(state.until, zone)}" if state.until is not None else "for more than a year"
    return f"the windows of the guard are closed {opens}" + (f": {state.reason}" if state.reason else "")


def local_words(at: datetime, zone: str) -> str:
    """`Mon 2026-11-30 22:00 Europe/Berlin`."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M} {zone}"


def _causes(change: Change) -> set[GuardCause]:
    return {GuardCause.RELEASE} if change.source is None else _CAUSES[change.cause.kind]


def _hold(guard: GuardInForce, reason: str, hint: str) -> Hold:
    kind = HoldKind.ADVISORY if guard.spec.level is Level.ADVISORY else HoldKind.GUARD
    return Hold(kind, guard.name, f"{reason}{also_words(guard)}", hint)


def also_words(guard: GuardInForce) -> str:
    """What is added to each reason: the guard's description, and that a former spec holds."""
    said = f" ({guard.spec.description})" if guard.spec.description else ""
    if guard.until is None:
        return said
    return (
        f"{said}; a commit loosened or removed the guard, but its former spec is in force until {guard.until:%H:%M:%S}Z"
    )


def _wait_hint(guard: GuardInForce, change: Change, state: WindowState) -> str:
    opens = f"wait until {state.until:%Y-%m-%d %H:%M}Z, when the window opens" if state.until is not None else ""
    return or_override(guard, change, opens)


def or_override(guard: GuardInForce, change: Change, first: str) -> str:
    """How to proceed: what is given first, or an override where the guard's level has one."""
    if guard.spec.level is Level.ABSOLUTE:
        return (
            f"{first or 'change the guard in git'}; an override does not help, because the level of the guard "
            "is Absolute"
        )
    hint = override_hint(guard.name, change.key)
    return f"{first}; or {hint}" if first else hint
