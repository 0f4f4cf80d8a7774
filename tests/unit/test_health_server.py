"""The health port, and what whoever reaches it can do to the daemon."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from reconciler.services import http as health
from reconciler.services.http import MOST, HealthServer


@pytest.fixture
def port() -> Iterator[int]:
    with HealthServer("127.0.0.1", 0, lambda: None, lambda: "no revision yet", lambda: b"up 1\n") as server:
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


def test_however_many_connections_are_held_there_are_few_threads(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(5 * MOST)]
        for one in held[:MOST]:
            one.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert held[-1].recv(1) == b"", "those that are too many are closed"
        # Each has its thread, and a timer.
        assert threading.active_count() - before <= 2 * MOST


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WITHIN", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert slow.recv(1) == b""
    assert asked(port, "/healthz")[0] == 200


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
