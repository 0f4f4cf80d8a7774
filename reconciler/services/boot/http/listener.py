"""One HTTP or HTTPS listener: cheroot, with deadlines and a fair share for each client.

cheroot gives each connection a thread as soon as it is accepted. It makes the TLS handshake before it accepts the next
connection, and never ends a client that sends a byte now and then. Here a connection waits for its first byte without a
thread, and the handshake is made by the thread that reads. Each request and each answer has an end."""

from __future__ import annotations

import queue
import socket
import ssl
import sys
import weakref
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from cheroot.errors import FatalSSLAlert
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Gateway_10, Server

from reconciler import runtime
from reconciler.services.boot.boot_settings import BootError, ListenerLimits, url_host
from reconciler.services.boot.http.app import LONGER
from reconciler.services.boot.rate_limit import client_network

HEADERS = 16 * 1024
"""Most bytes of a request's line and headers."""

BODY = 4 * 1024 * 1024
"""Most bytes of a request's body; the application allows less for most."""

TICK = 0.25


class Listener:
    """Serves `app` from `start` to `stop`, in threads of its own. Raises BootError when it cannot listen there."""

    def __init__(
        self,
        name: str,
        place: tuple[str, int],
        app: Callable[..., Any],
        limits: ListenerLimits,
        log: Any,
        certificate: tuple[str, str] | None = None,
        ended: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        """`ended`: is informed of an error that ended a thread of the listener."""
        self.name = name
        self._server = _Server(place, app, limits, log.bind(listener=name))
        if certificate is not None:
            self._server.ssl_adapter = _Tls(*certificate)
        try:
            self._server.prepare()
        except OSError as error:
            where = f"{url_host(place[0])}:{place[1]}"
            raise BootError(f"boot service: cannot listen on {where} ({name}): {error}; choose another port") from error
        self._thread = runtime.thread(partial(runtime.reporting, self._server.serve, ended), f"boot-{name}")
        self._ended = runtime.flag()
        self._watch = runtime.thread(partial(runtime.reporting, self._end_late, ended), f"boot-{name}-watch")

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.bind_addr[1])

    def start(self) -> None:
        """Serve."""
        self._thread.start()
        self._watch.start()

    def stop(self) -> None:
        """Stop; what is in hand is given a few seconds."""
        self._ended.set()
        self._server.stop()
        for thread in (self._thread, self._watch):
            if thread.ident is not None:
                thread.join()
        self._server.close_all()

    def _end_late(self) -> None:
        while not self._ended.wait(TICK):
            self._server.end_late(runtime.monotonic())


class _Tls(BuiltinSSLAdapter):
    """TLS of which the handshake is made when the connection is first read from."""

    def __init__(self, cert: str, key: str) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(cert, key)

    def wrap(self, sock: socket.socket) -> tuple[socket.socket, dict[str, str]]:
        """cheroot's hook, called on the thread that accepts."""
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as gone:
            sock.close()
            raise FatalSSLAlert(*gone.args) from gone
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class _Request(HTTPRequest):
    def read_request_headers(self) -> bool:
        """cheroot's hook. The length of a body in chunks is unknown, and its unread rest would be taken for the next
        request."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if self.chunked_read:
            self.simple_response("411 Length Required", "give the length of the body in the header Content-Length")
        return not self.chunked_read


class Turns(queue.Queue[Any]):
    """Connections that wait for a thread, and how many each address has in hand. Next is one of the address that has
    the fewest, and of these the one that waited longest."""

    def __init__(self, most: int) -> None:
        self.in_hand: Counter[str] = Counter()
        self._waiting: dict[str, deque[Any]] = {}
        super().__init__(most)

    def done(self, place: str) -> None:
        """One of what `get` gave is not in hand any more."""
        with self.mutex:
            self.in_hand[place] -= 1
            if not self.in_hand[place]:
                del self.in_hand[place]

    def newcomers(self) -> int:
        """How many addresses wait that have none in hand."""
        with self.mutex:
            return sum(not self.in_hand[place] for place in self._waiting if place)

    def _qsize(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _put(self, item: Any) -> None:
        self._waiting.setdefault(_place(item), deque()).append(item)

    def _get(self) -> Any:
        place = min(self._waiting, key=lambda one: self.in_hand[one])
        item = self._waiting[place].popleft()
        # What else it has goes to the end of the line.
        if rest := self._waiting.pop(place):
            self._waiting[place] = rest
        if place:
            self.in_hand[place] += 1
        return item


def _place(item: Any) -> str:
    """cheroot's own word to stop has no effect here."""
    return str(getattr(item, "place", ""))


class _Connection(HTTPConnection):
    """A connection that knows until when its client has time."""

    RequestHandlerClass = _Request
    server: _Server
    remote_addr: str
    counted: str | None = None
    """Under which address, once it is let in."""
    deadline: float | None = None
    receiving_since: float | None = None
    """While its request is read."""

    @property
    def answering(self) -> bool:
        """Whether its request was read, and its answer is on its way."""
        return self.deadline is not None and self.receiving_since is None

    @property
    def place(self) -> str:
        """Whose it is."""
        return self.counted or client_network(self.remote_addr)

    def communicate(self) -> Any:
        """cheroot's hook: one request, from its first byte to the end of its answer, in a worker's thread."""
        self.receiving_since = runtime.monotonic()
        self.deadline = self.receiving_since + self.server.limits.receive
        try:
            return super().communicate()  # type: ignore[no-untyped-call]
        finally:
            self.deadline = self.receiving_since = None
            self.server.turns.done(self.place)

    def longer(self, size: int) -> None:
        """The request was read; an answer of so many bytes follows."""
        limits = self.server.limits
        self.receiving_since = None
        self.deadline = runtime.monotonic() + limits.send + size / limits.slowest

    def close(self) -> None:
        """cheroot's hook."""
        self.server.forget(self)
        with suppress(OSError, ValueError):
            super().close()

    def cut(self) -> None:
        """End each read and write on the socket with an error. Not SSLSocket's own shutdown, which others may not
        call."""
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _Gateway(Gateway_10):
    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]  # cheroot's stub says None of its base
        """cheroot's hook."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[LONGER] = self.req.conn.longer
        return environ


class _Server(Server):
    ConnectionClass = _Connection

    def __init__(self, place: tuple[str, int], app: Callable[..., Any], limits: ListenerLimits, log: Any) -> None:
        super().__init__(
            place,
            app,
            numthreads=limits.threads,
            max=limits.threads,
            server_name="groundstate",
            request_queue_size=128,
            timeout=limits.idle,
            shutdown_timeout=2,
            accepted_queue_size=limits.connections,
            # Whoever finds the queue full is reported so; the thread that accepts never waits.
            accepted_queue_timeout=0,
        )
        self.gateway = _Gateway
        # The pool asks what it has as `get`, and what it was made with as `_queue`.
        self.turns = Turns(limits.connections)
        self.requests._queue, self.requests.get = self.turns, self.turns.get
        self.max_request_header_size, self.max_request_body_size = HEADERS, BODY
        self.keep_alive_conn_limit = limits.connections
        self.expiration_interval = limits.poll
        self.limits, self._log = limits, log
        self._open: dict[_Connection, None] = {}
        self._made: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._of: Counter[str] = Counter()
        self._lock = runtime.lock()

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """cheroot's hook; where it fails, nothing is left open."""
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def process_conn(self, conn: _Connection) -> None:
        """cheroot's hook, on the thread that accepts: a new connection, or one on which something can be read."""
        self._made.add(conn)
        if conn.counted is not None:
            super().process_conn(conn)
        elif self._admit(conn):
            # To be handled when there is something to read; closed when there is nothing for too long.
            self.put_conn(conn)
        else:
            self._log.debug("ConnectionRefused", client=conn.remote_addr)
            conn.cut()
            conn.close()

    def _admit(self, conn: _Connection) -> bool:
        place = client_network(conn.remote_addr)
        with self._lock:
            if self._of[place] >= self.limits.per_address:
                return False
            if len(self._open) >= self.limits.connections and not self._make_room(place):
                return False
            self._open[conn] = None
            self._of[place] += 1
        conn.counted = place
        return True

    def _make_room(self, place: str) -> bool:
        """Close a connection of the client that has the most connections, and more than `place`, rather one on which
        nothing is being answered. A machine that comes with its first connection gets in, however many addresses hold
        how many."""
        most = max(self._open, key=lambda one: (self._of[str(one.counted)], not one.answering), default=None)
        if most is None or self._of[str(most.counted)] <= self._of[place] + 1:
            return False
        self._drop(most)
        most.cut()
        return True

    def close_all(self) -> None:
        """Close what a thread that was given up still has in hand."""
        for conn in list(self._made):
            with suppress(OSError):
                conn.socket.close()

    def forget(self, conn: _Connection) -> None:
        """The connection is closed."""
        with self._lock:
            self._drop(conn)

    def _drop(self, conn: _Connection) -> None:
        if conn in self._open:
            del self._open[conn]
            place = str(conn.counted)
            self._of[place] -= 1
            if not self._of[place]:
                del self._of[place]

    def end_late(self, moment: float) -> None:
        """Cut the connections whose clients took longer than they have. While all threads are busy and an address waits
        that has none. First one of the client that has most of them, else those that send their requests slowly."""
        with self._lock:
            in_hand = [one for one in self._open if one.deadline is not None]
            late = [one for one in in_hand if (end := one.deadline) is not None and end < moment]
            if not late and self.requests.idle == 0:
                late = self._crowded(in_hand, self.turns.newcomers(), moment - self.limits.crowded)
        for one in late:
            self._log.info("ConnectionCut", client=one.remote_addr, why="too slow")
            one.cut()

    def _crowded(self, in_hand: list[_Connection], wanted: int, hurry: float) -> list[_Connection]:
        """As many as are wanted of addresses that have more than one thread, and are left with one."""
        spare: list[_Connection] = []
        has = Counter(one.place for one in in_hand)
        for one in sorted(in_hand, key=lambda one: (one.answering, -has[one.place])):
            if len(spare) < wanted and has[one.place] > 1:
                has[one.place] -= 1
                spare.append(one)
        if len(spare) < wanted:
            spare += [one for one in in_hand if (since := one.receiving_since) is not None and since < hurry]
        return spare

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """cheroot's hook: broken connections and handshakes; mostly without need for action.

        A client that speaks no common TLS version, or ends the handshake, is not an error of this service (cheroot
        treats it as one).
        """
        theirs = isinstance(sys.exc_info()[1], OSError)
        say = self._log.error if level >= 40 and not theirs else self._log.debug
        say("ConnectionFailed", message=msg.strip(), exc_info=traceback and level >= 40 and not theirs)
