"""`groundstate plan` of 10,000 machines from a commit, whole processes, beside `terraform plan` of 10,000 resources.

    python bench/plan.py [--machines N] [--runs N]

The fleet was seen before (a store with a look at every machine, 100 of them not as declared); BMCs are not asked, as
Terraform's terraform_data has nothing to ask either. Cold: nothing of the repository is known. Warm: the blobs are
known from the last run. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.load import make_repository  # noqa: E402  the path is set above

COLD_SECONDS, COLD_MIB, WARM_SECONDS = 3.0, 300.0, 0.7
TERRAFORM = 'resource "terraform_data" "m{n:05d}" {{\n  input = {{ name = "m{n:05d}", power = "On" }}\n}}\n'


def remember(store_file: Path, repository: Path, cache: Path) -> None:
    """A store in which every machine was seen, and every hundredth was off."""
    from drivers.base import BootEnabled, BootOverride, BootTarget, IndicatorLED, PowerState, ResetType, SystemState
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state
    from reconciler.kinds.common.machine_facts import MachineFacts
    from reconciler.kinds.machine.machine_access import access_words_of
    from reconciler.model.observation import Observation
    from reconciler.store import Store

    state = load_state(open_source(str(repository)).snapshot(), cache=cache).raise_for_errors()
    store = Store.open(f"sqlite:///{store_file}")
    machines = list(state.of_kind("Machine"))
    keys = [machine.key for machine in machines]
    store.put_facts({one.key: MachineFacts(access=access_words_of(one.spec, state)) for one in machines})
    at = datetime.now(UTC)
    store.put_observations(
        Observation(
            key,
            at,
            SystemState(
                power=PowerState.OFF if number % 100 == 0 else PowerState.ON,
                boot=BootOverride(BootTarget.NONE, BootEnabled.DISABLED),
                indicator=IndicatorLED.OFF,
                health="OK",
                uuid=f"5a1f0000-0000-4000-8000-{number:012d}",
                manufacturer="ACME",
                model="R1",
                allowed_resets=tuple(ResetType),
            ),
        )
        for number, key in enumerate(keys)
    )
    store.close()


def measure(
    command: list[str], cwd: Path, environment: dict[str, str], expected: int, stderr: int | None = None
) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and MiB of one whole process (and its children)."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != expected:
        raise SystemExit(f"{command[1:3]} left with {child.returncode}, not {expected}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def environment_with(cache: Path) -> dict[str, str]:
    """The environment of a person, who lets Python keep its compiled modules."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"XDG_CACHE_HOME": str(cache)}


def terraform(folder: Path, machines: int) -> tuple[float, float, float] | None:
    """The peer's plan, where it is installed."""
    program = shutil.which("terraform")
    if program is None:
        return None
    (folder / "main.tf").write_text("".join(TERRAFORM.format(n=n) for n in range(machines)))
    environment = os.environ | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    subprocess.run([program, "init", "-no-color"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return measure([program, "plan", "-no-color", "-input=false", "-detailed-exitcode"], folder, environment, 2)


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--no-peer", action="store_true")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository, peer = folder / "fleet", folder / "terraform"
        repository.mkdir()
        peer.mkdir()
        make_repository(repository, arguments.machines)
        remember(folder / "state.db", repository, folder / "warm" / "groundstate")
        command = [sys.executable, str(ROOT / "cli.py"), "plan", "--no-refresh", "--store", str(folder / "state.db")]
        runs: dict[str, list[tuple[float, float, float]]] = {"cold": [], "warm": []}
        for number in range(arguments.runs):
            for kind, cache in (("cold", folder / f"cold-{number}"), ("warm", folder / "warm")):
                runs[kind].append(measure(command, repository, environment_with(cache), 2))
        other = None if arguments.no_peer else terraform(peer, arguments.machines)
    return report(arguments.machines, runs, other)


def report(
    machines: int, runs: dict[str, list[tuple[float, float, float]]], other: tuple[float, float, float] | None
) -> int:
    """Print the table; 1 when a limit is missed."""
    print(f"plan of {machines:,} machines      wall s    CPU s      MiB   limits")
    middle = {kind: tuple(median(run[part] for run in found) for part in range(3)) for kind, found in runs.items()}
    limits = {"cold": (COLD_SECONDS, COLD_MIB), "warm": (WARM_SECONDS, COLD_MIB)}
    missed = 0
    for kind, (wall, cpu, mib) in middle.items():
        seconds, most = limits[kind]
        held = wall <= seconds and mib <= most
        missed += not held
        verdict = "ok" if held else "MISSED"
        print(f"  groundstate, {kind:<12} {wall:8.2f} {cpu:8.2f} {mib:8.0f}   {seconds} s, {most:.0f} MiB: {verdict}")
    if other is None:
        print("  terraform is not installed (or not asked for): no ratio")
        return 1 if missed else 0
    print(f"  terraform plan            {other[0]:8.2f} {other[1]:8.2f} {other[2]:8.0f}")
    for kind, (wall, _, mib) in middle.items():
        times, sizes = other[0] / wall, other[2] / mib
        print(f"  terraform / groundstate {kind}: {times:.1f} times the time, {sizes:.1f} times the memory")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
