"""One machine in memory, as its BMC holds it: its state, what changes it, and the Tasks of what was written to it."""

from __future__ import annotations

from msgspec.structs import replace

from drivers.base import (
    ACCEPTED,
    Accepted,
    AuthenticationFailed,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    Busy,
    Credential,
    Disk,
    IndicatorLED,
    Inventory,
    NoSuchTask,
    PowerState,
    Processor,
    Rejected,
    ResetType,
    SystemState,
    Task,
    TaskState,
    Unreachable,
    require_permit,
)
from drivers.bmc.fake.fake_faults import FAILING, Call, Eject, FaultKind, Faults, Insert, Value, Write, WriteLog
from drivers.bmc.simulator.simulated_system import DONE, PowerLag, SimulatedSystem, SimulatedTask

NEW_INVENTORY = Inventory(
    processors=(Processor("Fake 16-Core Processor", 16, 32),) * 2,
    memory=256 * 2**30,
    disks=tuple(Disk(f"nvme{slot}", 1_920_383_410_176, "Fake NVMe") for slot in range(2)),
)
"""What is in a machine of which nothing else was said: no GPU, and nothing missing."""


TASK_FAULTS = frozenset({FaultKind.TASK_FAILS, FaultKind.TASK_CRITICAL})
TASK_ENDS: dict[FaultKind | None, Task] = {
    FaultKind.TASK_FAILS: Task(TaskState.EXCEPTION, "Critical", None, ("The power supply is not ready.",)),
    FaultKind.TASK_CRITICAL: Task(TaskState.COMPLETED, "Critical", 100, ("Unable to complete the job.",)),
}


class FakeMachine:
    """One system, as its BMC holds it. `on_after`, `off_after`: seconds until a power change has taken effect.

    `credential`: the login that it wants; None lets everyone in. `inventory`: what is in it; to be set at will.
    `task_after`: seconds that the Task of a write takes; None: writes have no Task.
    """

    def __init__(self, log: WriteLog, address: str, system_id: str, on_after: float, off_after: float) -> None:
        self._log = log
        self.address = address
        self.system_id = system_id
        self.on_after = on_after
        self.off_after = off_after
        self.credential: Credential | None = None
        self.faults = Faults(log.lock)
        self.inventory = NEW_INVENTORY
        self.task_after: float | None = None
        self._system = SimulatedSystem(f"{system_id} at {address}", _new_state(address, system_id))
        self._tasks: list[SimulatedTask] = []

    @property
    def state(self) -> SystemState:
        """The truth at this moment, whatever reads are reported."""
        with self._log.lock:
            self._advance()
            return self._system.state

    @state.setter
    def state(self, state: SystemState) -> None:
        """Change the machine by hand, as a person in the data centre would; a power change under way is dropped."""
        with self._log.lock:
            self._system = self._system.in_state(state)

    @property
    def media(self) -> tuple[str, ...] | None:
        """What is in its only virtual drive; None: it has none."""
        return self._system.media

    @media.setter
    def media(self, media: tuple[str, ...] | None) -> None:
        """Change the drive by hand."""
        with self._log.lock:
            self._system = replace(self._system, media=media)

    @property
    def booted_from(self) -> list[BootTarget | None]:
        """What the boot override was at each start; None: its own order."""
        return list(self._system.booted_from)

    @property
    def writes(self) -> list[Write]:
        """The writes that left for this machine, in order."""
        return [write for write in self._log.writes if (write.address, write.system_id) == self._key]

    @property
    def _key(self) -> tuple[str, str]:
        return self.address, self.system_id

    def _advance(self) -> None:
        self._system = self._system.at(self._log.now())

    def read(self, *, media: bool) -> SystemState:
        """What the BMC reports, including simulated faults."""
        with self._log.lock:
            self._fail(self.faults.take(Call.READ, FAILING))
            state = replace(self.state, media=(self.media or ()) if media else None)
            boot = state.boot
            if boot is None or boot.enabled is not BootEnabled.ONCE:
                return state
            if self.faults.take(Call.READ, frozenset({FaultKind.ONCE_READS_CONTINUOUS})):
                boot = replace(boot, enabled=BootEnabled.CONTINUOUS)
            return replace(state, boot=boot)

    def read_inventory(self) -> Inventory:
        """What the BMC reports of its parts; a fault of reads applies here too."""
        with self._log.lock:
            self._fail(self.faults.take(Call.READ, FAILING))
            return self.inventory

    def write(self, call: Call, value: Value) -> Accepted:
        """Take a write as the BMC would, faults and all. Raises LeaseEnded."""
        require_permit()
        with self._log.lock:
            fault = self.faults.take(call, FAILING)
            if fault is not FaultKind.UNREACHABLE:
                self._log.record(Write(self._log.now(), self.address, self.system_id, value, fault))
            ends = TASK_ENDS.get(self.faults.take(call, TASK_FAULTS)) if fault is None else None
            if ends is None and fault in (None, FaultKind.REPLY_LOST):
                self._advance()
                self._do(value)
            self._fail(fault)
            if ends is None and self.task_after is None:
                return ACCEPTED
            self._tasks.append(SimulatedTask(self._log.now(), self.task_after or 0.0, ends or DONE))
            return Accepted(f"/redfish/v1/TaskService/Tasks/{len(self._tasks)}")

    def read_task(self, handle: str) -> Task:
        """What the BMC says of the Task of an earlier write. Raises NoSuchTask for one that it does not know."""
        with self._log.lock:
            self._fail(self.faults.take(Call.TASK, FAILING))
            number = handle.rpartition("/")[2]
            known = number.isdigit() and 1 <= int(number) <= len(self._tasks)
            if not known or self.faults.take(Call.TASK, frozenset({FaultKind.TASK_FORGOTTEN})):
                raise NoSuchTask(f"the fake BMC {self.address} has no Task {number}")
            return self._tasks[int(number) - 1].at(self._log.now())

    def _fail(self, fault: FaultKind | None) -> None:
        where = f"the fake BMC {self.address}"
        match fault:
            case FaultKind.UNREACHABLE:
                raise Unreachable(f"{where} does not answer (simulated fault)")
            case FaultKind.REPLY_LOST | FaultKind.REQUEST_LOST:
                raise Unreachable(f"{where} did not answer the request (simulated fault)", maybe_sent=True)
            case FaultKind.BUSY:
                raise Busy(f"{where} is busy (simulated fault)")
            case FaultKind.REJECTED:
                raise Rejected(f"{where} refuses the request (simulated fault)")
            case FaultKind.AUTHENTICATION_FAILED:
                raise AuthenticationFailed(f"{where} does not accept the login (simulated fault)")
            case _:
                return

    def _do(self, value: Value) -> None:
        system = self._system
        match value:
            case ResetType():
                self._system = self._after_reset(system, value)
            case BootOverride():
                changed = system.set_boot(value)
                self._system = system if self._takes(Call.SET_BOOT, FaultKind.BOOT_NOT_KEPT) else changed
            case IndicatorLED():
                self._system = system.set_indicator(value)
            case Insert(url=url):
                changed = system.insert(url)
                self._system = system if self._takes(Call.INSERT_MEDIA, FaultKind.MEDIA_NOT_KEPT) else changed
            case Eject(url=url):
                kept = self._takes(Call.EJECT_MEDIA, FaultKind.MEDIA_NOT_KEPT)
                self._system = system if kept else system.eject(url)

    def _after_reset(self, system: SimulatedSystem, value: ResetType) -> SimulatedSystem:
        changed = system.reset(value, self._log.now(), PowerLag(self.on_after, self.off_after))
        if value is ResetType.GRACEFUL_SHUTDOWN and self._takes(Call.RESET, FaultKind.SHUTDOWN_IGNORED):
            return system
        return changed

    def _takes(self, call: Call, kind: FaultKind) -> bool:
        return self.faults.take(call, frozenset({kind})) is not None


def _new_state(address: str, system_id: str) -> SystemState:
    return SystemState(
        power=PowerState.OFF,
        boot=BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI),
        indicator=IndicatorLED.OFF,
        health="OK",
        serial=f"FAKE-{address}-{system_id}",
        manufacturer="groundstate",
        model="fake",
        allowed_resets=tuple(ResetType),
        allowed_boot_targets=tuple(target for target in BootTarget if target is not BootTarget.USB_CD),
    )
