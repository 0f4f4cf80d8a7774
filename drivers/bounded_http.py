"""An HTTP answer that comes to an end, for clients of what may be broken or hostile."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import Any, cast

from drivers.base.support import scheduling

MAX_INTERIM = 10
"""`100 Continue` ahead of an answer. One is usual; http.client reads on for as long as they come."""


_CHUNK = 16 * 1024


class BoundedResponse(http.client.HTTPResponse):
    """http.client's, which gives up on a flood of interim answers (RFC 9110 15.2). Raises HTTPException then."""

    _interim = 0

    def _read_status(self) -> tuple[str, int, str]:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise http.client.HTTPException(f"more than {MAX_INTERIM} interim answers")
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
        return found


class Timed(io.RawIOBase):
    """Reads from a socket until a moment, whatever the other side drips."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        # The file keeps the socket open when http.client closes the connection ahead of the body.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As of any raw file. Raises TimeoutError."""
        left = self._deadline - scheduling.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close this file; the socket is its owner's."""
        self._raw.close()
        super().close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self, _CHUNK)


def ends_at(deadline: float) -> Callable[..., BoundedResponse]:
    """What makes the answers of a connection (http.client's `response_class`) that are whole at this moment of the
    monotonic clock, status and headers included, or raise TimeoutError: a socket's own timeout begins anew with each
    byte that the other side drips."""

    def made(sock: socket.socket, *args: Any, **options: Any) -> BoundedResponse:
        return BoundedResponse(cast("socket.socket", Timed(sock, deadline)), *args, **options)

    return made
