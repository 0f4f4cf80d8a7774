"""A step of one machine beside 100 claims that lack machines, in a fleet of 10,000, in one process.

    python bench/lacking.py [--machines N] [--claims N] [--seconds N]

One thread steps machines that are as declared. Beside it a thread steps all claims every two seconds, as if what they
wait for had changed, and another counts the work every five, as the daemon's housekeeping does. BMCs answer at once.
Two runs: `still`, where nothing else changes, with the limit; and `moving`, where 5 machines a second are powered on or
off by hand, so that what was counted holds for a fifth of a second. Before them, the CPU of a step is compared with
that in a fleet of a hundredth: nothing that each step does may go through the fleet. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from drivers.base import PowerState  # noqa: E402  the path is set above
from drivers.bmc.fake.fake import FakeFleet  # noqa: E402
from reconciler.applying.context import Context  # noqa: E402
from reconciler.applying.engine import Engine  # noqa: E402
from reconciler.kinds import KINDS  # noqa: E402
from reconciler.kinds.common.machine_facts import MachineFacts  # noqa: E402
from reconciler.model.facts import Facts  # noqa: E402
from reconciler.model.observation import Observation  # noqa: E402
from reconciler.model.resource import Commit, DesiredState, Resource, ResourceKey, Revision, Source  # noqa: E402
from reconciler.observed.connections import Connections, Drivers  # noqa: E402
from reconciler.store import Store  # noqa: E402

LIMIT_MS, RATIO = 10.0, 3.0
SMALLER, STEPS = 100, 1000
CLAIMS_SECONDS, COUNT_SECONDS, MOVES = 2.0, 5.0, 5
PAUSE = 0.005


def document(kind: str, name: str, spec: dict[str, Any]) -> Resource[Any]:
    """One resource, as if read from a file."""
    typed = msgspec.convert(spec, KINDS[kind].spec_type)
    return Resource(ResourceKey(kind, name), typed, {}, {}, Source(f"{name}.yaml"))


def machine(number: int) -> Resource[Any]:
    """Every second one is managed, and left alone in maintenance."""
    bmc = {"driver": "fake", "address": f"fake-m{number:05d}"}
    spec = {"bmc": bmc, "partition": f"p{number % 4}", "rack": f"r{number % 200}", "size": f"s{number % 5}"}
    if number % 2:
        spec |= {"lifecycle": {"mode": "Managed"}, "maintenance": {"reason": "for the bench"}}
    return document("Machine", f"m{number:05d}", spec)


def fleet(machines: int, claims: int) -> DesiredState:
    """Machines of which none is to be had, and claims on them."""
    root = {"url": "https://images.example/root", "checksum": "sha256:" + "0" * 64}
    image = {"os": "debian", "version": "12.0.20260101", "root": root, "classification": "supported"}
    found = [
        document("Image", "debian-12.0.20260101", image),
        *map(machine, range(machines)),
        *(
            document(
                "MachineClaim",
                f"c{number:03d}",
                {"project": "shop", "count": 2, "image": "debian-12", "partitions": [f"p{number % 4}"]}
                | ({"size": f"s{number % 5}"} if number % 3 else {"selector": {"tier": "compute"}}),
            )
            for number in range(claims)
        ),
    ]
    commit = Commit("a" * 40, "Ada", datetime.now(UTC), "Declare it")
    return DesiredState(Revision("a" * 40, "main", "fleet", commit), {one.key: one for one in found})


class Bench:
    """An engine over fake BMCs, all of which were looked at."""

    def __init__(self, folder: Path, machines: int, claims: int) -> None:
        self.bmcs = FakeFleet(lambda: 0.0)
        self.store = Store.open(f"sqlite:///{folder / 'state.db'}")
        drivers = Drivers(lambda _: self.bmcs, lambda _: None, None, None)  # type: ignore[arg-type,return-value]
        state = fleet(machines, claims)
        self.machines, self.claims = state.of_kind("Machine"), state.of_kind("MachineClaim")
        facts = Facts({one.key: MachineFacts() for one in self.machines}, {})
        context = Context(now=lambda: datetime.now(UTC), random=lambda: 0.5, by="bench", epoch=1)
        self.engine = Engine(self.store, Connections(drivers, folder), facts, context)
        self.engine.put_in_force(state)
        at = datetime.now(UTC)
        self.engine.use_observations(
            Observation(one.key, at, self.bmcs.machine(f"fake-{one.key.name}").state) for one in self.machines
        )

    def run(self, seconds: float, *, moving: bool) -> list[float]:
        """How long each step of a machine took, in milliseconds."""
        stop, took = threading.Event(), list[float]()
        beside = [
            self._every(CLAIMS_SECONDS, stop, lambda: [self.engine.reconcile(one.key) for one in self.claims]),
            self._every(COUNT_SECONDS, stop, self.engine.plan_rest),
            *([self._every(1 / MOVES, stop, self._move)] if moving else []),
        ]
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            key = self.machines[number % len(self.machines)].key
            begun = time.perf_counter()
            self.engine.reconcile(key)
            took.append((time.perf_counter() - begun) * 1000)
            number += 2
            time.sleep(PAUSE)
        stop.set()
        for thread in beside:
            thread.join()
        return took

    def _move(self) -> None:
        one = self.machines[int(time.monotonic() * MOVES) % len(self.machines)]
        bmc = self.bmcs.machine(f"fake-{one.key.name}")
        power = PowerState.OFF if bmc.state.power is PowerState.ON else PowerState.ON
        bmc.state = msgspec.structs.replace(bmc.state, power=power)
        self.engine.reconcile(one.key)

    def _every(self, seconds: float, stop: threading.Event, work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            while not stop.wait(seconds):
                work()

        thread = threading.Thread(target=run)
        thread.start()
        return thread


def cpu_of_step(machines: int, claims: int) -> dict[str, float]:
    """Milliseconds of CPU of one step of a machine, and of a claim, when nothing else goes on."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), machines, claims)
        for title, keys in (("machine", bench.machines[::2]), ("claim", bench.claims)):
            chosen = [keys[number % len(keys)].key for number in range(STEPS)]
            for key in chosen:
                bench.engine.reconcile(key)
            begun = time.thread_time()
            for key in chosen:
                bench.engine.reconcile(key)
            found[title] = (time.thread_time() - begun) * 1000 / STEPS
        bench.store.close()
    return found


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=10_000)
    options.add_argument("--claims", type=int, default=100)
    options.add_argument("--seconds", type=float, default=20.0)
    arguments = options.parse_args()
    missed = 0
    few = cpu_of_step(arguments.machines // SMALLER, max(1, arguments.claims // SMALLER))
    many = cpu_of_step(arguments.machines, arguments.claims)
    for title, spent in many.items():
        ratio = spent / few[title]
        missed += ratio > RATIO
        verdict = "ok" if ratio <= RATIO else "MISSED"
        said = f"{spent:.3f} ms of CPU, {ratio:.1f} times that of a fleet of 1/{SMALLER}"
        print(f"a step of a {title}: {said} (limit {RATIO:g}): {verdict}")
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.machines, arguments.claims)
        for claim in bench.claims:
            bench.engine.reconcile(claim.key)
        what = f"a step beside {arguments.claims} lacking claims, {arguments.machines:,} machines"
        print(f"{what:<54}    p50      p99      max   limit")
        for title, moving in (("still", False), ("moving", True)):
            cuts = quantiles(found := bench.run(arguments.seconds, moving=moving), n=100)
            held = moving or cuts[98] <= LIMIT_MS
            missed += not held
            verdict = "none" if moving else f"p99 {LIMIT_MS:.0f} ms: {'ok' if held else 'MISSED'}"
            print(f"  {title:<52} {cuts[49]:6.2f} {cuts[98]:8.2f} {max(found):8.2f}   {verdict}")
        bench.store.close()
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
