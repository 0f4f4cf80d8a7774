"""The clock of the database is the one that counts, wherever the clock of a host goes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from reconciler import runtime
from reconciler.store import Store
from reconciler.store.lease.store_lease import StoreLease

SLACK = timedelta(seconds=10)


class Clock(runtime.Runtime):
    """The real one, with another time of day."""

    ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_clock_that_is_wrong_or_jumps_does_not_change_the_time_of_the_store(
    empty_postgresql_url: str, ahead: float
) -> None:
    clock, store, begun = Clock(), Store.open(empty_postgresql_url), runtime.now()
    with runtime.replaced(clock):
        clock.ahead = ahead
        with store.instance("run"):
            assert abs(store.now() - begun) < SLACK
            clock.ahead = -ahead
            assert abs(store.now() - begun) < SLACK
    store.close()


def test_a_store_without_a_lease_has_the_time_of_the_host(store: Store) -> None:
    clock = Clock()
    with runtime.replaced(clock):
        clock.ahead = 3600.0
        assert abs(store.now() - runtime.now()) < SLACK


def test_an_answer_that_was_late_does_not_put_the_time_back() -> None:
    lease = StoreLease()
    asked_at = runtime.monotonic()
    lease.compare_clocks(asked_at, 1_800_000_000.0)
    before = lease.now()
    lease.compare_clocks(asked_at - 1.5, 1_800_000_000.0)
    assert lease.now() >= before
    lease.compare_clocks(asked_at, 1_800_000_100.0)
    assert lease.now() - before > timedelta(seconds=99)
