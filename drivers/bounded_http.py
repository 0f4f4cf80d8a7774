"""An HTTP answer that comes to an end, for clients of what may be broken or hostile."""

from __future__ import annotations

import http
import http.client
import io
import re
import socket
from collections.abc import Callable
from typing import Any, cast

from drivers.base.support import scheduling

MAX_INTERIM = 10
"""Interim answers (1xx) ahead of an answer. One is usual; http.client reads on for as long as they come."""


_CHUNK = 16 * 1024
_MOST_HEADERS, _LONGEST_LINE = 101, 65536
"""As http.client has them; the line that ends the headers counts."""
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
"""RFC 9112, 7.1. `int` also takes a sign, blanks, `0x` and `_`. Old servers put blanks behind the digits."""
_MOST_DIGITS = 18
_BODILESS = frozenset({http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED})


class BoundedResponse(http.client.HTTPResponse):
    """http.client's, which gives up on a flood of interim answers (RFC 9110 15.2), and does without the parser of email
    messages. That is two fifths of the CPU of a small answer. Raises HTTPException."""

    def begin(self) -> None:
        """Read the status and the headers; the body is next."""
        version, self.status, reason = self._first_final_status()
        self.code, self.reason = self.status, reason.strip()
        if not version.startswith(("HTTP/1.", "HTTP/0.9")):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version in ("HTTP/1.0", "HTTP/0.9") else 11
        self.headers = self.msg = read_headers(self.fp)
        asked_for_head = self._method == "HEAD"  # type: ignore[attr-defined]  # typeshed leaves it out
        is_empty = self.status < http.HTTPStatus.OK or self.status in _BODILESS or asked_for_head
        self.chunked = not is_empty and _is_chunked(self.headers.get("Transfer-Encoding", ""))
        self.chunk_left = None
        length = None if self.chunked else _content_length(self.headers)
        self.length = 0 if is_empty else length
        closes: bool = self._check_close()  # type: ignore[attr-defined]  # as above
        self.will_close = closes or (not self.chunked and self.length is None)

    def _read_next_chunk_size(self) -> int:
        """http.client's hook, which makes IncompleteRead of a ValueError."""
        line = self.fp.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("chunk size")
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            self._close_conn()  # type: ignore[attr-defined]  # as above
            raise ValueError
        return int(size[1], 16)

    def _first_final_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM):
            found: tuple[str, int, str] = self._read_status()  # type: ignore[attr-defined]  # as above
            if not _is_interim(found[1]):
                return found
            read_headers(self.fp)
        raise http.client.HTTPException(f"the server sent more than {MAX_INTERIM} interim answers (status 1xx)")


def _is_interim(status: int) -> bool:
    """RFC 9110, 15.2: a client reads past each of them, asked for or not. After 101 another protocol is spoken."""
    return http.HTTPStatus.CONTINUE <= status < http.HTTPStatus.OK and status != http.HTTPStatus.SWITCHING_PROTOCOLS


def _is_chunked(transfer_encoding: str) -> bool:
    """RFC 9112, 6.3: chunked frames the body where it is the last encoding."""
    return transfer_encoding.rpartition(",")[2].strip().lower() == "chunked"


def _content_length(headers: http.client.HTTPMessage) -> int | None:
    """Bytes of the body; None: as many as come. Raises HTTPException."""
    said = headers.get("Content-Length", "")
    if not (said.isascii() and said.isdecimal()):
        return None
    if len(said) > _MOST_DIGITS:
        raise http.client.HTTPException(f"the answer has a Content-Length of {len(said)} digits")
    return int(said)


def read_headers(file: io.BufferedIOBase) -> http.client.HTTPMessage:
    """The headers that come next. A line that continues the one before joins it, one without a colon is left out.
    Raises HTTPException for more or longer ones than http.client takes, and IncompleteRead if they break off."""
    found: list[tuple[str, str]] = []
    for _ in range(_MOST_HEADERS):
        line = file.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("header line")
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            break
        name, colon, value = text.partition(":")
        if text[0] in " \t":
            if found:
                found[-1] = (found[-1][0], f"{found[-1][1]} {text.strip()}")
        elif colon:
            found.append((name.rstrip(), value.strip()))
    else:
        raise http.client.HTTPException(f"the answer has more than {_MOST_HEADERS} headers")
    message = http.client.HTTPMessage()
    for name, value in found:
        message.set_raw(name, value)
    return message


class Timed(io.RawIOBase):
    """Reads from a socket until a moment, whatever the other side drips. `received`: what was read of it before."""

    def __init__(self, sock: socket.socket, deadline: float, received: bytes = b"") -> None:
        self._sock, self._deadline, self._received = sock, deadline, received
        # The file keeps the socket open when http.client closes the connection ahead of the body.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As of any raw file. Raises TimeoutError."""
        if self._received:
            size = min(len(buffer), len(self._received))
            buffer[:size], self._received = self._received[:size], self._received[size:]
            return size
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


def ends_at(deadline: float, received: bytes = b"") -> Callable[..., BoundedResponse]:
    """What makes the answers of a connection (http.client's `response_class`) that must be whole, status and headers
    included, at this moment of the monotonic clock. Else they raise TimeoutError. A socket's own timeout starts again
    with each byte that the other side sends. `received`: what was read of the answer before."""

    def made(sock: socket.socket, *args: Any, **options: Any) -> BoundedResponse:
        return BoundedResponse(cast("socket.socket", Timed(sock, deadline, received)), *args, **options)

    return made
