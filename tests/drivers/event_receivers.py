"""Receivers of events: HTTP with faults, and a real nats-server from its wheel."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import trustme

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Request(msgspec.Struct, frozen=True):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP(S) receiver. `answer` gives status, headers and body for each request; a status of 0 hangs up."""

    def __init__(self, port: int = 0, authority: trustme.CA | None = None) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], tuple[int, dict[str, str], bytes]] = lambda _: (204, {}, b"")
        self._open: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = Request(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
                status, headers, answer = outer.answer(request)
                outer.requests.append(request)
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, text in headers.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def process_request(self, request: Any, client_address: Any) -> None:
                outer._open.append(request)
                super().process_request(request, client_address)

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is no news."""

        self._server = Server(("127.0.0.1", port), Handler)
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"{'http' if authority is None else 'https'}://127.0.0.1:{self.port}/events?from=gs"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def taken(self) -> list[bytes]:
        """The bodies of what it has been sent."""
        return [one.body for one in self.requests]

    def stop(self) -> None:
        """Be away. All connections are cut."""
        self._server.shutdown()
        self._server.server_close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


_CONFIG = """
listen: "127.0.0.1:{port}"
{more}
jetstream {{ store_dir: "{store}", max_file: 1GB, sync_interval: always }}
authorization {{ users: [
  {{ user: gs, password: "{password}", permissions: {{ publish: ["gs.>"], subscribe: ["_INBOX.>"] }} }}
  {{ user: narrow, password: "{password}", permissions: {{ publish: ["gs.Machine.>"], subscribe: ["_INBOX.>"] }} }}
  {{ user: admin, password: "{password}" }}
] }}
"""
PASSWORD = "nats-Password-1"


class NatsServer:
    """A real server with a stream, whose files outlive it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.port, self._folder = free_port(), folder
        config = _CONFIG.format(port=self.port, store=folder / "js", password=PASSWORD, more=more)
        (folder / "nats.conf").write_text(config)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.asked(self._add_stream)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([binary, "-c", str(self._folder / "nats.conf")], stderr=log, stdout=log)
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                break
            except OSError:
                time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def asked(self, question: Callable[[Any], Any]) -> Any:
        """Ask as the administrator: a coroutine function of the JetStream context."""

        async def ask() -> Any:
            import nats

            client = await nats.connect(
                self.url, user="admin", password=PASSWORD, max_reconnect_attempts=50, reconnect_time_wait=0.1
            )
            try:
                return await question(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(ask())

    @staticmethod
    async def _add_stream(stream: Any) -> None:
        await stream.add_stream(name="GROUNDSTATE", subjects=["gs.>"], duplicate_window=600)

    def messages(self) -> list[tuple[str, bytes]]:
        """Subjects and bodies, in the order of the stream."""

        async def read(stream: Any) -> list[tuple[str, bytes]]:
            info = await stream.stream_info("GROUNDSTATE")
            found: list[tuple[str, bytes]] = []
            consumer = await stream.subscribe("gs.>", ordered_consumer=True)
            while len(found) < info.state.messages:
                one = await consumer.next_msg(timeout=10)
                found.append((one.subject, one.data))
            return found

        kept: list[tuple[str, bytes]] = self.asked(read)
        return kept


@contextmanager
def nats_server(folder: Path, more: str = "") -> Iterator[NatsServer]:
    """One for a test, with more lines of configuration."""
    server = NatsServer(folder, more)
    try:
        yield server
    finally:
        server.kill()
