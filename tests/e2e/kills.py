"""kill -9 of `apply` and `run` at random moments, and the exact count of the writes that reached each BMC.

    python -m tests.e2e.kills [--kills 200] [--seed N] [--postgresql | --shards]

A round turns the power of every machine over, and the LED, the boot target, or a one-time boot order with it. It is
begun by processes that are killed, one after another, and brought to an end by one that is left alone. Whatever was
killed when, each machine must then have got exactly one Reset and one other write, be as declared, and nothing be told
as drift. An order for one boot that was in flight at a kill may be lost, and is then given by a new `request`, as a
person would: of each `request` one write arrives at most. Half of the kills come at any moment of a process's life, the
other half within a tenth of a second after an action was written down.

With `--postgresql` two daemons may share the store. The one that works is killed, and the other one while it takes over
or soon after. Or the first is stopped with an action in flight (SIGSTOP), and goes on after the other took over: then
it ends with 75 and has sent nothing more. With `--shards` three daemons share the fleet too: see shard_kills.py.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from tests.databases import postgresql_server
from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, Running
from tests.e2e.shard_kills import ShardKills, kill_sharers
from tests.e2e.simulated_bmcs import Bmcs, System, at

LAYOUT = [2, 1, 1, 1]
"""Systems of each BMC: actions of one BMC go one at a time."""
TARGET, ONCE = "m20", "m30"
"""The machine with a boot target, and the one with orders for one boot; the others have an LED."""
SECONDS = (1, 3)
"""That a power change takes."""
LIFE, FLIGHT = 8.0, 30.0
"""Seconds of a process's life within which it is killed, and for which it is waited for an action in flight."""
MOST_IN_A_ROUND = 4
WAYS, SHARED_WAYS = ("apply", "run"), ("run", "pair", "pair", "stopped", "stopped", "apply")
"""What is killed. The store of a killed `apply` is leased for a while, so there is less of that."""
LEASE_SECONDS = "3"
TAKE_OVER = 20.0
"""Seconds within which the other daemon must work."""
TAKEN_OVER = 75
"""The exit code of a daemon that finds another one at work."""
ROUND_SECONDS = 420.0
"""An LED whose write was written down and never sent is written again after a minute, most others after 30 s."""


class Kills(msgspec.Struct):
    """What came of it.

    `flying`: kills that left an action in flight; `expected`: the most writes that may have arrived; `again`: orders
    for one boot that were given by another request; `wrong`: what should not have been.
    """

    kills: int = 0
    flying: int = 0
    rounds: int = 0
    expected: int = 0
    arrived: int = 0
    again: int = 0
    of: dict[str, int] = {}
    slowest: float = 0.0
    wrong: list[str] = []

    def __str__(self) -> str:
        by = ", ".join(f"{count} of {name}" for name, count in sorted(self.of.items()))
        return (
            f"{self.kills} kills ({by}), {self.flying} of them with an action in flight; {self.rounds} rounds, "
            f"{self.arrived} writes arrived of {self.expected} wanted; {self.again} orders for one boot were lost and "
            f"given anew; slowest end of a round {self.slowest:.0f} s; "
            f"{len(self.wrong)} wrong"
        )


def kill_many(
    folder: Path, kills: int, seed: int, told: Callable[[str], None] = lambda _: None, store: str | None = None
) -> Kills:
    """Kill so many processes; `told` is given a line for each round. `store`: on PostgreSQL; None: a file."""
    chance, found = random.Random(seed), Kills()
    numbers = iter(range(1, 100))
    layout = [[f"5a1f0000-0000-4000-8000-{next(numbers):012x}" for _ in range(count)] for count in LAYOUT]
    with EmulatorFleet(folder / "bmcs", layout, SECONDS) as fleet:
        bmcs, desk = Bmcs(fleet, folder / "bmcs", layout), Desk(folder / "desk")
        systems = {f"m{bmc}{n}": bmcs.system(bmc) for bmc, count in enumerate(LAYOUT) for n in range(count)}
        bmcs.let_in(desk)
        if store is not None:
            desk.environment["GROUNDSTATE_STORE"] = store
        # An order for one boot in the document of a machine that nobody knows is held.
        desk.commit("Meet them", lab=[bmcs.partition(), *(at(system, name) for name, system in systems.items())])
        assert desk.run("apply", "--yes").code == 0
        while found.kills < kills:
            found.rounds, known = found.rounds + 1, len(found.wrong)
            _round(desk, bmcs, systems, found, chance, min(kills - found.kills, chance.randint(1, MOST_IN_A_ROUND)))
            told("\n".join([f"round {found.rounds}: {found}", *(f"WRONG {one}" for one in found.wrong[known:])]))
    return found


class Round:
    """One round: what is declared, and how often the order for one boot was given."""

    def __init__(self, desk: Desk, bmcs: Bmcs, systems: dict[str, System], number: int) -> None:
        self._context, self._bmcs, self._systems, self.number = desk, bmcs, systems, number
        self._before = {name: len(bmcs.writes(system)) for name, system in systems.items()}
        self._lost: str | None = _lost(desk)
        self.requests = 0
        self.declare()

    def declare(self) -> None:
        """Commit what the round wants, with an order for one boot that was not given before."""
        self.requests += 1
        machines = (at(system, name, **self._wanted(name)) for name, system in self._systems.items())
        self._context.commit(f"Round {self.number}, {self.requests}", lab=[self._bmcs.partition(), *machines])

    def _wanted(self, name: str) -> dict[str, Any]:
        on = self.number % 2 == 1
        power = {"power": "On" if on else "Off", "shutdown": {"escalate": "Force", "timeoutSeconds": 30}}
        boot = {"target": "Pxe" if on else "Hdd", "enabled": "Continuous"}
        if name == ONCE:
            boot |= {"enabled": "Once", "request": f"{self.number}-{self.requests}"}
        led = {"indicatorLED": "Blinking" if on else "Off"}
        return {**power, **({"boot": boot} if name in (TARGET, ONCE) else led)}

    def give_again(self) -> bool:
        """Whether the order for one boot was lost, and so is given by a new request now."""
        if (lost := _lost(self._context)) in (None, self._lost):
            return False
        self._lost = lost
        self.declare()
        return True

    def writes(self, name: str) -> list[str]:
        """What has arrived in this round, in the order of names."""
        return sorted(self._bmcs.writes(self._systems[name])[self._before[name] :])

    def is_through(self) -> bool:
        """Whether all is as declared, and nothing is in flight. In this order: what has arrived at a BMC was in flight
        before, and stays so until it is confirmed."""
        return all(map(self._is_as_declared, self._systems)) and not _flights(self._context)

    def _is_as_declared(self, name: str) -> bool:
        wanted, seen = self._wanted(name), self._bmcs.ask(self._systems[name])
        led, target = wanted.get("indicatorLED"), wanted.get("boot", {}).get("target")
        return (
            seen["PowerState"] == wanted["power"]
            and led in (None, seen["IndicatorLED"])
            and target in (None, seen["Boot"]["BootSourceOverrideTarget"])
        )


def _round(desk: Desk, bmcs: Bmcs, systems: dict[str, System], found: Kills, chance: random.Random, kills: int) -> None:
    this = Round(desk, bmcs, systems, found.rounds)
    for _ in range(kills):
        _kill(desk, found, chance)
        this.give_again()
    begun = time.monotonic()
    _finish(desk, chance.choice(("apply", "run")), this, found)
    found.slowest = max(found.slowest, time.monotonic() - begun)
    for name in systems:
        writes = this.writes(name)
        most = this.requests if name == ONCE else 1
        found.expected, found.arrived = found.expected + 1 + most, found.arrived + len(writes)
        if writes not in [["PATCH"] * count + ["POST Reset"] for count in range(1, most + 1)]:
            found.wrong.append(f"round {found.rounds}, {name}: {writes} arrived, {most} PATCH and a Reset were wanted")
    found.again += this.requests - 1
    if not this.is_through():
        found.wrong.append(f"round {found.rounds}: not as declared at the end")
    if told := _drift(desk):
        found.wrong.append(f"round {found.rounds}: told as drift: {told}")


def _kill(desk: Desk, found: Kills, chance: random.Random) -> None:
    """Start a process and kill it; one that has ended before by itself is no kill."""
    name = chance.choice(WAYS if _shared(desk) is None else SHARED_WAYS)
    known = _flights(desk)
    if name in WAYS:
        with _started(desk, name) as running:
            _await_moment(desk, known, running, chance, in_flight=chance.random() < 0.5)
            _end(desk, name, running, found)
        return
    with _started(desk, "run") as first:
        if not _has_logged(first, "Started"):
            found.wrong.append(f"round {found.rounds}: no daemon started:\n{first.err}")
            return
        with _started(desk, "run") as second:
            _await_moment(desk, known, first, chance, in_flight=name == "stopped" or chance.random() < 0.5)
            if name == "stopped":
                _stop_for_a_while(first, second, found, chance)
            else:
                _end(desk, name, first, found)
            time.sleep(chance.random() * LIFE)
            _end(desk, name, second, found)


def _await_moment(desk: Desk, known: set[str], running: Running, chance: random.Random, *, in_flight: bool) -> None:
    """Any moment of its life, or one soon after it wrote an action down."""
    if not in_flight:
        time.sleep(chance.random() * LIFE)
        return
    until = time.monotonic() + FLIGHT
    while time.monotonic() < until and _flights(desk) <= known and running.process.poll() is None:
        time.sleep(0.002)
    time.sleep(chance.random() / 10)


def _end(desk: Desk, name: str, running: Running, found: Kills) -> None:
    if running.process.poll() is None:
        running.end(signal.SIGKILL)
        found.kills += 1
        found.of[name] = found.of.get(name, 0) + 1
        found.flying += bool(_flights(desk))


def _stop_for_a_while(first: Running, second: Running, found: Kills, chance: random.Random) -> None:
    """The one that works is stopped, is taken over from, goes on, and finds that it may not."""
    first.send(signal.SIGSTOP)
    if not _has_logged(second, "Started"):
        said = f"{first.err}\n--\n{second.err}"
        found.wrong.append(f"round {found.rounds}: nobody took over from a daemon that was stopped:\n{said}")
        first.end(signal.SIGKILL)
        return
    time.sleep(chance.random() * LIFE)
    first.send(signal.SIGCONT)
    try:
        ended = first.end()
    except subprocess.TimeoutExpired:
        said = f"{first.err}\n--\n{second.err}"
        found.wrong.append(f"round {found.rounds}: a daemon that was taken over from did not end:\n{said}")
        first.end(signal.SIGKILL)
        return
    if ended.code != TAKEN_OVER:
        found.wrong.append(f"round {found.rounds}: a daemon that was taken over from left with {ended.code}")


def _has_logged(running: Running, event: str) -> bool:
    until = time.monotonic() + TAKE_OVER
    while f'"{event}"' not in running.err:
        if time.monotonic() > until or running.process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def _finish(desk: Desk, name: str, this: Round, found: Kills) -> None:
    until = time.monotonic() + ROUND_SECONDS
    while True:
        code, said, stopped = _left_alone(desk, name, this, until)
        # An apply ends when the order for one boot is lost.
        if name == "apply" and code == 1 and this.give_again():
            continue
        break
    if not stopped:
        found.wrong.append(f"round {found.rounds}: the last run ended before it was through, or asked to")
    # An apply that finds nothing left to send, or only what is under way, says so with its code.
    if code != 0:
        found.wrong.append(f"round {found.rounds}: the last {name} left with {code}:\n{said}")


def _left_alone(desk: Desk, name: str, this: Round, until: float) -> tuple[int, str, bool]:
    """Its exit code, what it said, and whether it ended as it should: by itself, or a daemon when it was asked to."""
    stopped = name == "apply"
    with _started(desk, name) as running:
        while time.monotonic() < until and running.process.poll() is None:
            # Before that a signal just ends it.
            if name == "run" and '"Started"' in running.err:
                this.give_again()
                if this.is_through():
                    running.send(signal.SIGTERM)
                    stopped = True
                    break
            time.sleep(0.1)
        return running.process.wait(60), running.out + running.err, stopped


@contextmanager
def _started(desk: Desk, name: str) -> Iterator[Running]:
    if name == "run":
        lease = () if _shared(desk) is None else ("--lease", LEASE_SECONDS)
        with desk.daemon("--max-disrupted", "100%", *lease) as running:
            yield running
    else:
        with desk.running("apply", "--yes", "--max-disrupted", "100%", "--timeout", str(ROUND_SECONDS)) as running:
            yield running


def _flights(desk: Desk) -> set[str]:
    """The names of the actions in flight, read without the program."""
    return set(_read(desk, "SELECT action_id FROM in_flight"))


def _lost(desk: Desk) -> str | None:
    """When an order for one boot was last given up, as nobody knows whether it arrived."""
    facts = _read(desk, f"SELECT value FROM facts WHERE name = '{ONCE}'")  # noqa: S608  all of it is ours
    return next((json.loads(one).get("failures", {}).get("spec.boot", {}).get("at") for one in facts), None)


def _drift(desk: Desk) -> list[str]:
    found = _read(desk, "SELECT value FROM event WHERE value LIKE '%DriftDetected%'")
    return [one for one in found if json.loads(one)["reason"] == "DriftDetected"]


def _shared(desk: Desk) -> str | None:
    """The URL of its store on PostgreSQL; None: it is a file."""
    store = desk.environment["GROUNDSTATE_STORE"]
    return store if store.startswith("postgresql:") else None


def _read(desk: Desk, query: str) -> list[str]:
    shared = _shared(desk)
    if shared is not None:
        with psycopg.connect(shared) as database:
            return [row[0] for row in database.execute(query.encode()).fetchall()]
    if not desk.store.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{desk.store}?mode=ro", uri=True, timeout=5)) as connection:
            return [row[0] for row in connection.execute(query)]
    except sqlite3.OperationalError:  # It is being made.
        return []


def main() -> int:
    """Run, report, and say with the exit code whether all held."""
    options = argparse.ArgumentParser(prog="./dev crash", description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    options.add_argument("--postgresql", action="store_true", help="two daemons share a store on PostgreSQL")
    options.add_argument("--shards", action="store_true", help="three daemons share a store and the fleet")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundstate-kills-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # The server runs as another user.
        server, told = folder / "server", partial(print, flush=True)
        found: Kills | ShardKills
        with postgresql_server(server) if asked.postgresql or asked.shards else nullcontext() as store:
            if store is not None and asked.shards:
                found = kill_sharers(folder, server, store, asked.kills, asked.seed, told)
            else:
                found = kill_many(folder, asked.kills, asked.seed, told, store)
    print(f"{found}; seed {asked.seed}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
