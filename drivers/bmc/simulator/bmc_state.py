"""What one simulated BMC has of its own, beside the documents of its profile. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.bmc.simulator.redfish_tree import ROOT_PATH, RedfishTree, SystemPlace, merged
from drivers.bmc.simulator.simulated_system import DONE, SimulatedSystem, SimulatedTask

TASKS = f"{ROOT_PATH}/TaskService/Tasks"
_KEPT_TASKS = 16


class BmcSession(msgspec.Struct, frozen=True):
    """An open session; `used`: when it was used last."""

    number: int
    token: str
    used: float


class PendingChange(msgspec.Struct, frozen=True):
    """What waits in a Settings resource until the system has started once more than `starts` times. `before`: what took
    effect of earlier changes."""

    starts: int
    change: Mapping[str, Any]
    before: Mapping[str, Any] = {}


class SimulatedBmc(msgspec.Struct, frozen=True):
    """One BMC. `number`: from 0, its place in the fleet. `changes`: of documents that are no systems, as JSON merge
    patches by path. `pending`: by the path of the Settings resource. `refusals`: refused logins in a row.
    `away_until`: the end of a restart of the BMC."""

    number: int
    systems: tuple[SimulatedSystem, ...]
    secret: str
    sessions: tuple[BmcSession, ...] = ()
    logins: int = 0
    refusals: int = 0
    locked_until: float = 0.0
    away_until: float = 0.0
    tasks: tuple[SimulatedTask, ...] = ()
    tasks_made: int = 0
    changes: Mapping[str, Mapping[str, Any]] = {}
    pending: Mapping[str, PendingChange] = {}

    @classmethod
    def made(cls, tree: RedfishTree, number: int, seed: int) -> SimulatedBmc:
        """A new one. Each has systems, serial numbers and session tokens of its own, the same for each seed."""
        systems = tuple(_system(place, number, at, seed) for at, place in enumerate(tree.systems))
        return cls(number, systems, f"{seed} {number}")

    def at(self, now: float, session_seconds: float) -> SimulatedBmc:
        """The BMC at a time: power changes have happened, unused sessions have ended."""
        bmc = self
        if any(one.coming and one.coming[0][0] <= now for one in bmc.systems):
            bmc = replace(bmc, systems=tuple(one.at(now) for one in bmc.systems))
        if any(one.used + session_seconds < now for one in bmc.sessions):
            bmc = replace(bmc, sessions=tuple(one for one in bmc.sessions if one.used + session_seconds >= now))
        return bmc

    def with_system(self, at: int, system: SimulatedSystem) -> SimulatedBmc:
        """With one system changed."""
        return replace(self, systems=(*self.systems[:at], system, *self.systems[at + 1 :]))

    def with_change(self, path: str, change: Mapping[str, Any]) -> SimulatedBmc:
        """With a document changed. The members of `change` replace those of the document."""
        return replace(self, changes={**self.changes, path: {**self.changes.get(path, {}), **change}})

    def with_task(self, now: float, seconds: float) -> tuple[SimulatedBmc, str]:
        """With a new Task, and its path."""
        number = self.tasks_made + 1
        tasks = (*self.tasks, SimulatedTask(now, seconds, DONE))[-_KEPT_TASKS:]
        return replace(self, tasks=tasks, tasks_made=number), f"{TASKS}/{number}"

    def task(self, number: str) -> SimulatedTask | None:
        """The Task of this number, if the BMC still has it."""
        back = self.tasks_made - int(number) if number.isdigit() else -1
        return self.tasks[-1 - back] if 0 <= back < len(self.tasks) else None

    def applied(self, settings: str, starts: int) -> Mapping[str, Any]:
        """What took effect of the changes in a Settings resource."""
        found = self.pending.get(settings)
        if found is None:
            return {}
        return merged(dict(found.before), found.change) if starts > found.starts else found.before

    def waiting(self, settings: str, starts: int) -> Mapping[str, Any]:
        """What still waits of them."""
        found = self.pending.get(settings)
        return found.change if found is not None and starts <= found.starts else {}

    def with_pending(self, settings: str, starts: int, change: Mapping[str, Any]) -> SimulatedBmc:
        """With a change that waits for the next start."""
        whole = merged(dict(self.waiting(settings, starts)), change)
        pending = PendingChange(starts, whole, self.applied(settings, starts))
        return replace(self, pending={**self.pending, settings: pending})


def _system(place: SystemPlace, number: int, at: int, seed: int) -> SimulatedSystem:
    name, state = place.path.rpartition("/")[2], place.state
    if number == 0 and seed == 0:
        return SimulatedSystem(name, state)
    made = hashlib.sha256(f"{seed} {number} {at}".encode()).hexdigest()
    uuid = f"{made[:8]}-{made[8:12]}-4{made[13:16]}-8{made[17:20]}-{made[20:32]}"
    serial = f"SIM{number + 1:06}{'' if at == 0 else f'-{at}'}"
    owned = {
        "uuid": state.uuid and uuid,
        "serial": state.serial and serial,
        "sku": state.sku and f"{number + 1:07}",
    }
    return SimulatedSystem(name, replace(state, **owned))
