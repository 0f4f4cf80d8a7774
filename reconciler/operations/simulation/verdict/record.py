"""What was seen of a simulated run, for its oracles to judge. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from drivers.base import BootOverride, IndicatorLED, PowerState, ResetType
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason
from reconciler.model.plans.override import Override
from reconciler.operations.simulation.scenarios.declared_fleet import DeclaredFleet, DeclaredGuard
from reconciler.operations.simulation.scenarios.incidents import Incident
from reconciler.operations.simulation.verdict.claims_record import DiskChange, Installation, SeenAllocations


class Sometimes(StrEnum):
    """What must happen in some seed, as a run in which nothing goes wrong at the wrong moment shows nothing."""

    KILLED_BEFORE_SENDING = "killed after an action was recorded and before it was sent"
    KILLED_IN_FLIGHT = "killed while an action was in flight"
    TAKEN_OVER_IN_FLIGHT = "taken over from while an action was in flight"
    KILLED_AT_REST = "killed while no action was in flight"
    STOPPED_IN_FLIGHT = "stood still while an action was in flight"
    ENDED_BY_ITSELF = "the daemon ended because of its store or its repository"
    REPLY_LOST = "the reply to a write was lost"
    REQUEST_LOST = "a write was lost on its way"
    DRIFT_REPAIRED = "a change by a person was repaired"
    BUDGET_HELD = "a guard held a change"
    REVISION_REFUSED = "a revision was refused"
    OUTCOME_UNKNOWN = "an action was not confirmed"
    POWERED_OFF = "a machine was powered off"
    ORDER_SENT = "a boot override for one boot was sent"
    CLAIMED = "a machine was claimed"
    INSTALLED = "a machine was installed"
    REINSTALLED = "a machine was installed again"
    WIPED = "a released machine was wiped"
    NEXT_TENANT = "a machine went from one claim to another"
    RELEASED_IN_INSTALLATION = "a claim released a machine while it was being installed"
    KILLED_IN_INSTALLATION = "killed while a machine was being installed"
    WINDOW_HELD = "a closed window held a change"
    WINDOW_CLOSED_IN_SEQUENCE = "a window closed in the middle of a sequence, which was finished"
    PAUSE_HELD = "a pause held a change"
    PAUSE_RESUMED = "a person ended a pause"
    PAUSE_EXPIRED = "a pause expired"
    OVERRIDE_USED = "a change was made by an override"
    OVERRIDE_REVOKED = "an override was revoked"
    OVERRIDE_EXPIRED = "an override expired"
    RENAME_DENIED = "people said that a claim was not renamed"
    RESTARTED = "a machine was restarted for a person"
    RESTART_CANCELLED = "a person cancelled a restart"
    RESTART_FAILED = "a restart was not done, or perhaps not"
    RESTORED = "the store was restored from a backup"
    RESTORED_IN_FLIGHT = "a backup was restored in which an action was in flight"


class SeenRequests(msgspec.Struct, frozen=True):
    """What of people's requests is in force for a machine when an action is recorded, by the rows of the store.

    `pauses`: the ids of pauses that were there for longer than a daemon needs to notice one. `overrides`: the guards
    that are overridden, or were so until a moment ago. `restarts`: the ids of restarts that have not ended, or were
    cancelled, perhaps too late."""

    pauses: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()


class SeenWrite(msgspec.Struct, frozen=True):
    """A write as it left for a BMC.

    `at`: seconds; `clock`: what the clock of the host showed. `epoch`: of the daemon that sent it. `last_epoch`: the
    one that the store had then. `flights`: the actions in flight for that machine, as the store had them on disk then.
    `beside`: for others behind the same BMC. `was_taken_over`: a newer daemon has the store, and found all of `flights`
    there. `system`: what a claim has installed, and runs on it. `was_refused`: the BMC said that it did nothing.
    `requests`: those that count for it. `was_on`: the machine was on then."""

    at: float
    clock: datetime
    machine: str
    value: object
    daemon: str
    epoch: int
    last_epoch: int
    flights: tuple[InFlight, ...]
    beside: tuple[InFlight, ...]
    was_taken_over: bool
    system: Installation | None = None
    was_refused: bool = False
    requests: SeenRequests = SeenRequests()
    was_on: bool = True

    @property
    def powers_off(self) -> bool:
        """Whether the machine is taken down by it."""
        return isinstance(self.value, ResetType) and self.value in (
            ResetType.FORCE_OFF,
            ResetType.GRACEFUL_SHUTDOWN,
            ResetType.PUSH_POWER_BUTTON,
        )

    @property
    def powers_on(self) -> bool:
        """Whether the machine is brought up by it."""
        return self.value in (ResetType.ON, ResetType.FORCE_ON)

    @property
    def orders_boot(self) -> bool:
        """Whether it is a boot override."""
        return isinstance(self.value, BootOverride)


class FinalState(msgspec.Struct, frozen=True):
    """A machine in the end. `system`: what a claim has installed, and runs on it. `has_data`: whether anything is on
    its disk."""

    power: PowerState | None
    led: IndicatorLED | None
    system: Installation | None = None
    has_data: bool = False


class SimulatedRun(msgspec.Struct, frozen=True):
    """All that is known of a run. `revisions`: what each commit declared, oldest first; a broken one is not among them.
    `budget`: how many machines may be down at once. `failures`: what ended a daemon, or one of its threads,
    unexpectedly. `unfinished`: actions that are in flight in the end, and restarts that have not ended. `changes`: of
    the disks of machines for claims, the oldest first. `moments`: what was allocated from time to time, and in the end.
    `overrides`: all that people began. `restores`: when a backup of the store was restored. `lost_events`: those that
    the backup did not have. `holdings`: how much the last daemon held, and then one that was started after it. `rows`:
    of the tables of the store, without the ledger and what people asked for."""

    seed: int
    seconds: float
    trace: str
    incidents: tuple[Incident, ...]
    budget: int
    writes: tuple[SeenWrite, ...]
    events: tuple[Event, ...]
    revisions: Mapping[str, DeclaredFleet]
    final: Mapping[str, FinalState]
    unfinished: tuple[str, ...]
    failures: tuple[str, ...]
    sometimes: Mapping[Sometimes, int]
    changes: tuple[DiskChange, ...] = ()
    moments: tuple[SeenAllocations, ...] = ()
    overrides: tuple[Override, ...] = ()
    restores: tuple[float, ...] = ()
    holdings: tuple[Mapping[str, int], ...] = ()
    rows: Mapping[str, int] = {}
    lost_events: tuple[Event, ...] = ()

    @property
    def all_events(self) -> tuple[Event, ...]:
        """The ledger, with what was lost of it."""
        return (*self.events, *self.lost_events)

    def event_of(self, flight: InFlight) -> Event | None:
        """The event of this action; None for one that is counted beside an earlier event."""
        sent = (one for one in self.all_events if one.reason is EventReason.ACTION_SENT)
        return next((one for one in sent if one.action_id == flight.id), None)

    def guard_of(self, revision: str | None) -> DeclaredGuard | None:
        """The guard that this revision declares."""
        declared = self.revisions.get(revision or "")
        return declared.guard if declared is not None else None

    @property
    def declared(self) -> DeclaredFleet:
        """What the last revision declares."""
        return list(self.revisions.values())[-1]
