"""What a driver author reads: vocabulary, Protocols and errors.

*A driver reads or sends, once, and returns or raises. It never sleeps, retries, or decides.* Waiting, retrying and
choosing are the reconciler's work, so that `plan` can show it. The words are Redfish's own (DSP0268, ComputerSystem).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class PowerState(StrEnum):
    """`ComputerSystem.PowerState`. Anything else a BMC says is unknown, never Off (ibm-openbmc/bmcweb#221)."""

    ON = "On"
    OFF = "Off"
    POWERING_ON = "PoweringOn"
    POWERING_OFF = "PoweringOff"
    PAUSED = "Paused"


class ResetType(StrEnum):
    """`ResetType` values of `#ComputerSystem.Reset` that groundstate knows how to use."""

    ON = "On"
    FORCE_ON = "ForceOn"
    FORCE_OFF = "ForceOff"
    GRACEFUL_SHUTDOWN = "GracefulShutdown"
    GRACEFUL_RESTART = "GracefulRestart"
    FORCE_RESTART = "ForceRestart"
    POWER_CYCLE = "PowerCycle"
    PUSH_POWER_BUTTON = "PushPowerButton"
    NMI = "Nmi"


class BootTarget(StrEnum):
    """`Boot.BootSourceOverrideTarget`."""

    NONE = "None"
    PXE = "Pxe"
    HDD = "Hdd"
    CD = "Cd"
    USB = "Usb"
    FLOPPY = "Floppy"
    SD_CARD = "SDCard"
    BIOS_SETUP = "BiosSetup"
    UTILITIES = "Utilities"
    DIAGS = "Diags"
    UEFI_SHELL = "UefiShell"
    UEFI_TARGET = "UefiTarget"
    UEFI_HTTP = "UefiHttp"
    UEFI_BOOT_NEXT = "UefiBootNext"
    REMOTE_DRIVE = "RemoteDrive"
    RECOVERY = "Recovery"


class BootEnabled(StrEnum):
    """`Boot.BootSourceOverrideEnabled`."""

    DISABLED = "Disabled"
    ONCE = "Once"
    CONTINUOUS = "Continuous"


class BootMode(StrEnum):
    """`Boot.BootSourceOverrideMode`."""

    UEFI = "UEFI"
    LEGACY = "Legacy"


class IndicatorLED(StrEnum):
    """`IndicatorLED`; a BMC with only `LocationIndicatorActive` reads as Lit or Off."""

    LIT = "Lit"
    BLINKING = "Blinking"
    OFF = "Off"


class BootOverride(msgspec.Struct, frozen=True):
    """The boot override, one value. `mode` None: the BMC has no mode (read), leave it alone (write)."""

    target: BootTarget | None
    enabled: BootEnabled | None
    mode: BootMode | None = None


class SystemState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One look at one ComputerSystem. Every part is optional: of 50 recorded systems 6 have no Boot, 17 no UUID.

    `allowed_resets`: what the BMC offers, inline or by ActionInfo; None when it does not say.
    """

    power: PowerState | None = None
    boot: BootOverride | None = None
    indicator: IndicatorLED | None = None
    health: str | None = None
    uuid: str | None = None
    serial: str | None = None
    sku: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    allowed_resets: tuple[ResetType, ...] | None = None
    allowed_boot_targets: tuple[BootTarget, ...] | None = None


class Tls(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a BMC's certificate is trusted. All unset: the system's CAs. At most one of the three is set."""

    ca_file: str | None = None
    fingerprint: str | None = None
    """`sha256:` and 64 hex digits of the leaf certificate's DER form."""
    insecure: bool = False


class Credential(msgspec.Struct, frozen=True):
    """User and password. Never printed: the repr hides the password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, password=***)"


class Endpoint(msgspec.Struct, frozen=True):
    """Where one system is: the BMC's address (`https://host:port`, or what the driver takes) and the system's id on it.

    `system_id` None: the BMC must have exactly one system, or the driver raises Rejected naming the ids it has.
    `credential` resolves the reference when a login is needed; it raises AuthenticationFailed saying which reference
    is at fault, and its value is never kept in a message.
    """

    driver: str
    address: str
    system_id: str | None = None
    tls: Tls = Tls()
    credential: Callable[[], Credential] | None = None


class Bmc(Protocol):
    """One ComputerSystem behind a BMC. May be shared between threads; requests to one BMC go one at a time."""

    def read(self) -> SystemState:
        """Read the system once. Raises DriverError."""

    def reset(self, reset_type: ResetType) -> None:
        """Send one Reset, never twice; return when the BMC accepted it, not when it is done. Raises DriverError."""

    def set_boot(self, override: BootOverride) -> None:
        """Send the override once. The caller looks again: not all BMCs keep what they accept. Raises DriverError."""

    def set_indicator(self, led: IndicatorLED) -> None:
        """Set the indicator LED once. Raises DriverError."""


class BmcDriver(Protocol):
    """Opens systems and owns the connections to their BMCs: one connection and one session a BMC."""

    def open(self, endpoint: Endpoint) -> Bmc:
        """Return the system, without touching the network."""

    def close(self) -> None:
        """Delete sessions and close connections. Later calls on its systems raise Unreachable."""


class Prefix(msgspec.Struct, frozen=True, order=True):
    """A CIDR prefix of a network, and what in it is never handed out: addresses, ranges `a-b` or CIDRs.

    Network and broadcast address of an IPv4 prefix shorter than /31, and the subnet-router anycast address of an IPv6
    prefix shorter than /127 (RFC 4291 2.6.1), are never handed out either and need no naming.
    """

    cidr: str
    reserved: tuple[str, ...] = ()


class Allocation(msgspec.Struct, frozen=True, order=True):
    """An address that an owner holds."""

    owner: str
    network: str
    address: str


class Ipam(Protocol):
    """Addresses by owner. Every call is one transaction: done whole or not at all, also under many processes."""

    def put_network(self, network: str, prefixes: Sequence[Prefix]) -> None:
        """Make the network's prefixes be exactly these; idempotent.

        Raises Conflict when a prefix overlaps another network's, or when a prefix (or a part that becomes reserved)
        that holds an allocation would go: then nothing changes.
        """

    def drop_network(self, network: str) -> None:
        """Forget the network. Absent is success. Raises Conflict, naming owners, while anything is allocated in it."""

    def network(self, network: str) -> tuple[Prefix, ...] | None:
        """The network's prefixes as they were put, or None when it is not known."""

    def networks(self) -> dict[str, tuple[Prefix, ...]]:
        """Every network and its prefixes, as they were put."""

    def acquire(self, network: str, owner: str, *, address: str | None = None, family: int | None = None) -> str:
        """Return the address that owner holds, or give it the lowest free one (of `family` 4 or 6), or `address`.

        The same owner gets the same answer. Raises Conflict when the owner holds another address or network than
        asked, or `address` is held by another (named), reserved or outside; Exhausted when nothing is free.
        """

    def release(self, owner: str) -> None:
        """Free what owner holds. Absent is success."""

    def holding(self, owner: str) -> Allocation | None:
        """What owner holds."""

    def list(self, *, network: str | None = None) -> list[Allocation]:
        """All allocations, or a network's, by owner."""


class SecretSource(Protocol):
    """Resolves one kind of credential reference."""

    def resolve(self, reference: object) -> Credential:
        """Return the credential. Raises AuthenticationFailed with the reference's name, never its content."""


class DriverError(Exception):
    """Something a driver could not do. `str()` is one sentence for people: what, and what the other side said.

    DriverError
    ├── Unreachable             no answer, or a broken one: unknown, come back
    ├── Busy                    an answer that says "not now": come back
    ├── AuthenticationFailed    come back seldom; BMCs lock accounts after a few tries
    ├── Rejected                an answer that says no
    ├── Unsupported             the BMC has no such thing
    ├── Exhausted               nothing free in the network
    └── Conflict                somebody else holds it, or it is in use
    """


class Unreachable(DriverError):
    """No usable answer. `maybe_sent`: a write may have reached the other side, so look before sending again."""

    def __init__(self, message: str, *, maybe_sent: bool = False) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent


class Busy(DriverError):
    """The other side answered that it cannot now (503, 429, 409 while changing, POST in progress). Nothing was done.

    `retry_after`: seconds, where the other side said so.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AuthenticationFailed(DriverError):
    """Wrong or missing credentials, a locked account, or a password that must be changed first."""


class Rejected(DriverError):
    """The other side answered and refused."""


class Unsupported(DriverError):
    """The other side has no such function."""


class Exhausted(DriverError):
    """No free address (or prefix) is left."""


class Conflict(DriverError):
    """Held by another owner, overlapping, or in use."""
