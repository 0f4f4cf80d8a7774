"""The machines' consoles: what follows for each from the documents and the facts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec

from drivers.base import Line
from reconciler import runtime
from reconciler.kinds.common.access.access_rules import ConsoleAccess
from reconciler.kinds.common.consoles.console_fields import ConsoleHold
from reconciler.kinds.common.machine_facts import MachineFacts, as_machine_facts
from reconciler.kinds.console.grants import MachineConsoleState, console_of, machine_of_slot
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.runtime import now
from reconciler.services.console_port import CONSOLES_REPORT, ConsolesReport

CHANGES_GRANTS = (EventReason.CLAIMED, EventReason.RELEASING, EventReason.FREED, EventReason.RENAMED)
"""Events after which the grants of a machine differ."""


class MachineConsoles:
    """Implements Consoles. `open_line` is the driver's, `record` writes an event to the ledger, `save` a text to the
    store, and `counted` gets each report."""

    def __init__(
        self,
        desired: Callable[[], DesiredState | None],
        facts_of: Callable[[ResourceKey], ResourceFacts],
        open_line: Callable[[ConsoleAccess, str, Callable[[bytes], None], bool], Awaitable[Line]],
        record: Callable[[Event], None],
        save: Callable[[str, str], None],
        counted: Callable[[ConsolesReport], None],
        log: Any,
    ) -> None:
        self._desired, self._facts_of = desired, facts_of
        self._open_line, self._record, self._save, self._counted = open_line, record, save, counted
        self._log = log
        self._writing = runtime.pool(1, "console-events")

    def find(self, user: str) -> str | None:
        """See Consoles."""
        desired = self._desired()
        if desired is None:
            return None
        if ResourceKey("Machine", user) in desired.resources:
            return user
        if "." not in user:
            return None
        return machine_of_slot(user, ((key.name, self._facts(key).lifecycle) for key in _machines(desired)))

    def state(self, machine: str) -> MachineConsoleState | None:
        """See Consoles."""
        desired, key = self._desired(), ResourceKey("Machine", machine)
        resource = desired.resources.get(key) if desired is not None else None
        return None if desired is None or resource is None else console_of(resource, desired, self._facts(key))

    def held(self) -> Collection[str]:
        """See Consoles."""
        desired = self._desired()
        states = (self.state(key.name) for key in _machines(desired)) if desired is not None else ()
        return [one.machine for one in states if one is not None and _is_held(one)]

    def _facts(self, key: ResourceKey) -> MachineFacts:
        return as_machine_facts(self._facts_of(key))

    async def open(self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool) -> Line:
        """See Consoles."""
        return await self._open_line(access, former, heard, steal)

    def report(
        self, machine: str | None, event_type: EventType, reason: EventReason, message: str, about: tuple[str, ...] = ()
    ) -> None:
        """See Consoles."""
        key = ResourceKey("Machine", machine) if machine is not None else None
        event = Event(now(), event_type, reason, message, key, about=about)
        self._writing.submit(self._logged, lambda: self._record(event))

    def publish(self, report: ConsolesReport) -> None:
        """See Consoles."""
        self._counted(report)
        said = msgspec.json.encode(report).decode()
        self._writing.submit(self._logged, lambda: self._save(CONSOLES_REPORT, said))

    def close(self) -> None:
        """Write what is left."""
        self._writing.shutdown()

    def _logged(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001  a store that is away costs a line in the log, and no console
            self._log.error("ConsoleEventLost", message=str(error))


def _machines(desired: DesiredState) -> list[ResourceKey]:
    return [one.key for one in desired.of_kind("Machine")]


def _is_held(state: MachineConsoleState) -> bool:
    hold = state.settings.hold
    return hold is ConsoleHold.ALWAYS or (hold is ConsoleHold.ORDERS and bool(state.order))
