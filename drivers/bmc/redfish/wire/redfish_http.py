"""HTTP to one BMC: one kept connection, one request at a time, each with an end, and a write never sent twice."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from drivers.base import NO_NAME, Peer, Rejected, Tls, Unreachable, hidden, printable, read_json, require_permit
from drivers.base.support import scheduling
from drivers.bmc.redfish.wire.quick_answer import Headers, read_quickly
from drivers.bmc.redfish.wire.redfish_tls import (
    CONNECT_SECONDS,
    HANDSHAKE_SECONDS,
    OLD_CIPHERS,
    check_pin,
    context_for,
    distrust,
    is_too_old,
)
from drivers.bounded_http import BoundedResponse, ends_at

REQUEST_SECONDS = 15.0
"""From the first byte sent to the last byte received, so that a BMC that sends byte by byte does not block a worker."""
_MAX_BODY = 8 * 1024 * 1024
_MAX_READS = 100_000
"""Pieces of one body: a peer that sends byte by byte would use a whole processor."""
_CHUNK = 16 * 1024
_GZIP, _GZIP_MAGIC = 16 + zlib.MAX_WBITS, b"\x1f\x8b"
_LOST = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_NOT_OF_A_PATH = re.compile(r"[^\x21-\x7e]")
_WITH_BODY = frozenset({"PATCH", "POST", "PUT"})
_FAILED = (OSError, http.client.HTTPException, ValueError)


class PeerChanged(Unreachable):
    """A new connection led to another address than the one that a login was meant for; nothing was sent on it."""


class BmcAddress(msgspec.Struct, frozen=True):
    """Where a BMC listens."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """As a URL, IPv6 in brackets."""
        host = f"[{self.host.replace('%', '%25', 1)}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def certified(self) -> str:
        """As a certificate names the host: a zone is of this machine alone (RFC 6874, 1)."""
        return self.host.partition("%")[0]

    @property
    def named(self) -> str:
        """As a request names the host."""
        if ":" in self.host:
            host = f"[{self.certified}]"
        else:
            host = self.host if self.host.isascii() else self.host.encode("idna").decode()
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def parse_bmc_address(text: str, tls: Tls) -> BmcAddress:
    """`host`, `host:port`, `[v6]:port` or a URL; https unless it says http, which needs `insecure`. Raises Rejected."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    host = None if host is None else host.replace("%25", "%", 1)  # A zone, as RFC 6874 writes it.
    # The text is not shown where it may hold a password.
    if not host or "@" in text or parts.scheme not in ("https", "http") or parts.path.strip("/") or parts.query:
        shown = "bmc.address" if "@" in text else f"bmc.address {text!r}"
        raise Rejected(
            f"{shown} is not an address of a BMC; write host, host:port or https://host:port, without user, "
            "password and path"
        )
    if parts.scheme == "http" and not tls.insecure:
        raise Rejected(f"bmc.address {text!r} uses plain http; use https, or set bmc.tls.insecure: true")
    return BmcAddress(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


class Reply:
    """An answer, in the shape that sushy reads."""

    __slots__ = ("_document", "content", "headers", "status_code")

    def __init__(self, status_code: int, headers: Headers, content: bytes) -> None:
        self.status_code, self.headers, self.content = status_code, headers, content
        self._document: dict[str, Any] | None = None

    def digest(self, login: int) -> int:
        """By which the same answer under the same login is known again: a new login may have a new password to hide."""
        # Not by hashlib, which lets another thread go on with Python meanwhile, and then waits until it gets on again.
        return hash((login, self.content))

    def json(self) -> dict[str, Any]:
        """The body's one object, its text cleaned and without a password that it repeats. Raises ValueError for
        anything else (two documents: check_redfish#151)."""
        if self._document is None:
            try:
                document = read_json(self.content.rstrip(b"\0"), make=_kept)
            except json.JSONDecodeError as error:
                raise ValueError(_no_json(self.content, error)) from None
            if not isinstance(document, dict):
                raise ValueError("the answer is not a JSON object")
            self._document = document
        return self._document


_CHECK_ADDRESS = "check that bmc.address is a BMC that speaks Redfish"


def _no_json(content: bytes, error: json.JSONDecodeError) -> str:
    start = content.lstrip()[:1]
    if not start:
        return "the answer is empty"
    if start == b"<":
        return f"the answer is a web page, and not JSON; {_CHECK_ADDRESS}"
    return f"the answer is not JSON: {error}"


def _kept(said: str) -> str:
    return hidden(printable(said), NO_NAME)


class _NotConnected(TimeoutError):
    """No answer to the connection itself, which has less time than TLS."""


class ClosedMeanwhile(Unreachable):
    """The BMC closed an idle connection while a write was on its way, which it has most likely not read."""


class RedfishConnection:
    """The connection to one BMC. Not for two threads at once: the caller holds a lock.

    `connects`: see Endpoint; each call but `close` raises what it raises.
    """

    __slots__ = (
        "_closes_idle",
        "_connect_seconds",
        "_connects",
        "_handshake_seconds",
        "_peer",
        "_sock",
        "_tls",
        "address",
        "seconds",
    )

    def __init__(
        self,
        address: BmcAddress,
        tls: Tls,
        seconds: float = REQUEST_SECONDS,
        connects: Callable[[str], None] | None = None,
    ) -> None:
        self.address, self._tls, self.seconds, self._connects = address, tls, seconds, connects
        # Whoever asked for more patience than all have, has it for the connection too.
        more = seconds if seconds > REQUEST_SECONDS else 0.0
        self._connect_seconds = max(min(CONNECT_SECONDS, seconds), more)
        self._handshake_seconds = max(min(HANDSHAKE_SECONDS, seconds), more)
        # Not an http.client.HTTPSConnection, which is 0.5 KB more for each idle BMC.
        self._sock: socket.socket | None = None
        self._closes_idle = False
        self._peer: Peer | None = None
        """Who is at the other end of the connection; asked for once, as it stays the same."""

    def peer(self) -> Peer:
        """Who is at the other end; connects if need be. Raises Unreachable."""
        if self._is_out_of_step():
            self.close()
        return self._peer_of(self._sock or self._connect())

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        to: Peer | None = None,
        seconds: float | None = None,
    ) -> Reply:
        """One request, one answer within `seconds`, or else those of the connection. Raises Unreachable; `maybe_sent`
        for a write that may have arrived.

        `to`: who alone may get it, for what holds a login: a host's name may lead elsewhere at each new connection.
        Raises PeerChanged, with nothing sent, if another host is connected.

        A GET that meets a connection which the BMC had closed meanwhile (iLO 5, DMTF/python-redfish-library#64) is
        sent again on a new one. A write makes sure beforehand, and is never sent again: it raises ClosedMeanwhile, and
        from then on each write has a new connection.
        """
        if self._is_out_of_step() or (self._closes_idle and method != "GET"):
            self.close()
        kept = self._sock is not None
        sock = self._sock or self._connect()
        if to is not None and self._peer_of(sock) != to:
            self.close()
            raise PeerChanged(
                f"{self.address.url}: nothing was sent: the host name now resolves to another address than "
                f"when it was checked"
            )
        if method != "GET":
            require_permit()
        try:
            return self._exchange(sock, method, path, headers, body, seconds or self.seconds)
        except _FAILED as error:
            self.close()
            is_lost = kept and isinstance(error, _LOST)
            if is_lost and method == "GET":
                return self.send(method, path, headers, body, to, seconds)
            self._closes_idle = self._closes_idle or is_lost
            failure = ClosedMeanwhile if is_lost else Unreachable
            why = f"{self.address.url}: {_words(error, seconds or self.seconds)}"
            raise failure(why, maybe_sent=method != "GET") from None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        sock, self._sock, self._peer = self._sock, None, None
        if sock is not None:
            sock.close()

    def _peer_of(self, sock: socket.socket) -> Peer:
        if self._peer is None:
            try:
                name = sock.getpeername()
            except OSError as error:
                self.close()
                raise Unreachable(f"{self.address.url}: {_words(error, self.seconds)}") from None
            self._peer = Peer(str(name[0]), self.address.scheme == "https" and not self._tls.insecure)
        return self._peer

    def _exchange(
        self, sock: socket.socket, method: str, path: str, headers: Mapping[str, str], body: Any, seconds: float
    ) -> Reply:
        deadline = scheduling.monotonic() + seconds
        if sock.gettimeout() != seconds:
            sock.settimeout(seconds)
        sock.sendall(request_bytes(method, path, {"Host": self.address.named, **headers}, body))
        received = bytearray()
        quick = read_quickly(sock, deadline, received, _MAX_BODY)
        if quick is None:
            return self._rest(sock, method, deadline, bytes(received))
        if quick.closes:
            self.close()
        return Reply(quick.status, quick.headers, _unpacked(quick.body, quick.headers))

    def _rest(self, sock: socket.socket, method: str, deadline: float, received: bytes) -> Reply:
        """An answer of any form, of which this was received. Empty lines ahead of it belong to the answer before."""
        response = ends_at(deadline, received.lstrip(b"\r\n"))(sock, method=method)
        try:
            response.begin()
            content = self._content(response)
        finally:
            response.close()
        if response.will_close:
            self.close()
        return Reply(response.status, response.headers, content)

    @staticmethod
    def _content(response: BoundedResponse) -> bytes:
        try:
            return _body(response)
        except _FAILED:
            if response.status < http.HTTPStatus.BAD_REQUEST:
                raise
            # iDRAC 8 breaks off the body of a 401 (check_redfish#90); the status has said it all.
            response.will_close = True
            return b""

    def _connect(self) -> socket.socket:
        host, port, url = self.address.host, self.address.port, self.address.url
        try:
            sock = self._trusted()
        except Unreachable as error:
            raise Unreachable(f"{url}: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"{url}: {distrust(error, host, port)}") from None
        except (OSError, ValueError) as error:
            if is_too_old(error):
                why = f"{error.reason}. The BMC may offer only old ciphers or short keys. {OLD_CIPHERS}"  # type: ignore[union-attr]
                raise Unreachable(f"{url}: no connection: {why}") from None
            longest = self._connect_seconds if isinstance(error, _NotConnected) else self._handshake_seconds
            raise Unreachable(f"{url}: no connection: {_words(error, longest)}") from None
        self._sock = sock
        return sock

    def _trusted(self) -> socket.socket:
        """A new connection, which holds what `tls` asks for. Raises OSError, UnicodeError, and Unreachable."""
        context = context_for(self._tls) if self.address.scheme == "https" else None
        with contextlib.ExitStack() as unless_trusted:
            plain = self._open_socket()
            unless_trusted.callback(plain.close)
            # A request is one piece, which must not wait until the answer to the one before is acknowledged.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is None:
                unless_trusted.pop_all()
                return plain
            sock = context.wrap_socket(plain, server_hostname=self.address.certified)
            unless_trusted.callback(sock.close)
            check_pin(sock, self._tls)
            unless_trusted.pop_all()
            return sock

    def _open_socket(self) -> socket.socket:
        """Connected to the first address that answers of those that may be connected to. Raises what `connects` raises
        of the first one where none may, and OSError of the last one that was tried."""
        refused: list[Rejected] = []
        failed: list[OSError] = []
        for family, kind, protocol, _, to in socket.getaddrinfo(
            self.address.host, self.address.port, type=socket.SOCK_STREAM
        ):
            try:
                if self._connects is not None:
                    self._connects(str(to[0]))
                return self._connected(socket.socket(family, kind, protocol), to)
            except Rejected as error:
                refused.append(error)
            except OSError as error:
                failed.append(error)
        raise failed[-1] if failed else refused[0]

    def _connected(self, sock: socket.socket, to: Any) -> socket.socket:
        try:
            sock.settimeout(self._connect_seconds)
            sock.connect(to)
            sock.settimeout(self._handshake_seconds)
        except TimeoutError:
            sock.close()
            raise _NotConnected from None
        except OSError:
            sock.close()
            raise
        return sock

    def _is_out_of_step(self) -> bool:
        """Whether an idle connection was closed, or holds bytes that belong to no request."""
        sock = self._sock
        if sock is None:
            return False
        idle = select.poll()
        idle.register(sock, select.POLLIN)
        if not isinstance(sock, ssl.SSLSocket):
            return bool(idle.poll(0))
        if not idle.poll(0) and not sock.pending():
            return False
        sock.settimeout(0)
        try:
            sock.read(1)
        except ssl.SSLWantReadError:
            # It was of TLS alone, such as a session ticket.
            return False
        except OSError:
            pass
        return True


def request_bytes(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes of a request. Raises ValueError for a path or a header with characters that would change the request:
    both may have come from a BMC. http.client writes the same, and takes a seventh of a small request's CPU for it."""
    if _NOT_OF_A_PATH.search(path):
        raise ValueError("the path of the request contains a space, or another character that is not allowed in a path")
    lines = [f"{method} {path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if body is not None or method in _WITH_BODY:
        lines.append(f"Content-Length: {len(body or b'')}")
    head = "\r\n".join([*lines, "", ""])
    if head.count("\r") != len(lines) + 1 or head.count("\n") != len(lines) + 1:
        raise ValueError("a header has a line break")
    return head.encode("latin-1") + (body or b"")


def _body(response: http.client.HTTPResponse) -> bytes:
    body, reads = bytearray(), 0
    while chunk := response.read1(_CHUNK):
        body += chunk
        reads += 1
        if reads > _MAX_READS:
            raise ValueError(f"the answer came in more than {_MAX_READS:,} pieces")
        if len(body) > _MAX_BODY:
            raise ValueError(f"the answer has more than {_MAX_BODY >> 20} MiB")
    if response.length:
        raise ValueError(f"the answer ended {response.length:,} bytes early: the BMC or a proxy closed the connection")
    return _unpacked(bytes(body), response.headers)


def _unpacked(body: bytes, headers: Headers) -> bytes:
    """The body without its compression. Gzip is recognized by its first bytes, because headers may be missing or
    wrong."""
    if body.startswith(_GZIP_MAGIC):
        forms: tuple[int, ...] = (_GZIP,)
        name = "gzip"
    elif (headers.get("Content-Encoding") or "").strip().lower() == "deflate" and not body.startswith(b"{"):
        forms, name = (zlib.MAX_WBITS, -zlib.MAX_WBITS), "deflate"  # Some leave out the zlib format around it.
    else:
        return body
    for form in forms:
        unpacking = zlib.decompressobj(form)
        try:
            return _all_of(unpacking, body)
        except zlib.error:
            continue
    raise ValueError(f"the answer was compressed ({name}) and cannot be unpacked")


def _all_of(unpacking: Any, body: bytes) -> bytes:
    content: bytes = unpacking.decompress(body, _MAX_BODY)
    if len(content) >= _MAX_BODY:
        raise ValueError(f"the answer has more than {_MAX_BODY >> 20} MiB")
    if not unpacking.eof:
        raise ValueError("the compressed answer ended early: the BMC or a proxy closed the connection")
    return content


def _words(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s; for a slow BMC raise bmc.timeoutSeconds"
    if isinstance(error, (*_LOST, http.client.IncompleteRead)) and not isinstance(error, ConnectionRefusedError):
        return "the BMC closed the connection before the answer was complete"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__}); {_CHECK_ADDRESS}"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
