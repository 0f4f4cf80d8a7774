"""Simulated BMCs as tests use them: a fresh system for each machine, and what arrived at it."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, machine, partition


class System(NamedTuple):
    """A system that no other test uses."""

    place: int
    address: str
    id: str


class Bmcs:
    """The running emulators."""

    def __init__(self, fleet: EmulatorFleet, directory: Path, layout: list[list[str]]) -> None:
        self._fleet, self._directory = fleet, directory
        self._free = [list(ids) for ids in layout]

    def system(self, bmc: int = 0) -> System:
        """A system of the first or the second BMC that is powered off."""
        return System(bmc, self._fleet.addresses[bmc], self._free[bmc].pop(0))

    def partition(self, **changes: Any) -> dict[str, Any]:
        """The partition of machines on these BMCs; the login is named in the settings."""
        return partition(**{"credentialRef": {"name": "lab"}, "tls": {"caFile": str(self._fleet.ca_file)}, **changes})

    def allow(self, desk: Desk) -> None:
        """Have the settings of the desk name the login, wherever it is and whatever it may be."""
        desk.allow("lab", "LAB_BMC", self._fleet.ca_file)

    def let_in(self, desk: Desk) -> None:
        """Give the desk the login, which is to be seen nowhere."""
        desk.environment |= {"LAB_BMC_USERNAME": self._fleet.username, "LAB_BMC_PASSWORD": self._fleet.password}
        login = base64.b64encode(f"{self._fleet.username}:{self._fleet.password}".encode()).decode()
        self.allow(desk)
        desk.secrets |= {self._fleet.password, login}

    def writes(self, system: System) -> list[str]:
        """The writes that arrived for the system, such as `PATCH` and `POST Reset`, in order."""
        log = (self._directory / f"bmc-{system.place + 1}.log").read_text("utf-8", "replace")
        found = re.findall(rf"(PATCH|POST|PUT|DELETE) /redfish/v1/Systems/{system.id}(\S*) HTTP", log)
        return [" ".join([method, *path.split(".")[1:]]) for method, path in found]

    def ask(self, system: System, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Speak to the system as a person with curl would; returns its state."""
        context = ssl.create_default_context(cafile=str(self._fleet.ca_file))
        login = base64.b64encode(f"{self._fleet.username}:{self._fleet.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        connection = http.client.HTTPSConnection(system.address.removeprefix("https://"), timeout=10, context=context)
        try:
            connection.request(method, f"/redfish/v1/Systems/{system.id}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read()
            assert response.status < 300, text
            return json.loads(text) if text else {}
        finally:
            connection.close()


def at(system: System, name: str, **spec: Any) -> dict[str, Any]:
    """The machine of this name on the system."""
    return machine(name, system.address, system=system.id, **spec)


class Silence(NamedTuple):
    """Addresses of BMCs that take connections and never say a word, and the connections that they took."""

    addresses: list[str]
    taken: list[socket.socket]


@contextmanager
def silence(bmcs: int = 1) -> Iterator[Silence]:
    """Silent BMCs, on addresses of their own."""
    found = Silence([], [])
    with socket.create_server(("", 0)) as server:

        def take() -> None:
            while True:
                try:
                    found.taken.append(server.accept()[0])
                except OSError:
                    return

        found.addresses.extend(f"https://127.0.1.{n + 1}:{server.getsockname()[1]}" for n in range(bmcs))
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in found.taken:
        connection.close()
