"""A NATS server of a few lines, for what a real one does not do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

INFO = {"server_id": "odd", "version": "2.12.0", "headers": True, "max_payload": 1 << 20, "auth_required": True}
ACK = b'{"stream":"GROUNDSTATE","seq":1}'


def acknowledged(answer: bytes = ACK) -> Callable[[OddLine, bytes], None]:
    """Answers each message with this."""
    return lambda line, reply: line.send(b"MSG %s 1 %d\r\n%s\r\n" % (reply, len(answer), answer))


class OddLine:
    """One connection. `heard`: the lines that the client sent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._file = connection, connection.makefile("rb")
        self.heard: list[bytes] = []

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def next(self) -> bytes:
        """The next line; empty at the end."""
        line = self._file.readline(1 << 20)
        self.heard.append(line)
        return line

    def skip(self, count: int) -> None:
        """The bytes of a message."""
        self._file.read(count + 2)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._connection.close()


class OddNats:
    """Serves each connection in a thread. `talk`: what it says to one; `lines`: all that there were."""

    def __init__(self, talk: Callable[[OddLine], None]) -> None:
        self._talk, self.lines = talk, list[OddLine]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.lines.append(OddLine(connection))
            threading.Thread(target=self._serve, args=(self.lines[-1],), daemon=True).start()

    def _serve(self, line: OddLine) -> None:
        with suppress(OSError, ValueError):
            self._talk(line)

    def heard(self) -> bytes:
        """All lines of all connections."""
        return b"".join(one for line in self.lines for one in line.heard)

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self.lines:
            line.close()
        self._thread.join()


def greeting(**other: object) -> bytes:
    """The first line of a server."""
    return b"INFO " + json.dumps(INFO | other).encode() + b"\r\n"


def usual(
    answer: Callable[[OddLine, bytes], None] | None = None, hello: bytes = b"", pong: bytes = b"PONG\r\n"
) -> Callable[[OddLine], None]:
    """Speaks the protocol. `answer` is called for each message, with its reply subject."""

    def talk(line: OddLine) -> None:
        line.send(hello or greeting())
        while words := line.next().split():
            if words[0] == b"PING":
                line.send(pong)
            elif words[0] == b"HPUB":
                line.skip(int(words[-1]))
                (answer or acknowledged())(line, words[2])

    return talk


@contextmanager
def odd_nats(talk: Callable[[OddLine], None]) -> Iterator[OddNats]:
    """One for a test."""
    server = OddNats(talk)
    try:
        yield server
    finally:
        server.stop()
