"""Our own drivers pass the suite that outside ones are given; sushy-tools' emulator over HTTPS stands for Redfish."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from msgspec.structs import replace

from drivers.base import Credential, Endpoint, ResetType, Tls
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.simulator.bmc_profile import PROFILES, built_in_profile
from drivers.bmc.simulator.fleet.memory_connection import memory_address, memory_driver
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet
from drivers.bmc.simulator.simulated_system import PowerLag
from drivers.testing.bmc_conformance import BmcConformance, BmcSubject
from tests.drivers.emulator import EmulatorFleet
from tests.drivers.served_bmcs import served

FIRST = "5a1f0000-0000-4000-8000-00000000000a"
SECOND = "5a1f0000-0000-4000-8000-00000000000b"


@contextmanager
def an_image(directory: Path) -> Iterator[str]:
    """The URL of a file that the emulator fetches, as a BMC fetches an image."""
    (directory / "agent.iso").write_bytes(bytes(2048))
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/agent.iso"
        server.shutdown()


class TestRedfish(BmcConformance):
    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[BmcSubject]:
        with EmulatorFleet(directory, [[FIRST, SECOND]], seconds=(1, 2)) as fleet:
            login = Credential(fleet.username, fleet.password)
            at = Endpoint("redfish", fleet.addresses[0], None, Tls(ca_file=str(fleet.ca_file)), lambda _: login)
            with an_image(directory) as image:
                yield BmcSubject(RedfishDriver, at, (FIRST, SECOND), image=image)


class TestFake(BmcConformance):
    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[BmcSubject]:
        now = [0.0]

        def wait() -> None:
            now[0] += 0.25

        fleet = FakeFleet(lambda: now[0], on_after=4.0, off_after=2.0)
        for system_id in (FIRST, SECOND):
            machine = fleet.machine("bmc-1", system_id)
            listed = tuple(one for one in ResetType if one is not ResetType.POWER_CYCLE)
            machine.state = replace(machine.state, allowed_resets=listed, uuid=system_id)
            machine.task_after = 3.0
        yield BmcSubject(lambda: fleet, Endpoint("fake", "bmc-1"), (FIRST, SECOND), wait, None, makes_systems=True)


class SimulatedInMemory(BmcConformance):
    """The simulated BMC of a profile, reached without a socket. The time is virtual."""

    profile = "generic"

    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[BmcSubject]:
        now, login = [0.0], Credential("operator", "simulated")
        profile = built_in_profile(cls.profile)

        def wait() -> None:
            now[0] += 0.25

        fleet = SimulatedFleet(profile, 2, login)
        driver = partial(memory_driver, fleet, lambda: now[0])
        at = Endpoint("redfish", memory_address(0), credential=lambda _: login)
        ids = tuple(one.name for one in fleet.bmcs[0].systems)
        image = "http://images.example/agent.iso"
        yield BmcSubject(driver, at, ids, wait, memory_address(9), image=image)


class TestSimulatedOverHttps(BmcConformance):
    """The same engine behind its server."""

    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[BmcSubject]:
        profile = replace(built_in_profile("generic"), lag=PowerLag(0.2, 0.1))
        with served(profile) as bmcs:
            ids = tuple(one.name for one in bmcs.fleet.bmcs[0].systems)
            yield BmcSubject(RedfishDriver, bmcs.endpoint(), ids, image="http://images.example/agent.iso")


for _name in PROFILES:
    _title = f"TestSimulated{_name.title().replace('-', '')}"
    globals()[_title] = type(_title, (SimulatedInMemory,), {"profile": _name})
