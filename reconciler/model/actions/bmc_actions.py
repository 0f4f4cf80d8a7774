"""What a BMC carries out."""

from __future__ import annotations

from typing import ClassVar

from drivers.base import BootEnabled, BootOverride, IndicatorLED, PowerState, ResetType
from reconciler.model.actions.action_base import ActionBase, Disruption, Prerequisite


class PowerOn(ActionBase, frozen=True, tag="power-on"):
    """Send the Reset that brings the machine up."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.power"
    needs: ClassVar[Prerequisite | None] = Prerequisite(
        "spec.boot",
        "the boot override of the machine is held, and without the boot override the machine would boot from "
        "another device",
        "see the hold of spec.boot of the same machine; when this hold has ended, the change continues automatically",
    )
    goal: ClassVar[PowerState] = PowerState.ON
    brings_up: ClassVar[bool] = True
    reset_type: ResetType
    """How."""

    @property
    def detail(self) -> str:
        """The ResetType."""
        return self.reset_type


class PowerOff(ActionBase, frozen=True, tag="power-off"):
    """Send the Reset that takes the machine down."""

    disruption: ClassVar[Disruption] = Disruption.DISRUPTIVE
    path: ClassVar[str] = "spec.power"
    goal: ClassVar[PowerState] = PowerState.OFF
    reset_type: ResetType
    """How: gracefully or by force."""

    @property
    def detail(self) -> str:
        """The ResetType."""
        return self.reset_type

    @property
    def is_graceful(self) -> bool:
        """Whether the operating system is asked, and may ignore it. The power button of a system that is on does that
        (DSP0268, ResetType)."""
        return self.reset_type in (ResetType.GRACEFUL_SHUTDOWN, ResetType.PUSH_POWER_BUTTON)


class SetBoot(ActionBase, frozen=True, tag="set-boot"):
    """Write the boot override. `mode` None leaves the mode alone (ironcore-dev/metal-operator#81)."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.boot"
    reads_back: ClassVar[bool] = True
    doubt: ClassVar[str] = "the machine may already have booted with this override"
    override: BootOverride
    """What the machine is to boot from, and how often."""

    @property
    def once(self) -> bool:
        """An override for one boot."""
        return self.override.enabled is BootEnabled.ONCE

    @property
    def detail(self) -> str:
        """The target, and for how long."""
        return f"{self.override.target} {self.override.enabled}"


class SetIndicator(ActionBase, frozen=True, tag="set-indicator"):
    """Set the indicator LED."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.indicatorLED"
    reads_back: ClassVar[bool] = True
    led: IndicatorLED
    """How the LED is to be."""

    @property
    def detail(self) -> str:
        """The LED's state."""
        return self.led


class InsertMedia(ActionBase, frozen=True, tag="insert-media"):
    """Put the CD image at this URL into the machine's virtual drive."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "virtualMedia"
    url: str
    """The image."""

    @property
    def detail(self) -> str:
        """The image's URL."""
        return self.url


class EjectMedia(ActionBase, frozen=True, tag="eject-media"):
    """Take it out again."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "virtualMedia"
    retries_refusal: ClassVar[bool] = True
    url: str
    """The image that is to go."""

    @property
    def detail(self) -> str:
        """The image's URL."""
        return self.url


BmcAction = PowerOn | PowerOff | SetBoot | SetIndicator | InsertMedia | EjectMedia
"""Actions that a BMC carries out."""
