"""What a change of a guard loosens, block by block. Pure.

Whatever is not plainly as strict as before counts as loosened: an hour's wait too many costs little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.guard.spec import (
    DisruptionBudget,
    GuardCause,
    GuardedAction,
    GuardMatch,
    GuardSpec,
    Level,
    Protection,
    Windows,
    WindowTime,
)
from reconciler.kinds.guard.windows import is_absolute

_STRICTNESS = (Level.ADVISORY, Level.MANDATORY, Level.ABSOLUTE)
_PROTECTED = {
    None: frozenset[Protection](),
    Protection.DELETE: frozenset((Protection.DELETE,)),
    Protection.RELEASE: frozenset((Protection.RELEASE,)),
    Protection.ALL: frozenset((Protection.DELETE, Protection.RELEASE)),
}


def loosens(old: GuardSpec, new: GuardSpec) -> tuple[str, ...]:
    """The fields of the spec by which something may pass that `old` holds; none where `new` is at least as strict."""
    return tuple(_loosened(old, new))


def _loosened(old: GuardSpec, new: GuardSpec) -> Iterator[str]:
    if _STRICTNESS.index(new.level) < _STRICTNESS.index(old.level):
        yield "level"
    if not _matches_all_of(old.match, new.match):
        yield "match"
    if not _judges_all_of(old.actions, new.actions):
        yield "actions"
    if not set(old.causes or GuardCause) <= set(new.causes or GuardCause):
        yield "causes"
    if old.windows is not None and (new.windows is None or not _windows_as_strict(old.windows, new.windows)):
        yield "windows"
    if old.budget is not None and (
        new.budget is None
        or not _budget_as_strict(old.budget, new.budget)
        or (old.match != new.match and _grows_with_its_group(old.budget))
    ):
        yield "budget"
    if not _PROTECTED[old.protection] <= _PROTECTED[new.protection]:
        yield "protection"


def _matches_all_of(old: GuardMatch, new: GuardMatch) -> bool:
    lists = all(
        not getattr(new, name) or (getattr(old, name) and set(getattr(old, name)) <= set(getattr(new, name)))
        for name in ("kinds", "partitions", "projects", "names")
    )
    return lists and new.selector.strip() in ("", old.selector.strip())


def _judges_all_of(old: Collection[GuardedAction], new: Collection[GuardedAction]) -> bool:
    return set(old) <= set(new)


def _windows_as_strict(old: Windows, new: Windows) -> bool:
    if old.time_zone != new.time_zone:
        return False
    allows_less = not old.allow or (bool(new.allow) and all(_within_any(one, old.allow) for one in new.allow))
    denies_more = all(_within_any(one, new.deny) for one in old.deny)
    earlier = old.last_start is None or (
        new.last_start is not None and parse_duration_text(new.last_start) >= parse_duration_text(old.last_start)
    )
    return allows_less and denies_more and earlier


def _within_any(inner: WindowTime, outers: Collection[WindowTime]) -> bool:
    return any(_within(inner, outer) for outer in outers)


def _within(inner: WindowTime, outer: WindowTime) -> bool:
    """Whether all of the one window is in the other, whatever the day."""
    absolute = [any(map(is_absolute, (one.from_, one.to))) for one in (inner, outer)]
    if absolute[0] != absolute[1]:
        return False
    if absolute[0]:
        begins = outer.from_ is None or (inner.from_ is not None and outer.from_ <= inner.from_)
        ends = outer.to is None or (inner.to is not None and inner.to <= outer.to)
        return begins and ends
    if outer.days and not set(inner.days or ("",)) <= set(outer.days):
        return False
    (begins_in, ends_in), (begins_out, ends_out) = _minutes(inner), _minutes(outer)
    return begins_out <= begins_in and ends_in <= ends_out


def _minutes(entry: WindowTime) -> tuple[int, int]:
    """From midnight; the end is after the beginning."""
    first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (entry.from_ or "00:00", entry.to or "24:00"))
    return first, last if last > first else last + 24 * 60


def _budget_as_strict(old: DisruptionBudget, new: DisruptionBudget) -> bool:
    return (
        _fewer(old, new)
        and (old.per == new.per)
        and parse_duration_text(new.within) >= parse_duration_text(old.within)
        and (
            old.pacing is None
            or (new.pacing is not None and parse_duration_text(new.pacing) >= parse_duration_text(old.pacing))
        )
        and (new.count_unavailable or not old.count_unavailable)
    )


def _grows_with_its_group(budget: DisruptionBudget) -> bool:
    """Whether more may be down where the group is larger: a tenth of everything is more than a tenth of ten."""
    return budget.min_available is not None or FleetShare.parse(str(budget.max_disrupted)).percent is not None


def _fewer(old: DisruptionBudget, new: DisruptionBudget) -> bool:
    """Whether no more may be down than before, in a group of any size."""
    if old.max_disrupted is not None and new.max_disrupted is not None:
        return _at_most(new.max_disrupted, old.max_disrupted)
    if old.min_available is not None and new.min_available is not None:
        return _at_most(old.min_available, new.min_available)
    return False


def _at_most(one: int | str, other: int | str) -> bool:
    """Whether the first is not more than the second; a number and a share cannot be compared."""
    first, second = FleetShare.parse(str(one)), FleetShare.parse(str(other))
    if first.count is not None and second.count is not None:
        return first.count <= second.count
    return first.percent is not None and second.percent is not None and first.percent <= second.percent
