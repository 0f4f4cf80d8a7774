"""People who pause and restart machines and override guards, beside a daemon that may be anywhere in its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from reconciler import runtime
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.restart import RestartRequest
from reconciler.model.resource import ResourceKey
from reconciler.operations.simulation.scenarios.incidents import Incident, ScenarioStep
from reconciler.operations.simulation.verdict.record import SeenRequests
from reconciler.store import Store
from reconciler.store.sql.store_errors import StoreError

_WHO = "ada (command)"
_NOTICED_SECONDS = 20.0
_LONG_SECONDS = 1800.0
"""Who pauses machines for so long, or longer, does not know for how long."""


class People:
    """`store`: the store of the fleet. `noticed_after`: seconds that a daemon needs at most to notice a new row.
    `overrides`: all that people began.

    Their commands fail while the store is in use for too long, and people then leave it at that."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store, self.noticed_after = store, _NOTICED_SECONDS
        self.overrides: tuple[Override, ...] = ()
        self._changed: dict[str, float] = {}
        self._cancelled: dict[str, str] = {}
        """The machine of each restart that was cancelled."""

    def act(self, step: ScenarioStep) -> None:
        """Pause or restart machines, or override a guard, as the step says, or end that."""
        lasts = step.amount
        match step.what:
            case Incident.PAUSED if lasts:
                self.pause(step.machines, lasts if lasts < _LONG_SECONDS else None)
            case Incident.PAUSED:
                self.resume()
            case Incident.RESTARTED if lasts:
                self.restart(step.machines, lasts)
            case Incident.RESTARTED:
                self.cancel_restarts()
            case Incident.OVERRIDDEN if lasts:
                self.override(step.word, step.machines, lasts)
            case _:
                self.revoke()

    def pause(self, machines: tuple[str, ...], seconds: float | None) -> None:
        """Pause these machines; none: everything. `seconds`: after which the pause ends; None: at `resume`."""
        now = runtime.now()
        until = None if seconds is None else now + timedelta(seconds=seconds)
        with suppress(StoreError):
            self._store().pauses.add(ResourcePause(self._new_id(), "an incident", _WHO, now, until, _targets(machines)))

    def resume(self) -> None:
        """End all pauses."""
        now = runtime.now()
        names = [one.id for one in self._store().pauses.all() if one.stands(now)]
        if names:
            with suppress(StoreError):
                self._store().pauses.end(names, _WHO, now)

    def restart(self, machines: tuple[str, ...], seconds: float) -> None:
        """Ask for a restart of each of these machines, to begin within so many seconds. A machine has one at a time."""
        now = runtime.now()
        until = now + timedelta(seconds=seconds)
        for name in machines:
            key = ResourceKey("Machine", name)
            with suppress(StoreError):
                self._store().restarts.add(RestartRequest(self._new_id(), key, "an incident", _WHO, now, until))

    def cancel_restarts(self) -> None:
        """Cancel all that have not ended. One that has begun goes on."""
        for one in self._store().restarts.open():
            self._cancelled[one.id] = one.key.name
            with suppress(StoreError):
                self._store().restarts.cancel(one.key, "", _WHO, runtime.now())

    def override(self, guard: str, machines: tuple[str, ...], seconds: float) -> None:
        """Override a guard for these machines; none: for everything."""
        now = runtime.now()
        until = now + timedelta(seconds=seconds)
        one = Override(self._new_id(), guard, "an incident", _WHO, now, until, _targets(machines))
        self.overrides = (*self.overrides, one)
        with suppress(StoreError):
            self._store().overrides.add(one)

    def revoke(self) -> None:
        """End all overrides."""
        now = runtime.now()
        for one in self._store().overrides.all():
            if one.in_force(now):
                self._changed[one.id] = runtime.monotonic()
                with suppress(StoreError):
                    self._store().overrides.revoke(one.id, _WHO, now)

    def seen(self, machine: str, at: datetime) -> SeenRequests:
        """What is in force for a machine, of which an action was recorded at `at`, a moment ago."""
        store, target = self._store(), f"machine/{machine}"
        pauses = (one for one in store.pauses.all() if one.stands(at) and not self._is_new(one.id))
        paused = tuple(one.id for one in pauses if not one.targets or target in one.targets)
        overridden = {one.guard for one in self._overrides(at) if not one.targets or target in one.targets}
        asked = {one.id for one in store.restarts.open() if one.key.name == machine}
        asked |= {name for name, its in self._cancelled.items() if its == machine}
        return SeenRequests(paused, tuple(sorted(overridden)), tuple(sorted(asked)))

    def _overrides(self, at: datetime) -> Iterator[Override]:
        """Those in force at `at`, and those that were revoked so lately that the daemon may not have noticed."""
        for one in self._store().overrides.all():
            if at < one.until and (one.revoked_at is None or self._is_new(one.id)):
                yield one

    def _is_new(self, name: str) -> bool:
        return runtime.monotonic() - self._changed[name] <= self.noticed_after

    def _new_id(self) -> str:
        name = runtime.entropy(3).hex()
        self._changed[name] = runtime.monotonic()
        return name


def _targets(machines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"machine/{name}" for name in machines)
