"""What the daemon counts for Prometheus."""

from __future__ import annotations

import re

from reconciler.daemon.housekeeping import work_count
from reconciler.model.plans.plan import Cause, CauseKind, Change, Hold, HoldKind, Unknown, UnknownReason, Verb
from reconciler.model.resource import ResourceKey
from reconciler.services.metrics import Metrics, WorkCount


def series(metrics: Metrics, name: str) -> dict[str, float]:
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", metrics.text().decode(), re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_what_cannot_be_read_is_counted_by_kind_and_reason_and_goes_when_it_is_read_again() -> None:
    metrics = Metrics()
    metrics.counted(
        WorkCount({}, {}, {("Machine", UnknownReason.BUSY): 2, ("Network", UnknownReason.UNREACHABLE): 1}, 0, 0.0)
    )
    assert series(metrics, "groundstate_unknown") == {
        'kind="Machine",reason="Busy"': 2,
        'kind="Network",reason="Unreachable"': 1,
    }
    metrics.counted(WorkCount({}, {}, {}, 0, 0.0))
    assert series(metrics, "groundstate_unknown") == {}


def test_a_repository_that_cannot_be_read_keeps_the_time_of_its_last_read() -> None:
    metrics = Metrics()
    metrics.source_read(1000.0)
    metrics.source_read(None)
    assert series(metrics, "groundstate_source_up") == {"": 0}
    assert series(metrics, "groundstate_source_read_timestamp_seconds") == {"": 1000}


def test_no_counter_has_a_second_series_of_when_it_was_made() -> None:
    metrics = Metrics()
    metrics.counted(WorkCount({"held": 1}, {}, {}, 0, 0.0))
    assert "_created" not in metrics.text().decode()


def hold(kind: HoldKind, by: str) -> Hold:
    return Hold(kind, by, "why", "how")


def test_what_a_document_pauses_is_apart_from_what_a_guard_holds() -> None:
    guard, other = hold(HoldKind.GUARD, "disruption-budget"), hold(HoldKind.GUARD, "mass-removal")
    paused, failed = hold(HoldKind.DECLARED, "maintenance"), hold(HoldKind.FAILED, "earlier")
    held_by = [(guard, guard), (guard, other), (paused, guard), (), (failed,)]
    cause = Cause(CauseKind.COMMIT)
    changes = [Change(ResourceKey("Machine", "m"), Verb.UPDATE, cause, held_by=holds) for holds in held_by]
    unknown = [Unknown(ResourceKey("Machine", name), UnknownReason.BUSY, "") for name in ("a", "b")]
    found = work_count(changes, unknown, 3, 1.5)
    assert dict(found.states) == {"waiting": 1, "held": 2, "paused": 1, "failed": 1}
    assert dict(found.holds) == {"disruption-budget": 3, "mass-removal": 1}
    assert dict(found.unknown) == {("Machine", "Busy"): 2}
    assert (found.in_flight, found.lag) == (3, 1.5)
