"""The guard of a daemon whose clock is wrong, and how the clock of the database is compared with."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest

from reconciler import runtime
from reconciler.planning.guards.pauses import hold_while_clock_is_wrong
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from reconciler.store.lease.store_lease import StoreLease
from tests.unit.planning_worlds import NOW
from tests.unit.test_builtin_guards import fleet


class Clock(runtime.Runtime):
    """The real one, with another time of day."""

    ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)


def test_a_clock_that_jumps_after_it_was_compared_is_noticed() -> None:
    clock = Clock()
    with runtime.replaced(clock):
        lease = StoreLease()
        assert lease.clock_ahead == 0.0
        lease.compare_clocks(runtime.now().timestamp())
        for clock.ahead in (0.0, 3600.0, -3600.0):
            assert lease.clock_ahead == pytest.approx(clock.ahead, abs=10.0)


@pytest.mark.parametrize(
    ("ahead", "words"), [(60.0, None), (-60.0, None), (61.0, "61 s ahead of"), (-61.0, "61 s behind")]
)
def test_everything_is_held_while_the_clock_is_wrong_by_more_than_a_minute(ahead: float, words: str | None) -> None:
    guard = partial(hold_while_clock_is_wrong, ahead)
    world = fleet(3, off=1)
    found = plan(world.desired, world.observed, world.facts, NOW, Standing(), transient_guards=[guard])
    change = found.changes[0]
    assert [hold.by for hold in change.held_by] == (["wrong-clock"] if words else [])
    assert all(str(words) in hold.reason for hold in change.held_by)
