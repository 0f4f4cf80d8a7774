"""What the console service requests from the reconciler, and reports to it. The daemon implements it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol

import msgspec

from drivers.base import Line
from reconciler.kinds.common.access.access_rules import ConsoleAccess
from reconciler.kinds.console.grants import MachineConsoleState
from reconciler.model.event import EventReason, EventType

CONSOLES_REPORT = "consoles"
"""The name in the store under which the service writes down what it is."""


class ConsoleStatus(msgspec.Struct, frozen=True):
    """One console that is held or watched. `line`: `open`, or why it is not. `writer`: who types; empty: no person."""

    machine: str
    driver: str
    line: str
    since: datetime
    tenancy: str
    writer: str
    watchers: int
    recorded: int


class ConsolesReport(msgspec.Struct, frozen=True):
    """What the console service of the daemon is: where it listens, the line of its host key, and its consoles."""

    at: datetime
    host: str
    port: int
    host_key: str
    consoles: tuple[ConsoleStatus, ...] = ()


class Consoles(Protocol):
    """The machines' consoles, as the service sees them. Calls come from its own thread, and from none that waits for
    a BMC. None of them raises, but `open`."""

    def find(self, user: str) -> str | None:
        """The declared machine that a user name means: a machine's name, or `CLAIM.SLOT`."""

    def state(self, machine: str) -> MachineConsoleState | None:
        """The machine's console now; None for a machine that is not declared, or has none."""

    def held(self) -> Collection[str]:
        """The machines whose line is open without a session."""

    async def open(self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool) -> Line:
        """Open the line. Raises DriverError."""

    def report(
        self, machine: str | None, event_type: EventType, reason: EventReason, message: str, about: tuple[str, ...] = ()
    ) -> None:
        """Record what happened. It returns at once."""

    def publish(self, report: ConsolesReport) -> None:
        """Write down what the service is, for other commands. It returns at once."""
