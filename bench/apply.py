"""`groundstate apply --yes` of 500 power-ons over TLS, each answer after 100 ms, as a whole process.

    python bench/apply.py [--machines N] [--runs N] [--milliseconds N]

Wall and CPU seconds of the process and its children, and what the BMCs were asked. redfishpower (C, no session, no
audit) took 2.2 s and 0.5 CPU s for the same. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.bmcs import RESET, counts, open_files, simulated, write_fleet  # noqa: E402  the path is set above
from bench.plan import environment_with, measure  # noqa: E402
from bench.redfish_poll import SESSIONS  # noqa: E402

WALL_SECONDS, CPU_SECONDS = 6.0, 3.0


def run(machines: int, seconds: float) -> tuple[float, float, dict[str, int]]:
    """One apply of a fleet that is off, from a repository and a store of its own."""
    with tempfile.TemporaryDirectory() as name, simulated(machines, seconds=seconds, power="Off") as (addresses, pin):
        folder = Path(name)
        environment = environment_with(folder / "cache") | write_fleet(folder, addresses, pin)
        shares = [f"--max-{what}=100%" for what in ("disrupted", "removed", "unreachable")]
        command = [sys.executable, str(ROOT / "cli.py"), "apply", "--yes", *shares]
        wall, cpu, _ = measure(command, folder / "fleet", environment, 0, subprocess.DEVNULL)
        return wall, cpu, counts(addresses[0])


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=500)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--milliseconds", type=float, default=100.0)
    arguments = options.parse_args()
    open_files()
    runs = [run(arguments.machines, arguments.milliseconds / 1000) for _ in range(arguments.runs)]
    wall, cpu = median(one[0] for one in runs), median(one[1] for one in runs)
    asked = runs[-1][2]
    logins, resets = asked[f"POST {SESSIONS}"], asked[f"POST {RESET}"]
    print(f"apply of {arguments.machines:,} power-ons at {arguments.milliseconds:g} ms a request")
    missed = 0
    for what, found, limit in (
        ("wall s", wall, WALL_SECONDS),
        ("CPU s", cpu, CPU_SECONDS),
        ("logins", logins, arguments.machines),
    ):
        held = found <= limit
        missed += not held
        print(f"  {what:<8} {found:8.2f}   limit {limit:g}: {'ok' if held else 'MISSED'}")
    requests = sum(asked.values()) / arguments.machines
    print(f"  {resets} were sent; {requests:.1f} requests a machine: {dict(sorted(asked.items()))}")
    return 1 if missed or resets != arguments.machines else 0


if __name__ == "__main__":
    raise SystemExit(main())
