"""What a driver of serial consoles can do: open the one line of a machine, as bytes in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from drivers.base.protocols.endpoint import Peer
from drivers.base.protocols.secret import Credential
from drivers.base.support.errors import Busy, DriverError


class ConsoleEndpoint(msgspec.Struct, frozen=True):
    """Where a machine's serial line is: a host and port, or what the driver takes.

    `credential` and `connects`: as in Endpoint. `cipher_suite`: of IPMI, which the BMC has to accept. `dialect`,
    `host_key`: of SSH, whose words the server has, and its public key. `former`: the `handle` of a line of ours that
    was not closed in order; a session with this handle may be ended without asking.
    """

    driver: str
    address: str
    port: int | None = None
    credential: Callable[[Peer], Credential] | None = None
    connects: Callable[[str], None] | None = None
    cipher_suite: int = 17
    dialect: str = ""
    host_key: str = ""
    former: str = ""


class ConsoleBusy(Busy):
    """Another session has the line. `owner`: what its BMC says of that session."""

    def __init__(self, message: str, owner: str = "") -> None:
        super().__init__(message)
        self.owner = owner


class Line(Protocol):
    """An open line. All calls come from one event loop."""

    @property
    def handle(self) -> str:
        """By what the BMC knows this session; empty if nothing is left there after a crash."""

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """The key sequences that lead from this line into the BMC's own shell, none of them empty. The owner of the
        line never writes one of them."""

    def write(self, data: bytes) -> None:
        """Send these bytes, in order, sometime. What is written to a lost line is dropped."""

    def drop_unsent(self) -> None:
        """Forget what was written and has not left yet: the machine is another's now. A line that cannot is lost."""

    def send_break(self) -> None:
        """Send a break signal. Raises Unsupported where the line has none."""

    async def lost(self) -> DriverError:
        """Wait until the line is lost, and say why. It does not return for a line that was closed."""

    async def close(self) -> None:
        """Let the BMC know that the line is free, as far as it answers. May be called again."""


class ConsoleDriver(Protocol):
    """Opens lines, once, without a retry of its own. All calls come from one event loop."""

    async def open(self, endpoint: ConsoleEndpoint, heard: Callable[[bytes], None], *, steal: bool = False) -> Line:
        """Open the line. `heard` is called with all bytes that come, never with none. `steal`: end the session of
        another that has it. Raises DriverError, and ConsoleBusy where another session has the line."""


MOST_UNSENT = 64 * 1024
"""Bytes that a line holds back for a slow machine. What is written beyond these is dropped."""
