"""Every back-off of the program: how the waits grow, where they end, and what jitter may do to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import ErrorReason
from reconciler.model.outcome import OutcomeReason, Waiting
from reconciler.model.retry import (
    INVENTORY,
    INVENTORY_LOGIN,
    POLICIES,
    REQUEUE,
    Backoff,
    Polling,
    error_outcome,
    inventory_delay,
    refused_delay,
    requeue_delay,
    retry_policy,
)

ATTEMPTS = st.integers(1, 10_000)
JITTER = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (5_000, 300)])
def test_a_wait_doubles_up_to_its_longest(attempt: int, seconds: float) -> None:
    assert Backoff(5, 300).delay(attempt) == seconds


@given(st.sampled_from([policy.wait for policy in POLICIES.values()]), ATTEMPTS, JITTER)
def test_jitter_takes_a_quarter_off_at_most(wait: Backoff, attempt: int, jitter: float) -> None:
    assert 0.75 * wait.first <= wait.delay(attempt, jitter) <= wait.longest


@given(st.sampled_from([policy.wait for policy in POLICIES.values()]), ATTEMPTS)
def test_a_later_failure_never_waits_less(wait: Backoff, attempt: int) -> None:
    assert wait.delay(attempt) <= wait.delay(attempt + 1)


@pytest.mark.parametrize(("waited", "seconds"), [(0, 0.5), (2, 0.5), (8, 2), (40, 10), (4_000, 10)])
def test_looks_become_rarer_with_the_time_waited(waited: float, seconds: float) -> None:
    assert requeue_delay(OutcomeReason.CONFIRMING, waited) == seconds


def test_a_look_in_a_past_that_a_clock_put_back_made_is_soon() -> None:
    assert Polling(0.5, 10).delay(-3_600) == 0.5


@pytest.mark.parametrize(
    ("floor", "seconds"), [(None, 60), (-1, 60), (90, 90), (1e9, 300), (float("nan"), 60)], ids=str
)
def test_a_retry_after_makes_a_wait_longer_up_to_its_longest(floor: float | None, seconds: float) -> None:
    assert refused_delay(retry_policy(ErrorReason.CONFLICT), 1, 0.0, floor) == seconds


def test_an_inventory_is_not_asked_for_often_with_a_login_that_was_refused() -> None:
    assert inventory_delay(ErrorReason.AUTHENTICATION_FAILED, 1, 0.0) == INVENTORY_LOGIN.first
    assert inventory_delay(ErrorReason.UNREACHABLE, 1, 0.0) == INVENTORY.first


def test_a_reason_of_another_version_waits_and_comes_back() -> None:
    policy = retry_policy(ErrorReason("FromTheFuture"))
    assert not policy.terminal
    assert policy.wait.first > 0


def test_every_reason_says_when_to_come_back() -> None:
    assert set(REQUEUE) == set(OutcomeReason)


def test_every_reason_of_a_driver_s_error_has_a_policy() -> None:
    assert set(POLICIES) == set(ErrorReason)


@pytest.mark.parametrize("reason", list(ErrorReason))
def test_an_error_is_waited_for_where_it_passes_by_itself(reason: ErrorReason) -> None:
    outcome = error_outcome(reason, "no answer", 5.0, terminal=False)
    passing = (ErrorReason.UNREACHABLE, ErrorReason.BUSY, ErrorReason.NO_WORKER)
    assert isinstance(outcome, Waiting) == (reason in passing)
    assert (outcome.reason, outcome.retry_after) == (reason, 5.0)
