"""Resources counted for the metrics: by kind and status, and by what their kinds count. Pure.

What was worked out of a resource is kept until something of it is new, as a fleet is counted every few seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import KINDS, RECONCILED
from reconciler.kinds.common.kind_metrics import CountedGauge, LabelValues
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.observation import ObservedState, ReadError
from reconciler.model.plans.fleet_count import BudgetLevel, FleetCount
from reconciler.model.plans.plan import Change, HoldKind, Plan, Unknown
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement.capacity import MACHINE_CAPACITY
from reconciler.planning.guards.guard import GuardWorld
from reconciler.views.conditions import READY, conditions, status_word

RESOURCE_STATUS = "groundstate_resource_status"

_BY_KIND: Mapping[str, tuple[CountedGauge, ...]] = {
    name: (*kind.counted, *((MACHINE_CAPACITY,) if kind.fact_rules.takes_slots else ())) for name, kind in KINDS.items()
}

COUNTED = tuple(gauge for gauges in _BY_KIND.values() for gauge in gauges)
"""Every gauge that counts resources of one kind."""

GAUGES: tuple[tuple[str, str, LabelValues], ...] = (
    (RESOURCE_STATUS, "Resources by their status, as `get` shows it.", ("kind", "status")),
    *((one.name, one.meaning, one.labels) for one in COUNTED),
)
"""Name, meaning and labels of every gauge that is counted here."""

Series = Mapping[str, Mapping[LabelValues, int]]
"""Of each gauge, how many resources there are by the values of its labels."""


Classes = tuple[tuple[str, LabelValues], ...]


def fleet_count(
    desired: DesiredState, series: Series, holds: Mapping[str, int], budgets: tuple[BudgetLevel, ...]
) -> FleetCount:
    """The fleet in numbers. `holds`: by guard; `budgets`: of the whole fleet first, then of each group of each guard.

    A document of a kind that is not reconciled is Ready, as the desired state is valid."""
    statuses: dict[str, dict[str, int]] = {}
    for (kind, status), number in sorted(series[RESOURCE_STATUS].items()):
        statuses.setdefault(kind, {})[status] = number
    declared = Counter(key.kind for key in desired.resources)
    by_kind = {kind: statuses.get(kind) or {READY: declared[kind]} for kind in KINDS if kind in {*statuses, *declared}}
    by_number = dict(sorted(holds.items(), key=lambda item: (-item[1], item[0])))
    return FleetCount(by_kind, by_number, tuple(one for one in budgets if one.is_whole or one.used))


def guard_holds(changes: Iterable[Change]) -> Counter[str]:
    """How many changes each guard holds."""
    return Counter(by for one in changes for by in {hold.by for hold in one.held_by if hold.kind is HoldKind.GUARD})


class _Entry(msgspec.Struct, frozen=True):
    """What a resource was counted by (`said`: by the plan), and in which gauges with which labels."""

    facts: ResourceFacts | None
    value: Any
    error: ReadError | None
    flight: InFlight | None
    said: Change | Unknown | None
    classes: Classes


class ResourceTally:
    """Counts one fleet again and again. For one thread."""

    def __init__(self) -> None:
        self._desired: DesiredState | None = None
        self._entries: dict[ResourceKey, _Entry] = {}

    def count(self, world: GuardWorld, planned: Plan) -> Series:
        """The current fleet; `planned`: all resources that are unknown or not as declared."""
        # What a resource is counted as may follow from other documents, a machine's from its claim's.
        before = self._entries if self._desired is world.desired else {}
        said: dict[ResourceKey, Change | Unknown] = {one.key: one for one in planned.changes}
        said.update((one.key, one) for one in planned.unknown)
        keys = {*world.desired.resources, *world.facts.resources}
        # A fleet is in few classes: one tuple for all that are in the same.
        known: dict[Classes, Classes] = {}
        self._desired = world.desired
        self._entries = {
            key: _entry(key, world, said.get(key), before.get(key), known) for key in keys if key.kind in RECONCILED
        }
        found: dict[str, Counter[LabelValues]] = {
            gauge.name: Counter(dict.fromkeys(gauge.always, 0)) for gauge in COUNTED
        }
        found[RESOURCE_STATUS] = Counter()
        for classes, number in Counter(entry.classes for entry in self._entries.values()).items():
            for name, labels in classes:
                found[name][labels] += number
        return found


def _entry(
    key: ResourceKey,
    world: GuardWorld,
    said: Change | Unknown | None,
    before: _Entry | None,
    known: dict[Classes, Classes],
) -> _Entry:
    remembered, seen, flight = world.facts.resources.get(key), world.observed.get(key), world.facts.in_flight.get(key)
    # And not the observation itself: each has its time, and nearly each shows what the last one did.
    value, error = (None, None) if seen is None else (seen.value, seen.error)
    if (
        before is not None
        and remembered is before.facts
        and (value is before.value or value == before.value)
        and error == before.error
        and flight is before.flight
        # Every plan has changes of its own, which are mostly the same as before.
        and (said is before.said or said == before.said)
    ):
        return before
    classes = tuple(_classes(key, world.desired, world.observed, world.facts, world.now, said))
    return _Entry(remembered, value, error, flight, said, known.setdefault(classes, classes))


def _classes(
    key: ResourceKey,
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    said: Change | Unknown | None,
) -> list[tuple[str, LabelValues]]:
    status = status_word(conditions(key, desired, observed, facts, now, said))
    resource = desired.resources.get(key)
    found: list[tuple[str, LabelValues]] = [(RESOURCE_STATUS, (key.kind, status))]
    if resource is not None:
        for gauge in _BY_KIND[key.kind]:
            labels = gauge.labels_of(resource, desired, observed, facts)
            if labels is not None:
                found.append((gauge.name, labels))
    return found
