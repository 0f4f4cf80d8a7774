"""Rows for `get`: what is declared beside what was observed last. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.kinds import KINDS
from reconciler.kinds.common.column import NOTHING, Column, ResourceView, label_column
from reconciler.kinds.common.machine_inventory import AGGREGATE


def columns(
    kind: str, *, wide: bool, aggregates: Iterable[str] = (), labels: bool = False, among_others: bool = False
) -> list[Column]:
    """The kind's columns, in order. `aggregates`: the names of those that the resources have, for -o wide. `labels`:
    with a column of all labels. `among_others`: other kinds are shown too, so that names say their kind."""
    found = KINDS.get(kind)
    own = found.columns if found is not None else ()
    inventoried = found is not None and found.inventoried
    more = [label_column(f"{AGGREGATE}{name}", name.upper()) for name in aggregates] if inventoried else []
    name = Column("NAME", (lambda view, _: str(view.key)) if among_others else (lambda view, _: view.key.name))
    every = [name, *own, *more, *_COMMON, *([_LABELS] if labels else [])]
    return [column for column in every if wide or not column.wide]


def short_age(then: datetime | None, now: datetime) -> str:
    """`12s`, `5m`, `3h`, `2d`, as kubectl writes it."""
    if then is None:
        return NOTHING
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


_COMMON = (
    Column("STATUS", lambda view, _: view.status),
    Column("SEEN", lambda view, now: short_age(view.observation.taken_at if view.observation else None, now)),
    Column("SOURCE", lambda view, _: str(view.resource.source) if view.resource else "not declared", wide=True),
)


def _labels(view: ResourceView, _: datetime) -> str:
    labels = {**(view.resource.labels if view.resource else {}), **view.derived}
    return ",".join(f"{name}={value}" for name, value in labels.items()) or NOTHING


_LABELS = Column("LABELS", _labels)
