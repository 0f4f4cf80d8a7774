"""kill -9 of `apply` and `run` at random moments, and the exact count of the writes that reached each BMC.

    python -m tests.e2e.kills [--kills 200] [--seed N]

A round turns the power and the LED of every machine over. It is begun by processes that are killed, one after another,
and brought to an end by one that is left alone. Whatever was killed when, each machine must then have got exactly one
Reset and one write of its LED, and be as declared. Half of the kills come at any moment of a process's life, the other
half within a tenth of a second after an action was written down.
"""

from __future__ import annotations

import argparse
import random
import secrets
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from drivers.bmc.emulator import EmulatorFleet
from tests.e2e.bmcs import Bmcs, System, at
from tests.e2e.desk import Desk, Running

LAYOUT = [2, 1, 1]
"""Systems of each BMC: actions of one BMC go one at a time."""
SECONDS = (1, 3)
"""That a power change takes."""
LIFE = 4.0
"""Seconds of a process's life within which it is killed."""
MOST_IN_A_ROUND = 4
ROUND_SECONDS = 420.0
"""An LED whose write was written down and never sent is written again after a minute, most others after 30 s."""
WRITES = ["PATCH", "POST Reset"]


class Kills(msgspec.Struct):
    """What came of it. `flying`: kills that left an action in flight behind; `wrong`: what should not have been."""

    kills: int = 0
    flying: int = 0
    rounds: int = 0
    expected: int = 0
    arrived: int = 0
    of: dict[str, int] = {}
    slowest: float = 0.0
    wrong: list[str] = []

    def __str__(self) -> str:
        by = ", ".join(f"{count} of {name}" for name, count in sorted(self.of.items()))
        return (
            f"{self.kills} kills ({by}), {self.flying} of them with an action in flight; {self.rounds} rounds, "
            f"{self.arrived} writes arrived of {self.expected} wanted; slowest end of a round {self.slowest:.0f} s; "
            f"{len(self.wrong)} wrong"
        )


def kill_many(folder: Path, kills: int, seed: int, told: Callable[[str], None] = lambda _: None) -> Kills:
    """Kill so many processes; `told` is given a line for each round."""
    chance, found = random.Random(seed), Kills()
    numbers = iter(range(1, 100))
    layout = [[f"5a1f0000-0000-4000-8000-{next(numbers):012x}" for _ in range(count)] for count in LAYOUT]
    with EmulatorFleet(folder / "bmcs", layout, SECONDS) as fleet:
        bmcs, desk = Bmcs(fleet, folder / "bmcs", layout), Desk(folder / "desk")
        systems = {f"m{bmc}{n}": bmcs.system(bmc) for bmc, count in enumerate(LAYOUT) for n in range(count)}
        bmcs.let_in(desk)
        while found.kills < kills:
            found.rounds, known = found.rounds + 1, len(found.wrong)
            _round(desk, bmcs, systems, found, chance, min(kills - found.kills, chance.randint(1, MOST_IN_A_ROUND)))
            told("\n".join([f"round {found.rounds}: {found}", *(f"WRONG {one}" for one in found.wrong[known:])]))
    return found


def _round(desk: Desk, bmcs: Bmcs, systems: dict[str, System], found: Kills, chance: random.Random, kills: int) -> None:
    before = {name: len(bmcs.writes(system)) for name, system in systems.items()}
    on = found.rounds % 2 == 1
    declared: dict[str, Any] = {"power": "On" if on else "Off", "indicatorLED": "Blinking" if on else "Off"}
    machines = (
        at(system, name, **declared, shutdown={"escalate": "Force", "timeoutSeconds": 30})
        for name, system in systems.items()
    )
    desk.commit(f"Round {found.rounds}", lab=[bmcs.partition(), *machines])
    for _ in range(kills):
        _kill(desk, found, chance)
    begun = time.monotonic()
    _finish(desk, chance.choice(("apply", "run")), lambda: _as_declared(desk, bmcs, systems, declared), found)
    found.slowest = max(found.slowest, time.monotonic() - begun)
    for name, system in systems.items():
        writes = sorted(bmcs.writes(system)[before[name] :])
        found.expected, found.arrived = found.expected + len(WRITES), found.arrived + len(writes)
        if writes != WRITES:
            found.wrong.append(f"round {found.rounds}, {name}: {writes} arrived, {WRITES} were wanted")
    if not _as_declared(desk, bmcs, systems, declared):
        found.wrong.append(f"round {found.rounds}: not as declared at the end")


def _kill(desk: Desk, found: Kills, chance: random.Random) -> None:
    """Start a process and kill it; one that has ended before by itself is no kill."""
    name = chance.choice(("apply", "run"))
    known = _flights(desk)
    with _started(desk, name) as running:
        until = time.monotonic() + LIFE
        if chance.random() < 0.5:
            while time.monotonic() < until and _flights(desk) <= known and running.process.poll() is None:
                time.sleep(0.002)
            time.sleep(chance.random() / 10)
        else:
            time.sleep(chance.random() * LIFE)
        if running.process.poll() is None:
            running.end(signal.SIGKILL)
            found.kills += 1
            found.of[name] = found.of.get(name, 0) + 1
            found.flying += bool(_flights(desk))


def _finish(desk: Desk, name: str, through: Callable[[], bool], found: Kills) -> None:
    with _started(desk, name) as running:
        until, stopped = time.monotonic() + ROUND_SECONDS, name == "apply"
        while time.monotonic() < until and running.process.poll() is None:
            # Before that a signal just ends it.
            if name == "run" and '"Started"' in running.err and through():
                running.send(signal.SIGTERM)
                stopped = True
                break
            time.sleep(0.1)
        code = running.process.wait(60)
    if not stopped:
        found.wrong.append(f"round {found.rounds}: the last run ended before it was through, or asked to")
    # An apply that finds nothing left to send, or only what is under way, says so with its code.
    if code != 0:
        found.wrong.append(f"round {found.rounds}: the last {name} left with {code}:\n{running.out}{running.err}")


@contextmanager
def _started(desk: Desk, name: str) -> Iterator[Running]:
    if name == "run":
        with desk.daemon("--max-disrupted", "100%") as running:
            yield running
    else:
        with desk.running("apply", "--yes", "--max-disrupted", "100%", "--timeout", str(ROUND_SECONDS)) as running:
            yield running


def _flights(desk: Desk) -> set[str]:
    """The names of the actions in flight, read without the program."""
    if not desk.store.exists():
        return set()
    try:
        with closing(sqlite3.connect(f"file:{desk.store}?mode=ro", uri=True, timeout=5)) as connection:
            return {name for (name,) in connection.execute("SELECT action_id FROM in_flight")}
    except sqlite3.OperationalError:  # It is being made.
        return set()


def _as_declared(desk: Desk, bmcs: Bmcs, systems: dict[str, System], declared: dict[str, Any]) -> bool:
    states = [bmcs.ask(system) for system in systems.values()]
    wanted = (declared["power"], declared["indicatorLED"])
    # In this order: what has arrived at a BMC was in flight before, and stays so until it is confirmed.
    return all((one["PowerState"], one["IndicatorLED"]) == wanted for one in states) and not _flights(desk)


def main() -> int:
    """Run, report, and say with the exit code whether all held."""
    options = argparse.ArgumentParser(prog="./dev crash", description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundstate-kills-") as folder:
        found = kill_many(Path(folder), asked.kills, asked.seed, lambda line: print(line, flush=True))
    print(f"{found}; seed {asked.seed}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
