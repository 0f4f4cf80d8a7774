"""What a pause holds: everything that would be written to what it covers, releases among it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.kinds import KINDS, implied
from reconciler.kinds.common.field_types.label_selector import Unmatched
from reconciler.kinds.selectors import is_selected
from reconciler.model.facts import Facts
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import Change, Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.guard import GuardWorld, Holds

"""What holds in a daemon that only observes, as metrics and the log call it."""


def hold_everything(changes: Iterable[Change], _world: GuardWorld) -> Holds:
    """The guard of a daemon that only observes: nothing is sent, and nothing is recorded as done."""
    hint = "stop this daemon, and start `groundstate run` without --observe"
    hold = Hold(
        HoldKind.GUARD,
        HoldName.OBSERVE_ONLY,
        ("the daemon was started with --observe, so the daemon sends nothing"),
        hint,
    )
    return {change.key: (hold,) for change in changes}


def standing_pauses(pauses: tuple[ResourcePause, ...], now: datetime) -> tuple[ResourcePause, ...]:
    """Those that hold something now."""
    return tuple(one for one in pauses if one.stands(now))


def hold_paused(changes: Iterable[Change], world: GuardWorld) -> Holds:
    """The guard of all pauses: it holds whatever is covered, for each pause that covers it."""
    stand = standing_pauses(world.standing.pauses, world.now)
    if not stand:
        return {}
    holds = {
        change.key: tuple(_hold(one) for one in stand if pauses(one, change.key, world.desired, world.facts))
        for change in changes
    }
    return {key: found for key, found in holds.items() if found}


def pauses(pause: ResourcePause, key: ResourceKey, desired: DesiredState, facts: Facts) -> bool:
    """Whether the pause is about this resource, or about the claim that has it. In doubt it is. A resource whose labels
    went with its document is paused if it was at the begin, and a pause that cannot be understood covers everything."""
    return any(_is_meant(pause, one, desired, facts) for one in (key, *_holders(key, facts)))


def _is_meant(pause: ResourcePause, key: ResourceKey, desired: DesiredState, facts: Facts) -> bool:
    if key not in desired.resources and str(key) in pause.known:
        return True
    remembered = facts.resources.get(key)
    try:
        return is_selected(pause.targets, pause.selector, key, desired, remembered.labels if remembered else {})
    except Unmatched:
        return True


def _holders(key: ResourceKey, facts: Facts) -> Iterable[ResourceKey]:
    kind = KINDS.get(key.kind)
    slot = kind.fact_rules.slot(facts.resources.get(key, kind.fact_rules.facts_type())) if kind is not None else None
    if slot is not None:
        yield slot.holder
    meant = implied(key)
    if meant is not None:
        yield meant.by


def _hold(pause: ResourcePause) -> Hold:
    reason = f"paused by {pause.by} {pause.lasts}: {pause.reason}"
    return Hold(
        HoldKind.GUARD, HoldName.PAUSED, reason, f"`groundstate resume {pause.id}` ends the pause of {pause.covers}"
    )
