"""The columns of `get guards`. Pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from reconciler.kinds.common.column import NOTHING, Column, ResourceView, spec_column
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.kinds.guard.windows import WindowState, window_state


def _window(view: ResourceView, now: datetime) -> WindowState | None:
    windows = view.resource.spec.windows if view.resource is not None else None
    return None if windows is None else window_state(windows, now)


def _state(view: ResourceView, now: datetime) -> str:
    found = _window(view, now)
    return NOTHING if found is None else "open" if found.open else "closed"


def _next_change(view: ResourceView, now: datetime) -> str:
    found = _window(view, now)
    if found is None or found.until is None or view.resource is None:
        return NOTHING
    zone = view.resource.spec.windows.time_zone
    return f"{found.until.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M} {zone}"


def _holds(view: ResourceView, _: datetime) -> str:
    return str(len(view.held_changes))


def _held(view: ResourceView, _: datetime) -> str:
    names = [str(key) for key in view.held_changes]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more or NOTHING


def _type(view: ResourceView, _: datetime) -> str:
    return "Built-in" if view.key.name in BUILT_IN_GUARDS else "Declared"


GUARD_COLUMNS = (
    Column("TYPE", _type),
    spec_column("level", "LEVEL"),
    Column("WINDOW", _state),
    Column("NEXT CHANGE", _next_change),
    Column("HOLDS", _holds),
    Column("HELD", _held, wide=True),
)
