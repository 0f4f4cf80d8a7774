"""The driver `tcp`: a serial line behind a TCP port, as a terminal server has it, or behind a unix socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from drivers.base import MOST_UNSENT, ConsoleEndpoint, DriverError, Line, Rejected, Unreachable, Unsupported
from drivers.base.support.event_loop import (
    AsyncTask,
    StreamReader,
    StreamWriter,
    create_task,
    open_connection,
    open_unix_connection,
    running_loop,
    time_limit,
    wait_for_tasks,
)

_CONNECT_SECONDS = 10.0
_PIECE = 4096
_UNIX = "unix:"
_IDLE = 15
"""Seconds without a byte, after which the kernel asks whether the other end is there (tcp(7)). A terminal server that
lost its power, or a firewall that forgot the connection, sends no end of the connection."""
_UNANSWERED = 3
_UNACKNOWLEDGED = 60_000
"""Milliseconds for which what was typed may stay unacknowledged."""


class StreamConsole:
    """See ConsoleDriver. `address`: a host with `port`, or `unix:/PATH`. `connects` is asked for either."""

    async def open(self, endpoint: ConsoleEndpoint, heard: Callable[[bytes], None], *, steal: bool = False) -> Line:
        """See ConsoleDriver. There is no session to steal from: the other end decides about two connections."""
        try:
            async with time_limit(_CONNECT_SECONDS):
                reader, writer = await _connected(endpoint)
        except TimeoutError:
            raise Unreachable(f"{endpoint.address}: no connection within {_CONNECT_SECONDS:.0f} s") from None
        except OSError as error:
            raise Unreachable(f"{endpoint.address}: {error.strerror or error}") from None
        return StreamLine(endpoint.address, reader, writer, heard)


async def _connected(endpoint: ConsoleEndpoint) -> tuple[StreamReader, StreamWriter]:
    if endpoint.address.startswith(_UNIX):
        path = endpoint.address.removeprefix(_UNIX)
        _ask(endpoint, endpoint.address)
        return await open_unix_connection(path, limit=_PIECE)
    if endpoint.port is None:
        raise Rejected(f"{endpoint.address}: the driver tcp needs console.port")
    found = await running_loop().getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)
    number = str(found[0][4][0])
    _ask(endpoint, number)
    reader, writer = await open_connection(number, endpoint.port, limit=_PIECE)
    _watch(writer.get_extra_info("socket"))
    return reader, writer


def _watch(connection: socket.socket) -> None:
    """Have the kernel notice that the other end is gone, also while the machine is silent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, _IDLE),
        (socket.TCP_KEEPINTVL, _IDLE),
        (socket.TCP_KEEPCNT, _UNANSWERED),
        (socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _ask(endpoint: ConsoleEndpoint, where: str) -> None:
    if endpoint.connects is not None:
        endpoint.connects(where)


class StreamLine:
    """See drivers.base.Line."""

    def __init__(self, where: str, reader: StreamReader, writer: StreamWriter, heard: Callable[[bytes], None]) -> None:
        self._where, self._writer = where, writer
        self._pump: AsyncTask[DriverError] = create_task(_pumped(where, reader, heard))

    @property
    def handle(self) -> str:
        """See Line: a connection ends with its process."""
        return ""

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """See Line: there is no shell at the other end of a port."""
        return ()

    def write(self, data: bytes) -> None:
        """See Line."""
        transport = self._writer.transport
        room = MOST_UNSENT - transport.get_write_buffer_size()
        if not transport.is_closing() and room > 0:
            self._writer.write(data[:room])

    def drop_unsent(self) -> None:
        """See Line. A connection keeps what was given to it until it ends."""
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()

    def send_break(self) -> None:
        """See Line."""
        raise Unsupported(f"{self._where}: a break cannot be sent through the driver tcp")

    async def lost(self) -> DriverError:
        """See Line."""
        await wait_for_tasks([self._pump])
        return self._pump.result()

    async def close(self) -> None:
        """See Line."""
        self._pump.cancel()
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


async def _pumped(where: str, reader: StreamReader, heard: Callable[[bytes], None]) -> DriverError:
    try:
        while data := await reader.read(_PIECE):
            heard(data)
    except OSError as error:
        return Unreachable(f"{where}: {error.strerror or error}")
    return Unreachable(f"{where}: the other end closed the connection")
