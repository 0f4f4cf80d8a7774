"""One machine in memory, as its BMC holds it: its state, what changes it, and the Tasks of what was written to it."""

from __future__ import annotations

import msgspec
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
    Unsupported,
    is_image,
)
from drivers.bmc.fake.fake_faults import FAILING, Call, Eject, FaultKind, Faults, Insert, Value, Write, WriteLog

NEW_INVENTORY = Inventory(
    processors=(Processor("Fake 16-Core Processor", 16, 32),) * 2,
    memory=256 * 2**30,
    disks=tuple(Disk(f"nvme{slot}", 1_920_383_410_176, "Fake NVMe") for slot in range(2)),
)
"""What is in a machine of which nothing else was said: no GPU, and nothing missing."""


RESTARTS = frozenset({ResetType.GRACEFUL_RESTART, ResetType.FORCE_RESTART, ResetType.POWER_CYCLE})


DONE = Task(TaskState.COMPLETED, "OK", 100, ("The task is complete.",))
TASK_FAULTS = frozenset({FaultKind.TASK_FAILS, FaultKind.TASK_CRITICAL})
TASK_ENDS: dict[FaultKind | None, Task] = {
    FaultKind.TASK_FAILS: Task(TaskState.EXCEPTION, "Critical", None, ("The power supply is not ready.",)),
    FaultKind.TASK_CRITICAL: Task(TaskState.COMPLETED, "Critical", 100, ("Unable to complete the job.",)),
}


class _Task(msgspec.Struct, frozen=True):
    """The Task of a write: when it began, how many seconds it takes, and how it ends."""

    begun: float
    seconds: float
    end: Task

    def at(self, now: float) -> Task:
        """What it shows at a time."""
        passed = now - self.begun
        if passed >= self.seconds:
            return self.end
        return Task(TaskState.RUNNING, "OK", int(100 * passed / self.seconds), ("The task is running.",))


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
        self.media: tuple[str, ...] | None = ()
        """What is in its only virtual drive; None: it has none."""
        self.booted_from: list[BootTarget | None] = []
        """What the boot override said each time that it came up; None: its own order."""
        self._state = _new_state(address, system_id)
        self._coming: list[tuple[float, PowerState]] = []
        self._tasks: list[_Task] = []

    @property
    def state(self) -> SystemState:
        """The truth at this moment, whatever reads are reported."""
        with self._log.lock:
            self._advance()
            return self._state

    @state.setter
    def state(self, state: SystemState) -> None:
        """Change the machine by hand, as a person in the data centre would; a power change under way is dropped."""
        with self._log.lock:
            self._coming.clear()
            self._state = state

    @property
    def writes(self) -> list[Write]:
        """The writes that left for this machine, in order."""
        return [write for write in self._log.writes if (write.address, write.system_id) == self._key]

    @property
    def _key(self) -> tuple[str, str]:
        return self.address, self.system_id

    def _advance(self) -> None:
        while self._coming and self._coming[0][0] <= self._log.now():
            self._become(self._coming.pop(0)[1])

    def _become(self, power: PowerState) -> None:
        boot = self._state.boot
        if power is PowerState.ON is not self._state.power:
            overridden = boot is not None and boot.enabled in (BootEnabled.ONCE, BootEnabled.CONTINUOUS)
            self.booted_from.append(boot.target if boot is not None and overridden else None)
            if boot is not None and boot.enabled is BootEnabled.ONCE:
                boot = replace(boot, target=BootTarget.NONE, enabled=BootEnabled.DISABLED)
        self._state = replace(self._state, power=power, boot=boot)

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
        """Take a write as the BMC would, faults and all."""
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
            self._tasks.append(_Task(self._log.now(), self.task_after or 0.0, ends or DONE))
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
        match value:
            case ResetType():
                self._reset(value)
            case BootOverride():
                self._set_boot(value)
            case IndicatorLED():
                if self._state.indicator is None:
                    raise Unsupported(f"system {self.system_id} at {self.address} has no indicator LED")
                self._state = replace(self._state, indicator=value)
            case Insert(url=url):
                self._insert(url)
            case Eject(url=url):
                if not self.faults.take(Call.EJECT_MEDIA, frozenset({FaultKind.MEDIA_NOT_KEPT})):
                    self.media = tuple(one for one in self.media or () if not is_image(one, url))

    def _insert(self, url: str) -> None:
        if self.media is None:
            raise Unsupported(f"system {self.system_id} at {self.address} has no virtual drive")
        if self.media:
            raise Rejected(f"the virtual drive is in use: {self.media[0]} is inserted; eject that image first")
        if not self.faults.take(Call.INSERT_MEDIA, frozenset({FaultKind.MEDIA_NOT_KEPT})):
            self.media = (url,)

    def _reset(self, reset_type: ResetType) -> None:
        allowed = self._state.allowed_resets
        if allowed is not None and reset_type not in allowed:
            raise Unsupported(f"the BMC does not offer ResetType {reset_type}; it offers {', '.join(allowed)}")
        if reset_type is ResetType.GRACEFUL_SHUTDOWN and self.faults.take(
            Call.RESET, frozenset({FaultKind.SHUTDOWN_IGNORED})
        ):
            return
        off = self._state.power is PowerState.OFF
        if reset_type in RESTARTS:
            if off:
                raise Rejected(f"{reset_type} is refused because the system is off")
            self._change(PowerState.OFF, PowerState.ON)
        elif reset_type in (ResetType.ON, ResetType.FORCE_ON) or (reset_type is ResetType.PUSH_POWER_BUTTON and off):
            self._change(PowerState.ON)
        elif reset_type is not ResetType.NMI:
            self._change(PowerState.OFF)

    def _change(self, *steps: PowerState) -> None:
        self._coming.clear()
        at = self._log.now()
        for power in steps:
            at += self.on_after if power is PowerState.ON else self.off_after
            self._coming.append((at, power))
        self._advance()

    def _set_boot(self, override: BootOverride) -> None:
        boot, allowed = self._state.boot, self._state.allowed_boot_targets
        if boot is None:
            raise Unsupported(f"system {self.system_id} at {self.address} has no boot override; remove spec.boot")
        if allowed is not None and override.target is not None and override.target not in allowed:
            raise Unsupported(
                f"the BMC does not offer BootSourceOverrideTarget {override.target}; it offers {', '.join(allowed)}"
            )
        allowed_enabled = self._state.allowed_boot_enabled
        if allowed_enabled is not None and override.enabled not in (None, *allowed_enabled):
            raise Unsupported(f"the BMC does not offer BootSourceOverrideEnabled {override.enabled}")
        if self.faults.take(Call.SET_BOOT, frozenset({FaultKind.BOOT_NOT_KEPT})):
            return
        kept = BootOverride(
            target=boot.target if override.target is None else override.target,
            enabled=boot.enabled if override.enabled is None else override.enabled,
            mode=boot.mode if override.mode is None else override.mode,
        )
        self._state = replace(self._state, boot=kept)


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
