"""nats-py's client with three rules of its own. It encrypts or sends nothing, remembers few errors, and ends within a
time limit. nats-py swallows cancellations in places, so a time limit cuts the connection too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext

from drivers.base.support import event_loop

NATS_CLOSE_SECONDS = 1.0
"""How long the server may take for the end of a connection, which is cut then."""
# nats-py logs tracebacks of what a server sends. A delivery says what matters of that.
logging.getLogger("nats").propagate = False
logging.getLogger("nats").addHandler(logging.NullHandler())
_USUAL_MOST_BYTES = 1024 * 1024
"""Of a server that does not say."""
_REMEMBERED = 3
"""Errors of the server, the first ones. A server that sends nothing else must not fill the memory."""


class NatsClient(Client):
    """One connection. `encrypted`: the server must ask for TLS before the client sends anything. nats-py leaves TLS to
    the server, and sends the login in clear text to any other server at the address. `informed` is called for each
    error, and with None at the end of the connection."""

    def __init__(self, encrypted: bool, informed: Callable[[BaseException | None], None]) -> None:
        super().__init__()
        self.heard: list[BaseException] = []
        self._encrypted, self._informed = encrypted, informed
        self._context: JetStreamContext | None = None

    @property
    def stream(self) -> JetStreamContext:
        """The same at each call: every one of them subscribes to answers of its own."""
        self._context = self._context or self.jetstream()
        return self._context

    @property
    def most_bytes(self) -> int:
        """The largest message that the server takes, headers included."""
        said: object = self.max_payload
        return said if type(said) is int and said > 0 else _USUAL_MOST_BYTES

    async def open(self, address: str, seconds: float, **more: Any) -> BaseException | None:
        """Connect to `nats://NUMBER:PORT`, once. Why that was not possible."""
        connecting = self.connect(
            servers=[address],
            name="groundstate",
            error_cb=self.note,
            closed_cb=self._over,
            allow_reconnect=False,
            # Zero is "for ever" there. The reconciler decides when to try again.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=max(1, int(seconds)),
            # No bytes are too many to wait: a full buffer would be flushed without a time limit.
            pending_size=0,
            **more,
        )
        return await _within(seconds, connecting)

    async def end(self) -> None:
        """Close the connection, or cut it if that takes long."""
        await _within(NATS_CLOSE_SECONDS, self.close())
        writer = getattr(self._transport, "_io_writer", None)  # `close` leaves it open after some errors.
        if writer is not None:
            writer.transport.abort()
        await event_loop.pause(0)

    async def note(self, error: Exception) -> None:
        """nats-py's hook. Some reasons come only here, while the caller sees a time-out (nats-io/nats.py#533).
        The server reports errors of a connection so, and nats-py the refusals of a stream."""
        if len(self.heard) < _REMEMBERED:
            self.heard.append(error)
        self._informed(error)

    async def _over(self) -> None:
        """nats-py's hook, at the end. What the server said last does not come to `note`."""
        if self.last_error is not None and self.last_error not in self.heard:
            self.heard.append(self.last_error)
        self._informed(None)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """nats-py's: the greeting of the server, ahead of the login."""
        if self._encrypted and not info.get("tls_required"):
            raise Error("the server does not ask for TLS, so nothing was sent to it; let the server require TLS")
        await super()._process_info(info, initial_connection)


async def _within(seconds: float, work: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Do this, for so long at most; the error. What is not done then is cancelled, and not awaited."""
    task = event_loop.create_task(work)
    await event_loop.wait_for_tasks([task], timeout=seconds)
    if not task.done():
        task.cancel()
        return TimeoutError()
    with suppress(event_loop.CancelledError):
        return task.exception()
    return ConnectionAbortedError()
