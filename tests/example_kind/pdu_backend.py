"""The backend of the PDUs, as a package would register it: one line each way over TCP, and an inventory."""

# mypy: ignore-errors

from __future__ import annotations

import socket

from drivers.base import ACCEPTED, Disk, Inventory, Rejected, Unreachable, clean
from reconciler.kinds import access_to
from reconciler.kinds.pdu import PduState
from reconciler.observed.backend import no_tasks, observation_of


class PduBackend:
    """Implements Backend and ReadsInventory."""

    def __init__(self, connections, now):
        self._connections, self._now = connections, now

    def observe(self, key, desired, _facts):
        if key not in desired.resources:
            return None
        states = dict(one.split("=") for one in self._ask(key, desired, "status").split())
        return PduState({name: state == "on" for name, state in states.items()})

    def observe_all(self, keys, desired, facts, _concurrency):
        return (observation_of(key, lambda key=key: self.observe(key, desired, facts), self._now) for key in keys)

    def holdings(self):
        return {}

    def send(self, action, desired):
        answer = self._ask(action.key, desired, f"{'on' if action.value else 'off'} {action.item}", is_write=True)
        if answer.startswith("error"):
            raise Rejected(answer)
        return ACCEPTED

    def task(self, _handle, key, _desired):
        raise no_tasks(key)

    def inventory(self, key, desired):
        modules = tuple(Disk(name, 1) for name in self._ask(key, desired, "modules").split())
        return Inventory(disks=modules, missing=("processors", "memory", "gpus"))

    def _ask(self, key, desired, command, *, is_write=False):
        way = access_to(desired.resources[key], desired)
        self._connections.refuse_outside(way)
        host, _, port = way.address.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), 5) as line:
                line.sendall(f"{command}\n".encode())
                answer = clean(line.makefile(errors="replace").readline(1000)).strip()
        except (OSError, ValueError) as error:
            raise Unreachable(f"{way.address}: {error}", maybe_sent=is_write) from error
        if not answer:
            raise Unreachable(f"{way.address}: no answer", maybe_sent=is_write)
        return answer
