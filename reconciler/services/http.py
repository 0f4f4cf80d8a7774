"""/healthz, /readyz and /metrics: what a supervisor and Prometheus ask."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgspec

from drivers.base import SecretUnavailable
from reconciler import runtime
from reconciler.services.git_hooks import NO_HOOKS, HookSecrets, body_length, is_authentic

HealthCheck = Callable[[], str | None]
"""None when all is well, else what is not."""


TEXT = "text/plain; charset=utf-8"

HOOKS = "/hooks/"
"""Below it, what git servers send to."""
_PART = 64 * 1024
"""Bytes of a request that are read at once."""

MOST = 16
"""Connections at once. One reader of a daemon needs one or two."""
MOST_OF_HOOKS = 4
"""Connections at once whose request is for a hook. They do not count as the others."""
MOST_THREADS = 2 * (MOST + MOST_OF_HOOKS)
"""A connection that was cut needs its thread until the thread notices."""

WITHIN = 10.0
"""Seconds that a connection may last, however often it sends a byte."""


class Site(msgspec.Struct, frozen=True):
    """What a HealthServer answers. `checks` and what they ask, by path; `hooks` are those of git servers, and `pushed`
    is called for each request that knows the secret."""

    checks: Mapping[str, HealthCheck]
    metrics: Callable[[], bytes]
    hooks: HookSecrets = NO_HOOKS
    pushed: Callable[[], None] = lambda: None


class _Share:
    """Open connections of one sort. One more than `most` cuts the oldest off, so slow clients keep no client out."""

    def __init__(self, most: int) -> None:
        self._most, self._open = most, dict[socket.socket, None]()
        self._lock = runtime.lock()

    def add(self, connection: socket.socket) -> None:
        """Count this connection too."""
        with self._lock:
            self._open[connection] = None
            oldest = next(iter(self._open)) if len(self._open) > self._most else None
            if oldest is not None:
                del self._open[oldest]
        if oldest is not None:
            _cut(oldest)

    def drop(self, connection: socket.socket) -> None:
        """Count this connection no more."""
        with self._lock:
            self._open.pop(connection, None)


class _Server(ThreadingHTTPServer):
    """Has a limit of connections. A client can slow other readers down, but cannot stop the work of the daemon."""

    daemon_threads = True
    request_queue_size = 128  # With socketserver's 5, a reader waits seconds for a connection behind a burst of others.

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        self.site = site
        self._free = runtime.semaphore(MOST_THREADS)
        self._readers, self._senders = _Share(MOST), _Share(MOST_OF_HOOKS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """socketserver's hook, on the thread that accepts."""
        if self._free.acquire(blocking=False):
            self._readers.add(request)
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """socketserver's hook, on the connection's own thread."""
        end = runtime.timer(WITHIN, partial(_cut, request))
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._readers.drop(request)
            self._senders.drop(request)
            self._free.release()

    def is_for_hook(self, request: socket.socket) -> None:
        """The body of this request is read next. That may be slow, and must not keep readers out."""
        self._readers.drop(request)
        self._senders.add(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """socketserver's hook: a client that hangs up is no news, and no traceback."""


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request, of one connection."""

    server: _Server
    server_version = "groundstate"
    timeout = 10

    def __getattr__(self, name: str) -> Callable[[], None]:
        # http.server asks for `do_METHOD`, and would answer 501 for one that is not there.
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        self.close_connection = True  # Its body was not read.
        known = self.path.partition("?")[0] in ("/metrics", *self.server.site.checks)
        if known:
            self._answer(405, b"only GET and HEAD\n", TEXT, {"Allow": "GET, HEAD"})
        else:
            self._not_found()

    def do_POST(self) -> None:
        site = self.server.site
        name = self.path.partition("?")[0].removeprefix(HOOKS)
        if not site.hooks or not self.path.startswith(HOOKS):
            self._refuse()
            return
        self.server.is_for_hook(self.connection)
        self.close_connection = True
        length = body_length(self.headers.get("Content-Length") or "")
        if length is None:
            self._answer(413, b"send a body with Content-Length, of at most 25 MiB\n", TEXT)
        elif self._knows_secret(name, length):
            site.pushed()
            self._answer(202, b"the repository is read soon\n", TEXT)
        else:
            # An unknown name gets the same answer, so that names cannot be found out.
            self._answer(403, b"no hook of this name has this secret\n", TEXT)

    def _knows_secret(self, name: str, length: int) -> bool:
        hooks = self.server.site.hooks
        try:
            secret = hooks[name]() if name in hooks else ""
        except SecretUnavailable:
            secret = ""
        headers: Any = self.headers  # It is a mapping.
        return is_authentic(secret, headers, self._body(length)) and bool(secret)

    def _body(self, length: int) -> Iterator[bytes]:
        """The body in parts, without what a client that ends early leaves out."""
        while length and (part := self.rfile.read(min(_PART, length))):
            length -= len(part)
            yield part

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, site = self.path.partition("?")[0], self.server.site
        if path == "/metrics":
            self._answer(200, site.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        elif path in site.checks:
            wrong = site.checks[path]()
            self._answer(503 if wrong else 200, f"{wrong or 'ok'}\n".encode(), TEXT)
        else:
            self._not_found()

    def _not_found(self) -> None:
        self._answer(404, b"/healthz, /readyz and /metrics are here\n", TEXT)

    def _answer(self, status: int, body: bytes, content_type: str, more: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Scrapes are not news."""


class HealthServer:
    """Serves in a thread of its own. `ended` is informed of an error that ended the thread. Raises OSError and
    OverflowError for an address where it cannot listen."""

    def __init__(
        self, host: str, port: int, site: Site, ended: Callable[[BaseException], None] = lambda _error: None
    ) -> None:
        self._server = _Server((host, port), site)
        self._thread = runtime.thread(partial(runtime.reporting, self._server.serve_forever, ended), "health")

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
