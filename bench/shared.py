"""What a fleet costs that several daemons share: CPU and transactions a look, and memory, by the number of daemons.

    python bench/shared.py [--machines N] [--daemons N] [--driver redfish|fake] [--resync SECONDS] [--seconds N]

Real daemons on a real PostgreSQL, of which one decides, when nothing happens. The BMCs over TLS are another process,
whose CPU is not counted; those of the driver `fake` are in the memory of each daemon. A look is one observation of one
machine. Exit 1 when there are more than 2 idle transactions a second for 1,000 machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.bmcs import counts, open_files, simulated, write_fleet  # noqa: E402  the path is set above
from bench.commit import git  # noqa: E402
from bench.daemon import cpu_seconds  # noqa: E402
from bench.plan import environment_with  # noqa: E402
from bench.redfish_poll import SYSTEM  # noqa: E402
from bench.takeover import documents  # noqa: E402
from reconciler.desired.manifest.manifests import dump_yaml  # noqa: E402
from reconciler.store.sql.engines import parse_url  # noqa: E402
from tests.databases import postgresql_server  # noqa: E402

IDLE_TRANSACTIONS = 2.0
"""A second, for 1,000 machines."""
_SERVER = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
_OBSERVED = "SELECT count(*) FROM observation WHERE kind = 'Machine' AND error IS NULL"
_SHARDS = "SELECT count(*) FROM shard WHERE owner IS DISTINCT FROM wanted"
_INVENTORIES = "SELECT count(*) FROM inventory"
_WORKERS = "SELECT count(*) FROM worker WHERE ends_at > clock_timestamp()"
_SAME_INVENTORY = """
    INSERT INTO inventory (kind, name, origin, taken_at, value)
    SELECT observation.kind, observation.name, one.origin, one.taken_at, one.value
    FROM observation, (SELECT * FROM inventory ORDER BY name LIMIT 1) AS one WHERE observation.kind = 'Machine'
    ON CONFLICT DO NOTHING
"""
"""Those that were not read within the first start: what is measured is a fleet in which nothing happens."""
PATIENCE = 1800.0


@contextmanager
def running(folder: Path, environment: dict[str, str], daemons: int, resync: float) -> Iterator[list[psutil.Process]]:
    """So many daemons, of which the first one decides."""
    options = ["--listen", "127.0.0.1:0", "--resync", str(resync), "--share-above", "0" if daemons > 1 else "1000000"]
    with ExitStack() as stack:
        children = []
        for number in range(daemons):
            log = stack.enter_context((folder / f"log{number}").open("w"))
            command = [sys.executable, str(ROOT / "cli.py"), "run", *options]
            child = subprocess.Popen(command, cwd=folder / "fleet", env=environment, stderr=log)
            stack.callback(child.wait)
            stack.callback(child.terminate)
            children.append(psutil.Process(child.pid))
            while not (folder / f"log{number}").read_text():
                time.sleep(0.2)
        yield children


def fake_fleet(folder: Path, machines: int) -> dict[str, str]:
    """A repository of machines in memory; returns the environment of its commands."""
    repository = folder / "fleet"
    repository.mkdir()
    partition, *rest = documents(machines)
    (repository / "lab.yaml").write_text(dump_yaml(partition))
    for first in range(0, machines, 1000):
        named = "---\n".join(map(dump_yaml, rest[first : first + 1000]))
        (repository / f"r{first:06d}.yaml").write_text(named)
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "fleet")
    return {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache")}


def is_through(log: Path, machines: int) -> bool:
    """Whether the daemon that decides has looked at each machine since its start."""
    started = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "Started"]
    with urllib.request.urlopen(f"http://127.0.0.1:{started[0]['port']}/metrics") as answer:
        metrics = answer.read().decode()
    found = {one.name: one.value for family in text_string_to_metric_families(metrics) for one in family.samples}
    return found["groundstate_queue_lag_seconds"] < 1 and f'{{kind="Machine"}} {float(machines)}' in metrics


def measured(
    folder: Path, environment: dict[str, str], asked: Any, looks: Any
) -> tuple[float, float, list[float], list[float], float, float]:
    """Seconds until all is observed, and until all inventories are read if that was asked for. CPU seconds and MiB of
    each daemon, transactions and looks, in the time asked for. Transactions that this asks are taken off."""
    engine = create_engine(parse_url(environment["GROUNDSTATE_STORE"]), isolation_level="AUTOCOMMIT")

    def ask(query: str) -> int:
        with engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())

    def wait_for(is_so: Callable[[], bool]) -> float:
        """Seconds since the start."""
        while not is_so():
            assert time.perf_counter() < begun + PATIENCE, (folder / "log0").read_text()[-2000:]
            time.sleep(0.5)
        return time.perf_counter() - begun

    begun = time.perf_counter()
    with running(folder, environment, asked.daemons, asked.resync):
        start = wait_for(lambda: ask(_OBSERVED) == asked.machines and not ask(_SHARDS))
        inventories = wait_for(lambda: ask(_INVENTORIES) >= (asked.machines if asked.inventories else 1))
    with engine.connect() as connection:
        connection.execute(text(_SAME_INVENTORY))
    begun = time.perf_counter()
    with running(folder, environment, asked.daemons, asked.resync) as processes:
        wait_for(lambda: ask(_WORKERS) == asked.daemons - 1 and not ask(_SHARDS))
        for _ in range(3):  # The metric is up to five seconds old.
            wait_for(lambda: is_through(folder / "log0", asked.machines))
            time.sleep(6)
        time.sleep(2 * asked.resync)
        before = [cpu_seconds(one) for one in processes]
        transactions, looked = ask(_SERVER), looks()
        time.sleep(asked.seconds)
        spent = [cpu_seconds(one) - was for one, was in zip(processes, before, strict=True)]
        transactions, looked = ask(_SERVER) - transactions, looks() - looked
        memory = [one.memory_full_info().uss / 2**20 for one in processes]
    engine.dispose()
    return start, inventories, spent, memory, float(transactions), float(looked)


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--machines", type=int, default=10_000)
    options.add_argument("--daemons", type=int, default=4)
    options.add_argument("--driver", choices=["redfish", "fake"], default="redfish")
    options.add_argument("--resync", type=float, default=60.0)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--inventories", action="store_true", help="wait until all inventories are read")
    asked = options.parse_args()
    open_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundstate-shared-")))
        folder.chmod(0o711)  # The server runs as another user.
        store = stack.enter_context(postgresql_server(folder / "server"))
        if asked.driver == "redfish":
            addresses, pin = stack.enter_context(simulated(asked.machines))
            environment = write_fleet(folder, addresses, pin)

            def looks() -> int:
                return counts(addresses[0]).get(f"GET {SYSTEM}", 0)
        else:
            environment = fake_fleet(folder, asked.machines)
            begun = time.monotonic()

            def looks() -> int:
                return int((time.monotonic() - begun) * asked.machines / asked.resync)

        environment = environment_with(folder / "cache") | environment | {"GROUNDSTATE_STORE": store}
        environment.setdefault("PATH", os.environ["PATH"])
        start, inventories, spent, memory, transactions, looked = measured(folder, environment, asked, looks)
    print(f"{asked.machines:,} machines ({asked.driver}), {asked.daemons} daemons, resync {asked.resync:g} s")
    print(f"  all observed after        {start:8.1f} s")
    if asked.inventories:
        print(f"  all inventories after     {inventories:8.1f} s")
    print(f"  looks                     {looked / asked.seconds:8.1f} a second")
    print(f"  CPU                       {sum(spent) * 1000 / max(1.0, looked):8.2f} ms a look")
    cores = ", ".join(f"{one / asked.seconds:.2f}" for one in spent)
    print(f"  cores of each daemon      {cores}; the first one decides")
    print(f"  MiB of each daemon        {', '.join(f'{one:.0f}' for one in memory)}")
    a_second = transactions / asked.seconds
    limit = IDLE_TRANSACTIONS * max(1.0, asked.machines / 1000)
    print(f"  transactions              {a_second:8.1f} a second, {transactions / max(1.0, looked):.2f} a look")
    met = a_second <= limit
    print(f"  {'ok    ' if met else 'MISSED'} idle transactions (limit {limit:g} a second)")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
