"""How many power-ons a second are begun and confirmed by 64 workers, when the store is 5 ms away.

    python bench/writes.py [--machines N] [--workers N] [--milliseconds N]

Three stores: SQLite whose every transaction takes that long, PostgreSQL behind a proxy that keeps each packet for half
of it in either direction, and the first one again with each write in a transaction of its own, which is what the ratio
is of. BMCs answer at once. Each power-on is two reconciles, or three durable writes: begun, confirmed and learned.
Exit 1 when the limit is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.lacking import document  # noqa: E402  the path is set above
from drivers.base import PowerState  # noqa: E402
from drivers.bmc.fake.fake import FakeFleet  # noqa: E402
from reconciler.applying.context import Context  # noqa: E402
from reconciler.applying.engine import Engine  # noqa: E402
from reconciler.kinds.common.field_types.fleet_share import FleetShare  # noqa: E402
from reconciler.model.facts import Facts  # noqa: E402
from reconciler.model.ledger_write import LedgerWrite  # noqa: E402
from reconciler.model.resource import Commit, DesiredState, Revision  # noqa: E402
from reconciler.observed.connections import Connections, Drivers  # noqa: E402
from reconciler.planning.guards.guard_limits import GuardLimits  # noqa: E402
from reconciler.planning.guards.standing import Standing  # noqa: E402
from reconciler.store import Store  # noqa: E402
from reconciler.store.sql.group_commit import GroupCommit  # noqa: E402
from tests.databases import NoPostgresql, start_server, stop_server  # noqa: E402

LIMIT = 500.0
ALL = FleetShare(percent=100)
STANDING = Standing(GuardLimits(max_disrupted=ALL, max_removed=ALL, max_unreachable=ALL, max_released=ALL))


# -- the stores ----------------------------------------------------------------------------------------------------


class DistantStore(Store):
    """Each write takes `seconds` more."""

    seconds = 0.0

    def write(self, writes: Sequence[LedgerWrite]) -> None:
        """As the store does it, further away."""
        time.sleep(self.seconds)
        super().write(writes)


class LonelyCommit(GroupCommit):
    """One entry a transaction, one after the other."""

    def _write_group(self, group: Sequence[Any]) -> None:
        for entry in group:
            super()._write_group([entry])


async def relay(port: int, seconds: float, target: Path) -> None:
    """A proxy to a PostgreSQL socket; each packet is passed on after `seconds`. Prints its port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(seconds, writer.write, data)
        loop.call_later(seconds, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(target))
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def postgresql(milliseconds: float) -> Iterator[str | None]:
    """The URL of a database that far away; None without PostgreSQL."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name, "server")
        Path(name).chmod(0o755)
        try:
            start_server(directory, durable=True)
        except NoPostgresql:
            yield None
            return
        socket = next(directory.glob(".s.PGSQL.*[0-9]"))
        command = [sys.executable, __file__, "--relay", str(socket), "--milliseconds", str(milliseconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
            try:
                assert proxy.stdout is not None
                yield f"postgresql://postgres@127.0.0.1:{int(proxy.stdout.readline())}/postgres"
            finally:
                proxy.kill()
                stop_server(directory)


# -- the work ------------------------------------------------------------------------------------------------------


class Bench:
    """An engine whose machines are off and declared on."""

    def __init__(self, folder: Path, store: Store, machines: int) -> None:
        self.bmcs = FakeFleet(time.monotonic)
        desired = [
            document(
                "Machine",
                f"m{number:05d}",
                {"bmc": {"driver": "fake", "address": f"fake-{number}"}, "partition": "lab", "power": "On"},
            )
            for number in range(machines)
        ]
        commit = Commit("a" * 40, "Ada", datetime.now(UTC), "Declare it")
        state = DesiredState(Revision("a" * 40, "main", "fleet", commit), {one.key: one for one in desired})
        self.keys = [one.key for one in desired]
        for number in range(machines):
            bmc = self.bmcs.machine(f"fake-{number}")
            bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.OFF)
        drivers = Drivers(lambda _: self.bmcs, lambda _: None, None, None)  # type: ignore[arg-type,return-value]
        with store.instance("bench") as epoch:
            context = Context(
                now=lambda: datetime.now(UTC), random=lambda: 0.5, by="bench", epoch=epoch, standing=lambda: STANDING
            )
        self.engine = Engine(store, Connections(drivers, folder), Facts({}, {}), context)
        self.engine.put_in_force(state)

    def power_ons(self, workers: int) -> tuple[float, float]:
        """How many a second were begun and confirmed, and the milliseconds of CPU that each cost."""
        process = psutil.Process()
        before, begun = sum(process.cpu_times()[:2]), time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            for _ in range(2):
                list(pool.map(self.engine.reconcile, self.keys))
        seconds, cpu = time.perf_counter() - begun, sum(process.cpu_times()[:2]) - before
        assert len(self.bmcs.writes) == len(self.keys), f"{len(self.bmcs.writes)} were sent"
        assert not self.engine.in_flight
        return len(self.keys) / seconds, cpu * 1000 / len(self.keys)


def measure(store: Store, machines: int, workers: int) -> tuple[float, float]:
    """One run on this store, which is closed after it."""
    with tempfile.TemporaryDirectory() as name:
        found = Bench(Path(name), store, machines).power_ons(workers)
        store.close()
    return found


def distant(folder: Path, name: str, seconds: float) -> DistantStore:
    """A SQLite store that is that far away, once it is open."""
    store = DistantStore.open(f"sqlite:///{folder / name}")
    assert isinstance(store, DistantStore)
    store.seconds = seconds
    return store


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--milliseconds", type=float, default=5.0)
    parser.add_argument("--relay", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.relay:
        asyncio.run(relay(0, options.milliseconds / 2000, options.relay))
    seconds, missed = options.milliseconds / 1000, 0
    print(f"power-ons/s, {options.workers} workers, store {options.milliseconds:g} ms away      CPU ms each")
    with tempfile.TemporaryDirectory() as name, postgresql(options.milliseconds) as url:
        lonely = distant(Path(name), "lonely.db", seconds)
        lonely._group = LonelyCommit(lonely.write)
        alone, cpu = measure(lonely, options.machines // 4, options.workers)
        print(f"  SQLite, each write in a transaction of its own {alone:7.0f}  {cpu:6.2f}")
        runs: dict[str, Callable[[], Store]] = {"SQLite": lambda: distant(Path(name), "state.db", seconds)}
        if url is not None:
            runs["PostgreSQL"] = partial(Store.open, url)
        for title, opened in runs.items():
            rate, cpu = measure(opened(), options.machines, options.workers)
            missed += rate < LIMIT
            verdict = "ok" if rate >= LIMIT else "MISSED"
            print(
                f"  {title + ', grouped':<46} {rate:7.0f}  {cpu:6.2f}   {rate / alone:4.1f} times as many "
                f"(limit {LIMIT:.0f}: {verdict})"
            )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
