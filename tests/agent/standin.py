"""A stand-in for the boot service: what the discovery agent asks, answered from a list, with faults on demand.

It is as small as the contract allows, and knows nothing of orders, claims or a store.
"""

from __future__ import annotations

import contextlib
import io
import json
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN, SESSION = "boot-token", "session-1"
Answer = tuple[int, bytes]


@dataclass
class StandIn:
    """What it will say, and what it has heard.

    `work`: answers to GET work, one each, the last for ever. `faults`: statuses by "METHOD path" to answer with before
    the real thing; 0 cuts the connection without an answer. `cut`: how many bytes of a file to send before the
    connection breaks, one entry a request.
    """

    work: list[str] = field(default_factory=lambda: ["work poweroff"])
    seed: bytes | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[int]] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    registered: list[dict[str, Any]] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    waits_for: str = ""
    """Files are sent when a fact of this type was heard."""
    pace: dict[str, float] = field(default_factory=dict)
    """Seconds for each MiB of the file of this name."""

    def heard(self, kind: str) -> list[str]:
        """Details of the facts of this type, in order."""
        return [detail for one, detail in self.facts if one == kind]

    def wait_for(self, ready: Callable[[StandIn], object], timeout: float, what: str) -> None:
        """Until it is true. Raises AssertionError with all that was heard."""
        end = time.monotonic() + timeout
        while not ready(self):
            if time.monotonic() > end:
                raise AssertionError(
                    f"no {what} within {timeout:g} s; heard {self.facts[-5:]}, asked {self.requests[-5:]}"
                )
            time.sleep(0.1)

    def answer(self, method: str, path: str, bearer: str, body: bytes) -> Answer:
        """Status and body; status 0 is no answer."""
        self.requests.append(f"{method} {path}")
        pending = self.faults.get(f"{method} {path}")
        if pending:
            return pending.pop(0), b"as the test wants it"
        if path.lstrip("/") in self.files:
            return 200, self.files[path.lstrip("/")]
        handler = {
            "POST register": self._register,
            "GET work": self._work,
            "GET seed": self._seed,
            "POST facts": self._facts,
            "POST phone-home": self._facts,
        }.get(f"{method} {path.removeprefix('/agent/v1/')}")
        if handler is None:
            return 404, b"no such thing"
        expected = TOKEN if path.endswith("register") else SESSION
        return handler(body) if bearer == expected else (401, b"wrong token")

    def _register(self, body: bytes) -> Answer:
        self.registered.append(json.loads(body))
        return 200, json.dumps({"session": SESSION}).encode()

    def _work(self, body: bytes) -> Answer:
        return 200, (self.work.pop(0) if len(self.work) > 1 else self.work[0]).encode() + b"\n"

    def _seed(self, body: bytes) -> Answer:
        return (204, b"") if self.seed is None else (200, self.seed)

    def _facts(self, body: bytes) -> Answer:
        fact = json.loads(body)
        self.facts.append((fact["type"], fact.get("detail", "")))
        return 204, b""


def tar(files: Mapping[str, str]) -> bytes:
    """A seed as the service sends it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


@contextlib.contextmanager
def serving(
    standin: StandIn, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Its address, as `http://HOST:PORT` or with https. Port 0 is any free one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, answer = standin.answer(self.command, self.path, bearer, body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self._send(status, answer)

        def _send(self, status: int, answer: bytes) -> None:
            if status == 200 and self.path.lstrip("/") in standin.files:
                if standin.waits_for:
                    standin.wait_for(lambda it: it.heard(it.waits_for), 90, standin.waits_for)
                if standin.cut:
                    answer = answer[: standin.cut.pop(0)]
                    self.close_connection = True
            pace = standin.pace.get(self.path.lstrip("/"), 0)
            with contextlib.suppress(OSError):
                for at in range(0, len(answer), 1 << 20):
                    self.wfile.write(answer[at : at + (1 << 20)])
                    time.sleep(pace)

        do_GET = do_POST = do_HEAD = _serve  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server((host, port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
