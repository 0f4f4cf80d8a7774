"""What fake BMCs do wrong to order, and the record of what was written to them.

The `FNN` numbers name faults of real BMCs: F04 HPE accepts a graceful shutdown and stays on (apache/cloudstack#12921).
F13 Supermicro accepts a boot override and does not keep it (bmc-toolbox/bmclib#459). F52 Dell answers 404 for a job
that was just made (sushy note fix-dell-bmc-404-race). F55 Dell reports a job Completed and Critical
(ironcore-dev/metal-operator#453). F64 several show what was taken out of the virtual drive (Ironic)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from drivers.base import BootOverride, IndicatorLED, ResetType
from drivers.base.support import scheduling


class Call(StrEnum):
    """A call that a fault can strike."""

    READ = "read"
    RESET = "reset"
    SET_BOOT = "set_boot"
    SET_INDICATOR = "set_indicator"
    INSERT_MEDIA = "insert_media"
    EJECT_MEDIA = "eject_media"
    TASK = "task"


READS = frozenset({Call.READ})
WRITES = frozenset(Call) - READS - {Call.TASK}
EVERY_CALL = frozenset(Call)


class FaultKind(StrEnum):
    """What goes wrong. The first six fail the call; the others let it succeed and misbehave."""

    UNREACHABLE = "unreachable"
    BUSY = "busy"
    REJECTED = "rejected"
    AUTHENTICATION_FAILED = "authentication failed"
    REPLY_LOST = "reply lost"
    """A write is done, but its reply does not come back."""
    REQUEST_LOST = "request lost"
    """A write is lost on its way; to the sender this looks like a lost reply."""
    SHUTDOWN_IGNORED = "graceful shutdown ignored"
    """F04."""
    BOOT_NOT_KEPT = "boot override not kept"
    """F13."""
    MEDIA_NOT_KEPT = "media cannot be inserted or ejected"
    """F64."""
    ONCE_READS_CONTINUOUS = "Once reads back as Continuous"
    """As sushy-emulator does."""
    TASK_FAILS = "accepted with a Task that fails"
    """The write has no effect."""
    TASK_CRITICAL = "accepted with a Task that is Completed and Critical"
    """F55. The write has no effect."""
    TASK_FORGOTTEN = "no such Task"
    """F52."""


FAILING = frozenset(
    {
        FaultKind.UNREACHABLE,
        FaultKind.BUSY,
        FaultKind.REJECTED,
        FaultKind.AUTHENTICATION_FAILED,
        FaultKind.REPLY_LOST,
        FaultKind.REQUEST_LOST,
    }
)


STRIKES = {
    FaultKind.REPLY_LOST: WRITES,
    FaultKind.REQUEST_LOST: WRITES,
    FaultKind.SHUTDOWN_IGNORED: frozenset({Call.RESET}),
    FaultKind.BOOT_NOT_KEPT: frozenset({Call.SET_BOOT}),
    FaultKind.MEDIA_NOT_KEPT: frozenset({Call.INSERT_MEDIA, Call.EJECT_MEDIA}),
    FaultKind.ONCE_READS_CONTINUOUS: READS,
    FaultKind.TASK_FAILS: WRITES,
    FaultKind.TASK_CRITICAL: WRITES,
    FaultKind.TASK_FORGOTTEN: frozenset({Call.TASK}),
}
"""The calls that a kind of fault can strike, where not every one."""


class Insert(msgspec.Struct, frozen=True):
    """That an image was put into the virtual drive."""

    url: str


class Eject(msgspec.Struct, frozen=True):
    """That an image was taken out of it."""

    url: str


Value = ResetType | BootOverride | IndicatorLED | Insert | Eject
"""What can be written."""


class Fault(msgspec.Struct, frozen=True):
    """A fault to order. `on`: the calls it may strike. `times`: how often it strikes; None: until cleared."""

    kind: FaultKind
    on: frozenset[Call] = EVERY_CALL
    times: int | None = 1


class Write(msgspec.Struct, frozen=True):
    """A write that left for a machine, whatever became of it. `at`: the fleet's clock. `fault`: what failed it."""

    at: float
    address: str
    system_id: str
    value: Value
    fault: FaultKind | None = None


class Faults:
    """The faults that a machine still has in store, struck in the order they were added."""

    def __init__(self, lock: scheduling.Lock) -> None:
        self._lock = lock
        self._left: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        with self._lock:
            self._left.append(fault)

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._left.clear()

    def take(self, call: Call, kinds: frozenset[FaultKind]) -> FaultKind | None:
        """The first fault of these kinds that strikes the call; that firing is used up."""
        with self._lock:
            for index, fault in enumerate(self._left):
                if fault.kind in kinds and call in fault.on & STRIKES.get(fault.kind, EVERY_CALL):
                    if fault.times is not None:
                        left = fault.times - 1
                        self._left[index : index + 1] = [replace(fault, times=left)] if left else []
                    return fault.kind
        return None


class WriteLog:
    """What all machines of a fleet share: a clock, a lock, and the record of the writes that left for them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.lock = scheduling.rlock()
        self._writes: list[Write] = []

    @property
    def writes(self) -> list[Write]:
        """Every write that left for a machine, in order; an unreachable machine's never left."""
        with self.lock:
            return list(self._writes)

    def record(self, write: Write) -> None:
        """Remember a write."""
        with self.lock:
            self._writes.append(write)
