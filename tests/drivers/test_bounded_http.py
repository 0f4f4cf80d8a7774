"""Answers are read as http.client reads them, and faster."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from drivers.bounded_http import ends_at


def read(answer: bytes, made: Callable[..., http.client.HTTPResponse]) -> http.client.HTTPResponse:
    """The answer as it is read from a socket that then ends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        response = made(ours, method="GET")
        response.begin()
        response.body = response.read()  # type: ignore[attr-defined]
        return response


def bounded(*args: Any, **options: Any) -> http.client.HTTPResponse:
    return ends_at(time.monotonic() + 10)(*args, **options)


def answer(*headers: bytes, body: bytes = b"{}", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *headers, b"", body])


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(answer(b"Content-Length: 2", b'ETag: "5f"'), id="with a length"),
        pytest.param(answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"), id="in chunks"),
        pytest.param(
            answer(b"Content-Length: 0", b"transfer-encoding: Chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
            id="in chunks, whatever the length says",
        ),
        pytest.param(answer(b"Server: x"), id="up to the end"),
        pytest.param(answer(b"Content-Length: 2", b"Connection: close"), id="that closes"),
        pytest.param(answer(b"Content-Length: 2", status=b"HTTP/1.0 200 OK"), id="of HTTP/1.0, that closes"),
        pytest.param(answer(b"Content-Length: 2", b"Keep-Alive: 5", status=b"HTTP/1.0 200 OK"), id="of HTTP/1.0"),
        pytest.param(answer(b"Content-Length: many"), id="with a length that is none"),
        pytest.param(answer(b"Content-Length: -1"), id="with a length below zero"),
        pytest.param(answer(b"Content-Length: 2", status=b"HTTP/1.1 200"), id="without a reason phrase"),
        pytest.param(answer(b"Content-Length: 2", b"X-Name: \xc3\xa4"), id="with bytes beyond ASCII"),
        pytest.param(answer(b"Content-Length: 2", b"content-length: 9"), id="with two lengths"),
        pytest.param(answer(b"Content-Length:2", b'ETag:\t"5f" '), id="with other blanks"),
        pytest.param(answer(body=b"", status=b"HTTP/1.1 204 No Content"), id="that has no body"),
        pytest.param(answer(b"ETag: 1", body=b"", status=b"HTTP/1.1 304 Not Modified"), id="that has none either"),
        pytest.param(b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + answer(b"Content-Length: 2"), id="after a promise"),
    ],
)
def test_an_answer_is_read_as_http_client_reads_it(told: bytes) -> None:
    known, found = read(told, http.client.HTTPResponse), read(told, bounded)
    names = ("status", "reason", "version", "chunked", "will_close", "body")
    assert {name: getattr(found, name) for name in names} == {name: getattr(known, name) for name in names}
    stripped = {name.lower(): value.strip() for name, value in reversed(known.headers.items())}
    assert {name.lower(): value for name, value in reversed(found.headers.items())} == stripped


def test_a_header_may_go_on_in_the_next_line() -> None:
    found = read(answer(b"Content-Length: 2", b"Location: /redfish", b"  /v1"), bounded)
    assert found.headers["Location"] == "/redfish /v1"


def test_a_line_that_is_no_header_hides_none() -> None:
    found = read(answer(b"nonsense", b"Content-Length: 2", b"ETag: 5"), bounded)
    assert (found.body, found.headers["ETag"]) == (b"{}", "5")  # type: ignore[attr-defined]


def test_no_body_is_awaited_after_no_content_even_where_one_is_promised() -> None:
    found = read(
        answer(b"Transfer-Encoding: chunked", body=b"", status=b"HTTP/1.1 204 No Content"),
        bounded,
    )
    assert found.body == b""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("told", "error"),
    [
        pytest.param(answer(*[b"A: b"] * 200), http.client.HTTPException, id="too many headers"),
        pytest.param(answer(b"A: " + b"b" * 70_000), http.client.LineTooLong, id="a header that is too long"),
        pytest.param(answer(status=b"HTTP/2 200 OK"), http.client.UnknownProtocol, id="another protocol"),
        pytest.param(answer(status=b"SSH-2.0-OpenSSH"), http.client.BadStatusLine, id="no HTTP"),
        pytest.param(b"", http.client.RemoteDisconnected, id="nothing"),
        pytest.param(answer(b"Content-Length: " + b"9" * 19), http.client.HTTPException, id="a length of 19 digits"),
        pytest.param(answer(b"Content-Length: " + b"0" * 5000), http.client.HTTPException, id="a length of zeros"),
        pytest.param(b"HTTP/1.1 200 OK", http.client.IncompleteRead, id="a status alone"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", http.client.IncompleteRead, id="a part of a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\n", http.client.IncompleteRead, id="headers without an end"),
    ],
)
def test_what_is_no_answer_is_an_error(told: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(told, bounded)


@pytest.mark.parametrize("size", [b"2", b"02", b"2;a=b", b"2 ", b"0000000000000002", b'2;a="b\r"'])
def test_the_size_of_a_chunk_is_hexadecimal_digits(size: bytes) -> None:
    found = read(answer(b"Transfer-Encoding: chunked", body=size + b"\r\n{}\r\n0\r\n\r\n"), bounded)
    assert found.body == b"{}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "size", [b"-1", b"+2", b" 2", b"0x2", b"0_2", b"", b";a", b"\xb2", b"2,", b"00000000000000002", b"2" * 5000]
)
def test_any_other_size_of_a_chunk_is_an_error(size: bytes) -> None:
    with pytest.raises(http.client.IncompleteRead):
        read(answer(b"Transfer-Encoding: chunked", body=size + b"\r\n{}\r\n0\r\n\r\n"), bounded)


def test_a_size_of_a_chunk_that_breaks_off_is_an_error() -> None:
    with pytest.raises(http.client.IncompleteRead):
        read(answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0"), bounded)
