"""`groundstate apply --yes` of 500 power-ons over TLS, each answer after 100 ms, as a whole process.

    python bench/apply.py [--machines N] [--runs N] [--milliseconds N]

Wall and CPU seconds of the process and its children, and what the BMCs were asked. redfishpower (C, no session, no
audit) took 2.2 s and 0.5 CPU s for the same. Beside it, in the same run, what no apply can do without. These are the
same requests alone, sent by our wire from as many threads of a process that runs already, on one processor too, and the
start of the command alone (`apply --help`, which loads its modules). Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.bmcs import RESET, counts, open_files, simulated, write_fleet  # noqa: E402  the path is set above
from bench.plan import environment_with, measure  # noqa: E402
from bench.redfish_poll import SESSIONS, SYSTEM  # noqa: E402
from drivers.base import Tls  # noqa: E402
from drivers.base.support.scheduling import on_one_processor  # noqa: E402
from drivers.bmc.redfish.wire.redfish_http import RedfishConnection, parse_bmc_address  # noqa: E402

WALL_SECONDS, CPU_SECONDS = 6.0, 3.0
THREADS = 128
"""As many as an apply has."""
REQUESTS = (
    ("GET", "/redfish/v1/", None),
    ("POST", SESSIONS, b'{"UserName": "operator", "Password": "bench"}'),
    ("GET", SYSTEM, None),
    ("POST", RESET, b'{"ResetType": "On"}'),
    ("GET", SYSTEM, None),
    ("DELETE", f"{SESSIONS}/1", None),
)
HEADERS = {"OData-Version": "4.0", "Accept": "application/json", "Accept-Encoding": "identity", "X-Auth-Token": "0123"}


def run(machines: int, seconds: float) -> tuple[float, float, dict[str, int]]:
    """One apply of a fleet that is off, from a repository and a store of its own."""
    with tempfile.TemporaryDirectory() as name, simulated(machines, seconds=seconds, power="Off") as (addresses, pin):
        folder = Path(name)
        environment = environment_with(folder / "cache") | write_fleet(folder, addresses, pin)
        shares = [f"--max-{what}=100%" for what in ("disrupted", "removed", "unreachable")]
        command = [sys.executable, str(ROOT / "cli.py"), "apply", "--yes", *shares]
        wall, cpu, _ = measure(command, folder / "fleet", environment, 0, subprocess.DEVNULL)
        return wall, cpu, counts(addresses[0])


def alone(machines: int, seconds: float) -> tuple[float, float]:
    """Wall and CPU seconds of the requests of one apply, whose answers nobody reads."""

    def power_on(address: str) -> None:
        connection = RedfishConnection(parse_bmc_address(address, tls), tls)
        for method, path, body in REQUESTS:
            connection.send(method, path, HEADERS, body)
        connection.close()

    with (
        simulated(machines, seconds=seconds, power="Off") as (addresses, pin),
        on_one_processor(),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        tls = Tls(fingerprint=pin)
        begun, before = time.perf_counter(), time.process_time()
        list(pool.map(power_on, addresses))
        return time.perf_counter() - begun, time.process_time() - before


def started() -> float:
    """CPU seconds until the command has loaded its modules."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, str(ROOT / "cli.py"), "apply", "--help"]
        return measure(command, Path(name), environment_with(Path(name)), 0, subprocess.DEVNULL)[1]


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=500)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--milliseconds", type=float, default=100.0)
    arguments = options.parse_args()
    open_files()
    seconds = arguments.milliseconds / 1000
    machines = arguments.machines
    found = [(run(machines, seconds), alone(machines, seconds), started()) for _ in range(arguments.runs)]
    runs = [one for one, _, _ in found]
    wall, cpu = median(one[0] for one in runs), median(one[1] for one in runs)
    asked = runs[-1][2]
    logins, resets = asked[f"POST {SESSIONS}"], asked[f"POST {RESET}"]
    print(f"apply of {machines:,} power-ons at {arguments.milliseconds:g} ms a request")
    missed = 0
    for what, measured, limit in (
        ("wall s", wall, WALL_SECONDS),
        ("CPU s", cpu, CPU_SECONDS),
        ("logins", logins, machines),
    ):
        held = measured <= limit
        missed += not held
        print(f"  {what:<8} {measured:8.2f}   limit {limit:g}: {'ok' if held else 'MISSED'}")
    least_wall, least_cpu = (median(least[part] for _, least, _ in found) for part in (0, 1))
    print(f"  the requests alone: wall {least_wall:.2f} s, CPU {least_cpu:.2f} s")
    print(f"  the start of the command alone: CPU {median(start for _, _, start in found):.2f} s")
    print(f"  apply / requests alone: {wall / least_wall:.1f} times the wall, {cpu / least_cpu:.1f} times the CPU")
    requests = sum(asked.values()) / machines
    print(f"  {resets} were sent; {requests:.1f} requests a machine: {dict(sorted(asked.items()))}")
    return 1 if missed or resets != machines else 0


if __name__ == "__main__":
    raise SystemExit(main())
