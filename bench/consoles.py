"""What the consoles of 200 machines cost the daemon: memory, and CPU while no machine says anything.

    python bench/consoles.py [--consoles N]

The console service with lines over IPMI that are held and recorded, cipher suite 17, to as many BMCs in another
process. Each machine says as much as a new session is shown, so that all buffers are full. Exit 1 when a limit is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import structlog

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from drivers.base import ConsoleEndpoint, Credential, Line  # noqa: E402  the path is set above
from drivers.console.ipmi.ipmi import IpmiConsole  # noqa: E402
from reconciler.kinds.common.access.access_rules import ConsoleAccess  # noqa: E402
from reconciler.kinds.common.consoles.console_fields import (  # noqa: E402
    ConsoleAdmins,
    ConsoleHold,
    ConsoleSettings,
)
from reconciler.kinds.console.grants import MachineConsoleState, Tenancy  # noqa: E402
from reconciler.services.console.console_service import ConsoleService, ConsoleServiceSettings  # noqa: E402
from reconciler.services.console.hub import REPLAYED  # noqa: E402
from reconciler.services.console_port import ConsolesReport  # noqa: E402
from tests.drivers.sol_bmc import PASSWORD, USER, SolBmc  # noqa: E402

MOST_MEMORY = 20.0
"""MiB, of all consoles together."""
MOST_CPU = 10.0
"""Percent of a core, while nothing is said."""
IDLE_SECONDS = 10.0
PATIENCE = 120.0
MIB = 1024 * 1024
PIECE = 1000
"""Bytes that a machine says at once."""


class Lab:
    """Implements Consoles for machines that are called by the ports of their BMCs."""

    def __init__(self, ports: list[int]) -> None:
        self.driver, self.ports = IpmiConsole(), ports
        self.is_held = False
        self.heard: dict[str, Callable[[bytes], None]] = {}
        self.report_now: ConsolesReport | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def find(self, user: str) -> str | None:
        """No person connects."""
        return None

    def state(self, machine: str) -> MachineConsoleState | None:
        """Held always."""
        access = ConsoleAccess("ipmi", "127.0.0.1", int(machine), None, 17)
        settings = ConsoleSettings(ConsoleHold.ALWAYS, 16 * MIB, ConsoleAdmins())
        return MachineConsoleState(machine, access, settings, Tenancy("free-new", "free"), ())

    def held(self) -> Collection[str]:
        """All or none."""
        return [str(port) for port in self.ports] if self.is_held else []

    async def open(self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool) -> Line:
        """As the daemon does it."""
        self.loop = asyncio.get_running_loop()
        self.heard[str(access.port)] = heard
        login = Credential(USER, PASSWORD)
        endpoint = ConsoleEndpoint("ipmi", access.address, access.port, lambda _: login, cipher_suite=17, former=former)
        return await self.driver.open(endpoint, heard, steal=steal)

    def report(self, *_: Any) -> None:
        """Events are not what is measured."""

    def publish(self, report: ConsolesReport) -> None:
        """Keep it."""
        self.report_now = report

    def say(self, data: bytes) -> None:
        """What came from all machines."""
        assert self.loop is not None
        for begin in range(0, len(data), PIECE):
            self.loop.call_soon_threadsafe(self._hear, data[begin : begin + PIECE])
            time.sleep(0.01)

    def _hear(self, piece: bytes) -> None:
        for heard in self.heard.values():
            heard(piece)

    def count(self, holds: Callable[[Any], bool]) -> int:
        """How many consoles are as they should be."""
        return sum(map(holds, self.report_now.consoles)) if self.report_now is not None else 0


async def serve_bmcs(count: int) -> None:
    """Until stdin ends. Their ports are the first line of the output."""
    bmcs = [await SolBmc((17,)).start() for _ in range(count)]
    print(json.dumps([bmc.port for bmc in bmcs]), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for bmc in bmcs:
        await bmc.stop()


@contextmanager
def bmcs_elsewhere(count: int) -> Iterator[list[int]]:
    """BMCs in another process, by their ports."""
    command = [sys.executable, __file__, "--bmcs", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.communicate()


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Raises SystemExit."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"{what} within {PATIENCE:.0f} s: no")
        time.sleep(0.05)


def measure(count: int, folder: Path) -> tuple[float, float]:
    """MiB of all consoles, and percent of a core."""
    process = psutil.Process()
    with bmcs_elsewhere(count) as ports:
        lab = Lab(ports)
        settings = ConsoleServiceSettings("127.0.0.1", 0, folder / "host_key", folder / "console")
        log = structlog.get_logger()
        service = ConsoleService(settings, lab, lambda: datetime.now(UTC), log, lambda error: log.error(str(error)))
        service.start()
        time.sleep(2)
        before, begun = process.memory_info().rss / MIB, time.monotonic()
        lab.is_held = True
        wait_for(lambda: lab.count(lambda one: one.line == "open") == count, "all lines open")
        print(f"{count} lines open after {time.monotonic() - begun:.1f} s (up to 5 s until they are looked for)")
        print(f"memory {process.memory_info().rss / MIB - before:+.1f} MiB")
        lab.say(b"x" * REPLAYED)
        wait_for(lambda: lab.count(lambda one: one.recorded >= REPLAYED) == count, "all recorded")
        cpu, begun = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(IDLE_SECONDS)
        used = 100 * (sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - begun)
        grown = process.memory_info().rss / MIB - before
        service.stop()
    return grown, used


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consoles", type=int, default=200)
    parser.add_argument("--bmcs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bmcs:
        asyncio.run(serve_bmcs(options.bmcs))
        return 0
    with tempfile.TemporaryDirectory() as name:
        memory, cpu = measure(options.consoles, Path(name))
    print(
        f"memory {memory:+.1f} MiB with full buffers (at most {MOST_MEMORY:+.0f}); idle {cpu:.1f} % of a core ", end=""
    )
    print(f"(at most {MOST_CPU:.0f})")
    return 1 if memory > MOST_MEMORY or cpu > MOST_CPU else 0


if __name__ == "__main__":
    sys.exit(main())
