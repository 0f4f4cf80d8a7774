"""Odd answers of receivers of webhooks: what counts as taken, and what does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from drivers.base import Busy, ErrorReason, SinkDelivery, SinkEndpoint, SinkMessage
from drivers.sink.webhook import WebhookSink, open_webhook, retry_after_seconds
from drivers.testing.sink_conformance import NOW, message
from tests.drivers.event_receivers import SECRET

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(*answers: bytes, whole: bool = True) -> Iterator[tuple[WebhookSink, list[bytes]]]:
    """A sink whose receiver gives these answers, each to a connection of its own, and what the receiver was sent.
    `whole`: it reads the request first."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(20)
                    asked.append(_request(connection) if whole else b"")
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    if not whole:
                        connection.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/events"
    sink = open_webhook(SinkEndpoint(url, secrets=lambda: [SECRET], timeout=5))
    try:
        yield sink, asked
    finally:
        sink.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        length = 0
        while (line := file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return file.read(length)


TAKEN = [
    pytest.param(OK + b"\r\n", id="up to the end"),
    pytest.param(OK + b"Content-Length: 0\r\n\r\n", id="empty"),
    pytest.param(OK + b"Content-Length: 2\r\n\r\nok", id="with a length"),
    pytest.param(OK + b"Content-Length: 9000\r\n\r\n" + b"x" * 5000, id="longer than what is read of it"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", id="in chunks"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="no content"),
    pytest.param(b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", id="without a phrase"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nok", id="HTTP/1.0"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", id="after an interim answer"),
    pytest.param(OK + b"Content-Length: 2\r\n\r\n\xff\x00", id="no text"),
]

NOT_TAKEN = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"HTTP/1.1 200 OK", id="a part of the status"),
    pytest.param(OK, id="the status alone"),
    pytest.param(OK + b"Content-Le", id="a part of a header"),
    pytest.param(OK + b"Content-Length: 2\r\n", id="headers without an end"),
    pytest.param(OK + b"Content-Length: 2\r\n\r\n", id="no body"),
    pytest.param(OK + b"Content-Length: 20\r\n\r\nok", id="a part of the body"),
    pytest.param(OK + b"Content-Length: 9000\r\n\r\n" + b"x" * 100, id="a part of a long body"),
    pytest.param(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", id="a length of 5000 digits"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n", id="no chunks"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\no", id="a part of a chunk"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", id="chunks without an end"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n", id="a chunk below zero"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nok", id="a chunk without an end"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim answer alone"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="another protocol"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, id="interim answers alone"),
    pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="a status of four digits"),
    pytest.param(b"HTTP/1.1 -200 OK\r\n\r\n", id="a status below zero"),
    pytest.param(b"HTTP/1.1 OK\r\n\r\n", id="no status"),
    pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="another version"),
    pytest.param(b"200 OK\r\n\r\n", id="no version"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="no HTTP"),
    pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="TLS"),
    pytest.param(b"\x00" * 70_000, id="zeros without an end"),
    pytest.param(OK + b"A: b\r\n" * 200 + b"\r\n", id="too many headers"),
    pytest.param(OK + b"A: " + b"b" * 70_000 + b"\r\n\r\n", id="a header that is too long"),
    pytest.param(b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n", id="a status that is too long"),
    pytest.param(b"HTTP/1.1 300 Multiple Choices\r\n\r\n", id="a choice"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="not modified"),
    pytest.param(b"HTTP/1.1 407 Proxy\r\nContent-Length: 99\r\n\r\n", id="a refusal that breaks off"),
    pytest.param(b"HTTP/1.1 599 ?\r\nContent-Length: 0\r\n\r\n", id="an unknown error"),
    pytest.param(b"HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n", id="an unknown status"),
    pytest.param(b"HTTP/1.1 429 ?\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", id="a wait below zero"),
    pytest.param(b"HTTP/1.1 503 ?\r\nRetry-After: " + b"9" * 5000 + b"\r\nContent-Length: 0\r\n\r\n", id="a long wait"),
]


@pytest.mark.parametrize("answer", TAKEN)
def test_a_whole_answer_of_2xx_takes_the_event(answer: bytes) -> None:
    with answering(answer) as (sink, asked):
        assert sink.send([message(1)], NOW) == SinkDelivery(1)
    assert len(asked) == 1


@pytest.mark.parametrize("answer", NOT_TAKEN)
def test_any_other_answer_is_an_error_of_the_delivery(answer: bytes) -> None:
    with answering(answer, answer) as (sink, asked):
        delivery = sink.send([message(1)], NOW)
        assert (delivery.taken, delivery.ended) == (0, False)
        assert delivery.error is not None
        assert delivery.error.reason in (ErrorReason.UNREACHABLE, ErrorReason.REJECTED, ErrorReason.BUSY)
        assert len(str(delivery.error)) < 500
        assert len(asked) == 1
        with suppress(OSError):
            sink.send([message(1)], NOW)


def test_what_came_without_a_request_is_no_answer_to_the_next_one() -> None:
    """HAProxy sends 408 to an idle client."""
    unasked = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with answering(unasked + unasked, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") as (sink, asked):
        assert sink.send([message(1)], NOW) == SinkDelivery(1)
        assert sink.send([message(2)], NOW).taken == 0
    assert len(asked) == 2


BIG = SinkMessage("f/1", b"x" * 100_000, ("Fleet", "-", "RevisionRefused"), b"short")
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"


def test_an_event_that_is_too_large_is_sent_in_its_short_form() -> None:
    with answering(REFUSED, OK + b"\r\n") as (sink, asked):
        assert sink.send([BIG], NOW) == SinkDelivery(1)
    assert asked == [BIG.body, BIG.short]


def test_if_that_is_too_large_the_error_names_the_event() -> None:
    with answering(REFUSED, REFUSED) as (sink, _):
        delivery = sink.send([BIG], NOW)
    assert "the event f/1 is too large for the receiver" in str(delivery.error)


def test_a_refusal_ahead_of_the_end_of_the_body_is_read() -> None:
    large = SinkMessage("f/1", b"x" * 30_000_000, ("Fleet", "-", "RevisionRefused"))
    with answering(REFUSED, whole=False) as (sink, _):
        assert "answered 413" in str(sink.send([large], NOW).error)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("Sun, 01 Mar 2026 00:02:00 GMT", 120.0),
        ("Sunday, 01-Mar-26 00:02:00 GMT", 120.0),
        ("Sun Mar  1 00:02:00 2026", 120.0),
        ("Sun, 01 Mar 2026 01:02:00 +0100", 120.0),
        ("Sat, 28 Feb 2026 23:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("9" * 5000, None),
        ("Sun, 99 Foo 2026 00:02:00 GMT", None),
        ("Sun, 01 Mar 99999999 00:02:00 GMT", None),
        ("Sun, 01 Mar 2026 00:02:00 +99999999", None),
        ("1 2 3 4 5 6 7", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    assert retry_after_seconds(said, datetime(2026, 3, 1, tzinfo=UTC)) == seconds


def test_a_date_in_retry_after_is_kept() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: Sun, 01 Mar 2026 00:02:00 GMT\r\nContent-Length: 0\r\n\r\n"
    with answering(answer) as (sink, _):
        error = sink.send([message(1)], NOW).error
    assert isinstance(error, Busy)
    assert error.retry_after == 120.0


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "-", "ü" * 70])
def test_a_name_that_is_none_is_an_error_of_the_delivery(host: str) -> None:
    sink = open_webhook(SinkEndpoint(f"http://{host}/", secrets=lambda: [SECRET], timeout=5))
    assert sink.send([message(1)], NOW).taken == 0
