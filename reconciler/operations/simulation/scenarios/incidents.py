"""What goes wrong in a simulated fleet, and what people do to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from reconciler.operations.simulation.scenarios.declared_fleet import (
    GUARD_NAME,
    DeclaredClaim,
    DeclaredMachine,
    DeclaredPool,
)

T = TypeVar("T")
CLAIMS = ("web", "db")
"""The claims that a scenario has."""
WINDOW_GUARD = f"guard/{GUARD_NAME}"
"""As people name the guard of a scenario."""
BUDGET_GUARD = "disruption-budget"
OVERRIDDEN_GUARDS = (WINDOW_GUARD, WINDOW_GUARD, BUDGET_GUARD)
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
    RESTARTED = "a person restarts machines"
    RESTORED = "the store is restored from a backup"


INCIDENT_NAMES = {one.name.lower().replace("_", "-"): one for one in Incident}
"""By the name that people write."""


BMC_INCIDENTS = frozenset(
    {
        Incident.BMC_UNREACHABLE,
        Incident.BMC_BUSY,
        Incident.REPLY_LOST,
        Incident.REQUEST_LOST,
        Incident.LOGIN_REFUSED,
        Incident.SHUTDOWN_IGNORED,
        Incident.BOOT_NOT_KEPT,
    }
)
"""What BMCs do."""
DAEMON_INCIDENTS = frozenset(
    {
        Incident.KILLED,
        Incident.TAKEN_OVER,
        Incident.STOPPED,
        Incident.ENDED,
        Incident.DISK_FULL,
        Incident.DATABASE_FAILED,
    }
)
"""What happens to the daemon itself, or to its store."""


class Moment(StrEnum):
    """At which an incident shows most."""

    UNSENT = "an action is recorded, and was not sent"
    SENT = "an action was sent, and has not ended"
    INSTALLING = "an agent writes a disk"
    HELD = "the window is closed, and a machine is not as declared"


class ScenarioStep(msgspec.Struct, frozen=True):
    """Something that happens `after` so many seconds since the step before.

    `what` None: a commit, which declares `declared`, `claims` (None: it is removed) and `pool`. `machines`: whom it
    concerns; none: all. `amount`: seconds, or how often. `word`: the level of a guard, or the guard that is overridden.
    `moment`: it happens then, or a little later where there is none.
    """

    after: float
    what: Incident | None
    machines: tuple[str, ...] = ()
    amount: float = 0.0
    declared: tuple[tuple[str, DeclaredMachine], ...] = ()
    claims: tuple[tuple[str, DeclaredClaim | None], ...] = ()
    pool: DeclaredPool | None = None
    word: str = ""
    moment: Moment | None = None


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
            return ScenarioStep(after, what, amount=chance.choice((5.0, 5.0, 60.0, 60.0, 600.0)))
        case Incident.BROKEN_COMMIT | Incident.HISTORY_REWRITTEN:
            # So that it is seen, or repaired before.
            return ScenarioStep(after, what, amount=chance.choice((0.0, 45.0)))
        case Incident.RESTORED:
            return ScenarioStep(after, what, amount=chance.choice((1.0, 60.0, 600.0, 3600.0)))
        case Incident.CLOCK_STEPPED:
            return ScenarioStep(after, what, amount=chance.choice((-3600.0, -600.0, -5.0, 5.0, 600.0, 3600.0)))
        case Incident.WINDOW_CLOSED:
            # Zero removes the guard.
            closed = chance.choice((0.0, 60.0, 300.0, 600.0, 1800.0))
            level = chance.choice(("Mandatory", "Mandatory", "Absolute"))
            return ScenarioStep(after, what, _some_or_all(chance, there), closed, word=level)
        case Incident.PAUSED | Incident.OVERRIDDEN:
            # Zero ends what stands.
            lasts, guard = chance.choice((0.0, 60.0, 300.0, 1800.0)), chance.choice(OVERRIDDEN_GUARDS)
            return ScenarioStep(after, what, _some_or_all(chance, there), lasts, word=guard)
        case Incident.RESTARTED:
            # Zero cancels the restarts that have not ended.
            return ScenarioStep(after, what, some, chance.choice((0.0, 60.0, 600.0, 600.0)))
        case Incident.ENDED | Incident.TAKEN_OVER | Incident.DATABASE_FAILED:
            return ScenarioStep(after, what)
        case _:
            return ScenarioStep(after, what, some, chance.choice((1.0, 2.0, 5.0)))
