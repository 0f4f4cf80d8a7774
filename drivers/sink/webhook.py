"""Events as signed HTTP requests: Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks)."""

from __future__ import annotations

import base64
import binascii
import hmac
import http.client
import ssl
from collections.abc import Sequence
from datetime import datetime
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
from drivers.bounded_http import ends_at
from drivers.sink.sink_tls import tls_context

MOST_ANSWER = 4096
"""Bytes of an answer that are read. The answer only says yes or no."""
_SHOWN = 200
_PREFIX = "whsec_"


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
                status, answer, retry_after = self._post(message, int(now.timestamp()))
            except DriverError as error:
                self.close()
                return SinkDelivery(taken, error)
            if not 200 <= status < 300:
                self.close()
                refused = _refusal(self._endpoint.address, status, answer, retry_after)
                return SinkDelivery(taken, refused, ended=status == http.HTTPStatus.GONE)
        return SinkDelivery(len(messages))

    def close(self) -> None:
        """See EventSink."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(self, message: SinkMessage, at: int) -> tuple[int, str, float | None]:
        """The status, the beginning of the answer, and its Retry-After. Raises DriverError."""
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "groundstate",
            "webhook-id": message.id,
            "webhook-timestamp": str(at),
            "webhook-signature": signatures(self._endpoint.secrets(), message.id, at, message.body),
        }
        deadline = scheduling.monotonic() + self._endpoint.timeout
        reused = self._connection is not None
        try:
            return self._exchange(message.body, headers, deadline)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not reused:
                raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        # The receiver had closed the idle connection: nothing was taken on it, and this is the first real attempt.
        try:
            return self._exchange(message.body, headers, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _exchange(self, body: bytes, headers: dict[str, str], deadline: float) -> tuple[int, str, float | None]:
        parts = urlsplit(self._endpoint.address)
        connection = self._connection = self._connection or self._connect(deadline)
        connection.response_class = ends_at(deadline)  # type: ignore[assignment]  # what makes one
        if connection.sock is not None:
            connection.sock.settimeout(max(0.1, deadline - scheduling.monotonic()))
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read(MOST_ANSWER)
        if response.will_close or not response.isclosed():
            self.close()  # More is coming, which is not read.
        return response.status, excerpt(answer.decode("utf-8", "replace"), _SHOWN), _seconds(response)

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        parts = urlsplit(self._endpoint.address)
        host, timeout = parts.hostname or "", max(0.1, deadline - scheduling.monotonic())
        if parts.scheme == "http":
            plain = http.client.HTTPConnection(host, parts.port, timeout=timeout)
            plain.connect()
            return plain
        secure = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=tls_context(self._endpoint))
        secure.connect()
        return secure

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"the certificate is not trusted: {error.verify_message}; set tls.caFile to its authority"
        elif isinstance(error, TimeoutError):
            why = f"no whole answer within {self._endpoint.timeout:g} s"
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
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise AuthenticationFailed("the secret begins with whsec_, but what follows is not base64") from None


def _refusal(address: str, status: int, answer: str, retry_after: float | None) -> DriverError:
    said = f"{address} answered {status}" + (f": {answer}" if answer else "")
    if 300 <= status < 400:
        return Rejected(f"{said}; groundstate follows no redirects; write the final URL into spec.webhook.url")
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return Forbidden(f"{said}; compare the secret of the sink with the receiver's")
    if status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE):
        return Busy(said, retry_after=retry_after)
    return Rejected(said) if status < 500 else Unreachable(said)


def _seconds(response: http.client.HTTPResponse) -> float | None:
    said = response.headers.get("Retry-After", "").strip()
    return float(said) if said.isascii() and said.isdecimal() and len(said) < 8 else None
