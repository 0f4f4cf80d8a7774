"""Simulated BMCs over HTTPS: one event loop, and a port or an address for each BMC."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from drivers.base.support import event_loop
from drivers.bmc.simulator.bmc_messages import RedfishRequest, RedfishResponse
from drivers.bmc.simulator.fleet.fault_api import answer_control
from drivers.bmc.simulator.fleet.http_wire import MalformedRequest, read_request, response_bytes
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedDelivery, SimulatedFleet

_BACKLOG = 1024
_TLS_BUFFER = 16 * 1024
"""One TLS record. asyncio takes 256 KiB for each connection, which is 2.5 GiB for 10,000."""
_RESETS = struct.pack("ii", 1, 0)


class ListenAddress(msgspec.Struct, frozen=True):
    """`127.0.0.1:8001`: BMC n has the port 8000 + n. `127.1.0.0/16:8443`: BMC n has the n-th address of the network."""

    host: str
    port: int
    network: ipaddress.IPv4Network | None = None

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Raises ValueError, in words."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"{text!r} is no HOST:PORT or NETWORK:PORT, such as 127.0.0.1:8001 or 127.1.0.0/16:8443")
        if "/" not in host:
            return cls(host.strip("[]"), int(port))
        network = ipaddress.IPv4Network(host)
        if not network.is_loopback:
            raise ValueError(f"{host} is not in 127.0.0.0/8; a network of addresses must be of this host alone")
        return cls("0.0.0.0", int(port), network)  # noqa: S104  other addresses are refused as soon as they connect

    @property
    def most(self) -> int:
        """BMCs that have room."""
        return 2**16 - self.port if self.network is None else self.network.num_addresses - 2

    def url(self, number: int) -> str:
        """Of BMC `number`, from 0."""
        if self.network is not None:
            return f"https://{self.network[number + 1]}:{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port + number}"


class BmcServer:
    """Serves a fleet within one event loop. `context`: its certificate. `now`: seconds, never going back."""

    def __init__(
        self, fleet: SimulatedFleet, listen: ListenAddress, context: ssl.SSLContext, now: Callable[[], float]
    ) -> None:
        self.fleet, self._listen, self._context, self.now = fleet, listen, context, now
        self._servers: list[Any] = []

    async def start(self) -> None:
        """Listen. Raises OSError."""
        event_loop.SSLProtocol.max_size = _TLS_BUFFER
        loop, count = event_loop.running_loop(), len(self.fleet.bmcs)
        ports = [(self._listen.port + number, number) for number in range(count)]
        for port, number in ports if self._listen.network is None else [(self._listen.port, None)]:
            made = partial(_BmcConnection, self, number)
            server = await loop.create_server(made, self._listen.host, port, ssl=self._context, backlog=_BACKLOG)
            self._servers.append(server)

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()

    def number_of(self, address: str) -> int | None:
        """The BMC of an address of the network; None: there is none."""
        if self._listen.network is None:
            return None
        number = int(ipaddress.IPv4Address(address)) - int(self._listen.network.network_address) - 1
        return number if 0 <= number < len(self.fleet.bmcs) else None


class _BmcConnection(event_loop.ByteProtocol):
    """A connection to one BMC. `number` None: its address says which BMC it is."""

    __slots__ = ("_buffer", "_is_busy", "_number", "_server", "_transport")

    def __init__(self, server: BmcServer, number: int | None) -> None:
        self._server, self._number, self._buffer, self._is_busy = server, number, b"", False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        self._transport = transport
        if self._number is None:
            self._number = self._server.number_of(transport.get_extra_info("sockname")[0])
        if self._number is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._is_busy and self._buffer:
            try:
                found = read_request(self._buffer)
            except MalformedRequest:
                self._transport.write(response_bytes(RedfishResponse(400), closes=True))
                self._transport.close()
                return
            if found is None:
                return
            request, length = found
            self._buffer = self._buffer[length:]
            self._serve(request)

    def _serve(self, request: RedfishRequest) -> None:
        server = self._server
        control = answer_control(server.fleet, request)
        if control is not None:
            self._transport.write(response_bytes(control))
            return
        with server.fleet.lock:
            delivery = server.fleet.answer(self._number or 0, request, server.now())
        closes = request.headers.get("connection", "").lower() == "close"
        self._is_busy = True
        if delivery.seconds:
            event_loop.running_loop().call_later(delivery.seconds, self._send, delivery, closes)
        else:
            self._send(delivery, closes)

    def _send(self, delivery: SimulatedDelivery, closes: bool) -> None:
        if delivery.response is None:
            self._end(delivery)
            return
        closes = closes or delivery.most is not None
        self._transport.write(response_bytes(delivery.response, delivery.most, closes=closes and delivery.most is None))
        self._is_busy = False
        if closes:
            self._transport.close()
        elif self._buffer:
            self._go_on()

    def _end(self, delivery: SimulatedDelivery) -> None:
        """There is no answer: the connection stays open, so that the client waits, or the connection ends."""
        if delivery.resets:
            line = self._transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
        if delivery.resets or delivery.closes:
            self._transport.abort()
