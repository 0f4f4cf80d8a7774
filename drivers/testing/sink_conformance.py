"""What every EventSink does: inherit from SinkConformance, say where the receiver is, and run pytest.

class TestMine(SinkConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SinkSubject]:
        return a_receiver_to_test_with()
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import msgspec
import pytest

from drivers.base import ErrorReason, EventSink, SinkDelivery, SinkMessage

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class SinkSubject(msgspec.Struct, frozen=True):
    """A sink to test, and its receiver.

    `received`: the bodies of all messages that the receiver keeps, in its order; one that it was sent twice may be
    there twice. `away`: nobody answers within that block. `refusing`: all messages are refused within that block.
    """

    sink: EventSink
    received: Callable[[], Sequence[bytes]]
    away: Callable[[], AbstractContextManager[None]]
    refusing: Callable[[], AbstractContextManager[None]]


def message(number: int, name: str = "r1-01") -> SinkMessage:
    """One event of many."""
    return SinkMessage(f"fleet/{number}", json.dumps({"number": number}).encode(), ("Machine", name, "Bound"))


class SinkConformance:
    """The suite. A subclass whose name begins with Test is run."""

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SinkSubject]:
        """A sink, for one test. `request`: pytest's, for fixtures of your own."""
        raise NotImplementedError

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Iterator[SinkSubject]:
        """What `start` gives; closed at the end."""
        with self.start(request) as started:
            yield started
            started.sink.close()

    def test_messages_arrive_once_and_in_order(self, subject: SinkSubject) -> None:
        assert self.sent(subject, range(40)) == 40
        assert self.numbers(subject) == list(range(40))

    def test_a_sink_that_was_closed_opens_again(self, subject: SinkSubject) -> None:
        for number in range(3):
            assert self.sent(subject, [number]) == 1
            subject.sink.close()
            subject.sink.close()
        assert self.numbers(subject) == [0, 1, 2]

    def test_nobody_there_is_an_error_in_the_delivery_and_takes_nothing(self, subject: SinkSubject) -> None:
        with subject.away():
            delivery = subject.sink.send([message(0)], NOW)
        assert (delivery.taken, delivery.error and delivery.error.reason) == (0, ErrorReason.UNREACHABLE)
        assert not delivery.ended

    def test_after_an_absence_the_same_sink_goes_on(self, subject: SinkSubject) -> None:
        self.sent(subject, [0])
        with subject.away():
            assert self.sent(subject, [1]) == 0
        assert self.sent(subject, [1, 2]) == 2
        assert list(dict.fromkeys(self.numbers(subject))) == [0, 1, 2]

    def test_a_refusal_takes_nothing_and_says_why(self, subject: SinkSubject) -> None:
        with subject.refusing():
            delivery = subject.sink.send([message(0)], NOW)
        assert delivery.taken == 0
        assert delivery.error is not None
        assert str(delivery.error)
        assert self.numbers(subject) == []

    @pytest.mark.parametrize("name", ["a.b", "x*y", "a>b", "ünïcode", "with space"])
    def test_any_name_of_a_resource_can_be_sent(self, subject: SinkSubject, name: str) -> None:
        assert subject.sink.send([message(7, name)], NOW) == SinkDelivery(1)
        assert self.numbers(subject) == [7]

    def sent(self, subject: SinkSubject, numbers: Sequence[int]) -> int:
        """How many of these are taken, sent as the reconciler sends them."""
        taken, batch = 0, subject.sink.batch
        while taken < len(numbers):
            delivery = subject.sink.send([message(one) for one in numbers[taken : taken + batch]], NOW)
            taken += delivery.taken
            if delivery.error is not None or not delivery.taken:
                break
        return taken

    def numbers(self, subject: SinkSubject) -> list[int]:
        """What the receiver has."""
        return [json.loads(body)["number"] for body in subject.received()]
