"""Series of a gauge are replaced all at once: an alert with `for` begins anew when a scrape misses a series."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from reconciler.services.gauge_table import GaugeTable


def shown(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def table(registry: CollectorRegistry) -> GaugeTable:
    return GaugeTable("things", "Things.", ("sort",), registry)


def test_the_series_are_those_of_the_last_replacement_and_no_others() -> None:
    registry = CollectorRegistry()
    gauge = table(registry)
    gauge.replace({("a",): 1, ("b",): 2})
    gauge.replace({("b",): 3})
    assert shown(registry) == ['things{sort="b"} 3.0']


def test_a_scrape_that_has_begun_shows_what_there_was_when_it_began() -> None:
    registry = CollectorRegistry()
    gauge = table(registry)
    gauge.replace({("a",): 1, ("b",): 2})
    scrape = gauge.collect()
    family = next(scrape)
    gauge.replace({})
    assert [sample.value for sample in family.samples] == [1, 2]


def test_a_gauge_without_series_is_known_by_its_name() -> None:
    registry = CollectorRegistry()
    table(registry)
    assert [one.name for one in registry.collect()] == ["things"]
    assert shown(registry) == []
