"""/healthz, /readyz and /metrics: what a supervisor and Prometheus ask."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from drivers.base import SecretUnavailable
from reconciler import runtime
from reconciler.services.git_hooks import MOST_BYTES, NO_HOOKS, HookSecrets, is_authentic

HealthCheck = Callable[[], str | None]
"""None when all is well, else what is not."""


TEXT = "text/plain; charset=utf-8"

HOOKS = "/hooks/"
"""Below it, what git servers send to."""
_PART = 64 * 1024
"""Bytes of a request that are read at once."""

MOST = 16
"""Connections at once. One reader of a daemon needs one or two."""

WITHIN = 10.0
"""Seconds that a connection may last, however often it sends a byte."""


class _Server(ThreadingHTTPServer):
    """Has a limit of connections: a client can keep other readers out, but cannot stop the work of the daemon."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._free = runtime.semaphore(MOST)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """socketserver's hook, on the thread that accepts."""
        if self._free.acquire(blocking=False):
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
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """socketserver's hook: a client that hangs up is no news, and no traceback."""


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class HealthServer:
    """Serves in a thread of its own. `healthy`: the process does its work; `ready`: a desired state is in force;
    `ended`: is informed of an error that ended the thread. `hooks`: those of git servers, and `pushed` is called for
    each request that knows the secret."""

    def __init__(
        self,
        host: str,
        port: int,
        healthy: HealthCheck,
        ready: HealthCheck,
        metrics: Callable[[], bytes],
        ended: Callable[[BaseException], None] = lambda _error: None,
        hooks: HookSecrets = NO_HOOKS,
        pushed: Callable[[], None] = lambda: None,
    ) -> None:
        checks = {"/healthz": healthy, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            server_version = "groundstate"
            timeout = 10

            def __getattr__(self, name: str) -> Callable[[], None]:
                # http.server asks for `do_METHOD`, and would answer 501 for one that is not there.
                if name.startswith("do_"):
                    return self._refuse
                raise AttributeError(name)

            def _refuse(self) -> None:
                self.close_connection = True  # Its body was not read.
                known = self.path.partition("?")[0] in ("/metrics", *checks)
                if known:
                    self._answer(405, b"only GET and HEAD\n", TEXT, {"Allow": "GET, HEAD"})
                else:
                    self._not_found()

            def do_POST(self) -> None:
                name = self.path.partition("?")[0].removeprefix(HOOKS)
                if not hooks or not self.path.startswith(HOOKS):
                    self._refuse()
                    return
                length = self.headers.get("Content-Length") or ""
                self.close_connection = True
                if not (length.isascii() and length.isdecimal() and int(length[:12]) <= MOST_BYTES):
                    self._answer(413, b"send a body with Content-Length, of at most 25 MiB\n", TEXT)
                elif self._knows_secret(name, int(length)):
                    pushed()
                    self._answer(202, b"the repository is read soon\n", TEXT)
                else:
                    # An unknown name gets the same answer, so that names cannot be found out.
                    self._answer(403, b"no hook of this name has this secret\n", TEXT)

            def _knows_secret(self, name: str, length: int) -> bool:
                body = (self.rfile.read(min(_PART, length - at)) for at in range(0, length, _PART))
                try:
                    secret = hooks[name]() if name in hooks else ""
                except SecretUnavailable:
                    secret = ""
                return is_authentic(secret, self.headers, body) and bool(secret)  # type: ignore[arg-type]  # as a mapping

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, metrics(), "text/plain; version=0.0.4; charset=utf-8")
                elif path in checks:
                    wrong = checks[path]()
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

        self._server = _Server((host, port), Handler)
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
