"""What a driver author reads: vocabulary, Protocols and errors.

*A driver reads or sends, once, and returns or raises. It never sleeps, retries, or decides.* Waiting, retrying and
choosing are the reconciler's work, so that `plan` can show it. The words are Redfish's own (DSP0268, ComputerSystem).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

import msgspec

from drivers.clean_text import clean as clean
from drivers.clean_text import cleaned as cleaned
from drivers.clean_text import encodable as encodable
from drivers.clean_text import printable as printable
from drivers.clean_text import printable_lines as printable_lines
from drivers.clean_text import read_json as read_json
from drivers.known_secrets import NO_NAME as NO_NAME
from drivers.known_secrets import excerpt as excerpt
from drivers.known_secrets import hidden as hidden
from drivers.known_secrets import note_secrets as note_secrets


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
    USB_CD = "UsbCd"
    """Supermicro's word for its virtual CD; Redfish has no such value."""
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

    `allowed_resets`: what the BMC offers, inline or by ActionInfo; None when it does not say. `media`: the URLs of the
    images in its virtual drives that can be started from; None when that was not asked, or was not to be had.
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
    media: tuple[str, ...] | None = None

    def holds(self, url: str) -> bool | None:
        """Whether the image is in one of its virtual drives; None: unknown."""
        return None if self.media is None else any(is_image(shown, url) for shown in self.media)


def is_image(shown: str, url: str) -> bool:
    """Whether what a BMC shows of an image is the one at this URL: some write scheme and host in another case, decode
    it, drop the query, or keep the file's name alone."""
    if "/" not in shown:
        return unquote(shown).lower() == _plain(url)[2].rpartition("/")[2].lower()
    return _plain(shown) == _plain(url)


def _plain(url: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # `http://[` is what it is, and the image of none of our URLs.
        return "", "", url
    return parts.scheme.lower(), parts.netloc.lower(), unquote(parts.path)


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


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of an open connection.

    `address`: its IP address, as the socket has it, whatever name led there; None where a driver has no network at all.
    `verified`: nobody in between can read along, as the certificate was checked or is the pinned one.
    """

    address: str | None
    verified: bool = False


class Endpoint(msgspec.Struct, frozen=True):
    """Where one system is: the BMC's address (`https://host:port`, or what the driver takes) and the system's id on it.

    `system_id` None: the BMC must have exactly one system, or the driver raises Rejected naming the ids it has.
    `credential` resolves the reference when a login is needed, for the peer that the driver is connected to and will
    send it to; it raises AuthenticationFailed where it may not go there, or saying which reference is at fault. Its
    value is never kept in a message.
    """

    driver: str
    address: str
    system_id: str | None = None
    tls: Tls = Tls()
    credential: Callable[[Peer], Credential] | None = None


class Bmc(Protocol):
    """One ComputerSystem behind a BMC. May be shared between threads; requests to one BMC go one at a time."""

    def read(self, *, media: bool = False) -> SystemState:
        """Read the system once; with `media`, what is in its virtual drives too, at a few requests more. Raises
        DriverError."""

    def reset(self, reset_type: ResetType) -> None:
        """Send one Reset, never twice; return when the BMC accepted it, not when it is done. Raises DriverError."""

    def set_boot(self, override: BootOverride) -> None:
        """Send the override once. The caller looks again: not all BMCs keep what they accept. Raises DriverError."""

    def set_indicator(self, led: IndicatorLED) -> None:
        """Set the indicator LED once. Raises DriverError."""

    def insert_media(self, url: str) -> None:
        """Put the CD image at this URL into a free virtual drive, once. Raises Rejected when none is free, saying what
        is in them; Unsupported when there is none; DriverError."""

    def eject_media(self, url: str) -> None:
        """Take the image out of whichever virtual drive it is in, once. In none is success. Raises DriverError."""

    def inventory(self) -> Inventory:
        """Read what is in the machine, part by part; a part that is not offered is named missing. Raises DriverError
        when the system itself cannot be read."""


class BmcDriver(Protocol):
    """Opens systems and owns the connections to their BMCs: one connection and one session a BMC and credential."""

    def open(self, endpoint: Endpoint) -> Bmc:
        """Return the system, without touching the network."""

    def close(self) -> None:
        """Delete sessions and close connections. Later calls on its systems raise Unreachable."""


class FoundBmc(msgspec.Struct, frozen=True):
    """That something at an address may be a BMC. `sure`: it said so itself, before any login. `fingerprint`: of its
    certificate, as `Tls.fingerprint` has it; `trusted`: the trust that was asked for holds for it."""

    address: str
    sure: bool
    trusted: bool
    fingerprint: str | None = None
    product: str = ""


@runtime_checkable
class BmcFinder(Protocol):
    """A BmcDriver that can tell BMCs from other hosts."""

    def probe(self, address: str, tls: Tls, seconds: float) -> FoundBmc | None:
        """Ask, without a login, whether this is a BMC; None: nobody listens, or something else does. `seconds`: how
        long a connection may take. Never raises for what it finds. Raises Rejected for a malformed address."""

    def systems(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The ids of the systems behind the BMC. Logs in. Raises DriverError."""


class Prefix(msgspec.Struct, frozen=True, order=True):
    """A CIDR prefix of a network, and what in it is never handed out: addresses, ranges `a-b` or CIDRs.

    Network and broadcast address of an IPv4 prefix shorter than /31, and the subnet-router anycast address of an IPv6
    prefix shorter than /127 (RFC 4291 2.6.1), are never handed out either and need no naming.
    """

    cidr: str
    reserved: tuple[str, ...] = ()


class IpamNetwork(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network as the IPAM has it, or is to have it.

    `prefixes` are in the order in which addresses are taken. `parent`: the container whose prefixes these are parts of.
    `namespace`: within one, no two networks overlap, a parent and its children apart; a child is in its parent's.
    `container`: child prefixes are taken from it, and no addresses. `shared` and `project` (its owner's name) are kept
    and shown; they decide nothing here.
    """

    prefixes: tuple[Prefix, ...] = ()
    parent: str | None = None
    namespace: str = ""
    container: bool = False
    shared: bool = False
    project: str = ""


class About(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """What is said of an address beside its owner. `ephemeral`: it goes with its owner; without one it has leaked."""

    ephemeral: bool = False
    dns_name: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""


NO_ABOUT = About()


class Allocation(msgspec.Struct, frozen=True, order=True):
    """An address that an owner holds."""

    owner: str
    network: str
    address: str
    about: About = NO_ABOUT


class Usage(msgspec.Struct, frozen=True, order=True):
    """How full a prefix is: of `size` addresses that can be given out, `used` are held, or lie in child prefixes.

    `free_prefixes`, of a container: (length, how many) of the largest free blocks that make up the rest, shortest
    length first.
    """

    network: str
    cidr: str
    size: int
    used: int
    free_prefixes: tuple[tuple[int, int], ...] = ()


class Ipam(Protocol):
    """Networks, and addresses by owner. Every call is one transaction: done whole or not at all, also under many
    processes."""

    def put_network(self, network: str, wanted: IpamNetwork, lengths: Mapping[int, int] = {}) -> IpamNetwork:
        """Make the network be exactly this; return it as it is then. Idempotent.

        `lengths`: for a child, by family (4 or 6), the length of a prefix that the IPAM chooses from the parent beside
        those that are wanted: of the free blocks that fit the smallest, and of these the lowest (best fit). One of that
        family and length that the network has already is kept.

        Raises Conflict when prefixes overlap within the namespace, when a child's prefix is not free in its parent
        (naming who has it) or not within it, when a prefix (or a part that becomes reserved) would go that holds an
        allocation or a child, or when what has children would stop being a container: then nothing changes. Exhausted
        when the parent has no free block of that length, saying what is free. Rejected when the parent is not known or
        is no container, or for a prefix or a length that cannot be.
        """

    def drop_network(self, network: str) -> None:
        """Forget the network; a child's prefixes are free in the parent again. Absent is success. Raises Conflict,
        naming them, while it holds allocations or children."""

    def network(self, network: str) -> IpamNetwork | None:
        """The network, or None when it is not known."""

    def networks(self) -> dict[str, IpamNetwork]:
        """Every network."""

    def usage(self, network: str | None = None) -> list[Usage]:
        """How full each prefix is, of one network or of all, in the networks' order of names and theirs of prefixes."""

    def acquire(
        self,
        network: str,
        owner: str,
        *,
        address: str | None = None,
        family: int | None = None,
        about: About = NO_ABOUT,
    ) -> str:
        """Return the address that owner holds, or give it the lowest free one (of `family` 4 or 6), or `address`.

        The same owner gets the same answer, and what is said about it stays as it was. Raises Conflict when the owner
        holds another address or network than asked, or `address` is held by another (named), reserved or outside;
        Exhausted when nothing is free, saying how much there is; Rejected when the network is unknown or a container.
        """

    def describe(self, owner: str, about: About) -> None:
        """Change what is said about the address that owner holds. Raises Conflict when it holds none."""

    def transfer(self, owner: str, to: str) -> None:
        """What owner holds, `to` holds from now on, with all that is said of it, and owner holds nothing. Absent is
        success. Raises Conflict when `to` holds another already; then nothing changes."""

    def release(self, owner: str) -> None:
        """Free what owner holds. Absent is success."""

    def holding(self, owner: str) -> Allocation | None:
        """What owner holds."""

    def check(self) -> list[str]:
        """Every rule of its own that does not hold, each in a sentence with the names and the way out; [] when sound.
        Changes nothing."""

    def rebuild(self) -> None:
        """Write anew what follows from what is declared and held, such as what is free; the way out where `check` says
        so. Nothing that is held changes. Raises Unsupported where nothing is kept that follows from the rest."""

    def list(self, *, network: str | None = None) -> list[Allocation]:
        """All allocations, or a network's, by owner."""


class IpamSettings(msgspec.Struct, frozen=True):
    """Which IPAM, and what it takes to reach it.

    `token`: a reference, never the token itself. `ca_file` "": the system's CAs. `fleet`: whose objects these are in an
    IPAM that others use too. `insecure`: the token may go over plain http to another host.
    """

    name: str = "embedded"
    url: str = ""
    token: str = ""
    ca_file: str = ""
    fleet: str = "groundstate"
    insecure: bool = False


class IntegerRange(msgspec.Struct, frozen=True, order=True):
    """Whole numbers from first to last, both within."""

    first: int
    last: int


class Pool(msgspec.Struct, frozen=True):
    """A pool of whole numbers: its ranges, ascending and joined, and how many of them are held."""

    ranges: tuple[IntegerRange, ...]
    held: int = 0


class Number(msgspec.Struct, frozen=True, order=True):
    """A number that an owner holds."""

    owner: str
    pool: str
    number: int
    ephemeral: bool = False


class Pools(Protocol):
    """Whole numbers by owner: VRF and VNI ids, ASNs. Transactions as with Ipam."""

    def put_pool(self, pool: str, ranges: Sequence[IntegerRange]) -> None:
        """Make the pool be exactly these numbers (0 to 2**32 - 1); idempotent. Raises Conflict, naming owners, when a
        number that is held would go: then nothing changes. Rejected for a range that cannot be."""

    def drop_pool(self, pool: str) -> None:
        """Forget the pool. Absent is success. Raises Conflict, naming owners, while a number of it is held."""

    def pools(self) -> dict[str, Pool]:
        """Every pool."""

    def acquire_number(self, pool: str, owner: str, *, number: int | None = None, ephemeral: bool = False) -> int:
        """Return the number that owner holds, or give it the lowest free one, or `number`. The same owner gets the same
        answer. Raises Conflict when the owner holds another, or the number is held by another (named) or outside;
        Exhausted when nothing is free; Rejected when the pool is not known."""

    def release_number(self, owner: str) -> None:
        """Free what owner holds. Absent is success."""

    def number(self, owner: str) -> Number | None:
        """What owner holds."""

    def numbers(self, pool: str | None = None) -> list[Number]:
        """All that is held, or a pool's, by owner."""


class Processor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A processor package; 0 cores or threads where the other side does not say."""

    model: str = ""
    cores: int = 0
    threads: int = 0


class Disk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A drive; `size` in bytes, 0 where the other side does not say."""

    name: str
    size: int
    model: str = ""
    serial: str = ""


class Gpu(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accelerator."""

    model: str = ""


class MemoryModule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A memory module; `size` in bytes, 0 where the other side does not say."""

    name: str
    size: int
    model: str = ""
    serial: str = ""


class Nic(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network interface; `mac` in lower case with colons, `speed` in Mbit/s, 0 where the other side does not say."""

    name: str
    mac: str
    speed: int = 0


class Neighbour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is at the other end of an interface's cable, as it says itself (LLDP, IEEE 802.1AB)."""

    interface: str
    system: str
    port: str
    chassis: str = ""


class Inventory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in a machine; `memory` in bytes. `missing`: the parts of which the other side says nothing, by these
    names (`processors`, `memory`, `disks`, `gpus`): unknown, not absent. None for one of the last three is that too."""

    processors: tuple[Processor, ...] = ()
    memory: int = 0
    disks: tuple[Disk, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    missing: tuple[str, ...] = ()
    modules: tuple[MemoryModule, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    neighbours: tuple[Neighbour, ...] | None = None


class SecretSource(Protocol):
    """Resolves one kind of credential reference."""

    def resolve(self, reference: object) -> Credential:
        """Return the credential. Raises AuthenticationFailed with the reference's name, never its content."""


class ErrorReason(StrEnum):
    """What kind of error it is: what every decision about an error goes by, and what is stored and shown of it.

    Closed: a driver's own subclass of an error inherits the reason, and with it all that follows.
    """

    UNREACHABLE = "Unreachable"
    UNREADABLE = "Unreadable"
    BUSY = "Busy"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    REJECTED = "Rejected"
    UNSUPPORTED = "Unsupported"
    EXHAUSTED = "Exhausted"
    CONFLICT = "Conflict"
    FAILED = "DriverFailed"
    """Any other error of a driver."""
    INTERNAL = "Internal"
    """A driver, or groundstate, failed in a way that it should not: a defect. No driver raises this."""


class DriverError(Exception):
    """Something a driver could not do. `str()` is one sentence for people: what, and what the other side said, without
    the secrets that this process has read. `reason`: what is decided by; a subclass of one of these inherits it.

    DriverError
    ├── Unreachable             no answer, or a broken one: unknown, come back
    │   └── Unreadable          an answer, but of one object that makes no sense
    ├── Busy                    an answer that says "not now": come back
    ├── AuthenticationFailed    come back seldom; BMCs lock accounts after a few tries
    ├── Rejected                an answer that says no
    ├── Unsupported             the BMC has no such thing
    ├── Exhausted               nothing free in the network
    └── Conflict                somebody else holds it, or it is in use
    """

    reason: ClassVar[ErrorReason] = ErrorReason.FAILED

    def __init__(self, message: str = "") -> None:
        super().__init__(hidden(message))


class Unreachable(DriverError):
    """No usable answer. `maybe_sent`: a write may have reached the other side, so look before sending again."""

    reason = ErrorReason.UNREACHABLE

    def __init__(self, message: str, *, maybe_sent: bool = False) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent


class Unreadable(Unreachable):
    """The other side answered, and of one object what makes no sense. The others may be asked for by themselves."""

    reason = ErrorReason.UNREADABLE


class Busy(DriverError):
    """The other side answered that it cannot now (503, 429, 409 while changing, POST in progress). Nothing was done.

    `retry_after`: seconds, where the other side said so.
    """

    reason = ErrorReason.BUSY

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AuthenticationFailed(DriverError):
    """Wrong or missing credentials, a locked account, or a password that must be changed first."""

    reason = ErrorReason.AUTHENTICATION_FAILED


class Rejected(DriverError):
    """The other side answered and refused."""

    reason = ErrorReason.REJECTED


class Unsupported(DriverError):
    """The other side has no such function."""

    reason = ErrorReason.UNSUPPORTED


class Exhausted(DriverError):
    """No free address (or prefix) is left."""

    reason = ErrorReason.EXHAUSTED


class Conflict(DriverError):
    """Held by another owner, overlapping, or in use."""

    reason = ErrorReason.CONFLICT
