"""Metrics by name: what is exported, described and alerted on is the same, and named as Prometheus' conventions say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from drivers.base import ErrorReason
from reconciler.kinds import KINDS
from reconciler.kinds.common.kind_metrics import FillLevel
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.outcome import Done
from reconciler.model.plans.fleet_count import BudgetLevel
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import UnknownReason
from reconciler.model.resource import ResourceKey
from reconciler.model.sink_state import SinkLag, SinkReport, SinkState
from reconciler.services.console_port import ConsolesReport
from reconciler.services.metrics import Metrics, WorkCount
from reconciler.views.resource_tally import GAUGES

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DESCRIBED = ROOT / "docs/reference/metrics.md"
_FIELDS_OF_NETBOX = {ROOT / "docs/netbox.md"}
PAGES = sorted(
    {ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.yml")} - _FIELDS_OF_NETBOX
)
_NAME = re.compile(r"groundstate_[a-z0-9_]*[a-z0-9]")
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text("utf-8"))["groups"][0]["rules"]
_ADDED = ("_bucket", "_count", "_sum")
"""Of the series of a histogram."""


def exported() -> dict[str, Metric]:
    """Every metric, with at least one series, by the name that is scraped."""
    metrics = Metrics()
    metrics.stepped("Machine", Done(), 0.1)
    metrics.count_event(Event(at=NOW, type=EventType.NORMAL, reason=EventReason.HELD, message=""))
    metrics.counted(WorkCount({"held": 1}, {"mass-removal": 1}, {("Machine", UnknownReason.BUSY): 1}, 1, 0.5))
    metrics.windows_judged({"nights": True})
    metrics.overridden([Override("1", "mass-removal", "why", "ada", NOW, NOW)])
    metrics.paused([ResourcePause("1", "why", "ada", NOW)])
    metrics.adopted({"Machine": 1}, 0.0)
    metrics.source_read(0.0)
    metrics.bmc_asked("redfish", "read", 0.1, ErrorReason.BUSY)
    metrics.budgets_counted([BudgetLevel("guard/racks", "r1", 1, 2)])
    metrics.resources_counted({name: {tuple("x" for _ in labels): 1} for name, _, labels in GAUGES})
    levels = {kind.name: kind.levels for kind in KINDS.values() if kind.levels is not None}
    metrics.filled(
        {ResourceKey(kind, "x"): (FillLevel(tuple("y" for _ in one.labels[1:]), 2, 1),) for kind, one in levels.items()}
    )
    metrics.sent("ops", "taken", 1)
    metrics.sinks_counted({"ops": SinkReport(SinkState("ops", 1), SinkLag(1, NOW))}, NOW)
    metrics.broken_when(lambda: False)
    metrics.consoles_counted(ConsolesReport(NOW, "127.0.0.1", 2022, "ssh-ed25519 AAAA"))
    return {one.name + ("_total" if one.type == "counter" else ""): one for one in metrics.registry.collect()}


def rows() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of every metric, as the page says."""
    found = re.findall(r"^\| `(groundstate_\w+)` \| (\w+) \| ([^|]*)\|", DESCRIBED.read_text("utf-8"), re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in found}


def labels_of(metric: Metric) -> frozenset[str]:
    return frozenset(label for sample in metric.samples for label in sample.labels) - {"le"}


def _base(series: str) -> str:
    return next((series.removesuffix(end) for end in _ADDED if series.endswith(f"_seconds{end}")), series)


def test_the_page_describes_every_metric_with_its_type_and_labels_and_no_other() -> None:
    assert rows() == {name: (one.type, labels_of(one)) for name, one in exported().items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_metric_that_is_named_is_exported(page: Path) -> None:
    assert {_base(name) for name in _NAME.findall(page.read_text("utf-8"))} - exported().keys() == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_goes_by_labels_that_its_metrics_have(rule: dict[str, Any]) -> None:
    known, text = exported(), rule["expr"]
    had = {label for name in _NAME.findall(text) for label in labels_of(known[_base(name)])} | {"job", "instance"}
    asked = {label for found in re.findall(r"\b(?:by|on) \(([^)]*)\)", text) for label in found.split(", ")}
    matched = {label for found in re.findall(r"{([^}]*)}", text) for label in re.findall(r"(\w+)=", found)}
    shown = {label for said in rule["annotations"].values() for label in re.findall(r"\$labels\.(\w+)", said)}
    assert asked | matched | shown <= had | {"job"}
    if asked:
        assert shown <= asked


@pytest.mark.parametrize("name", sorted(exported()))
def test_names_follow_the_conventions(name: str) -> None:
    """https://prometheus.io/docs/practices/naming: a counter ends in `_total`, a time is in seconds, and says so."""
    one = exported()[name]
    assert name.endswith("_total") == (one.type == "counter")
    assert not re.search(r"_(ms|milliseconds|minutes|hours|percent|created)(_|$)", name)
    assert one.type != "histogram" or name.endswith("_seconds")
    assert not any(sample.name.endswith("_created") for sample in one.samples)
