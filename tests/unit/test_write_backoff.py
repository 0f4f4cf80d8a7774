"""The wait after a refused write."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.retry import WRITE, write_delay

HOUR = 3600.0


@pytest.mark.parametrize(("attempt", "delay"), [(1, 5), (2, 20), (3, 80), (4, 320), (5, 1280), (6, 1800), (99, 1800)])
def test_it_grows(attempt: int, delay: float) -> None:
    assert write_delay(attempt, 0.0) == delay


@pytest.mark.parametrize("floor", [None, 0.0, -5.0, 1.0, math.nan])
def test_a_short_or_senseless_retry_after_is_no_pace(floor: float | None) -> None:
    assert write_delay(3, 0.0, floor=floor) == 80


@pytest.mark.parametrize(("floor", "delay"), [(600.0, 600.0), (1e9, HOUR), (math.inf, HOUR)])
def test_a_long_retry_after_is_waited_for_up_to_an_hour(floor: float, delay: float) -> None:
    assert write_delay(1, 0.0, floor=floor) == delay


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats())
def test_it_is_always_a_time_that_can_be_waited(attempt: int, jitter: float, floor: float | None) -> None:
    assert 0.75 * 5 <= write_delay(attempt, jitter, floor=floor) <= max(HOUR, WRITE.longest)
