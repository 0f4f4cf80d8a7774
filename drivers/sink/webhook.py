"""Events as signed HTTP requests: Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks)."""

from __future__ import annotations

import base64
import binascii
import email.utils
import hmac
import http.client
import select
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

from drivers.base import (
    AuthenticationFailed,
    Busy,
    DriverError,
    Forbidden,
    Rejected,
    SinkDelivery,
    SinkEndpoint,
    SinkMessage,
    Unreachable,
    excerpt,
)
from drivers.base.support import scheduling
from drivers.bounded_http import BoundedResponse, ends_at
from drivers.sink.sink_tls import tls_context

MOST_ANSWER = 4096
"""Bytes of an answer that are read. The answer only says yes or no."""
_SHOWN = 200
_FAILED = (OSError, http.client.HTTPException, ValueError)
"""Of a connection. ValueError: a name of a host that cannot be one."""
_PREFIX = "whsec_"
_KEY_BYTES = range(24, 64 + 1)
"""Standard Webhooks, "Signature scheme": the bytes of a key."""
_LONGEST_DATE = 64


class WebhookSink:
    """One receiver, over a connection that is kept while both sides keep it."""

    batch = 1

    def __init__(self, endpoint: SinkEndpoint) -> None:
        self._endpoint = endpoint
        self._connection: http.client.HTTPConnection | None = None

    def send(self, messages: Sequence[SinkMessage], now: datetime) -> SinkDelivery:
        """See EventSink."""
        for taken, message in enumerate(messages):
            try:
                status, answer, retry_after = self._post(message, message.body, now)
                if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE and message.short is not None:
                    self.close()
                    status, answer, retry_after = self._post(message, message.short, now)
            except DriverError as error:
                self.close()
                return SinkDelivery(taken, error)
            if not 200 <= status < 300:
                self.close()
                refused = _refusal(self._endpoint.address, status, answer, retry_after, message.id)
                return SinkDelivery(taken, refused, ended=status == http.HTTPStatus.GONE)
        return SinkDelivery(len(messages))

    def close(self) -> None:
        """See EventSink."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(self, message: SinkMessage, body: bytes, now: datetime) -> tuple[int, str, float | None]:
        """The status, the beginning of the answer, and the seconds of its Retry-After. Raises DriverError."""
        at = int(now.timestamp())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "groundstate",
            "webhook-id": message.id,
            "webhook-timestamp": str(at),
            "webhook-signature": signatures(self._endpoint.secrets(), message.id, at, body),
        }
        deadline = scheduling.monotonic() + self._endpoint.timeout
        reused = self._connection is not None
        try:
            return _seen(self._exchange(body, headers, deadline), now)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not reused:
                raise self._unreachable(error) from error
        except _FAILED as error:
            raise self._unreachable(error) from error
        # The receiver had closed the idle connection: nothing was taken on it, and this is the first real attempt.
        try:
            return _seen(self._exchange(body, headers, deadline), now)
        except _FAILED as error:
            raise self._unreachable(error) from error

    def _exchange(self, body: bytes, headers: dict[str, str], deadline: float) -> tuple[BoundedResponse, bytes]:
        parts = urlsplit(self._endpoint.address)
        if self._connection is not None and _has_more(self._connection.sock):
            self.close()
        connection = self._connection = self._connection or self._connect(deadline)
        connection.response_class = ends_at(deadline)  # type: ignore[assignment]  # what makes one
        if connection.sock is not None:
            connection.sock.settimeout(max(0.1, deadline - scheduling.monotonic()))
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with suppress(BrokenPipeError, ConnectionResetError):
            # A receiver may refuse a body before it has read it: the answer is here then, and else getresponse raises.
            connection.request("POST", path, body, headers)
        response = cast("BoundedResponse", connection.getresponse())
        length = response.length
        answer = response.read(MOST_ANSWER)
        if length is not None and len(answer) < min(length, MOST_ANSWER):
            raise http.client.IncompleteRead(answer, length - len(answer))
        if response.will_close or not response.isclosed():
            self.close()  # More is coming, which is not read.
        return response, answer

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        parts = urlsplit(self._endpoint.address)
        host, timeout = parts.hostname or "", max(0.1, deadline - scheduling.monotonic())
        if parts.scheme == "http":
            made = http.client.HTTPConnection(host, parts.port, timeout=timeout)
        else:
            made = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=tls_context(self._endpoint))
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return made

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"the certificate is not trusted: {error.verify_message}; set tls.caFile to its authority"
        elif isinstance(error, TimeoutError):
            why = f"no whole answer within {self._endpoint.timeout:g} s"
        elif isinstance(error, http.client.IncompleteRead):
            why = "the answer broke off, so groundstate does not know whether the event was taken"
        else:
            why = excerpt(getattr(error, "strerror", None) or str(error) or type(error).__name__, _SHOWN)
        return Unreachable(f"{self._endpoint.address}: {why}", maybe_sent=True)


def open_webhook(endpoint: SinkEndpoint) -> WebhookSink:
    """The driver `webhook`."""
    return WebhookSink(endpoint)


def signatures(secrets: Sequence[str], message_id: str, at: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret, so that receivers can change from one to the other
    at their own time. Standard Webhooks, "Signature scheme"."""
    signed = f"{message_id}.{at}.".encode() + body
    return " ".join(f"v1,{base64.b64encode(hmac.digest(_key(one), signed, 'sha256')).decode()}" for one in secrets)


def _key(secret: str) -> bytes:
    """`whsec_` and base64, or any other text, of which the bytes are the key. Raises AuthenticationFailed."""
    if not secret.startswith(_PREFIX):
        if not secret:
            raise AuthenticationFailed("the secret is empty")
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise AuthenticationFailed("the secret begins with whsec_, but what follows is not base64") from None
    if len(key) not in _KEY_BYTES:
        raise AuthenticationFailed(
            f"the key of the secret has {len(key)} bytes, and Standard Webhooks asks for {_KEY_BYTES[0]} to "
            f'{_KEY_BYTES[-1]}; make a secret with: echo "whsec_$(openssl rand -base64 24)"'
        )
    return key


def _refusal(address: str, status: int, answer: str, retry_after: float | None, event: str) -> DriverError:
    said = f"{address} answered {status}" + (f": {answer}" if answer else "")
    if 300 <= status < 400:
        return Rejected(f"{said}; groundstate follows no redirects; write the final URL into spec.webhook.url")
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return Forbidden(f"{said}; compare the secret of the sink with the receiver's")
    if status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE):
        return Busy(said, retry_after=retry_after)
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Rejected(f"{said}; the event {event} is too large for the receiver; raise its limit to 8 KiB or more")
    return Rejected(said) if status < 500 else Unreachable(said)


def _has_more(sock: socket.socket | None) -> bool:
    """Whether the receiver has sent something that is no answer to a request, or ended the connection. HAProxy sends
    408 to an idle client, which is no answer to the next event."""
    if sock is None:
        return True
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return bool(waiting.poll(0))


def _seen(answered: tuple[BoundedResponse, bytes], now: datetime) -> tuple[int, str, float | None]:
    response, answer = answered
    said = excerpt(answer.decode("utf-8", "replace"), _SHOWN)
    return response.status, said, retry_after_seconds(response.headers.get("Retry-After", ""), now)


def retry_after_seconds(said: str, now: datetime) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date in one of the three forms of HTTP. None for what is neither."""
    said = said.strip()
    if said.isascii() and said.isdecimal() and len(said) < 8:
        return float(said)
    if len(said) > _LONGEST_DATE:
        return None
    try:
        date = email.utils.parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
