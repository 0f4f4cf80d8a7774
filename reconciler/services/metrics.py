"""Prometheus metrics. One registry an instance, so that tests in one process do not share counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from reconciler.model.event import Event
from reconciler.model.outcome import Done, Failed, Outcome

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """What is counted. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._steps = Counter(
            "groundstate_reconcile_total", "Passes over a resource.", ["kind", "result"], registry=self.registry
        )
        self._seconds = Histogram(
            "groundstate_reconcile_seconds", "Time of a pass.", ["kind"], buckets=_SECONDS, registry=self.registry
        )
        self._events = Counter(
            "groundstate_events_total", "Events by reason.", ["type", "reason"], registry=self.registry
        )
        self._changes = Gauge(
            "groundstate_changes", "Resources that are not as declared.", ["state"], registry=self.registry
        )
        self._resources = Gauge("groundstate_resources", "Declared resources.", ["kind"], registry=self.registry)
        self._unknown = Gauge("groundstate_unknown", "Resources that cannot be read.", registry=self.registry)
        self._flying = Gauge("groundstate_actions_in_flight", "Actions sent and not confirmed.", registry=self.registry)
        self._revision = Gauge(
            "groundstate_revision_applied_timestamp_seconds", "When a revision last took force.", registry=self.registry
        )
        self._broken = Gauge(
            "groundstate_revision_broken", "1 while the newest revision is refused.", registry=self.registry
        )

    def stepped(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A pass ended."""
        result = "done" if isinstance(outcome, Done) else "failed" if isinstance(outcome, Failed) else "waiting"
        self._steps.labels(kind, result).inc()
        self._seconds.labels(kind).observe(seconds)

    def heard(self, event: Event) -> None:
        """An event was told."""
        self._events.labels(event.type, event.reason).inc()

    def counted(self, changes: Mapping[str, int], unknown: int, flying: int) -> None:
        """The fleet was counted: changes by state (`waiting`, `held`, `failed`)."""
        for state, number in changes.items():
            self._changes.labels(state).set(number)
        self._unknown.set(unknown)
        self._flying.set(flying)

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
