"""Redfish services on real sockets, for tests: one that behaves, and the ways in which BMCs do not."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import trustme

from drivers.base import Credential, Endpoint, Peer, Tls

ROOT = "/redfish/v1"
SESSIONS = f"{ROOT}/SessionService/Sessions"
SYSTEM = f"{ROOT}/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
EXPAND = "?$expand=.($levels=1)"
LOGIN = Credential("operator", "s3cret-and-Unique")

Document = Mapping[str, Any]


class Request(NamedTuple):
    """What arrived. `headers` by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's document."""
        return json.loads(self.body)


class Answer(NamedTuple):
    """Bytes to send, one after the other; then the connection is closed or kept."""

    chunks: Iterable[bytes]
    close: bool = False


Behaviour = Callable[[Request], Answer]
DROP = Answer((), close=True)


def reply(status: int, document: object = None, *headers: str, close: bool = False) -> Answer:
    """A well-formed HTTP/1.1 answer. `headers`: whole lines. bytes as document go out as they are."""
    body = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
    head = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return Answer(["\r\n".join([*head, "", ""]).encode() + body], close)


def extended(message: str, message_id: str = "Base.1.8.GeneralError") -> Document:
    """An error body (DSP0266 8.6)."""
    info = [{"MessageId": message_id, "Message": message, "Severity": "Critical"}]
    return {"error": {"code": "Base.1.8.GeneralError", "message": "See ExtendedInfo", "@Message.ExtendedInfo": info}}


def system(**fields: object) -> dict[str, Any]:
    """A ComputerSystem as most BMCs show it; a field given as ... is left out."""
    document: dict[str, Any] = {
        "@odata.id": SYSTEM,
        "Id": "1",
        "Name": "System",
        "PowerState": "On",
        "IndicatorLED": "Off",
        "Status": {"State": "Enabled", "Health": "OK"},
        "UUID": "38947555-7742-3448-3784-823347823834",
        "SerialNumber": "437XR1138R2",
        "Manufacturer": "Contoso",
        "Model": "3500RX",
        "Boot": {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideMode": "UEFI",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "Cd"],
        },
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": RESET,
                "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"],
            }
        },
        **fields,
    }
    return {name: value for name, value in document.items() if value is not ...}


def service(**fields: object) -> dict[str, Document]:
    """A service with sessions and one system, documents by path. `fields`: of the system."""
    root: dict[str, Any] = {
        "@odata.id": f"{ROOT}/",
        "Systems": {"@odata.id": f"{ROOT}/Systems"},
        "SessionService": {"@odata.id": f"{ROOT}/SessionService"},
        "Links": {"Sessions": {"@odata.id": SESSIONS}},
    }
    return {ROOT: root, f"{ROOT}/Systems": {"Members": [{"@odata.id": SYSTEM}]}, SYSTEM: system(**fields)}


def sessionless() -> dict[str, Document]:
    """The same without sessions, as sushy-emulator."""
    return {**service(), ROOT: {"@odata.id": f"{ROOT}/", "Systems": {"@odata.id": f"{ROOT}/Systems"}}}


class Pki:
    """A certificate authority of the test's own, and the certificate of 127.0.0.1 and localhost that it signed."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.cert_pem.bytes())
        self.leaf_pem = leaf.cert_chain_pems[0].bytes().decode()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(self.context)

    @property
    def tls(self) -> Tls:
        """Trust in the authority."""
        return Tls(ca_file=str(self.ca_file))


class RedfishServer:
    """A context manager: a Redfish service over HTTPS that records what arrives and can be told to misbehave.

    Writes are accepted and change nothing. `context`: None for plain HTTP. `login`: the one that is let in; None lets
    everyone in.
    """

    def __init__(
        self, context: ssl.SSLContext | None, documents: Mapping[str, Document], login: Credential | None = LOGIN
    ) -> None:
        self.documents = dict(documents)
        self.requests: list[Request] = []
        self.connections = 0
        self.sessions: set[str] = set()
        self.ended = threading.Event()
        self._login = login
        self._context = context
        self._rules: list[tuple[str, str, Behaviour, Iterable[object]]] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def misbehave(self, method: str, path: str, behaviour: Behaviour | Answer, times: int | None = 1) -> None:
        """Answer the next requests like this instead; None: from now on. Rules are used up in the order given."""
        answer: Behaviour = (lambda _: behaviour) if isinstance(behaviour, Answer) else behaviour
        with self._lock:
            left: Iterable[object] = itertools.repeat(None) if times is None else iter(range(times))
            self._rules.append((method, path, answer, left))

    def count(self, method: str, path: str | None = None) -> int:
        """How many of these requests arrived."""
        return len(self.seen(method, path))

    def seen(self, method: str, path: str | None = None) -> list[Request]:
        """These requests, in the order of arrival."""
        with self._lock:
            return [one for one in self.requests if one.method == method and path in (None, one.path)]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.connections += 1
            self._open.add(plain)
        try:
            with plain, self._wrap(plain) as connection:
                with self._lock:
                    self._open.add(connection)
                if self.ended.is_set():  # while the handshake was under way, after the others were shut down
                    return
                with connection.makefile("rb") as stream:
                    while (request := _read(stream)) and self._answer(connection, request):
                        pass
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open = {one for one in self._open if one.fileno() >= 0}

    def _wrap(self, plain: socket.socket) -> socket.socket:
        return self._context.wrap_socket(plain, server_side=True) if self._context else plain

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        with self._lock:
            self.requests.append(request)
            behaviour = self._behaviour(request)
            answer = behaviour(request)
        if answer.close and isinstance(answer.chunks, list) and len(answer.chunks) == 1:
            # The end of the connection leaves in the same packet, so that who has the answer can see it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for chunk in answer.chunks:
            connection.sendall(chunk)
        return not answer.close

    def _behaviour(self, request: Request) -> Behaviour:
        for method, path, behaviour, left in self._rules:
            if (method, path) == (request.method, request.path) and next(iter(left), self) is not self:
                return behaviour
        return self._behave

    def _behave(self, request: Request) -> Answer:
        path = request.path.rstrip("/")
        if (request.method, path) == ("POST", SESSIONS):
            return self._log_in(request)
        if not (path == ROOT and request.method == "GET") and not self._is_let_in(request):
            return reply(401, extended("Log in first"))
        if request.method == "DELETE":
            self.sessions.discard(path.rpartition("/")[2])
        if request.method != "GET":
            return reply(204)
        if path.endswith(EXPAND) and path.removesuffix(EXPAND) in self.documents:
            return reply(200, self._expanded(self.documents[path.removesuffix(EXPAND)]))
        return reply(200, self.documents[path]) if path in self.documents else reply(404, extended(f"No {path}"))

    def _expanded(self, collection: Document) -> Document:
        members = [self.documents.get(one["@odata.id"].rstrip("/"), one) for one in collection["Members"]]
        return {**collection, "Members": members}

    def _log_in(self, request: Request) -> Answer:
        if SESSIONS not in json.dumps(self.documents.get(ROOT, {})):
            return reply(404)
        if self._login and request.json() != {"UserName": self._login.username, "Password": self._login.password}:
            return reply(401, extended("Wrong user name or password"))
        token = f"token-{next(self._numbers)}"
        self.sessions.add(token)
        return reply(
            201, {"@odata.id": f"{SESSIONS}/{token}"}, f"X-Auth-Token: {token}", f"Location: {SESSIONS}/{token}"
        )

    def _is_let_in(self, request: Request) -> bool:
        return (
            self._login is None
            or request.headers.get("x-auth-token") in self.sessions
            or request.headers.get("authorization") == basic(self._login)
        )


def basic(credential: Credential) -> str:
    """The Authorization header of HTTP basic authentication."""
    return "Basic " + base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()


@dataclass(frozen=True)
class Giving:
    """A credential for whoever is connected; equal where it is the same one."""

    login: Credential

    def __call__(self, peer: Peer, /) -> Credential:
        """It."""
        return self.login


def endpoint(server: RedfishServer, tls: Tls, system_id: str | None = None, login: Credential = LOGIN) -> Endpoint:
    """Where the server's system is."""
    return Endpoint("redfish", server.address, system_id, tls, Giving(login))


def _read(stream: Any) -> Request | None:
    line = stream.readline(65536).decode()
    if not line:
        return None
    method, path, _ = line.split(" ", 2)
    headers = {}
    while line := stream.readline(65536).decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, stream.read(int(headers.get("content-length", 0))))
