"""What the whole daemon costs when nothing happens: CPU a poll, memory, and its start, over TLS, certificates pinned.

    python bench/daemon.py [--machines N] [--resync SECONDS] [--seconds N]

The BMCs are another process, whose CPU is not counted; they answer at once. The start, up to the last first look, is
compared with `groundstate plan` of the same fleet, both from a store that knows nothing. With fewer machines, or beside
other work, only the CPU a poll says something. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.bmcs import open_files, simulated, write_fleet  # noqa: E402  the path is set above
from bench.commit import steps_done  # noqa: E402
from bench.plan import environment_with, measure  # noqa: E402

POLL_MS, MEMORY_MIB, START_RATIO = 1.0, 400.0, 1.2


@contextmanager
def daemon(folder: Path, environment: dict[str, str], resync: float) -> Iterator[tuple[psutil.Process, int]]:
    """A running daemon and its health port."""
    command = [sys.executable, *os.environ.get("BENCH_UNDER", "").split(), str(ROOT / "cli.py"), "run"]
    options = ["--listen", "127.0.0.1:0", "--resync", str(resync), "--log-format", "json"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*command, *options], cwd=folder / "fleet", env=environment, stderr=log) as child,
    ):
        try:
            while not (lines := (folder / "log").read_text().splitlines()):
                time.sleep(0.1)
            yield psutil.Process(child.pid), int(json.loads(lines[0])["port"])
        finally:
            child.terminate()


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time, its children's included."""
    return float(sum(process.cpu_times()[:4]))


def inventories(store: Path) -> int:
    """How many machines' inventories are kept."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM inventory").fetchone()[0])


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=10_000)
    options.add_argument("--resync", type=float, default=60.0)
    options.add_argument("--seconds", type=float, default=120.0)
    arguments = options.parse_args()
    machines = arguments.machines
    open_files()
    with tempfile.TemporaryDirectory() as name, simulated(machines) as (addresses, pin):
        folder = Path(name)
        environment = environment_with(folder / "cache") | write_fleet(folder, addresses, pin)
        plan = measure(
            [sys.executable, str(ROOT / "cli.py"), "plan"], folder / "fleet", environment, 0, subprocess.DEVNULL
        )
        begun = time.perf_counter()
        with daemon(folder, environment, arguments.resync) as (process, port):
            while steps_done(port) < machines:
                time.sleep(0.2)
            start, start_cpu = time.perf_counter() - begun, cpu_seconds(process)
            # Inventories come after the first looks, once a day, and are not what is measured here.
            while inventories(folder / "state.db") < machines:
                time.sleep(1)
            time.sleep(arguments.resync / 2)
            before, polls = cpu_seconds(process), steps_done(port)
            time.sleep(arguments.seconds)
            spent, polled = cpu_seconds(process) - before, steps_done(port) - polls
            memory = process.memory_info().rss / 1024 / 1024
    print(f"{machines:,} BMCs over TLS, pinned, resync {arguments.resync:g} s")
    print(f"  plan, nothing known          {plan[0]:7.1f} s wall {plan[1]:7.1f} s CPU")
    print(f"  daemon, to the last look     {start:7.1f} s wall {start_cpu:7.1f} s CPU")
    milliseconds = spent * 1000 / max(1.0, polled)
    print(f"  steady: {polled:,.0f} polls in {arguments.seconds:g} s, {spent / arguments.seconds:.2f} cores")
    limits = [
        ("CPU ms a poll", milliseconds, POLL_MS),
        ("MiB resident", memory, MEMORY_MIB),
        ("start, times the plan", start / plan[0], START_RATIO),
    ]
    for what, value, limit in limits:
        print(f"  {'ok    ' if value <= limit else 'MISSED'} {what}: {value:.2f} (limit {limit:g})")
    return int(any(value > limit for _, value, limit in limits))


if __name__ == "__main__":
    raise SystemExit(main())
