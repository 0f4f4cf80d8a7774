"""What one resource is made of costs the plan no other resource."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, ResourceKey, Revision
from reconciler.planning import plan as planning
from reconciler.planning.plan import plan
from reconciler.planning.policy import Policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_resource_that_cannot_be_planned_is_unknown_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    odd, good = ResourceKey("Machine", "odd"), ResourceKey("Machine", "good")

    def planned(key: ResourceKey, *_: object) -> None:
        if key == odd:
            raise ValueError("a URL that cannot be: \x1b[2J\ud800")

    monkeypatch.setattr(planning, "plan_resource", planned)
    found = plan(
        DesiredState(Revision("a" * 40, "main", "r"), {}), {}, Facts({}, {}), NOW, Policy(), select={odd, good}
    )
    (one,) = found.unknown
    assert (one.key, one.reason) == (odd, "Internal")
    assert one.message.isprintable()
