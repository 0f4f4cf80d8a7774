"""Simulated BMCs over HTTPS for tests, in a thread of their own."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.base import Endpoint, Tls
from drivers.bmc.simulator.bmc_profile import BmcProfile
from drivers.bmc.simulator.fleet.bmc_server import BmcServer, ListenAddress
from drivers.bmc.simulator.fleet.self_signed import self_signed
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet
from tests.drivers.bmc_servers import LOGIN


class ServedBmcs(NamedTuple):
    """A fleet, each BMC at an address of its own."""

    fleet: SimulatedFleet
    listen: ListenAddress
    fingerprint: str

    def endpoint(self, number: int = 0, system_id: str | None = None) -> Endpoint:
        """The way to a BMC, with its certificate pinned."""
        tls = Tls(fingerprint=self.fingerprint)
        return Endpoint("redfish", self.listen.url(number), system_id, tls, lambda _: LOGIN)

    def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Speak to the API of the simulator."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.listen.url(0)}{path}", data, method=method)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as reply:
                return reply.status, json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        found: int = probe.getsockname()[1]
        return found


@contextmanager
def served(profile: BmcProfile, count: int = 1) -> Iterator[ServedBmcs]:
    """BMCs until the end of the block."""
    fleet = SimulatedFleet(profile, count, LOGIN)
    listen = ListenAddress.parse(f"127.77.0.0/24:{free_port()}")
    context, fingerprint = self_signed("127.0.0.1", datetime.now(UTC))
    server = BmcServer(fleet, listen, context, time.monotonic)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield ServedBmcs(fleet, listen, fingerprint)
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: BmcServer) -> None:
    server.close()
    await asyncio.sleep(0)
