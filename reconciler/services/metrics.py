"""Prometheus metrics. One registry an instance, so that tests in one process do not share counters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from reconciler.model.event import Event
from reconciler.model.outcome import Done, Failed, Outcome
from reconciler.model.override import Override
from reconciler.model.pause import ResourcePause
from reconciler.planning.override_scope import OVERRIDABLE

disable_created_metrics()  # type: ignore[no-untyped-call]  # A second series a counter.

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30)


class WorkCount(msgspec.Struct, frozen=True):
    """What there is to do. `states`: changes by state (`waiting`, `held`, `paused`, `failed`); `holds`: changes by the
    guard that holds them; `unknown`: resources that cannot be read, by (kind, reason)."""

    states: Mapping[str, int]
    holds: Mapping[str, int]
    unknown: Mapping[tuple[str, str], int]
    in_flight: int
    lag: float
    """Seconds since the key that has waited longest was due."""


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
        self._resources = Gauge("groundstate_resources", "Declared resources.", ["kind"], registry=self.registry)
        self._holds = Gauge("groundstate_holds", "Changes that a guard holds.", ["guard"], registry=self.registry)
        self._unknown = Gauge(
            "groundstate_unknown", "Resources that cannot be read.", ["kind", "reason"], registry=self.registry
        )
        self._lag = Gauge(
            "groundstate_queue_lag_seconds", "How long the next resource has been due.", registry=self.registry
        )
        self._source_up = Gauge("groundstate_source_up", "1 while the repository can be read.", registry=self.registry)
        self._source_read = Gauge(
            "groundstate_source_read_timestamp_seconds", "When the repository was last read.", registry=self.registry
        )
        build = Gauge("groundstate_build_info", "The version that runs.", ["version"], registry=self.registry)
        build.labels(_version()).set(1)
        self._flying = Gauge("groundstate_actions_in_flight", "Actions sent and not confirmed.", registry=self.registry)
        self._revision = Gauge(
            "groundstate_revision_applied_timestamp_seconds", "When a revision last took force.", registry=self.registry
        )
        self._windows = Gauge(
            "groundstate_window_open", "1 while the windows of the guard are open.", ["guard"], registry=self.registry
        )
        self._overrides = Gauge(
            "groundstate_overrides", "Overrides of the guard that are active.", ["guard"], registry=self.registry
        )
        self._override_ends = Gauge(
            "groundstate_override_end_timestamp_seconds",
            "When an active override ends automatically.",
            ["guard", "id"],
            registry=self.registry,
        )
        self._ends: set[tuple[str, str]] = set()
        self._pauses = Gauge("groundstate_pauses", "Pauses that stand.", registry=self.registry)
        self._pause_ends = Gauge(
            "groundstate_pause_end_timestamp_seconds",
            "When a pause ends automatically; +Inf: when it is resumed.",
            ["id"],
            registry=self.registry,
        )
        self._broken = Gauge(
            "groundstate_revision_broken", "1 while the newest revision is refused.", registry=self.registry
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
        _replace(self._windows, {(guard,): int(is_open) for guard, is_open in windows.items()})

    def counted(self, work: WorkCount) -> None:
        """The fleet was counted."""
        for state, number in work.states.items():
            self._changes.labels(state).set(number)
        _replace(self._holds, {(guard,): number for guard, number in work.holds.items()})
        _replace(self._unknown, work.unknown)
        self._flying.set(work.in_flight)
        self._lag.set(work.lag)

    def source_read(self, at: float | None) -> None:
        """The repository was read at this Unix time; None: it could not be."""
        self._source_up.set(at is not None)
        if at is not None:
            self._source_read.set(at)

    def overridden(self, overrides: Iterable[Override]) -> None:
        """These are in force now, and no others."""
        by_guard = dict.fromkeys(OVERRIDABLE, 0)
        ends = {}
        for one in overrides:
            by_guard[one.guard] = by_guard.get(one.guard, 0) + 1
            ends[one.guard, one.id] = one.until.timestamp()
        for guard, number in by_guard.items():
            self._overrides.labels(guard).set(number)
        for labels in self._ends - ends.keys():
            self._override_ends.remove(*labels)
        for labels, end in ends.items():
            self._override_ends.labels(*labels).set(end)
        self._ends = set(ends)

    def paused(self, pauses: Iterable[ResourcePause]) -> None:
        """These stand now, and no others."""
        ends = {(one.id,): one.until.timestamp() if one.until else math.inf for one in pauses}
        self._pauses.set(len(ends))
        _replace(self._pause_ends, ends)

    def adopted(self, resources: Mapping[str, int], at: float) -> None:
        """A revision took force."""
        self._resources.clear()
        for kind, number in resources.items():
            self._resources.labels(kind).set(number)
        self._revision.set(at)

    def broken_when(self, refused: Callable[[], bool]) -> None:
        """Who to ask whether the newest revision is refused."""
        self._broken.set_function(lambda: float(refused()))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


def _replace(gauge: Gauge, values: Mapping[tuple[str], float] | Mapping[tuple[str, str], int]) -> None:
    """These series and no others."""
    gauge.clear()
    for labels, number in values.items():
        gauge.labels(*labels).set(number)


def _version() -> str:
    try:
        return version("groundstate")
    except PackageNotFoundError:
        return "unknown"
