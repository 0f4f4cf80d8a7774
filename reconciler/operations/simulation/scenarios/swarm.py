"""What a seed lets happen: commits, and incidents among them. Pure.

Each seed draws a few kinds of incident and leaves the others out ("swarm testing", Groce et al., ISSTA 2012). Faults
that always come together hide each other. Half of the incidents are aimed: a commit gives the daemon something to do,
and the incident happens in the middle of that.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reconciler.operations.simulation.scenarios.declared_fleet import DeclaredClaim, DeclaredMachine, DeclaredPool
from reconciler.operations.simulation.scenarios.incidents import (
    BMC_INCIDENTS,
    CLAIMS,
    DAEMON_INCIDENTS,
    WINDOW_GUARD,
    Chance,
    Incident,
    Moment,
    ScenarioStep,
    incident_step,
)

_GAPS = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds between two steps, about."""
_LONGEST_GAPS = (60.0, 120.0, 300.0)
"""By which seeds differ in how fast everything goes."""
_CLOSED_SECONDS = 600.0
"""For which a window is closed in which more is to happen."""
_FORCED_SECONDS = 150.0
"""After which a machine that ignores its shutdown is forced off."""
_OTHER_LED = {"Lit": "Off", "Off": "Lit"}


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
    if Incident.WINDOW_CLOSED in incidents and not only and not planned and chance.random() < 0.5:
        incidents = tuple(sorted({*incidents, Incident.SHUTDOWN_IGNORED}, key=kinds.index))
    longest = chance.choice(_LONGEST_GAPS)
    gaps = [one for one in _GAPS if one <= longest]
    swarm = _Swarm(chance, machines, managed, planned, incidents)
    while swarm.passed < seconds:
        after = chance.choice(gaps) * (0.5 + chance.random())
        drawn = chance.random()
        if not swarm.commits or drawn < 0.15:
            swarm.commit_claims(after)
            if chance.random() < 0.3:
                swarm.commit_claims(1.0, Moment.INSTALLING)
        elif drawn < 0.35:
            swarm.commit(after, machines)
        elif planned:
            swarm.passed += after
        elif drawn < 0.7:
            swarm.aim(after, chance.choice(incidents))
        else:
            swarm.add(swarm.incident(after, chance.choice(incidents)))
    timed = sorted(swarm.timed, key=lambda one: one[0])
    starts = (0.0, *(at for at, _ in timed))
    steps = (msgspec.structs.replace(step, after=at - start) for start, (at, step) in zip(starts, timed, strict=False))
    return Scenario(tuple(steps), incidents)


class _Swarm:
    """`timed`: the steps, each with its time since the start. `passed`: the time of the last one."""

    def __init__(
        self,
        chance: Chance,
        machines: Sequence[str],
        managed: Sequence[str],
        planned: Sequence[tuple[float, ScenarioStep]],
        incidents: tuple[Incident, ...],
    ) -> None:
        self._incidents = incidents
        self._chance, self._machines, self._managed = chance, machines, managed
        self.timed, self.passed, self.commits = list(planned), 0.0, 0
        self._counts: dict[str, int] = dict.fromkeys(CLAIMS, 0)
        self._leds: dict[str, str] = {}

    def add(self, step: ScenarioStep) -> None:
        """It follows what was added last."""
        self.passed += step.after
        self.timed.append((self.passed, step))

    def incident(self, after: float, what: Incident) -> ScenarioStep:
        """This incident, at some machines, for some time."""
        return incident_step(self._chance, after, what, self._machines, self._managed)

    def aim(self, after: float, what: Incident) -> None:
        """Give the daemon something to do, and let the incident happen in the middle of that."""
        chance, step = self._chance, self.incident(1.0, what)
        if what in DAEMON_INCIDENTS:
            moment = chance.choice((Moment.UNSENT, Moment.UNSENT, Moment.SENT, Moment.INSTALLING))
            self._commit_for(moment, after)
            amount = chance.randrange(0, 4) if what is Incident.KILLED else step.amount
            self.add(msgspec.structs.replace(step, moment=moment, amount=amount))
        elif what is Incident.WINDOW_CLOSED:
            self._close(after, step)
        elif what is Incident.OVERRIDDEN:
            self._override(after)
        elif what in BMC_INCIDENTS:
            self.add(msgspec.structs.replace(step, after=after))
            if concerned := [name for name in self._machines if name in step.machines]:
                self.commit(1.0, concerned, stirs=True)
            else:
                self.commit_claims(1.0)
        else:
            self.add(msgspec.structs.replace(step, after=after))

    def _commit_for(self, moment: Moment, after: float) -> None:
        if moment is Moment.INSTALLING:
            self.commit_claims(after)
        elif Incident.RESTARTED in self._incidents and self._chance.random() < 0.5:
            self.add(ScenarioStep(after, Incident.RESTARTED, tuple(self._machines), 600.0))
        else:
            self.commit(after, self._machines, stirs=True)

    def _close(self, after: float, step: ScenarioStep) -> None:
        """Let the window of all machines close in the middle of what is begun. A machine that went down before comes
        up in it, or a machine that ignored its shutdown is forced off in it."""
        chance, ignores = self._chance, Incident.SHUTDOWN_IGNORED in self._incidents and self._chance.random() < 0.5
        if ignores:
            self.add(ScenarioStep(after, Incident.SHUTDOWN_IGNORED, tuple(self._machines), 1.0))
        self.commit(1.0 if ignores else after, self._machines, "Off", led="Off")
        lasts = max(step.amount, _CLOSED_SECONDS)
        self.add(msgspec.structs.replace(step, moment=Moment.SENT, machines=(), amount=lasts))
        if ignores:
            self.passed += _FORCED_SECONDS
        else:
            self.commit(10.0 + 60.0 * chance.random(), self._machines, "On", led="Lit")

    def _override(self, after: float) -> None:
        """Let a window hold a change, and a person override that. It may be revoked a little later."""
        chance = self._chance
        self.add(ScenarioStep(after, Incident.WINDOW_CLOSED, amount=_CLOSED_SECONDS, word="Mandatory"))
        self.commit(100.0 + 60.0 * chance.random(), self._machines, stirs=True)
        override = ScenarioStep(1.0, Incident.OVERRIDDEN, amount=300.0, word=WINDOW_GUARD, moment=Moment.HELD)
        self.add(override)
        if chance.random() < 0.5:
            self.add(ScenarioStep(chance.choice((3.0, 10.0, 60.0)), Incident.OVERRIDDEN))

    def commit(
        self,
        after: float,
        machines: Sequence[str],
        power: str | None = None,
        *,
        led: str | None = None,
        stirs: bool = False,
    ) -> None:
        """Some of these machines change, or all of them. `power`: what all of them are to be. `led`: what their LEDs
        are to be. `stirs`: each gets another LED, so that there is something to do for certain."""
        chance, word = self._chance, self._word()
        # Sometimes the whole fleet is to go down, or up.
        if power is None and chance.random() < 0.3:
            power = chance.choice(("On", "Off"))
        declared = []
        for name in machines if power else chance.sample(machines, chance.randrange(1, max(2, len(machines) // 3))):
            request = f"{word} {name}" if chance.random() < 0.25 else None
            drawn = chance.choice(("Lit", "Off"))
            self._leds[name] = led or (_OTHER_LED[self._leds.get(name, "Off")] if stirs else drawn)
            declared.append((name, DeclaredMachine(power or self._power(), self._leds[name], request)))
        self.add(ScenarioStep(after, None, declared=tuple(declared)))

    def commit_claims(self, after: float, moment: Moment | None = None) -> None:
        """One claim grows, shrinks, is installed again or removed, and all together want no more than there is.
        Sometimes another claim has its machines instead, as after a rename."""
        chance, counts, word = self._chance, self._counts, self._word()
        name = chance.choice(CLAIMS)
        other = next(one for one in CLAIMS if one != name)
        pool = DeclaredPool(chance.randrange(0, 4), chance.randrange(0, 4))
        if counts[name] and not counts[other] and chance.random() < 0.25:
            counts[name], counts[other] = 0, counts[name]
            claims = ((name, None), (other, DeclaredClaim(counts[other], word)))
            self.add(ScenarioStep(after, None, claims=claims, pool=pool, moment=moment))
            return
        room = len(self._managed) - sum(counts.values()) + counts[name]
        drawn, was = chance.random(), counts[name]
        if not was:
            counts[name] = chance.randrange(0, room) + 1 if room else 0
        elif drawn < 0.6:
            counts[name] = chance.randrange(0, was)
        claim = None if was and drawn < 0.2 else DeclaredClaim(counts[name], word if drawn > 0.8 else "first")
        counts[name] = 0 if claim is None else counts[name]
        self.add(ScenarioStep(after, None, claims=((name, claim),), pool=pool, moment=moment))

    def _word(self) -> str:
        self.commits += 1
        return f"request {self.commits}"

    def _power(self) -> str:
        return "On" if self._chance.random() < 0.7 else "Off"
