"""Prometheus metrics. One registry an instance, so that tests in one process do not share counters."""

from __future__ import annotations

import math
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from reconciler.kinds import KINDS
from reconciler.kinds.common.kind_metrics import FillLevel, LabelValues
from reconciler.model.event import Event
from reconciler.model.outcome import Done, Failed, Outcome
from reconciler.model.plans.fleet_count import BudgetLevel
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import UnknownReason
from reconciler.model.resource import ResourceKey
from reconciler.model.sink_state import SinkReport
from reconciler.model.values.program_version import program_version
from reconciler.planning.override_scope import OVERRIDABLE
from reconciler.services.console_port import ConsolesReport
from reconciler.services.gauge_table import GaugeTable
from reconciler.views.resource_tally import GAUGES

disable_created_metrics()  # type: ignore[no-untyped-call]  # A second series a counter.

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30)
_LEVELS = {name: kind.levels for name, kind in KINDS.items() if kind.levels is not None}


class WorkCount(msgspec.Struct, frozen=True):
    """What there is to do. `states`: changes by state (`waiting`, `held`, `paused`, `failed`); `holds`: changes by the
    guard that holds them; `unknown`: resources that cannot be read, by (kind, reason)."""

    states: Mapping[str, int]
    holds: Mapping[str, int]
    unknown: Mapping[tuple[str, UnknownReason], int]
    in_flight: int
    lag: float
    """Seconds since the key that has waited longest was due."""


def waiting_metrics(*, stands_by: bool, is_store_up: bool) -> bytes:
    """What a daemon exports that does not work: only what it is, and whether the store can be reached."""
    registry = CollectorRegistry()
    _say_who(registry, stands_by=stands_by).set(is_store_up)
    return generate_latest(registry)


def _say_who(registry: CollectorRegistry, *, stands_by: bool) -> Gauge:
    """Returns the series that says whether the store can be reached."""
    build = Gauge("groundstate_build_info", "The version of groundstate that runs.", ["version"], registry=registry)
    build.labels(program_version()).set(1)
    waits = "1 while the daemon waits for the process that works on the store."
    Gauge("groundstate_standby", waits, registry=registry).set(int(stands_by))
    return Gauge("groundstate_store_up", "1 while the store can be reached.", registry=registry)


class Metrics:
    """What is counted. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._steps = Counter(
            "groundstate_reconcile_total", "Reconciles of a resource.", ["kind", "result"], registry=self.registry
        )
        self._seconds = Histogram(
            "groundstate_reconcile_seconds", "Time of a reconcile.", ["kind"], buckets=_SECONDS, registry=self.registry
        )
        self._events = Counter(
            "groundstate_events_total", "Events by reason.", ["type", "reason"], registry=self.registry
        )
        self._changes = Gauge(
            "groundstate_changes", "Resources that are not as declared.", ["state"], registry=self.registry
        )
        self._resources = self._table("groundstate_resources", "Declared resources.", "kind")
        self._holds = self._table("groundstate_holds", "Changes that a guard holds.", "guard")
        self._unknown = self._table("groundstate_unknown", "Resources that cannot be read.", "kind", "reason")
        self._lag = Gauge(
            "groundstate_queue_lag_seconds",
            "How long the next due resource has waited in the queue.",
            registry=self.registry,
        )
        self._source_up = Gauge("groundstate_source_up", "1 while the repository can be read.", registry=self.registry)
        self._source_read = Gauge(
            "groundstate_source_read_timestamp_seconds", "When the repository was last read.", registry=self.registry
        )
        self._store_up = _say_who(self.registry, stands_by=False)
        self._store_up.set(1)
        self._flying = Gauge(
            "groundstate_actions_in_flight", "Actions that were sent and are not confirmed yet.", registry=self.registry
        )
        self._revision = Gauge(
            "groundstate_revision_applied_timestamp_seconds",
            "When a revision last came into force.",
            registry=self.registry,
        )
        self._broken = Gauge(
            "groundstate_revision_broken", "1 while the newest revision is refused.", registry=self.registry
        )
        self._make_guard_tables()
        self._make_bmc_series()
        self._make_console_series()
        self._make_sink_series()
        self._counted = {name: self._table(name, meaning, *labels) for name, meaning, labels in GAUGES}
        self._levels = {
            name: (
                self._table(gauge.name, gauge.meaning, *gauge.labels),
                self._table(f"{gauge.name}_used", f"{gauge.meaning} Those that are allocated.", *gauge.labels),
            )
            for name, gauge in _LEVELS.items()
        }

    def _make_guard_tables(self) -> None:
        """Guards, their budgets and overrides, and pauses."""
        self._windows = self._table("groundstate_window_open", "1 while the windows of the guard are open.", "guard")
        self._overrides = self._table("groundstate_overrides", "Overrides of the guard that are active.", "guard")
        self._override_ends = self._table(
            "groundstate_override_end_timestamp_seconds", "When an active override ends automatically.", "guard", "id"
        )
        self._budget_used = self._table(
            "groundstate_budget_used", "Resources of the group that count against the budget.", "guard", "group"
        )
        self._budget_allowed = self._table(
            "groundstate_budget_allowed", "Maximum number of resources of the group that may be down.", "guard", "group"
        )
        self._observes = Gauge(
            "groundstate_observes_only",
            "1 while the daemon only observes and sends nothing (run --observe).",
            registry=self.registry,
        )
        self._pauses = Gauge("groundstate_pauses", "Pauses that are active.", registry=self.registry)
        self._pause_ends = self._table(
            "groundstate_pause_end_timestamp_seconds",
            "When a pause ends automatically; +Inf: the pause has no end.",
            "id",
        )

    def _make_console_series(self) -> None:
        """Serial consoles."""
        self._console_lines = Gauge(
            "groundstate_console_lines",
            "Serial lines that are held or watched, by state: open, lost or closed.",
            ["state"],
            registry=self.registry,
        )
        self._console_sessions = Gauge(
            "groundstate_console_sessions", "People that are connected to consoles.", registry=self.registry
        )

    def _make_bmc_series(self) -> None:
        """Requests to BMCs."""
        self._bmc_seconds = Histogram(
            "groundstate_bmc_request_seconds",
            "Time of a driver's request to a BMC.",
            ["driver", "operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._bmc_errors = Counter(
            "groundstate_bmc_errors_total",
            "Requests to BMCs that failed.",
            ["driver", "reason"],
            registry=self.registry,
        )

    def _make_sink_series(self) -> None:
        """Sinks of events."""
        self._sink_lag = self._table(
            "groundstate_sink_lag_events", "Events in the ledger after the last one that the sink took.", "sink"
        )
        self._sink_age = self._table(
            "groundstate_sink_lag_seconds", "Age of the oldest event that the sink has not taken.", "sink"
        )
        self._sent = Counter(
            "groundstate_sink_sent_total",
            "Events that the sink took, and deliveries that failed.",
            ["sink", "result"],
            registry=self.registry,
        )

    def stepped(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A pass ended."""
        result = "done" if isinstance(outcome, Done) else "failed" if isinstance(outcome, Failed) else "waiting"
        self._steps.labels(kind, result).inc()
        self._seconds.labels(kind).observe(seconds)

    def count_event(self, event: Event) -> None:
        """An event was recorded."""
        self._events.labels(event.type, event.reason).inc()

    def windows_judged(self, windows: Mapping[str, bool]) -> None:
        """Whether the windows of each declared guard are open."""
        self._windows.replace({(guard,): int(is_open) for guard, is_open in windows.items()})

    def counted(self, work: WorkCount) -> None:
        """The fleet was counted."""
        for state, number in work.states.items():
            self._changes.labels(state).set(number)
        self._holds.replace({(guard,): number for guard, number in work.holds.items()})
        self._unknown.replace({(kind, reason): number for (kind, reason), number in work.unknown.items()})
        self._flying.set(work.in_flight)
        self._lag.set(work.lag)

    def source_read(self, at: float | None) -> None:
        """The repository was read at this Unix time; None: it could not be."""
        self._source_up.set(at is not None)
        if at is not None:
            self._source_read.set(at)

    def overridden(self, overrides: Iterable[Override]) -> None:
        """These are in force now, and no others."""
        active = tuple(overrides)
        by_guard = Counts(dict.fromkeys(map(str, OVERRIDABLE), 0))
        by_guard.update(str(one.guard) for one in active)
        self._overrides.replace({(guard,): number for guard, number in by_guard.items()})
        self._override_ends.replace({(str(one.guard), one.id): one.until.timestamp() for one in active})

    def bmc_asked(self, driver: str, operation: str, seconds: float, error: str | None) -> None:
        """A request to a BMC is over; `error`: the reason of its failure."""
        self._bmc_seconds.labels(driver, operation).observe(seconds)
        if error is not None:
            self._bmc_errors.labels(driver, error).inc()

    def resources_counted(self, series: Mapping[str, Mapping[LabelValues, int]]) -> None:
        """How many resources there are, by gauge and labels."""
        for name, values in series.items():
            self._counted[name].replace(values)

    def budgets_counted(self, levels: Iterable[BudgetLevel]) -> None:
        """How much of each budget is used."""
        known = tuple(levels)
        self._budget_used.replace({(one.guard, one.group): one.used for one in known})
        self._budget_allowed.replace({(one.guard, one.group): one.allowed for one in known})

    def filled(self, levels: Mapping[ResourceKey, Iterable[FillLevel]]) -> None:
        """How full all networks and pools are."""
        sizes: dict[str, dict[LabelValues, float]] = {kind: {} for kind in self._levels}
        used: dict[str, dict[LabelValues, float]] = {kind: {} for kind in self._levels}
        for key, parts in levels.items():
            for one in parts:
                sizes[key.kind][key.name, *one.part] = one.size
                used[key.kind][key.name, *one.part] = one.used
        for kind, (of_size, of_used) in self._levels.items():
            of_size.replace(sizes[kind])
            of_used.replace(used[kind])

    def consoles_counted(self, report: ConsolesReport) -> None:
        """The consoles that are held or watched."""
        states = Counts({"open": 0, "lost": 0, "closed": 0})
        states.update(one.line if one.line in states else "lost" for one in report.consoles)
        for state, number in states.items():
            self._console_lines.labels(state).set(number)
        self._console_sessions.set(sum(one.watchers for one in report.consoles))

    def paused(self, pauses: Iterable[ResourcePause]) -> None:
        """These stand now, and no others."""
        ends: dict[LabelValues, float] = {(one.id,): one.until.timestamp() if one.until else math.inf for one in pauses}
        self._pauses.set(len(ends))
        self._pause_ends.replace(ends)

    def observing(self, only: bool) -> None:
        """Whether the daemon only observes."""
        self._observes.set(int(only))

    def sent(self, sink: str, result: str, number: int) -> None:
        """A sink answered: `taken` events, or a `failed` delivery."""
        self._sent.labels(sink, result).inc(number)

    def sinks_counted(self, reports: Mapping[str, SinkReport], now: datetime) -> None:
        """How far each declared sink is behind."""
        self._sink_lag.replace({(name,): one.lag.events for name, one in reports.items()})
        ages = {
            name: 0.0 if one.lag.oldest is None else (now - one.lag.oldest).total_seconds()
            for name, one in reports.items()
        }
        self._sink_age.replace({(name,): max(0.0, age) for name, age in ages.items()})

    def adopted(self, resources: Mapping[str, int], at: float) -> None:
        """A revision took force."""
        self._resources.replace({(kind,): number for kind, number in resources.items()})
        self._revision.set(at)

    def broken_when(self, refused: Callable[[], bool]) -> None:
        """Who to ask whether the newest revision is refused."""
        self._broken.set_function(lambda: float(refused()))

    def store_lost(self) -> None:
        """The store cannot be reached."""
        self._store_up.set(0)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _table(self, name: str, meaning: str, *labels: str) -> GaugeTable:
        return GaugeTable(name, meaning, labels, self.registry)
