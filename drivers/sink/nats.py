"""Events as messages of NATS JetStream.

nats-py is asyncio. The loop of a sink runs only while `send` or `close` does, on the thread of the caller.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from drivers.base import (
    Credential,
    DriverError,
    Peer,
    Rejected,
    SinkDelivery,
    SinkEndpoint,
    SinkMessage,
    Unreachable,
    excerpt,
)
from drivers.base.support import event_loop, scheduling
from drivers.sink.nats_errors import SHOWN, TOO_LARGE, WRONG_LAST_ID, error_code, nats_failure, too_large
from drivers.sink.sink_tls import tls_context

if TYPE_CHECKING:
    from drivers.sink.nats_client import NatsClient

NATS_PORT = 4222
IDLE_SECONDS = 30.0
"""A connection that was not used for so long is opened again: meanwhile no one answered the server's PING."""
GRACE_SECONDS = 1.0
"""How long answers are awaited after the server reported an error, which names no message."""
MOST_SERVERS = 8
"""Addresses of one name that are tried."""
_HEADERS = 1024
"""Bytes that the headers of a message have at most. The server counts them too."""


class NatsSink:
    """One stream. Messages are published without waiting for each other, and are acknowledged in order."""

    batch = 500

    def __init__(self, endpoint: SinkEndpoint) -> None:
        self._endpoint = endpoint
        self._runner: event_loop.Runner | None = None
        self._client: NatsClient | None = None
        self._used = 0.0
        self._waiting: list[Any] = []

    def send(self, messages: Sequence[SinkMessage], now: datetime) -> SinkDelivery:
        """See EventSink."""
        if scheduling.monotonic() - self._used > IDLE_SECONDS:
            self.close()
        usable = False
        try:
            delivery = self._delivered(messages)
            # After a refusal more answers may be on their way, which belong to no message of the next delivery.
            usable = delivery.taken == len(messages)
        except DriverError as error:
            delivery = SinkDelivery(0, error)
        finally:
            if not usable:
                self.close()
        self._used = scheduling.monotonic()
        return delivery

    def close(self) -> None:
        """See EventSink. Takes no longer than NATS_CLOSE_SECONDS, whatever the server does."""
        client, self._client = self._client, None
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            if client is not None:
                runner.run(client.end())
        finally:
            runner.close()

    def _run(self, work: Any) -> Any:
        if self._runner is None:
            self._runner = event_loop.Runner()
            # The loop would print what nats-py leaves unfinished. It is in `heard`, or a time-out.
            self._runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        return self._runner.run(work)

    def _open(self) -> NatsClient:
        """Connect to the first address that answers. Raises DriverError: the first one."""
        addresses = self._addresses()
        ends, failed = scheduling.monotonic() + self._endpoint.timeout, list[DriverError]()
        for tried, number in enumerate(addresses):
            left = ends - scheduling.monotonic()
            try:
                login = self._login(number)
            except DriverError as error:
                failed.append(error)
                continue
            try:
                client: NatsClient = self._run(self._connected(number, login, left / (len(addresses) - tried)))
            except Unreachable as error:
                failed.append(error)
            else:
                return client
        raise failed[0]

    def _addresses(self) -> list[str]:
        """All numbers of the server. The name is resolved here, so that the login goes to no other address than the one
        that was judged. Raises Unreachable."""
        parts = urlsplit(self._endpoint.address)
        host = parts.hostname or ""
        try:
            found = socket.getaddrinfo(host, parts.port or NATS_PORT, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{self._endpoint.address}: the host {host} cannot be resolved: {error}") from error
        return list(dict.fromkeys(str(one[4][0]) for one in found))[:MOST_SERVERS]

    def _login(self, number: str) -> Credential | None:
        is_verified = urlsplit(self._endpoint.address).scheme == "tls" and not self._endpoint.tls.insecure
        ask = self._endpoint.credential
        return ask(Peer(number, verified=is_verified)) if ask is not None else None

    async def _connected(self, number: str, login: Credential | None, seconds: float) -> NatsClient:
        from drivers.sink.nats_client import NatsClient

        parts = urlsplit(self._endpoint.address)
        encrypted = parts.scheme == "tls"
        more: dict[str, Any] = {}
        if encrypted:
            more |= {"tls": tls_context(self._endpoint), "tls_hostname": parts.hostname}
        if login is not None:
            more |= {"user": login.username, "password": login.password}
        client = NatsClient(encrypted, self._heard_of)
        shown = f"[{number}]" if ":" in number else number
        error = await client.open(f"{parts.scheme}://{shown}:{parts.port or NATS_PORT}", max(1.0, seconds), **more)
        if error is not None:
            await client.end()
            raise nats_failure(self._endpoint, error, client.heard, f"no connection within {seconds:.0f} s") from error
        return client

    def _delivered(self, messages: Sequence[SinkMessage]) -> SinkDelivery:
        """Send all, up to one that does not fit. One that the stream refuses for its size is sent in its short form.
        Raises DriverError, and then none is taken."""
        client = self._client = self._client or self._open()
        fitting = (_fitting(client.most_bytes, message) for message in messages)
        bodies = [body for body in itertools.takewhile(bool, fitting) if body is not None]
        taken, error = self._run(self._publish(client, messages[: len(bodies)], bodies))
        if error_code(error) == TOO_LARGE and (short := messages[taken].short) and short != bodies[taken]:
            self.close()
            client = self._client = self._open()
            also, error = self._run(self._publish(client, messages[taken : taken + 1], [short]))
            taken += also
        if taken and {error_code(one) for one in (error, *client.heard)} == {WRONG_LAST_ID}:
            return SinkDelivery(taken)  # Another writer of the stream came in between: the rest is sent at once.
        if error is not None:
            late = f"no acknowledgement within {self._endpoint.timeout:g} s"
            return SinkDelivery(taken, nats_failure(self._endpoint, error, client.heard, late, messages[taken].id))
        if taken == len(bodies) < len(messages):
            said = f"the server takes {client.most_bytes} bytes with the headers"
            return SinkDelivery(taken, too_large(self._endpoint, messages[taken].id, said))
        return SinkDelivery(taken)

    async def _publish(
        self, client: NatsClient, messages: Sequence[SinkMessage], bodies: Sequence[bytes]
    ) -> tuple[int, BaseException | None]:
        """Send all, then read the answers in order; how many were taken, and the error of the next one. A message is
        taken only behind the one before it, so that what is sent again after a failure never comes behind what followed
        it. No step but the last one waits."""
        client.heard.clear()
        failed: Exception | None = None
        self._waiting, before = [], ""
        for message, body in zip(messages, bodies, strict=True):
            headers = {"Nats-Msg-Id": message.id, "Nats-Expected-Stream": self._endpoint.stream}
            if before:
                headers["Nats-Expected-Last-Msg-Id"] = before
            try:
                self._waiting.append(await client.stream.publish_async(nats_subject(message), body, headers=headers))
            except Exception as error:  # noqa: BLE001  nats-py raises many
                failed = error
                break
            before = message.id
        try:
            if self._waiting:
                await event_loop.wait_for_tasks(self._waiting, timeout=self._endpoint.timeout)
            for taken, one in enumerate(self._waiting):
                if (refused := self._refused(client, one)) is not None:
                    return taken, refused
            return len(self._waiting), failed
        finally:
            self._give_up()
            self._waiting = []

    def _refused(self, client: NatsClient, answer: Any) -> BaseException | None:
        if not answer.done() or answer.cancelled():
            # A stream answers in order, so the first refusal is of the first message without an acknowledgement.
            return next((one for one in client.heard if error_code(one) is not None), TimeoutError())
        error: BaseException | None = answer.exception()
        if error is None and answer.result().stream != self._endpoint.stream:
            said = excerpt(str(answer.result().stream), SHOWN)
            return Rejected(f"{self._endpoint.address}: the acknowledgement names another stream: {said}")
        return error

    def _heard_of(self, error: BaseException | None) -> None:
        """`error`: None at the end of the connection."""
        if error is None or error_code(error) is not None:
            # What follows a refused message is refused too, as it names the one before.
            self._give_up()
        elif self._waiting:
            event_loop.running_loop().call_later(GRACE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        for one in self._waiting:
            one.cancel()


def open_nats(endpoint: SinkEndpoint) -> NatsSink:
    """The driver `nats`."""
    return NatsSink(endpoint)


_NOT_A_TOKEN = str.maketrans(dict.fromkeys(".*> \t\r\n", "_"))


def nats_subject(message: SinkMessage) -> str:
    """`gs.KIND.NAME.REASON`, each one token of a NATS subject: a dot in a name becomes `_`."""
    return ".".join(("gs", *(part.translate(_NOT_A_TOKEN) for part in message.subject)))


def _fitting(most_bytes: int, message: SinkMessage) -> bytes | None:
    """The body, or else its short form, that a server takes which takes so many bytes; None: neither."""
    most = most_bytes - _HEADERS
    return next((one for one in (message.body, message.short) if one is not None and len(one) <= most), None)
