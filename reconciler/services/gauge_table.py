"""A gauge whose series are replaced all at once, so that no scrape finds half of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class GaugeTable(Collector):
    """One gauge: `name` and `meaning` as Prometheus shows them, its series by the values of `labels`."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._series: Mapping[tuple[str, ...], float] = {}
        registry.register(self)

    def replace(self, series: Mapping[tuple[str, ...], float]) -> None:
        """These series from now on, and no others. The mapping must not be changed any more."""
        self._series = series

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The client library's hook: what there is, without series."""
        yield GaugeMetricFamily(self._name, self._meaning, labels=self._labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The client library's hook, at each scrape."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for values, number in self._series.items():
            family.add_metric(values, number)
        yield family
