"""How long 10,000 machines take from a commit to a desired state: cold, warm, and after a commit of ten files.

    python bench/load.py [--machines N]

Each figure is of a fresh process, Python's start and every import included, children's CPU counted; the limit stands
beside it. The files are one machine each, of about 1.3 KB, in a packed repository.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MACHINE = """\
# yaml-language-server: $schema=https://groundstate.dev/schemas/v1/machine.json
# Rack {rack}, slot {slot}. Delivered in batch {rack}; see the asset database for its papers.
apiVersion: groundstate/v1
kind: Machine
metadata:
  name: {name}
  labels:
    rack: r{rack:03d}
    slot: "{slot}"
    tier: compute
    owner: platform
    generation: gen-{generation}
    environment: production
  annotations:
    asset: "A{number:07d}"
    ticket: OPS-{number}
    contact: Data centre operations, hall 3, extension 4711
    warranty: next business day, until the end of the year after next
    purpose: compute node of the general pool, claimed by project
spec:
  partition: fra-1
  rack: r{rack:03d}
  size: c1-large
  bmc:
    address: https://10.{a}.{b}.{c}
    systemId: System.Embedded.1
    driver: redfish
    credentialRef:
      name: fra
    tls:
      caFile: /etc/groundstate/bmc-ca.pem
  macs:
    - 52:54:00:{a:02x}:{b:02x}:{c:02x}
    - 52:54:01:{a:02x}:{b:02x}:{c:02x}
    - 52:54:02:{a:02x}:{b:02x}:{c:02x}
    - 52:54:03:{a:02x}:{b:02x}:{c:02x}
  # The machine is in production: it stays on, and nobody shuts it down by surprise.
  power: On
  shutdown:
    timeoutSeconds: 300
    escalate: Never
  # It boots from its own disk; the override is only ever set while it is installed.
  boot:
    enabled: Disabled
  indicatorLED: Off
  taints:
    - key: burn-in
      value: "{generation}"
      effect: NoClaim
"""
SHARED = """\
apiVersion: groundstate/v1
kind: Partition
metadata: {name: fra-1}
spec: {place: Frankfurt}
---
apiVersion: groundstate/v1
kind: Size
metadata: {name: c1-large}
spec:
  constraints:
    - {type: cores, min: 32, max: 64}
    - {type: memory, min: 64Gi, max: 512Gi}
"""


def machine(number: int, generation: int = 1) -> str:
    """The document of one machine."""
    rack, slot = divmod(number, 40)
    a, b, c = number >> 16 & 255, number >> 8 & 255, number & 255
    name = f"r{rack:03d}-{slot:02d}"
    return MACHINE.format(name=name, rack=rack, slot=slot, number=number, generation=generation, a=a, b=b, c=c)


def make_repository(folder: Path, machines: int) -> None:
    """A packed repository with so many machines, 40 files a folder."""
    (folder / "shared.yaml").write_text(SHARED)
    for number in range(machines):
        place = folder / "machines" / f"r{number // 40:03d}" / f"{number % 40:02d}.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(machine(number))
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "fleet"], ["gc", "-q"]):
        _git(folder, *args)


def change(folder: Path, count: int, generation: int) -> None:
    """A commit that changes so many machines."""
    for number in range(count):
        (folder / "machines" / f"r{number:03d}" / "00.yaml").write_text(machine(number * 40, generation))
    _git(folder, "commit", "-q", "-a", "-m", "change")


def _git(folder: Path, *args: str) -> None:
    settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example"}
    settings |= {"GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@example"}
    subprocess.run(["git", "-C", str(folder), "-c", "gc.auto=0", *args], check=True, env=os.environ | settings)


def load_once(folder: Path, cache: Path) -> None:
    """In a fresh process: load the newest commit and print nothing but its own measurements, as JSON."""
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state

    state = load_state(open_source(folder).snapshot(), cache).raise_for_errors()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"resources": len(state.resources), "rss": used.ru_maxrss / 1024}))


def resident(folder: Path, rounds: int = 5) -> dict[str, float]:
    """In this process: the median of reading a commit that changes ten of the files that are already known."""
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state
    from reconciler.desired.rules import references

    source = open_source(folder)
    loaded = load_state(source.snapshot())
    whole = []
    for generation in range(2, 2 + rounds):
        change(folder, 10, generation)
        whole.append(_measured(lambda: load_state(source.snapshot(), previous=loaded).raise_for_errors()))
    everything = [found for resources in loaded.known.values() for found in resources]
    rules = [_measured(lambda: references.check_references(everything)) for _ in range(rounds)]
    listing = [_measured(source.snapshot) for _ in range(rounds)]
    return {name: sorted(values)[rounds // 2] for name, values in (("all", whole), ("rules", rules), ("git", listing))}


def _measured(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fresh(folder: Path, cache: Path) -> dict[str, float]:
    """A fresh process of `load_once`: wall and CPU seconds with its start and its children, and its memory in MiB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, "--once", str(folder), str(cache)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(root)})
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "rss": json.loads(done.stdout)["rss"]}


def report(name: str, runs: list[dict[str, float]], cpu_limit: float, rss_limit: float) -> bool:
    """Print the median run beside its limits; whether it keeps them."""
    run = sorted(runs, key=lambda each: each["cpu"])[len(runs) // 2]
    kept = run["cpu"] <= cpu_limit and run["rss"] <= rss_limit
    print(
        f"{name:28} {run['wall']:6.2f} s wall {run['cpu']:6.2f} s CPU (limit {cpu_limit}) "
        f"{run['rss']:5.0f} MiB (limit {rss_limit:.0f})  {'ok' if kept else 'OVER'}"
    )
    return kept


def main() -> int:
    """Run everything; exit 1 when a limit is not kept."""
    parser = argparse.ArgumentParser(description="Measure the loading of desired state.")
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--once", nargs=2, type=Path, metavar=("FOLDER", "CACHE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if options.once:
        load_once(*options.once)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name, "repository"), Path(name, "cache")
        folder.mkdir()
        make_repository(folder, options.machines)
        print(f"{options.machines:,} machines, {len(machine(0))} bytes each")
        scale = max(1.0, options.machines / 10_000)
        cold = [fresh(folder, Path(name, f"cold{number}")) for number in range(3)]
        fresh(folder, cache)
        warm = [fresh(folder, cache) for _ in range(3)]
        kept = report("cold, nothing known", cold, 2.2 * scale, 250 * scale)
        kept &= report("warm, everything known", warm, 0.35 * scale, 250 * scale)
        found = resident(folder)
        print(
            f"resident, ten-file commit    {found['all'] * 1000:6.1f} ms wall, of which the listing by git "
            f"{found['git'] * 1000:.1f} ms and rules between files {found['rules'] * 1000:.1f} ms (limit 150)"
        )
        return 0 if kept and found["rules"] <= 0.15 * scale else 1


if __name__ == "__main__":
    sys.exit(main())
