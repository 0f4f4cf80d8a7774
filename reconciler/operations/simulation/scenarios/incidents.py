"""What happens to a simulated fleet: commits, people, and the faults that a seed picks. Pure.

Each seed draws a few kinds of incident and leaves the others out ("swarm testing", Groce et al., ISSTA 2012). Faults
that always come together hide each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from reconciler.operations.simulation.scenarios.declared_fleet import DeclaredClaim, DeclaredMachine, DeclaredPool

T = TypeVar("T")
CLAIMS = ("web", "db")
"""The claims that a scenario has."""
OVERRIDDEN_GUARDS = ("guard/hours", "guard/hours", "disruption-budget")
"""The guards that people override."""


class Chance(Protocol):
    """What of `random.Random` is needed."""

    def random(self) -> float:
        """From 0 up to 1."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """From start up to stop."""
        ...

    def choice(self, seq: Sequence[T], /) -> T:
        """One of them."""
        ...

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """So many different ones."""
        ...


class Incident(StrEnum):
    """What can go wrong, and what people do."""

    BMC_UNREACHABLE = "a BMC does not answer"
    BMC_BUSY = "a BMC is busy"
    REPLY_LOST = "a reply is lost"
    REQUEST_LOST = "a request is lost"
    LOGIN_REFUSED = "a BMC refuses the login"
    SHUTDOWN_IGNORED = "a graceful shutdown is ignored"
    BOOT_NOT_KEPT = "a boot override is not kept"
    INSTALLATION_FAILED = "an installation fails"
    POWER_BUTTON = "a person presses the power button"
    KILLED = "kill -9 of the daemon"
    TAKEN_OVER = "a second daemon starts beside the first, whose lock was lost"
    STOPPED = "the daemon stands still for a while (SIGSTOP)"
    ENDED = "the daemon is stopped in order (SIGTERM)"
    CLOCK_STEPPED = "the clock of the host jumps"
    DISK_FULL = "the disk of the store is full"
    DATABASE_FAILED = "a statement of the database fails"
    GIT_AWAY = "the repository cannot be read"
    BROKEN_COMMIT = "a commit is broken"
    HISTORY_REWRITTEN = "the branch is taken back"
    WINDOW_CLOSED = "a window for changes closes"
    PAUSED = "a person pauses machines"
    OVERRIDDEN = "a person overrides a guard"
    RESTORED = "the store is restored from a backup"


INCIDENT_NAMES = {one.name.lower().replace("_", "-"): one for one in Incident}
"""By the name that people write."""


class ScenarioStep(msgspec.Struct, frozen=True):
    """Something that happens `after` so many seconds since the step before.

    `what` None: a commit, which declares `declared`, `claims` (None: it is removed) and `pool`. `machines`: whom it
    concerns; none: all. `amount`: seconds, or how often. `word`: the level of a guard, or the guard that is overridden.
    """

    after: float
    what: Incident | None
    machines: tuple[str, ...] = ()
    amount: float = 0.0
    declared: tuple[tuple[str, DeclaredMachine], ...] = ()
    claims: tuple[tuple[str, DeclaredClaim | None], ...] = ()
    pool: DeclaredPool | None = None
    word: str = ""


class Scenario(msgspec.Struct, frozen=True):
    """The steps of the first part, in which anything goes wrong, and the kinds of incident that the seed drew."""

    steps: tuple[ScenarioStep, ...]
    incidents: tuple[Incident, ...]


def scenario(
    chance: Chance,
    machines: Sequence[str],
    managed: Sequence[str],
    seconds: float,
    only: Sequence[Incident] = (),
    planned: Sequence[tuple[float, ScenarioStep]] = (),
) -> Scenario:
    """What happens in so many seconds. `managed`: the machines for claims. `only`: the kinds of incident, in place of
    those that the seed draws. `planned`: the incidents in place of them all, each with its time since the start."""
    kinds = list(Incident)
    incidents = tuple(only) or tuple(sorted(chance.sample(kinds, chance.randrange(3, 9)), key=kinds.index))
    if Incident.OVERRIDDEN in incidents and not only and Incident.WINDOW_CLOSED not in incidents:
        incidents = (*incidents, Incident.WINDOW_CLOSED)  # What there is to override.
    if planned:
        incidents = tuple(sorted({step.what for _, step in planned if step.what is not None}, key=kinds.index))
    steps: list[ScenarioStep] = []
    timed = list(planned)
    counts: dict[str, int] = dict.fromkeys(CLAIMS, 0)
    passed = 0.0
    while passed < seconds:
        after = chance.choice((1.0, 3.0, 10.0, 30.0, 90.0, 300.0)) * (0.5 + chance.random())
        passed += after
        drawn = chance.random()
        if not steps or drawn < 0.2:
            steps.append(_claims_commit(chance, after, len(managed), counts, f"request {len(steps)}"))
        elif drawn < 0.5:
            steps.append(_commit(chance, after, machines, f"request {len(steps)}"))
        elif not planned:
            steps.append(incident_step(chance, after, chance.choice(incidents), machines, managed))
        else:
            continue
        timed.append((passed, steps[-1]))
    timed.sort(key=lambda one: one[0])
    before = 0.0
    for number, (at, step) in enumerate(timed):
        timed[number] = (at, msgspec.structs.replace(step, after=at - before))
        before = at
    return Scenario(tuple(step for _, step in timed), incidents)


def _commit(chance: Chance, after: float, machines: Sequence[str], word: str) -> ScenarioStep:
    # Sometimes the whole fleet is to go down, or up.
    power = chance.choice(("On", "Off")) if chance.random() < 0.3 else None
    declared = []
    for name in machines if power else chance.sample(machines, chance.randrange(1, max(2, len(machines) // 3))):
        request = f"{word} {name}" if chance.random() < 0.25 else None
        declared.append((name, DeclaredMachine(power or _power(chance), chance.choice(("Lit", "Off")), request)))
    return ScenarioStep(after, None, declared=tuple(declared))


def _claims_commit(chance: Chance, after: float, managed: int, counts: dict[str, int], word: str) -> ScenarioStep:
    """One claim grows, shrinks, is installed again or removed, and all together want no more than there is."""
    name = chance.choice(CLAIMS)
    room = managed - sum(counts.values()) + counts[name]
    drawn, was = chance.random(), counts[name]
    if not was:
        counts[name] = chance.randrange(0, room) + 1 if room else 0
    elif drawn < 0.6:
        counts[name] = chance.randrange(0, was)
    claim = None if was and drawn < 0.2 else DeclaredClaim(counts[name], word if drawn > 0.8 else "first")
    counts[name] = 0 if claim is None else counts[name]
    pool = DeclaredPool(chance.randrange(0, 4), chance.randrange(0, 4))
    return ScenarioStep(after, None, claims=((name, claim),), pool=pool)


def _power(chance: Chance) -> str:
    return "On" if chance.random() < 0.7 else "Off"


def _some_or_all(chance: Chance, machines: Sequence[str]) -> tuple[str, ...]:
    return () if chance.random() < 0.4 else tuple(sorted(chance.sample(machines, chance.randrange(1, len(machines)))))


def incident_step(
    chance: Chance, after: float, what: Incident, machines: Sequence[str], managed: Sequence[str]
) -> ScenarioStep:
    """This incident, at some machines, for some time."""
    there = managed if what is Incident.INSTALLATION_FAILED else (*machines, *managed)
    some = tuple(chance.sample(there, chance.randrange(1, max(2, len(there) // 4))))
    match what:
        case Incident.KILLED:
            # The number of changes of the running thread after which it dies, so that it dies anywhere.
            return ScenarioStep(after, what, amount=chance.randrange(0, 400))
        case Incident.STOPPED | Incident.DISK_FULL | Incident.GIT_AWAY:
            return ScenarioStep(after, what, amount=chance.choice((5.0, 60.0, 600.0)))
        case Incident.RESTORED:
            return ScenarioStep(after, what, amount=chance.choice((1.0, 60.0, 600.0, 3600.0)))
        case Incident.CLOCK_STEPPED:
            return ScenarioStep(after, what, amount=chance.choice((-3600.0, -600.0, -5.0, 5.0, 600.0, 3600.0)))
        case Incident.WINDOW_CLOSED:
            # Zero removes the guard.
            closed = chance.choice((0.0, 60.0, 300.0, 1800.0, 1800.0))
            level = chance.choice(("Mandatory", "Mandatory", "Absolute"))
            return ScenarioStep(after, what, _some_or_all(chance, there), closed, word=level)
        case Incident.PAUSED | Incident.OVERRIDDEN:
            # Zero ends what stands.
            lasts, guard = chance.choice((0.0, 60.0, 300.0, 1800.0)), chance.choice(OVERRIDDEN_GUARDS)
            return ScenarioStep(after, what, _some_or_all(chance, there), lasts, word=guard)
        case (
            Incident.ENDED
            | Incident.TAKEN_OVER
            | Incident.DATABASE_FAILED
            | Incident.BROKEN_COMMIT
            | Incident.HISTORY_REWRITTEN
        ):
            return ScenarioStep(after, what)
        case _:
            return ScenarioStep(after, what, some, chance.choice((1.0, 2.0, 5.0)))
