"""An answer of the usual form is read in one go, and every other one as it was before: what comes of both is what
http.client makes of it."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bmc.redfish.wire.quick_answer import QuickAnswer, read_quickly
from drivers.bounded_http import ends_at

BODY = b'{"PowerState": "On"}'
USUAL = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "5f"\r\nContent-Length: 20\r\n\r\n' + BODY


def quick(*pieces: bytes, ends: bool = True, most: int = 1000) -> tuple[QuickAnswer | None, bytes]:
    """What is made of an answer that comes in these pieces, and what was read of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        comes = threading.Thread(target=_send, args=(theirs, pieces, ends))
        comes.start()
        received = bytearray()
        answer = read_quickly(ours, time.monotonic() + 10, received, most)
        comes.join()
    return answer, bytes(received)


def _send(sock: socket.socket, pieces: tuple[bytes, ...], ends: bool) -> None:
    for piece in pieces:
        sock.sendall(piece)
    if ends:
        sock.shutdown(socket.SHUT_WR)


@given(st.lists(st.integers(0, len(USUAL)), max_size=5).map(sorted))
def test_in_whatever_pieces_it_comes_it_is_the_same(cuts: list[int]) -> None:
    pieces = [USUAL[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(USUAL)])]
    answer, _ = quick(*pieces, ends=False)
    assert answer is not None
    assert (answer.status, answer.body, answer.closes) == (200, BODY, False)
    assert answer.headers.get("etag") == '"5f"'
    assert answer.headers.get("Location", None) is None


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", False, id="no content"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", False, id="no content, though promised"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", False, id="no words"),
        pytest.param(b"HTTP/1.1 200 OK\r\nconnection: Close\r\nContent-Length: 0\r\n\r\n", True, id="closes"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200", True, id="more than was asked for"),
    ],
)
def test_it_says_whether_the_connection_may_be_used_again(answer: bytes, closes: bool) -> None:
    found, _ = quick(answer)
    assert found is not None
    assert (found.body, found.closes) == (b"", closes)


ODD = [
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="HTTP/1.0"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + USUAL, id="an interim answer"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="chunks"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n{}", id="up to the end"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", id="a length below zero"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n  c\r\n\r\n{}", id="a header of two lines"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nnonsense\r\n\r\n{}", id="a line that is no header"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}\r\n\r\n", id="other line ends"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000, id="more than may be"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", id="broken off in the body"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="broken off in the headers"),
    pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", id="a status that is none"),
    pytest.param(b"", id="nothing"),
]


@pytest.mark.parametrize("answer", ODD)
def test_an_answer_of_another_form_is_left_to_the_other_reader_with_all_that_was_read(answer: bytes) -> None:
    found, received = quick(answer)
    assert found is None
    assert answer.startswith(received)


@pytest.mark.parametrize("answer", ODD)
def test_the_other_reader_goes_on_from_there(answer: bytes) -> None:
    """As if it had read all of it."""
    results: list[object] = []
    for begun in (0, len(answer) // 2, len(answer)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            _send(theirs, (answer[begun:],), True)
            response = ends_at(time.monotonic() + 10, answer[:begun])(ours, method="GET")
            try:
                response.begin()
                results.append((response.status, response.headers.items(), response.read(), response.will_close))
            except (http.client.HTTPException, ConnectionError) as error:
                results.append((type(error), str(error)))
    assert results[0] == results[1] == results[2]


def test_an_answer_that_does_not_come_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.sendall(USUAL[:30])
        with pytest.raises(TimeoutError):
            read_quickly(ours, time.monotonic() + 0.05, bytearray(), 1000)
