"""The IP address of a console, as the event loop resolves it."""

from __future__ import annotations

import socket

from drivers.base import Unreachable
from drivers.base.support.event_loop import running_loop


async def resolved_address(host: str, port: int, sort: socket.SocketKind) -> str:
    """The first address of a name; an IP address is its own. Raises Unreachable."""
    try:
        found = await running_loop().getaddrinfo(host, port, type=sort)
    except OSError as error:
        raise Unreachable(f"{host}: the name cannot be resolved: {error.strerror or error}") from None
    return str(found[0][4][0])
