"""kill -9, pauses and ends of daemons that share a fleet, and restarts of their database, while every write is counted.

    ./dev crash --shards [--kills 200] [--seed N]

Three daemons are at work: one decides, the others attend to shards. All the time machines are declared to be what they
are not: the power and the LED of each are turned over as soon as it is as declared and nothing is in flight for it.
Meanwhile one of the daemons is killed, paused (SIGSTOP) and continued, or asked to end, at any moment or soon after an
action was written down; or PostgreSQL is restarted. Daemons that have ended are started again.

Whatever came when, each machine has got exactly one Reset and one PATCH each time it was turned over, and no write
while its power was changing. Each shard has an owner again soon.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tests.databases import crash, start_again, stop_in_order
from tests.e2e.desk import Desk, Running, until
from tests.e2e.shared_fleet import SECONDS, SharedFleet, shared_fleet

DAEMONS, MACHINES, WAVE = 3, 30, 10
"""Machines of a wave: so many are turned over at once at most."""
WAYS = ("killed",) * 5 + ("paused",) * 3 + ("ended",) * 2 + ("database",)
PAUSE, LIFE, FLIGHT = 8.0, 3.0, 5.0
"""Seconds: the longest pause, until the next kill at any moment, and for which an action in flight is waited for."""
OWNED_SECONDS = 20.0
"""Within which each shard has an owner again."""
END_SECONDS = 240.0
"""Within which all is as declared at the end: a write of which nobody knows whether it arrived is waited for."""
TAKEN_OVER = 75

_HOMELESS = """
    SELECT shard.name FROM shard LEFT JOIN worker ON worker.name = shard.owner AND worker.ends_at > clock_timestamp()
    WHERE wanted IS NOT NULL AND (worker.name IS NULL OR shard.owner IS DISTINCT FROM wanted)
    UNION ALL SELECT 'the store' FROM lease WHERE ends_at IS NULL OR ends_at < clock_timestamp()
"""


class ShardKills(msgspec.Struct):
    """What came of it. `of`: kills by their way. `turned`: how often each machine was turned over. `slowest`: seconds
    until each shard had an owner again, by the way. `wrong`: what should not have been."""

    of: Counter[str] = msgspec.field(default_factory=Counter)
    turned: Counter[str] = msgspec.field(default_factory=Counter)
    flying: int = 0
    slowest: dict[str, float] = {}
    wrong: list[str] = []

    @property
    def kills(self) -> int:
        """Of all ways together."""
        return self.of.total()

    def __str__(self) -> str:
        by = ", ".join(f"{count} {name}" for name, count in sorted(self.of.items()))
        slow = ", ".join(f"{seconds:.1f} s {name}" for name, seconds in sorted(self.slowest.items()))
        return (
            f"{self.kills} kills ({by}), {self.flying} of them with actions in flight; {self.turned.total()} turns of "
            f"machines, each one Reset and one PATCH; slowest until each shard had an owner: {slow}; "
            f"{len(self.wrong)} wrong"
        )


class _Daemon:
    """One daemon, which is started again when it has ended."""

    def __init__(self, fleet: SharedFleet) -> None:
        self._fleet, self._stack = fleet, ExitStack()
        self.may_leave = False
        self.running: Running = self._started()

    def _started(self) -> Running:
        found: Running = self._stack.enter_context(self._fleet.daemon("", "--concurrency", "4"))
        return found

    @property
    def is_up(self) -> bool:
        """Whether it decides, or stands by and so attends to shards."""
        return any(word in self.running.err for word in ('"Started"', '"StandingBy"'))

    def again(self) -> None:
        """Start it again. Raises AssertionError for a traceback in its log."""
        self.close()
        self.may_leave = False
        self.running = self._started()

    def close(self) -> None:
        """Kill it, if it is there."""
        self._stack.close()


class _Sharers:
    """The daemons, the fleet, and what was declared."""

    def __init__(self, fleet: SharedFleet, server: Path, chance: random.Random) -> None:
        self.fleet, self.server, self.chance = fleet, server, chance
        self.found = ShardKills()
        self.is_on = dict.fromkeys(fleet.machines, False)
        self.daemons: list[_Daemon] = []

    def turn(self) -> None:
        """Turn over some machines that are as declared."""
        through = self.through()
        wave = self.chance.sample(through, min(len(through), self.chance.randint(0, WAVE)))
        if wave:
            self.is_on |= {name: not self.is_on[name] for name in wave}
            self.found.turned.update(wave)
            self.fleet.declare_each(f"Turn {' '.join(wave)}", {name: self._wanted(name) for name in self.is_on})

    def _wanted(self, name: str) -> dict[str, Any]:
        on = self.is_on[name]
        return {"power": "On" if on else "Off", "indicatorLED": "Lit" if on else "Off"}

    def through(self) -> list[str]:
        """The machines that are as declared, with nothing in flight. The flights are read first: what arrives later is
        not as declared before."""
        flying = {row[0] for row in self.fleet.rows("SELECT name FROM in_flight")}
        with self.fleet.bmcs.fleet.lock:
            systems = [bmc.systems[0].state for bmc in self.fleet.bmcs.fleet.bmcs]
        return [
            name
            for name, seen in zip(self.is_on, systems, strict=True)
            if name not in flying
            and {"power": str(seen.power), "indicatorLED": str(seen.indicator)} == self._wanted(name)
        ]

    def count(self, *, is_end: bool = False) -> None:
        """Note what arrived too often, or at the end not at all, and what arrived while a power change was under
        way."""
        with self.fleet.bmcs.fleet.lock:
            writes = self.fleet.bmcs.fleet.writes
        found, changing = Counter((one.machine, one.method) for one in writes), dict[str, float]()
        for one in writes:
            if one.at < changing.get(one.machine, 0.0):
                self.wrong(f"{one.machine} got {one.method} {one.path} while its power was changing")
            if one.method == "POST":
                changing[one.machine] = one.at + SECONDS
        for name in self.is_on:
            for method in ("POST", "PATCH"):
                number, most = found[name, method], self.found.turned[name]
                if number > most or (is_end and number != most):
                    self.wrong(f"{name}: {number} {method} arrived, {most} were wanted")

    def wrong(self, what: str) -> None:
        """Note it, once."""
        if what not in self.found.wrong:
            self.found.wrong.append(what)

    # -- kills -------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """One of the daemons, or the database."""
        way, flying = self.chance.choice(WAYS), self._moment()
        up = [one for one in self.daemons if one.is_up]
        one = self.chance.choice(up if up and self.chance.random() < 0.9 else self.daemons)
        self.found.of[way] += 1
        self.found.flying += flying
        begun = time.monotonic()
        match way:
            case "killed":
                one.running.end(signal.SIGKILL)
            case "ended":
                self._end(one)
            case "paused":
                self._pause(one)
            case _:
                self._restart_database()
        # An end counts from the signal, and a pause or a restart from when it is over.
        self._await_owners(way, begun if way in ("killed", "ended") else time.monotonic())
        self.start_again()
        self.count()

    def _moment(self) -> bool:
        """Wait for one; whether actions are in flight then."""
        if self.chance.random() < 0.4:
            time.sleep(self.chance.random() * LIFE)
            return bool(self.fleet.in_flight())
        end, known = time.monotonic() + FLIGHT, self.fleet.in_flight()
        while time.monotonic() < end and self.fleet.in_flight() <= known:
            time.sleep(0.005)
        time.sleep(self.chance.random() / 10)
        return bool(self.fleet.in_flight())

    def _end(self, one: _Daemon) -> None:
        try:
            code = one.running.end(signal.SIGTERM).code
        except subprocess.TimeoutExpired:
            self.wrong(f"a daemon did not end when it was asked to:\n{one.running.err[-3000:]}")
            return
        # Before it is up, a signal just ends it. One that was paused finds perhaps that it was taken over from.
        expected = {0, *(() if one.running.err else (128 + signal.SIGTERM,)), *((TAKEN_OVER,) if one.may_leave else ())}
        if code not in expected:
            self.wrong(f"a daemon that was asked to end left with {code}:\n{one.running.err[-3000:]}")

    def _pause(self, one: _Daemon) -> None:
        one.may_leave = True
        one.running.send(signal.SIGSTOP)
        time.sleep(self.chance.random() * PAUSE)
        one.running.send(signal.SIGCONT)

    def _restart_database(self) -> None:
        for each in self.daemons:
            # One that has not reached the store before does not wait for it.
            until(partial(getattr, each, "is_up"), "the daemon")
            each.may_leave = True  # Another one may be first at the store afterwards.
        stop = self.chance.choice((stop_in_order, crash))
        stop(self.server)
        time.sleep(self.chance.random() * PAUSE)
        start_again(self.server)

    def _await_owners(self, way: str, begun: float) -> None:
        while homeless := self.fleet.rows(_HOMELESS):
            if time.monotonic() > begun + OWNED_SECONDS:
                self.wrong(f"kill {self.found.kills}, {way}: without an owner: {[row[0] for row in homeless]}")
                return
            time.sleep(0.05)
        self.found.slowest[way] = max(self.found.slowest.get(way, 0.0), time.monotonic() - begun)

    def start_again(self) -> None:
        """The daemons that have ended."""
        for one in self.daemons:
            code = one.running.process.poll()
            if code is None:
                continue
            if code not in (0, -signal.SIGKILL, 128 + signal.SIGTERM) and not (one.may_leave and code == TAKEN_OVER):
                self.wrong(f"a daemon left with {code}:\n{one.running.err[-3000:]}")
            one.again()

    def finish(self) -> None:
        """Have all be as declared, and count."""
        end = time.monotonic() + END_SECONDS
        while time.monotonic() < end and len(self.through()) < len(self.is_on):
            self.start_again()
            time.sleep(0.2)
        left = sorted(self.is_on.keys() - set(self.through()))
        if left:
            self.wrong(f"not as declared at the end: {left}")
        self.count(is_end=not left)
        drift = [value for (value,) in self.fleet.rows("SELECT value FROM event WHERE value LIKE '%DriftDetected%'")]
        if drift:
            self.wrong(f"told as drift: {drift[:5]}")


def kill_sharers(
    folder: Path, server: Path, url: str, kills: int, seed: int, told: Callable[[str], None] = lambda _: None
) -> ShardKills:
    """Kill so many; `told` is given a line for each. `server`: the directory of the PostgreSQL server at `url`."""
    with shared_fleet(Desk(folder / "desk"), url, MACHINES, answer_seconds=0.05) as fleet:
        this = _Sharers(fleet, server, random.Random(seed))
        fleet.declare_each("Meet them", {name: this._wanted(name) for name in this.is_on})
        with ExitStack() as stack:
            for _ in range(DAEMONS):
                one = _Daemon(fleet)
                stack.callback(one.close)
                this.daemons.append(one)
                until(partial(getattr, one, "is_up"), "the daemon")
            while this.found.kills < kills:
                known = len(this.found.wrong)
                this.turn()
                this.kill()
                told("\n".join([str(this.found), *(f"WRONG {one}" for one in this.found.wrong[known:])]))
            this.finish()
        return this.found
