"""BMCs in memory: for trying groundstate without hardware, and for tests that need a BMC to misbehave to order.

Machines come into being when first spoken of. Time is a function that is handed in, so a test decides when a power
change has taken effect. What a machine should do wrong is a `Fault`, the `FNN` numbers below name real BMCs' faults:
F04 HPE, accepts a graceful shutdown and stays on (apache/cloudstack#12921); F13 Supermicro, accepts a boot override and
does not keep it (bmc-toolbox/bmclib#459); F64 several, show what was taken out of the virtual drive (Ironic).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from drivers.base import (
    AuthenticationFailed,
    Bmc,
    BmcDriver,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    Busy,
    Credential,
    Disk,
    Endpoint,
    IndicatorLED,
    Inventory,
    Peer,
    PowerState,
    Processor,
    Rejected,
    ResetType,
    SystemState,
    Unreachable,
    Unsupported,
    is_image,
    scheduling,
)

ONLY_SYSTEM = "1"
"""The id of a BMC's system where the endpoint names none and none is known."""

NEW_INVENTORY = Inventory(
    processors=(Processor("Fake 16-Core Processor", 16, 32),) * 2,
    memory=256 * 2**30,
    disks=tuple(Disk(f"nvme{slot}", 1_920_383_410_176, "Fake NVMe") for slot in range(2)),
)
"""What is in a machine of which nothing else was said: no GPU, and nothing missing."""

RESTARTS = frozenset({ResetType.GRACEFUL_RESTART, ResetType.FORCE_RESTART, ResetType.POWER_CYCLE})


class Call(StrEnum):
    """A call that a fault can strike."""

    READ = "read"
    RESET = "reset"
    SET_BOOT = "set_boot"
    SET_INDICATOR = "set_indicator"
    INSERT_MEDIA = "insert_media"
    EJECT_MEDIA = "eject_media"


READS = frozenset({Call.READ})
WRITES = frozenset(Call) - READS
EVERY_CALL = READS | WRITES


class FaultKind(StrEnum):
    """What goes wrong. The first six fail the call; the others let it succeed and misbehave."""

    UNREACHABLE = "unreachable"
    BUSY = "busy"
    REJECTED = "rejected"
    AUTHENTICATION_FAILED = "authentication failed"
    REPLY_LOST = "reply lost"
    """A write is done, but its reply does not come back."""
    REQUEST_LOST = "request lost"
    """A write is lost on its way; the sender cannot tell it from a lost reply."""
    SHUTDOWN_IGNORED = "graceful shutdown ignored"
    """F04."""
    BOOT_NOT_KEPT = "boot override not kept"
    """F13."""
    MEDIA_NOT_KEPT = "media neither goes in nor out"
    """F64."""
    ONCE_READS_CONTINUOUS = "Once reads back as Continuous"
    """As sushy-emulator does."""


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


class FakeMachine:
    """One system, as its BMC holds it. `on_after`, `off_after`: seconds until a power change has taken effect.

    `credential`: the login that it wants; None lets everyone in. `inventory`: what is in it; to be set at will.
    """

    def __init__(self, fleet: FakeFleet, address: str, system_id: str) -> None:
        self._fleet = fleet
        self.address = address
        self.system_id = system_id
        self.on_after = fleet.on_after
        self.off_after = fleet.off_after
        self.credential: Credential | None = None
        self.faults = Faults(fleet.lock)
        self.inventory = NEW_INVENTORY
        self.media: tuple[str, ...] | None = ()
        """What is in its only virtual drive; None: it has none."""
        self.booted_from: list[BootTarget | None] = []
        """What the boot override said each time that it came up; None: its own order."""
        self._state = _new_state(system_id)
        self._coming: list[tuple[float, PowerState]] = []

    @property
    def state(self) -> SystemState:
        """The truth at this moment, whatever reads are told."""
        with self._fleet.lock:
            self._settle()
            return self._state

    @state.setter
    def state(self, state: SystemState) -> None:
        """Change the machine by hand, as somebody in the data centre would; a power change under way is dropped."""
        with self._fleet.lock:
            self._coming.clear()
            self._state = state

    @property
    def writes(self) -> list[Write]:
        """The writes that left for this machine, in order."""
        return [write for write in self._fleet.writes if (write.address, write.system_id) == self._key]

    @property
    def _key(self) -> tuple[str, str]:
        return self.address, self.system_id

    def _settle(self) -> None:
        while self._coming and self._coming[0][0] <= self._fleet.now():
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
        """What the BMC tells, faults and all."""
        with self._fleet.lock:
            self._fail(self.faults.take(Call.READ, FAILING))
            state = replace(self.state, media=(self.media or ()) if media else None)
            boot = state.boot
            if boot is None or boot.enabled is not BootEnabled.ONCE:
                return state
            if self.faults.take(Call.READ, frozenset({FaultKind.ONCE_READS_CONTINUOUS})):
                boot = replace(boot, enabled=BootEnabled.CONTINUOUS)
            return replace(state, boot=boot)

    def read_inventory(self) -> Inventory:
        """What the BMC tells of its parts; a fault that strikes reads strikes this too."""
        with self._fleet.lock:
            self._fail(self.faults.take(Call.READ, FAILING))
            return self.inventory

    def write(self, call: Call, value: Value) -> None:
        """Take a write as the BMC would, faults and all."""
        with self._fleet.lock:
            fault = self.faults.take(call, FAILING)
            if fault is not FaultKind.UNREACHABLE:
                self._fleet.record(Write(self._fleet.now(), self.address, self.system_id, value, fault))
            if fault is None or fault is FaultKind.REPLY_LOST:
                self._settle()
                self._do(value)
            self._fail(fault)

    def _fail(self, fault: FaultKind | None) -> None:
        where = f"the fake BMC {self.address}"
        match fault:
            case FaultKind.UNREACHABLE:
                raise Unreachable(f"{where} does not answer, as ordered")
            case FaultKind.REPLY_LOST | FaultKind.REQUEST_LOST:
                raise Unreachable(f"{where} did not answer the request, as ordered", maybe_sent=True)
            case FaultKind.BUSY:
                raise Busy(f"{where} is busy, as ordered")
            case FaultKind.REJECTED:
                raise Rejected(f"{where} refuses, as ordered")
            case FaultKind.AUTHENTICATION_FAILED:
                raise AuthenticationFailed(f"{where} does not accept the login, as ordered")
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
            raise Rejected(f"the virtual drive is not free; in it is {self.media[0]}")
        if not self.faults.take(Call.INSERT_MEDIA, frozenset({FaultKind.MEDIA_NOT_KEPT})):
            self.media = (url,)

    def _reset(self, reset_type: ResetType) -> None:
        allowed = self._state.allowed_resets
        if allowed is not None and reset_type not in allowed:
            raise Unsupported(f"ResetType {reset_type} is not one of {', '.join(allowed)}")
        if reset_type is ResetType.GRACEFUL_SHUTDOWN and self.faults.take(
            Call.RESET, frozenset({FaultKind.SHUTDOWN_IGNORED})
        ):
            return
        off = self._state.power is PowerState.OFF
        if reset_type in RESTARTS:
            if off:
                raise Rejected(f"{reset_type} is refused as the system is off")
            self._change(PowerState.OFF, PowerState.ON)
        elif reset_type in (ResetType.ON, ResetType.FORCE_ON) or (reset_type is ResetType.PUSH_POWER_BUTTON and off):
            self._change(PowerState.ON)
        elif reset_type is not ResetType.NMI:
            self._change(PowerState.OFF)

    def _change(self, *steps: PowerState) -> None:
        self._coming.clear()
        at = self._fleet.now()
        for power in steps:
            at += self.on_after if power is PowerState.ON else self.off_after
            self._coming.append((at, power))
        self._settle()

    def _set_boot(self, override: BootOverride) -> None:
        boot, allowed = self._state.boot, self._state.allowed_boot_targets
        if boot is None:
            raise Unsupported(f"system {self.system_id} at {self.address} has no boot override")
        if allowed is not None and override.target is not None and override.target not in allowed:
            raise Unsupported(f"BootSourceOverrideTarget {override.target} is not one of {', '.join(allowed)}")
        if self.faults.take(Call.SET_BOOT, frozenset({FaultKind.BOOT_NOT_KEPT})):
            return
        kept = BootOverride(
            target=boot.target if override.target is None else override.target,
            enabled=boot.enabled if override.enabled is None else override.enabled,
            mode=boot.mode if override.mode is None else override.mode,
        )
        self._state = replace(self._state, boot=kept)


class FakeBmc:
    """One system as a driver shows it; the machine is looked up at each call, as `open` must not ask the BMC."""

    def __init__(self, fleet: FakeFleet, endpoint: Endpoint, closed: scheduling.Flag) -> None:
        self._fleet = fleet
        self._endpoint = endpoint
        self._closed = closed

    def read(self, *, media: bool = False) -> SystemState:
        """See Bmc."""
        return self._machine().read(media=media)

    def reset(self, reset_type: ResetType) -> None:
        """See Bmc."""
        self._machine().write(Call.RESET, reset_type)

    def set_boot(self, override: BootOverride) -> None:
        """See Bmc."""
        self._machine().write(Call.SET_BOOT, override)

    def set_indicator(self, led: IndicatorLED) -> None:
        """See Bmc."""
        self._machine().write(Call.SET_INDICATOR, led)

    def insert_media(self, url: str) -> None:
        """See Bmc."""
        self._machine().write(Call.INSERT_MEDIA, Insert(url))

    def eject_media(self, url: str) -> None:
        """See Bmc."""
        self._machine().write(Call.EJECT_MEDIA, Eject(url))

    def inventory(self) -> Inventory:
        """See Bmc."""
        return self._machine().read_inventory()

    def _machine(self) -> FakeMachine:
        if self._closed.is_set():
            raise Unreachable(f"the connection to {self._endpoint.address} is closed")
        machine = self._fleet.machine(self._endpoint.address, self._endpoint.system_id)
        wanted, resolve = machine.credential, self._endpoint.credential
        if wanted is not None and (resolve is None or resolve(Peer(None)) != wanted):
            raise AuthenticationFailed(f"the fake BMC {machine.address} does not accept the login; check credentialRef")
        return machine


class FakeFleet:
    """Machines by (address, system id). `now`: seconds, never going back. `on_after`, `off_after`: of new machines.

    A BmcDriver, and what tests hold on to. After `close` it can be opened again and its machines are still there, as
    BMCs outlive the connections to them.
    """

    offline = True

    def __init__(self, now: Callable[[], float], *, on_after: float = 0.0, off_after: float = 0.0) -> None:
        self.now = now
        self.on_after = on_after
        self.off_after = off_after
        self.lock = scheduling.rlock()
        self._machines: dict[str, dict[str, FakeMachine]] = {}
        self._writes: list[Write] = []
        self._connection = FakeConnection(self)

    @property
    def writes(self) -> list[Write]:
        """Every write that left for a machine, in order; an unreachable machine's never left."""
        with self.lock:
            return list(self._writes)

    def record(self, write: Write) -> None:
        """Remember a write."""
        with self.lock:
            self._writes.append(write)

    def machine(self, address: str, system_id: str | None = None) -> FakeMachine:
        """The machine, made now if need be. Without an id, the BMC's only one. Raises Rejected where it has several."""
        with self.lock:
            systems = self._machines.setdefault(address, {})
            if system_id is None and len(systems) > 1:
                raise Rejected(f"{address} has the systems {', '.join(sorted(systems))}; say which one by systemId")
            found = system_id or next(iter(systems), ONLY_SYSTEM)
            if found not in systems:
                systems[found] = FakeMachine(self, address, found)
            return systems[found]

    def open(self, endpoint: Endpoint) -> Bmc:
        """See BmcDriver."""
        return self._connection.open(endpoint)

    def close(self) -> None:
        """Close the systems that were opened so far."""
        with self.lock:
            self._connection.close()
            self._connection = FakeConnection(self)


class FakeConnection:
    """A BmcDriver to a fleet that others use too: closing it leaves theirs open."""

    offline = True

    def __init__(self, fleet: FakeFleet) -> None:
        self._fleet = fleet
        self._closed = scheduling.flag()

    def open(self, endpoint: Endpoint) -> Bmc:
        """See BmcDriver."""
        return FakeBmc(self._fleet, endpoint, self._closed)

    def close(self) -> None:
        """See BmcDriver."""
        self._closed.set()


DEFAULT_FLEET = FakeFleet(scheduling.monotonic)
"""The fleet of this process; it forgets everything when the process ends."""


def open_driver() -> BmcDriver:
    """The driver named `fake`: the fleet of this process."""
    return FakeConnection(DEFAULT_FLEET)


def _new_state(system_id: str) -> SystemState:
    return SystemState(
        power=PowerState.OFF,
        boot=BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI),
        indicator=IndicatorLED.OFF,
        health="OK",
        serial=f"FAKE-{system_id}",
        manufacturer="groundstate",
        model="fake",
        allowed_resets=tuple(ResetType),
        allowed_boot_targets=tuple(target for target in BootTarget if target is not BootTarget.USB_CD),
    )
