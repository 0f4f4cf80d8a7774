"""An answer of the usual form, read in one or two calls: HTTP/1.1, one line for each header, a body of a known length.

`drivers.bounded_http` reads every other one, and has the same rules. A small answer costs it twice the CPU."""

from __future__ import annotations

import http
import re
import socket
from email.message import Message
from typing import NamedTuple, TypeVar

from drivers.base.support import scheduling

D = TypeVar("D", str, None)

SLACK = 0.05
"""Seconds. To set a socket's timeout is a call of the system, and is left out for less."""
_CHUNK = 16 * 1024
_LONGEST_HEAD = 64 * 1024
_MOST_HEADERS = 100
_END = b"\r\n\r\n"
_ENDS_WITHOUT_CR = b"\n\n"
_HEADER = re.compile(r"([^:]+):(.*)\r\n")
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)(?: [^\r\n]*)?\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n)*)\r\n")
_BODILESS = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)


class PlainHeaders:
    """By names in whatever case; the first one of several counts."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def get(self, name: str, default: D = None) -> str | D:  # type: ignore[assignment]  # D is None then
        """The value of a header, as of an email's."""
        return self._values.get(name.lower(), default)


Headers = PlainHeaders | Message


class QuickAnswer(NamedTuple):
    """The whole of it. `closes`: nothing more may be sent on this connection."""

    status: int
    headers: PlainHeaders
    body: bytes
    closes: bool


def read_quickly(sock: socket.socket, deadline: float, received: bytearray, most: int) -> QuickAnswer | None:
    """The answer to one request that was just sent, whole before this moment of the monotonic clock, but for `SLACK`.
    The socket has a timeout.

    None: it is of another form, of more than `most` bytes, or breaks off within the body; what was read of it is in
    `received`. Raises OSError, such as TimeoutError, while the headers are not whole."""
    end = -1
    while end < 0:
        if len(received) > _LONGEST_HEAD or not _more(sock, deadline, received):
            return None
        end = received.find(_END)
        if end < 0 and _ENDS_WITHOUT_CR in received:
            return None  # Lines may end so (RFC 9112, 2.2).
    head = _HEAD.fullmatch(received, 0, end + len(_END))
    if head is None:
        return None
    status, values = int(head[1]), _values(head[2])
    length = _length(status, values)
    if length is None or length > most:
        return None
    begin, whole = end + len(_END), end + len(_END) + length
    try:
        while len(received) < whole:
            if not _more(sock, deadline, received):
                return None
    except OSError:
        return None
    closes = "close" in values.get("connection", "").lower() or len(received) > whole
    return QuickAnswer(status, PlainHeaders(values), bytes(received[begin:whole]), closes)


def _more(sock: socket.socket, deadline: float, received: bytearray) -> bool:
    """Read the available or the next bytes; False at the end."""
    left = deadline - scheduling.monotonic()
    if left <= 0:
        raise TimeoutError
    if left < (sock.gettimeout() or 0.0) - SLACK:
        sock.settimeout(left)
    piece = sock.recv(_CHUNK)
    received += piece
    return bool(piece)


def _values(lines: bytes) -> dict[str, str]:
    # From the last one on, so that the first one of several is the one that stays.
    return {name.lower(): value.strip() for name, value in reversed(_HEADER.findall(lines.decode("latin-1")))}


def _length(status: int, values: dict[str, str]) -> int | None:
    """Bytes of the body; None if the length is given in another way, or if there are more headers than usual."""
    if len(values) > _MOST_HEADERS or "transfer-encoding" in values:
        return None
    if status in _BODILESS:
        return 0
    said = values.get("content-length", "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < _MOST_DIGITS else None


_MOST_DIGITS = 12
