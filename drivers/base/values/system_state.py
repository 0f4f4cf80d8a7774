"""Redfish's words for one ComputerSystem (DSP0268), and one look at it."""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import unquote, urlsplit

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
    images in its virtual drives that can be started from. None when that was not asked, or was not to be had.
    `unreported`: of `boot` and `indicator`, what the BMC has, or may have, and does not say now. None without that is
    what it does not have."""

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
    unreported: tuple[str, ...] = ()

    def holds(self, url: str) -> bool | None:
        """Whether the image is in one of its virtual drives; None: unknown."""
        return None if self.media is None else any(is_image(shown, url) for shown in self.media)


def is_image(shown: str, url: str) -> bool:
    """Whether what a BMC shows of an image is the one at this URL. Some BMCs write scheme and host in another case,
    decode it, drop the query, or keep the file's name alone."""
    if "/" not in shown:
        return unquote(shown).lower() == _plain(url)[2].rpartition("/")[2].lower()
    return _plain(shown) == _plain(url)


def _plain(url: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # `http://[` is what it is, and the image of none of our URLs.
        return "", "", url
    return parts.scheme.lower(), parts.netloc.lower(), unquote(parts.path)
