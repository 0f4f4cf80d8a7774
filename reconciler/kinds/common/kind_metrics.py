"""What the metrics count of a kind, beside how many there are and in which status: the kind says it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource

LabelValues = tuple[str, ...]
"""The values of a gauge's labels."""


class CountedGauge(msgspec.Struct, frozen=True):
    """A gauge that counts declared resources of one kind by classes.

    `labels_of`: in which class a resource is; None: in none. It may use only the facts and the observation of that
    resource, because it is called again only when these change. `always`: classes that are shown when empty, too.
    """

    name: str
    meaning: str
    labels: LabelValues
    labels_of: Callable[[Resource[Any], DesiredState, ObservedState, Facts], LabelValues | None]
    always: tuple[LabelValues, ...] = ()


class FillLevel(msgspec.Struct, frozen=True):
    """How full one part of a resource is: `used` of `size`. `part`: the values of the labels after the name."""

    part: LabelValues
    size: int
    used: int


class LevelGauge(msgspec.Struct, frozen=True):
    """Two gauges of how full the resources of a kind are: `name` has the size, `name` with `_used` what is allocated.

    `labels`: the first is the resource's name. `levels_of`: by the value that the backend holds.
    """

    name: str
    meaning: str
    labels: LabelValues
    levels_of: Callable[[Any], Iterable[FillLevel]]
