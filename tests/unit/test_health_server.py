"""The health port, and what whoever reaches it can do to the daemon."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from reconciler.services import http as health
from reconciler.services.http import MOST, MOST_OF_HOOKS, MOST_THREADS, HealthServer, Site


@pytest.fixture
def port() -> Iterator[int]:
    site = Site(
        {"/healthz": lambda: None, "/readyz": lambda: "no revision yet"}, lambda: b"up 1\n", {"git": lambda: "secret"}
    )
    with HealthServer("127.0.0.1", 0, site) as server:
        yield server.port


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"ok\n"),
        ("/readyz", 503, b"no revision yet\n"),
        ("/metrics?x=1", 200, b"up 1\n"),
        ("/../etc/passwd", 404, b"/healthz, /readyz and /metrics are here\n"),
    ],
)
def test_what_is_answered(port: int, path: str, status: int, body: bytes) -> None:
    assert asked(port, path) == (status, body)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("DELETE", "/healthz", 405, "GET, HEAD"),
        ("PROPFIND", "/readyz?x", 405, "GET, HEAD"),
        ("POST", "/other", 404, None),
        ("HEAD", "/metrics", 200, None),
        ("HEAD", "/other", 404, None),
    ],
)
def test_a_method_that_is_not_served_is_refused_with_those_that_are(
    port: int, method: str, path: str, status: int, allow: str | None
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, b"x=1" if method == "POST" else None)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (status, allow)
    assert (answer.read() == b"") == (method == "HEAD")
    connection.close()


def test_however_many_connections_are_held_there_are_few_threads(port: int) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        held = [opened(stack, port) for _ in range(3 * MOST_THREADS)]
        for one in held[-MOST:]:
            with suppress(OSError):
                one.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert ended(held[0]), "those that are too many are cut off"
        # Each has its thread, and a timer.
        assert threading.active_count() - before <= 2 * MOST_THREADS


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nX: ", id="a part of its headers"),
        pytest.param(b"POST /hooks/git HTTP/1.1\r\nContent-Length: 26214400\r\n\r\n{", id="a part of its body"),
        pytest.param(b"POST /hooks/git HTTP/1.1\r\nX: ", id="a part of the headers of its hook"),
    ],
)
def test_clients_that_send_slowly_keep_no_reader_out(port: int, slow: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            opened(stack, port).sendall(slow)
        assert asked(port, "/healthz") == (200, b"ok\n")
        assert asked(port, "/metrics") == (200, b"up 1\n")


def test_a_slow_hook_is_not_cut_off_by_readers_and_keeps_no_hook_out(port: int) -> None:
    head = b"POST /hooks/git HTTP/1.1\r\nX-Gitlab-Token: secret\r\nContent-Length: 4\r\n\r\n"
    with ExitStack() as stack:
        slow = opened(stack, port)
        slow.sendall(head + b"12")
        for _ in range(2 * MOST):
            assert asked(port, "/healthz")[0] == 200
        slow.sendall(b"34")
        assert slow.recv(12) == b"HTTP/1.0 202"
        for _ in range(2 * MOST_OF_HOOKS):
            opened(stack, port).sendall(head)
        quick = opened(stack, port)
        quick.sendall(head + b"1234")
        assert quick.recv(12) == b"HTTP/1.0 202"


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WITHIN", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert slow.recv(1) == b""
    assert asked(port, "/healthz")[0] == 200


def opened(stack: ExitStack, port: int) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))


def ended(connection: socket.socket) -> bool:
    """Whether the server ends this connection, before the test times out."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def asked(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_head_is_answered_as_get_is_without_a_body(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("HEAD", path)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    connection.close()
