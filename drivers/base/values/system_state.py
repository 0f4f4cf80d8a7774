"""Redfish's words for one ComputerSystem (DSP0268), and one look at it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta


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
    """The device to boot from (Redfish BootSourceOverrideTarget)."""

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
    """How long a boot override lasts (Redfish BootSourceOverrideEnabled)."""

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

    target: Annotated[BootTarget | None, Meta(description="Redfish BootSourceOverrideTarget.")]
    enabled: Annotated[BootEnabled | None, Meta(description="Redfish BootSourceOverrideEnabled.")]
    mode: Annotated[BootMode | None, Meta(description="Redfish BootSourceOverrideMode.")] = None


class SystemState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One look at one ComputerSystem. Every part is optional: of 50 recorded systems 6 have no Boot, 17 no UUID.

    `allowed_resets` come inline or by ActionInfo. `media` are images from which the system can be started; None also
    when they were not requested. `unreported` names `boot` or `indicator`. Without its name there, None means that the
    BMC does not have it.
    """

    power: Annotated[PowerState | None, Meta(description="Redfish PowerState.")] = None
    boot: Annotated[BootOverride | None, Meta(description="The boot override.")] = None
    indicator: Annotated[IndicatorLED | None, Meta(description="The indicator LED.")] = None
    health: Annotated[str | None, Meta(description="Redfish Status.Health of the system.")] = None
    uuid: Annotated[str | None, Meta(description="The UUID of the system.")] = None
    serial: Annotated[str | None, Meta(description="The serial number.")] = None
    sku: Annotated[str | None, Meta(description="The SKU, on some vendors' BMCs the service tag.")] = None
    manufacturer: Annotated[str | None, Meta(description="The manufacturer.")] = None
    model: Annotated[str | None, Meta(description="The model.")] = None
    allowed_resets: Annotated[
        tuple[ResetType, ...] | None,
        Meta(
            description="ResetType values that the BMC accepts. If this field is absent, the BMC does not report them."
        ),
    ] = None
    allowed_boot_targets: Annotated[
        tuple[BootTarget, ...] | None,
        Meta(
            description=(
                "BootSourceOverrideTarget values that the BMC accepts. If this field is absent, the BMC does "
                "not report them."
            )
        ),
    ] = None
    allowed_boot_enabled: Annotated[
        tuple[BootEnabled, ...] | None,
        Meta(
            description=(
                "BootSourceOverrideEnabled values that the BMC accepts. If this field is absent, the BMC does "
                "not report them."
            )
        ),
    ] = None
    media: Annotated[
        tuple[str, ...] | None,
        Meta(
            description=(
                "URLs of the images in the BMC's virtual drives. If this field is absent, it is not known what "
                "is in the drives."
            )
        ),
    ] = None
    unreported: Annotated[
        tuple[str, ...], Meta(description="Values that the BMC has, or may have, and does not report now.")
    ] = ()

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
