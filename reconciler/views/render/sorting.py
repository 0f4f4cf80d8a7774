"""Resources in the order that a person asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from reconciler.kinds.common.column import ResourceView
from reconciler.views.columns import columns
from reconciler.views.render.json_path import BadPath, parse_field_path
from reconciler.views.resource_document import resource_document


def sorted_views(views: Sequence[ResourceView], by: str, now: datetime) -> list[ResourceView]:
    """By a path into the document (`.spec.power`), or by a column's heading in any case (`status`).

    Numbers go before texts, and what has no such value goes last. Raises BadPath.
    """
    if "." in by or "{" in by:
        path = parse_field_path(by)
        return sorted(views, key=lambda view: _rank(next(iter(path.values(resource_document(view))), None)))
    headings = {column.title for view in views for column in columns(view.key.kind, wide=True)}
    if views and by.upper() not in headings:
        raise BadPath(f"{by!r} is neither a path, such as .metadata.name, nor a column: {', '.join(sorted(headings))}")
    return sorted(views, key=lambda view: _rank(_cell(view, by.upper(), now)))


def _cell(view: ResourceView, title: str, now: datetime) -> str | None:
    return next((one.cell(view, now) for one in columns(view.key.kind, wide=True) if one.title == title), None)


def _rank(value: Any) -> tuple[int, float, str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (2, 0.0, "") if value is None else (1, 0.0, str(value))
    return (0, float(value), "")
