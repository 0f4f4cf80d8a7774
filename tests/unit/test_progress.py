"""When an apply is through with a resource, and what it then says of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from drivers.base import ErrorReason
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.outcome import Done, Failed, Outcome, OutcomeReason, Waiting
from reconciler.model.resource import ResourceKey
from reconciler.views.progress import Progress, ProgressStage

A, B = ResourceKey("IPAddress", "a"), ResourceKey("IPAddress", "b")
BLOCKED = Waiting(OutcomeReason.BLOCKED, "IPAddress/b: it comes first", 0.5)
REFUSED = Failed(ErrorReason.CONFLICT, "somebody else holds it", terminal=False, retry_after=60)
SENT = Waiting(OutcomeReason.CONFIRMING, "acquire was sent", 0.0)
UNREACHABLE = Waiting(ErrorReason.UNREACHABLE, "no answer", 5.0)


def event(reason: str, message: str) -> Event:
    return Event(datetime(2026, 1, 1, tzinfo=UTC), EventType.NORMAL, EventReason(reason), message, A)


@pytest.mark.parametrize(
    ("outcome", "stage"),
    [
        (Done(), ProgressStage.DONE),
        (Waiting(OutcomeReason.HELD, "a guard", 30), ProgressStage.HELD),
        (Waiting(OutcomeReason.PAUSED, "maintenance", 30), ProgressStage.PAUSED),
        (REFUSED, ProgressStage.FAILED),
        (SENT, None),
        (Waiting(OutcomeReason.ENDPOINT_BUSY, "its BMC is at work", 1), None),
        (UNREACHABLE, None),
    ],
)
def test_an_outcome_ends_it_or_not(outcome: Outcome, stage: ProgressStage | None) -> None:
    progress = Progress([A])
    assert progress.outcome(A, outcome) is (stage is not None)
    assert progress.rows[A].stage is (stage or ProgressStage.QUEUED)


def test_the_third_time_without_an_answer_ends_it() -> None:
    progress = Progress([A])
    assert [progress.outcome(A, UNREACHABLE) for _ in range(3)] == [False, False, True]


def test_what_was_without_effect_twice_is_not_sent_again() -> None:
    progress = Progress([A])
    told = [
        event("ActionNotConfirmed", (f"power-on (On) {what}, but the observations show no effect of the action"))
        for what in ("got lost", "was accepted")
    ]
    allowed = [progress.allows(A) for one in told if progress.on_event(one)]
    assert allowed == [True, False]
    assert progress.outcome(A, Failed(OutcomeReason.STALE, "not approved", terminal=True, retry_after=0))
    assert progress.rows[A].text == "power-on (On) was accepted, but the observations show no effect of the action"


def test_an_ignored_shutdown_may_be_followed_by_force() -> None:
    progress = Progress([A])
    progress.on_event(event("ShutdownIgnored", "power-off was accepted, but the machine did not shut down"))
    assert progress.allows(A)


def test_what_a_claim_tells_of_a_machine_that_the_run_is_through_with_does_not_open_it_again() -> None:
    progress = Progress([A])
    progress.outcome(A, Waiting(OutcomeReason.HELD, "a guard", 30))
    assert progress.on_event(event("Releasing", "the machine is stopped, wiped and then free again")) is None
    assert not progress.open


class TestWaitingInVain:
    """What waits for something that this run has given up."""

    def test_it_ends_when_nothing_else_is_left(self) -> None:
        progress = Progress([A, B])
        assert not progress.outcome(A, BLOCKED)
        progress.outcome(B, REFUSED)
        assert [progress.outcome(A, BLOCKED) for _ in range(2)] == [False, True]
        assert progress.rows[A].text == "waits for IPAddress/b: it comes first"

    def test_not_while_anything_moves(self) -> None:
        progress = Progress([A, B])
        for _ in range(5):
            assert not progress.outcome(A, BLOCKED)
            progress.outcome(B, SENT)

    def test_a_look_from_before_the_last_move_does_not_count(self) -> None:
        progress = Progress([A, B])
        progress.outcome(A, BLOCKED)
        progress.outcome(B, Done())
        assert not progress.outcome(A, BLOCKED)
        assert progress.outcome(A, Done())

    def test_all_that_wait_end_one_after_the_other(self) -> None:
        progress = Progress([A, B])
        ended = [progress.outcome(key, BLOCKED) for key in (A, B, A, B)]
        assert ended == [False, False, False, True]
        assert progress.outcome(A, BLOCKED)
        assert progress.open == []
