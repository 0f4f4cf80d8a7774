"""What happens to a simulated fleet: commits, people, and the faults that a seed picks. Pure.

Each seed draws a few kinds of incident and leaves the others out ("swarm testing", Groce et al., ISSTA 2012). Faults
that always come together hide each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")


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


class DeclaredMachine(msgspec.Struct, frozen=True):
    """What a document says of a machine. `request`: of a boot override for one boot; None: no override."""

    power: str = "On"
    led: str = "Off"
    request: str | None = None


class ScenarioStep(msgspec.Struct, frozen=True):
    """Something that happens `after` so many seconds since the step before.

    `what` None: a commit, which declares `declared`. `machines`: whom it concerns. `amount`: seconds, or how often.
    """

    after: float
    what: Incident | None
    machines: tuple[str, ...] = ()
    amount: float = 0.0
    declared: tuple[tuple[str, DeclaredMachine], ...] = ()


class Scenario(msgspec.Struct, frozen=True):
    """The steps of the first part, in which anything goes wrong, and the kinds of incident that the seed drew."""

    steps: tuple[ScenarioStep, ...]
    incidents: tuple[Incident, ...]


def scenario(chance: Chance, machines: Sequence[str], seconds: float, only: Sequence[Incident] = ()) -> Scenario:
    """What happens in so many seconds. `only`: the kinds of incident, in place of those that the seed draws."""
    kinds = list(Incident)
    incidents = tuple(only) or tuple(sorted(chance.sample(kinds, chance.randrange(3, 9)), key=kinds.index))
    steps: list[ScenarioStep] = []
    passed, requests = 0.0, 0
    while passed < seconds:
        after = chance.choice((1.0, 3.0, 10.0, 40.0, 120.0, 400.0)) * (0.5 + chance.random())
        passed += after
        if chance.random() < 0.35:
            # Sometimes the whole fleet is to go down, or up.
            power = chance.choice(("On", "Off")) if chance.random() < 0.2 else None
            most = len(machines) + 1 if power else max(2, len(machines) // 3)
            declared = []
            for name in chance.sample(machines, chance.randrange(1, most)):
                requests += 1
                request = f"request {requests}" if chance.random() < 0.25 else None
                declared.append(
                    (name, DeclaredMachine(power or _power(chance), chance.choice(("Lit", "Off")), request))
                )
            steps.append(ScenarioStep(after, None, declared=tuple(declared)))
        else:
            steps.append(_incident(chance, after, chance.choice(incidents), machines))
    return Scenario(tuple(steps), incidents)


def _power(chance: Chance) -> str:
    return "On" if chance.random() < 0.7 else "Off"


def _incident(chance: Chance, after: float, what: Incident, machines: Sequence[str]) -> ScenarioStep:
    some = tuple(chance.sample(machines, chance.randrange(1, max(2, len(machines) // 4))))
    match what:
        case Incident.KILLED:
            # The number of changes of the running thread after which it dies, so that it dies anywhere.
            return ScenarioStep(after, what, amount=chance.randrange(0, 400))
        case Incident.STOPPED | Incident.DISK_FULL | Incident.GIT_AWAY:
            return ScenarioStep(after, what, amount=chance.choice((5.0, 60.0, 600.0)))
        case Incident.CLOCK_STEPPED:
            return ScenarioStep(after, what, amount=chance.choice((-3600.0, -600.0, -5.0, 5.0, 600.0, 3600.0)))
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
