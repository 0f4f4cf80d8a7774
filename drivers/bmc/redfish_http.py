"""HTTP to one BMC: one kept connection, one request at a time, each sent once, each with an end.

urllib3 loads the CA store for every connection (17 ms of CPU, 0.85 MiB); here all BMCs with the same trust share one
SSLContext. requests and urllib3 re-send what they think was lost; here a write is never sent twice.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from email.message import Message
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from drivers.base import Credential, Rejected, Tls, Unreachable

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 20.0
MAX_BODY = 8 * 1024 * 1024
_CHUNK = 64 * 1024
_LOST = (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Address(msgspec.Struct, frozen=True):
    """Where a BMC listens."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """As a URL, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(text: str, tls: Tls) -> Address:
    """`host`, `host:port`, `[v6]:port` or a URL; https unless it says http, which needs `insecure`. Raises Rejected."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError as error:
        raise Rejected(f"bmc.address {text!r} is not a host, host:port or https URL: {error}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.path not in ("", "/"):
        raise Rejected(f"bmc.address is not a host, host:port or https URL without user and path: {parts.hostname}")
    if parts.scheme == "http" and not tls.insecure:
        raise Rejected(f"bmc.address {text!r} is plain http; use https, or say `tls: {{insecure: true}}`")
    return Address(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))


@lru_cache(maxsize=64)
def ssl_context(ca_file: str | None, _stamp: float, verify: bool) -> ssl.SSLContext:
    """One context for each way of trusting. `_stamp` is the CA file's time, so that a new file makes a new context."""
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def context_for(tls: Tls) -> ssl.SSLContext:
    """The shared context. A pinned certificate is checked after the handshake. Raises Unreachable for a bad CA file."""
    if tls.insecure or tls.fingerprint:
        return ssl_context(None, 0.0, verify=False)
    if tls.ca_file is None:
        return ssl_context(None, 0.0, verify=True)
    try:
        return ssl_context(tls.ca_file, Path(tls.ca_file).stat().st_mtime, verify=True)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreachable(f"tls.caFile {tls.ca_file} cannot be used: {reason}") from None


class Reply:
    """An answer, in the shape that sushy reads."""

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, status_code: int, headers: Message[str, str], content: bytes) -> None:
        self.status_code, self.headers, self.content = status_code, headers, content

    def json(self) -> Any:
        """The body's document. Raises ValueError."""
        return json.loads(self.content)


class _Timed(io.RawIOBase):
    """Reads from a socket until a moment, whatever the other side drips."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        # The file keeps the socket open when http.client closes the connection ahead of the body.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self, _CHUNK)


class Wire:
    """The connection to one BMC. Not for two threads at once: the caller holds a lock."""

    __slots__ = ("_address", "_connection", "_seconds", "_tls")

    def __init__(self, address: Address, tls: Tls, seconds: float = REQUEST_SECONDS) -> None:
        self._address, self._tls, self._seconds = address, tls, seconds
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """One request, one answer. Raises Unreachable; `maybe_sent` for a write that may have arrived.

        A GET that meets a connection which the BMC had closed meanwhile (iLO 5, DMTF/python-redfish-library#64) is
        sent again on a new one. A write makes sure beforehand, and is never sent again.
        """
        deadline = time.monotonic() + self._seconds
        kept = self._connection is not None
        if kept and method != "GET" and self._is_stale():
            self.close()
            kept = False
        try:
            return self._exchange(method, path, headers, body, deadline)
        except _LOST as error:
            self.close()
            if kept and method == "GET":
                return self._again(method, path, headers, deadline)
            raise self._unreachable(f"closed the connection ({error})", method) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._unreachable(_words(error), method) from None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _again(self, method: str, path: str, headers: Mapping[str, str], deadline: float) -> Reply:
        try:
            return self._exchange(method, path, headers, None, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._unreachable(_words(error), method) from None

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Reply:
        connection = self._connection or self._connect()
        connection.sock.settimeout(max(0.1, deadline - time.monotonic()))
        connection.request(method, path, body=body, headers=dict(headers))
        # mypy knows response_class as a class; http.client only ever calls it.
        connection.response_class = lambda sock, **options: http.client.HTTPResponse(  # type: ignore[assignment]
            cast("socket.socket", _Timed(sock, deadline)), **options
        )
        response = connection.getresponse()
        try:
            reply = Reply(response.status, response.headers, self._body(response))
        finally:
            response.close()
        if response.will_close:
            self.close()
        return reply

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > MAX_BODY:
                raise ValueError(f"an answer of more than {MAX_BODY} bytes")
        if not response.isclosed() and response.length:
            raise ValueError("a truncated answer")
        if response.headers.get("Content-Encoding", "").lower() == "gzip":
            return gzip.decompress(bytes(body))
        return bytes(body)

    def _connect(self) -> http.client.HTTPConnection:
        address = self._address
        try:
            if address.scheme == "https":
                context = context_for(self._tls)
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    address.host, address.port, timeout=CONNECT_SECONDS, context=context
                )
            else:
                connection = http.client.HTTPConnection(address.host, address.port, timeout=CONNECT_SECONDS)
            connection.connect()
            self._check_pin(connection)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"{address.url}: its certificate is not trusted: {self._distrust(error)}") from None
        except OSError as error:
            raise Unreachable(f"{address.url}: no connection: {_words(error)}") from None
        self._connection = connection
        return connection

    def _check_pin(self, connection: http.client.HTTPConnection) -> None:
        """Before a byte of a credential is sent."""
        if not self._tls.fingerprint or not isinstance(connection.sock, ssl.SSLSocket):
            return
        seen = _fingerprint(connection.sock)
        if seen != self._tls.fingerprint:
            connection.close()
            raise Unreachable(f"{self._address.url}: its certificate is not the pinned one; seen {seen}")

    def _distrust(self, error: ssl.SSLCertVerificationError) -> str:
        seen = self._seen_fingerprint()
        pin = f"`fingerprint: {seen}` to pin the one that was seen" if seen else "`fingerprint` to pin it"
        return f"{error.verify_message}; set tls to `caFile` with its authority, {pin}, or `insecure: true`"

    def _seen_fingerprint(self) -> str | None:
        try:
            with (
                socket.create_connection((self._address.host, self._address.port), CONNECT_SECONDS) as plain,
                ssl_context(None, 0.0, verify=False).wrap_socket(plain) as sock,
            ):
                return _fingerprint(sock)
        except OSError:
            return None

    def _is_stale(self) -> bool:
        sock = self._connection.sock if self._connection else None
        if sock is None:
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))

    def _unreachable(self, what: str, method: str) -> Unreachable:
        return Unreachable(f"{self._address.url}: {what}", maybe_sent=method != "GET")


class Lane:
    """One BMC: its wire, its lock and its login, shared by all systems behind it."""

    __slots__ = ("address", "basic", "lock", "refused_until", "session", "token", "wire")

    def __init__(self, address: Address, tls: Tls) -> None:
        self.address = address
        self.wire = Wire(address, tls)
        self.lock = threading.RLock()
        self.token: str | None = None
        self.session: str | None = None
        self.basic: str | None = None
        self.refused_until: float = 0.0


def basic_header(credential: Credential) -> str:
    """The Authorization header's value (RFC 7617)."""
    pair = f"{credential.username}:{credential.password}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _fingerprint(sock: ssl.SSLSocket) -> str:
    return "sha256:" + hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException):
        return f"an answer that is not HTTP ({type(error).__name__})"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
