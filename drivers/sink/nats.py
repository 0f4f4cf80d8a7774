"""Events as messages of NATS JetStream.

nats-py is asyncio. The loop of a sink runs only while `send` does, on the thread of the caller.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from drivers.base import (
    AuthenticationFailed,
    Credential,
    DriverError,
    Forbidden,
    Peer,
    Rejected,
    SinkDelivery,
    SinkEndpoint,
    SinkMessage,
    Unreachable,
    excerpt,
)
from drivers.base.support import event_loop, scheduling
from drivers.sink.sink_tls import tls_context

if TYPE_CHECKING:
    from nats.aio.client import Client

NATS_PORT = 4222
IDLE_SECONDS = 30.0
"""A connection that was not used for so long is opened again: meanwhile no one answered the server's PING."""
GRACE_SECONDS = 1.0
"""How long answers are awaited after the server reported an error, which names no message."""
_SHOWN = 300
_WRONG_LAST_ID = 10070
"""The server's code for another last message id than expected: the message before is not in the stream."""


class NatsSink:
    """One stream. Messages are published without waiting for each other, and are acknowledged in order."""

    batch = 500

    def __init__(self, endpoint: SinkEndpoint) -> None:
        self._endpoint = endpoint
        self._loop: Any = None
        self._client: Client | None = None
        self._used = 0.0
        self._heard: list[str] = []
        self._waiting: list[Any] = []

    def send(self, messages: Sequence[SinkMessage], now: datetime) -> SinkDelivery:
        """See EventSink."""
        if scheduling.monotonic() - self._used > IDLE_SECONDS:
            self.close()
        self._heard.clear()
        try:
            client = self._client or self._open()
            delivery: SinkDelivery = self._loop.run_until_complete(self._publish(client, messages))
        except DriverError as error:
            delivery = SinkDelivery(0, error)
        if delivery.error is not None:
            self.close()
        self._used = scheduling.monotonic()
        return delivery

    def close(self) -> None:
        """See EventSink."""
        client, self._client = self._client, None
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            if client is not None:
                loop.run_until_complete(_closed(client))
        finally:
            loop.run_until_complete(_settled(loop))
            loop.close()

    def _open(self) -> Client:
        if self._loop is None:
            self._loop = event_loop.new_event_loop()
        client: Client = self._loop.run_until_complete(self._connected(*self._login()))
        self._client = client
        return client

    def _login(self) -> tuple[str, Credential | None]:
        """The address of the server, and the login for it. The name is resolved here, so that the login goes to no
        other address than the one that was judged. Raises DriverError."""
        parts = urlsplit(self._endpoint.address)
        host, port = parts.hostname or "", parts.port or NATS_PORT
        try:
            number = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{self._endpoint.address}: the host {host} cannot be resolved: {error}") from error
        peer = Peer(number, verified=parts.scheme == "tls" and not self._endpoint.tls.insecure)
        ask = self._endpoint.credential
        shown = f"[{number}]" if ":" in number else number
        return f"{parts.scheme}://{shown}:{port}", ask(peer) if ask is not None else None

    async def _connected(self, address: str, login: Credential | None) -> Client:
        from nats.aio.client import Client

        client, parts = Client(), urlsplit(self._endpoint.address)
        more: dict[str, Any] = {}
        if parts.scheme == "tls":
            more |= {"tls": tls_context(self._endpoint), "tls_hostname": parts.hostname}
        if login is not None:
            more |= {"user": login.username, "password": login.password}
        try:
            await client.connect(
                servers=[address],
                name="groundstate",
                error_cb=self._note,
                allow_reconnect=False,
                # Zero is "for ever" there. The reconciler decides when to try again.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(self._endpoint.timeout),
                **more,
            )
        except Exception as error:
            await _closed(client)
            raise self._failure(error) from error
        return client

    async def _publish(self, client: Client, messages: Sequence[SinkMessage]) -> SinkDelivery:
        """Send all, then read the answers in order. A message is taken only behind the one before it, so that what is
        sent again after a failure never comes behind what followed it."""
        stream = client.jetstream()
        self._waiting = []
        failed: Exception | None = None
        before = ""
        for message in messages:
            headers = {"Nats-Msg-Id": message.id}
            if before:
                headers["Nats-Expected-Last-Msg-Id"] = before
            try:
                self._waiting.append(
                    await stream.publish_async(
                        nats_subject(message), message.body, stream=self._endpoint.stream, headers=headers
                    )
                )
            except Exception as error:  # noqa: BLE001  as above
                failed = error
                break
            before = message.id
        end = self._loop.call_later(self._endpoint.timeout, self._give_up)
        try:
            await client.flush(timeout=max(1, int(self._endpoint.timeout)))
            return await self._answers(failed)
        except Exception as error:  # noqa: BLE001  as above: the flush failed
            return SinkDelivery(0, self._failure(failed or error, maybe_sent=True))
        finally:
            end.cancel()
            self._give_up()
            self._waiting = []

    async def _answers(self, failed: Exception | None) -> SinkDelivery:
        waiting = self._waiting
        await _all_done(self._loop, waiting)
        for taken, one in enumerate(waiting):
            error = TimeoutError() if one.cancelled() else one.exception()
            if error is None:
                continue
            if taken and getattr(error, "err_code", None) == _WRONG_LAST_ID:
                return SinkDelivery(taken)  # Another writer of the stream came in between: the rest is sent at once.
            return SinkDelivery(taken, self._failure(error, maybe_sent=True))
        return SinkDelivery(len(waiting), None if failed is None else self._failure(failed))

    async def _note(self, error: Exception) -> None:
        """nats-py's hook. Some reasons come only here, while the caller sees a time-out (nats-io/nats.py#533)."""
        self._heard.append(excerpt(str(error) or type(error).__name__, _SHOWN))
        if self._waiting:
            self._loop.call_later(GRACE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        for one in self._waiting:
            one.cancel()

    def _failure(self, error: BaseException, *, maybe_sent: bool = False) -> DriverError:
        """The error in the words of the server, and of what was heard beside it."""
        if isinstance(error, DriverError):
            return error
        own = excerpt(getattr(error, "description", None) or str(error) or type(error).__name__, _SHOWN)
        said = "; ".join(dict.fromkeys([*self._heard[-3:], own]))
        words = f"{self._endpoint.address}: {said}"
        low = said.lower()
        if isinstance(error, ssl.SSLCertVerificationError) or "certificate verify failed" in low:
            return Unreachable(f"{words}; set tls.caFile to the authority that signed the certificate")
        if "authorization violation" in low or "authorization failed" in low:
            return AuthenticationFailed(f"{words}; check the user and password of credentialRef")
        if "permissions violation" in low:
            return Forbidden(f"{words}; allow the user to publish to gs.> and to subscribe to _INBOX.>")
        if "no response from stream" in low:
            return Rejected(
                f"{words}. No stream takes the subjects gs.>; create the stream {self._endpoint.stream}, or correct "
                "its subjects"
            )
        if getattr(error, "err_code", None) is not None or "maximum payload" in low:
            return Rejected(words)
        if isinstance(error, TimeoutError) and not self._heard:
            words = f"{self._endpoint.address}: no acknowledgement within {self._endpoint.timeout:g} s"
        return Unreachable(words, maybe_sent=maybe_sent)


def open_nats(endpoint: SinkEndpoint) -> NatsSink:
    """The driver `nats`."""
    return NatsSink(endpoint)


_NOT_A_TOKEN = str.maketrans(dict.fromkeys(".*> \t\r\n", "_"))


def nats_subject(message: SinkMessage) -> str:
    """`gs.KIND.NAME.REASON`, each one token of a NATS subject: a dot in a name becomes `_`."""
    return ".".join(("gs", *(part.translate(_NOT_A_TOKEN) for part in message.subject)))


async def _all_done(loop: Any, futures: Sequence[Any]) -> None:
    """Wait until each has an answer, an error, or was given up."""
    for one in futures:
        if not one.done():
            done = loop.create_future()
            one.add_done_callback(lambda _, done=done: done.done() or done.set_result(None))
            await done


async def _closed(client: Client) -> None:
    with suppress(Exception):  # It is over, whatever it says.
        await client.close()


async def _settled(loop: Any) -> None:
    """Give what nats-py began and did not await one turn, so that nothing is left unfinished in the loop."""
    done = loop.create_future()
    loop.call_later(0, lambda: done.done() or done.set_result(None))
    await done
