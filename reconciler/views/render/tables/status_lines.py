"""`groundstate status` for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from reconciler.kinds import find_kind
from reconciler.model.counting import count_are
from reconciler.model.event import Event
from reconciler.model.plans.fleet_count import BudgetLevel
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.planning.guards.standing import DaemonReport
from reconciler.views.columns import short_age
from reconciler.views.render.words import Paint, clean, override_words, pause_words, unpainted

_GROUPS = 5
"""How many groups of declared guards are shown."""
_HOLDERS: dict[str, str] = {HoldName.PAUSED: "a pause", HoldName.OBSERVE_ONLY: "run --observe"}
_COLOURS = {"Ready": "green", "Held": "yellow", "Stalled": "red", "Unknown": "magenta", "Reconciling": "cyan"}


def daemon_line(daemon: DaemonReport | None, at_work: bool, now: datetime, paint: Paint = unpainted) -> str:
    """Whether one is alive, and how to proceed where none is."""
    if daemon is None:
        return paint("yellow", "Daemon:     no daemon ever ran with this store; `groundstate run` starts a daemon")
    since = f"{clean(daemon.by)}, started {short_age(daemon.since, now)} ago"
    if at_work:
        only = paint("yellow", "only observes, sends nothing; ") if daemon.observes_only else ""
        return f"Daemon:     running, {only}{since}, seen {short_age(daemon.seen_at, now)} ago"
    ended = "ended" if daemon.ended else "not responding; the host or the process may be down"
    last = f"{since}, last seen {short_age(daemon.seen_at, now)} ago"
    return paint("red", f"Daemon:     {ended}: {last}; `groundstate run` starts a daemon")


def revision_lines(
    in_force: str | None,
    ref: str | None,
    since: datetime | None,
    broken: Event | None,
    now: datetime,
    paint: Paint = unpainted,
) -> Iterator[str]:
    """What is in force, and what is not because it is broken."""
    if in_force is None:
        yield "Revision:   none; no daemon has put a revision in force yet"
    else:
        when = f", for {short_age(since, now)}" if since else ""
        yield f"Revision:   {clean(in_force[:10])} ({clean(ref or 'HEAD')}) is in force{when}"
    if broken is not None:
        age = short_age(broken.latest, now)
        yield paint("red", f"Broken:     {broken.reason} {age} ago: {clean(broken.message)}")


def status_lines(statuses: Mapping[str, Mapping[str, int]], paint: Paint = unpainted) -> Iterator[str]:
    """A line for each kind: how many resources have which status."""
    width = max(map(len, statuses), default=0)
    for kind, counts in statuses.items():
        words = ", ".join(paint(_COLOURS.get(word, "dim"), f"{number:,} {word}") for word, number in counts.items())
        yield f"  {kind:<{width}}  {words}"


def held_lines(
    held: Mapping[str, int] | None, overrides: tuple[Override, ...], pauses: tuple[ResourcePause, ...] = ()
) -> Iterator[str]:
    """What guards keep back (None: that is unknown), which of them are overridden, and what is paused."""
    if held is not None:
        words = ", ".join(f"{number:,} by {_HOLDERS.get(guard, guard)}" for guard, number in held.items())
        yield f"Held:       {words or 'nothing'}"
    yield from (f"Override:   {clean(override_words(one))}" for one in overrides)
    yield from (f"Paused:     {clean(pause_words(one))}" for one in pauses)


def budget_lines(budgets: Sequence[BudgetLevel]) -> Iterator[str]:
    """What is used of the disruption budgets, those of whole kinds first."""
    wholes, groups = [one for one in budgets if one.is_whole], [one for one in budgets if not one.is_whole]
    for at, whole in enumerate(wholes):
        kind, head = find_kind(whole.group), "Budget:" if at == 0 else ""
        down = count_are(whole.used, kind.name.lower() if kind is not None else whole.group, whole.group)
        limit = f"the limit is {whole.allowed:,}; {_left(whole):,} more may be taken down"
        yield f"{head:<12}{down} down because of groundstate; {limit}"
    for level in groups[:_GROUPS]:
        group = " ".join(filter(None, (level.guard, level.group)))
        yield f"            {clean(group)}: {level.used:,} of {level.allowed:,} used, {_left(level):,} left"
    if len(groups) > _GROUPS:
        yield f"            {len(groups) - _GROUPS:,} more; `groundstate status -o json` shows all of them"


def _left(level: BudgetLevel) -> int:
    return max(0, level.allowed - level.used)
