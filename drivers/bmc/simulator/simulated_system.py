"""A simulated ComputerSystem as a value: what each write changes, and what comes of it as time passes. Pure.

Both the fake driver and the simulated Redfish BMC are made of it. Times are seconds of a clock that the caller has."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from drivers.base import (
    BootEnabled,
    BootOverride,
    BootTarget,
    IndicatorLED,
    PowerState,
    Rejected,
    ResetType,
    SystemState,
    Task,
    TaskState,
    Unsupported,
    is_image,
)

RESTARTS = frozenset({ResetType.GRACEFUL_RESTART, ResetType.FORCE_RESTART, ResetType.POWER_CYCLE})
SWITCHES_ON = frozenset({ResetType.ON, ResetType.FORCE_ON})


class PowerLag(msgspec.Struct, frozen=True):
    """Seconds until a power change has taken effect. HPE Cray EX235a: 46 s on, 6 s off (chaos/powerman#67)."""

    on: float = 0.0
    off: float = 0.0


class SimulatedSystem(msgspec.Struct, frozen=True):
    """One system. Its methods return the system after the write. They raise Rejected or Unsupported for what the system
    does not do.

    `state`: what is so now. `media`: what is in its only virtual drive; None: there is none. `next_boot`: an override
    that waits in a Settings resource for the next start. `booted_from`: what the override was at each start; None: the
    system's own order. `coming`: the power states to come, each with its time.
    """

    name: str
    state: SystemState
    media: tuple[str, ...] | None = ()
    next_boot: BootOverride | None = None
    booted_from: tuple[BootTarget | None, ...] = ()
    coming: tuple[tuple[float, PowerState], ...] = ()

    def at(self, now: float) -> SimulatedSystem:
        """The system at a time that is not before its last change."""
        system = self
        while system.coming and system.coming[0][0] <= now:
            (_, power), *later = system.coming
            system = replace(system, coming=tuple(later))._become(power)
        return system

    def in_state(self, state: SystemState) -> SimulatedSystem:
        """Changed by hand, as by a person in the data centre; a power change under way is dropped."""
        return replace(self, state=state, coming=())

    def reset(self, reset_type: ResetType, now: float, lag: PowerLag) -> SimulatedSystem:
        """After a Reset. A second one drops what is still to come of the first."""
        allowed = self.state.allowed_resets
        if allowed is not None and reset_type not in allowed:
            raise Unsupported(f"the BMC does not offer ResetType {reset_type}; it offers {', '.join(allowed)}")
        off = self.state.power is PowerState.OFF
        if reset_type in RESTARTS:
            if off:
                raise Rejected(f"{reset_type} is refused because the system is off")
            return self._change(now, lag, PowerState.OFF, PowerState.ON)
        if reset_type in SWITCHES_ON or (reset_type is ResetType.PUSH_POWER_BUTTON and off):
            return self._change(now, lag, PowerState.ON)
        return self if reset_type is ResetType.NMI else self._change(now, lag, PowerState.OFF)

    def set_boot(self, override: BootOverride, *, at_next_boot: bool = False) -> SimulatedSystem:
        """With the parts of the boot override that are given, now or only at the next start."""
        boot, allowed = self.state.boot, self.state.allowed_boot_targets
        if boot is None:
            raise Unsupported(f"the system {self.name} has no boot override; remove spec.boot")
        if allowed is not None and override.target is not None and override.target not in allowed:
            raise Unsupported(
                f"the BMC does not offer BootSourceOverrideTarget {override.target}; it offers {', '.join(allowed)}"
            )
        enabled = self.state.allowed_boot_enabled
        if enabled is not None and override.enabled not in (None, *enabled):
            raise Unsupported(f"the BMC does not offer BootSourceOverrideEnabled {override.enabled}")
        if at_next_boot:
            return replace(self, next_boot=_merged(self.next_boot or boot, override))
        return replace(self, state=replace(self.state, boot=_merged(boot, override)))

    def set_indicator(self, led: IndicatorLED) -> SimulatedSystem:
        """With the LED as given."""
        if self.state.indicator is None:
            raise Unsupported(f"the system {self.name} has no indicator LED")
        return replace(self, state=replace(self.state, indicator=led))

    def insert(self, url: str) -> SimulatedSystem:
        """With an image in the virtual drive."""
        if self.media is None:
            raise Unsupported(f"the system {self.name} has no virtual drive")
        if self.media:
            raise Rejected(f"the virtual drive is in use: {self.media[0]} is inserted; eject that image first")
        return replace(self, media=(url,))

    def eject(self, url: str | None = None) -> SimulatedSystem:
        """Without this image in the virtual drive, or without any."""
        left = tuple(one for one in self.media or () if url is not None and not is_image(one, url))
        return self if self.media is None else replace(self, media=left)

    def _change(self, now: float, lag: PowerLag, *steps: PowerState) -> SimulatedSystem:
        coming, at = [], now
        for power in steps:
            at += lag.on if power is PowerState.ON else lag.off
            coming.append((at, power))
        return replace(self, coming=tuple(coming)).at(now)

    def _become(self, power: PowerState) -> SimulatedSystem:
        if power is not PowerState.ON or self.state.power is PowerState.ON:
            return replace(self, state=replace(self.state, power=power))
        boot = self.next_boot or self.state.boot
        overridden = boot is not None and boot.enabled in (BootEnabled.ONCE, BootEnabled.CONTINUOUS)
        target = boot.target if boot is not None and overridden else None
        if boot is not None and boot.enabled is BootEnabled.ONCE:
            boot = replace(boot, target=BootTarget.NONE, enabled=BootEnabled.DISABLED)
        state = replace(self.state, power=power, boot=boot)
        return replace(self, state=state, next_boot=None, booted_from=(*self.booted_from, target))


class SimulatedTask(msgspec.Struct, frozen=True):
    """The Task of a write: when it began, how many seconds it takes, and how it ends."""

    begun: float
    seconds: float
    end: Task

    def at(self, now: float) -> Task:
        """What the Task shows at a time."""
        passed = now - self.begun
        if passed >= self.seconds:
            return self.end
        return Task(TaskState.RUNNING, "OK", int(100 * passed / self.seconds), ("The task is running.",))


DONE = Task(TaskState.COMPLETED, "OK", 100, ("The task is complete.",))


def _merged(boot: BootOverride, given: BootOverride) -> BootOverride:
    return BootOverride(
        target=boot.target if given.target is None else given.target,
        enabled=boot.enabled if given.enabled is None else given.enabled,
        mode=boot.mode if given.mode is None else given.mode,
    )
