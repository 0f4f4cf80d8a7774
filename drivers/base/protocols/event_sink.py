"""Receivers of events, and how one is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from drivers.base.protocols.endpoint import Peer, Tls
from drivers.base.protocols.secret import Credential
from drivers.base.support.errors import DriverError


class SinkMessage(msgspec.Struct, frozen=True):
    """One event in the form in which it is sent."""

    id: str
    """Equal each time that the event is sent, and of no other event."""
    body: bytes
    """A CloudEvent 1.0 in the structured JSON format."""
    subject: tuple[str, str, str]
    """Kind, name and reason; kind and name are `Fleet` and `-` for an event about the fleet as a whole."""
    short: bytes | None = None
    """The same event with a shorter message, for a receiver that refuses the body as too large. None: the body is
    short already."""


class SinkEndpoint(msgspec.Struct, frozen=True):
    """Where the receiver is, and how it is reached. `secrets` and `credential` raise SecretUnavailable or
    AuthenticationFailed, saying which reference is at fault."""

    address: str
    """Its URL."""
    tls: Tls = Tls()
    """How its certificate is trusted."""
    stream: str = ""
    """What of it must take the messages, where it has streams."""
    secrets: Callable[[], Sequence[str]] = tuple
    """Gives the texts that sign each message, resolved at each call."""
    credential: Callable[[Peer], Credential] | None = None
    """Gives the login for the peer; None: there is none."""
    timeout: float = 20.0
    """Seconds until an answer must be whole."""


class SinkDelivery(msgspec.Struct, frozen=True):
    """What became of messages that were sent in order.

    `taken`: so many of the first ones were taken, each acknowledged by the receiver. `error`: why not all were; what
    comes after the first that was not taken may have been taken nevertheless. `ended`: the receiver said that it wants
    no more messages, ever.
    """

    taken: int
    error: DriverError | None = None
    ended: bool = False


class EventSink(Protocol):
    """One receiver. Used by one thread at a time. It sends once, and neither tries again nor decides."""

    batch: int
    """How many messages `send` is given at most."""

    def send(self, messages: Sequence[SinkMessage], now: datetime) -> SinkDelivery:
        """Send these in their order, and return when each is answered or none can be any more. Raises nothing: the
        error is in the SinkDelivery. `now`: the time of day, for signatures."""
        ...

    def close(self) -> None:
        """End the connection. Afterwards `send` opens a new one."""
        ...


OpenSink = Callable[[SinkEndpoint], EventSink]
"""A driver: makes the sink, and connects to nothing yet."""
