"""What is done when it is written down: nothing is sent by it alone."""

from __future__ import annotations

from typing import ClassVar

from drivers.base import BootTarget
from reconciler.model.actions.action_base import ActionBase, Disruption
from reconciler.model.values.boot_purpose import LifecycleFailure, Purpose


class Bind(ActionBase, frozen=True, tag="bind"):
    """Remember whose machine it is; None: unclaimed. Nothing is sent to the outside."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.project"
    project: str | None
    """The project; None: no project."""


class PinImage(ActionBase, frozen=True, tag="pin-image"):
    """Remember which image, of those that the document allows, is the machine's; None: none. Nothing is sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.image"
    image: str | None
    """The image's name; None: no image."""


class Rename(ActionBase, frozen=True, tag="rename"):
    """Write down that a MachineClaim was called otherwise before, `was`: its machines stay as they are. Nothing is
    sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "metadata.name"
    was: tuple[str, ...]
    """The former names."""
    machines: tuple[str, ...]
    """The machines that stay."""


class Claim(ActionBase, frozen=True, tag="claim"):
    """Give machines to a MachineClaim, all of these or none: (slot, machine's name) of each. Nothing is sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.count"
    project: str
    """The claim's project."""
    machines: tuple[tuple[int, str], ...]
    """The slot and the name of each machine."""

    @property
    def others(self) -> tuple[object, ...]:
        """The machines, with their slots."""
        return self.machines


class Unclaim(ActionBase, frozen=True, tag="unclaim"):
    """Take machines back from a MachineClaim: each is stopped, wiped and free again. Nothing is sent by this alone."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE
    path: ClassVar[str] = "spec.count"
    undoes: ClassVar[tuple[str, ...]] = ("spec.count",)
    releases: ClassVar[bool] = True
    machines: tuple[str, ...]
    """The names of the machines."""

    @property
    def others(self) -> tuple[object, ...]:
        """The machines."""
        return self.machines


class RequestBoot(ActionBase, frozen=True, tag="request-boot"):
    """Write down that the machine is to start the agent once, and for what. From the network, or from the CD image at
    the URL `media`, by the boot target `target`. `heeded`: the `request` of the machine's document, where that is
    heeded with it. Nothing is sent by this alone."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.lifecycle"
    needs_boot_service: ClassVar[bool] = True
    purpose: Purpose
    """What the machine is started for."""
    attempt: int = 1
    """Which attempt it is, from 1."""
    word: str | None = None
    """The `request` of the document that asks for it."""
    heeded: str | None = None
    """The `request` of the machine's document, where it is heeded with this."""
    media: str | None = None
    """The URL of the CD image; None: the machine starts from the network."""
    target: BootTarget | None = None
    """What the machine boots from."""


class RequestErasure(RequestBoot, frozen=True, tag="request-erasure"):
    """The same, for what ends what is on the disks: to wipe them, or to write an image over another."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE

    @property
    def replaces(self) -> bool:
        """An image is written over another."""
        return self.purpose is Purpose.INSTALL


class RecordLifecycle(ActionBase, frozen=True, tag="record-lifecycle"):
    """Write down how an order ended, or what keeps the machine from going on. Nothing is sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.lifecycle"
    failure: LifecycleFailure | None = None
    """The failure that ended the boot request; None: it ended without one."""


class AcceptSystem(ActionBase, frozen=True, tag="accept-system"):
    """Remember that the machine's system has this UUID from now on, in the place of `was`. The `request` of its
    document, `word`, says so, or an override, or no other machine has the system. Nothing is sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.lifecycle"
    system: str
    """The UUID or serial number from now on."""
    was: str
    """The one until now."""
    word: str = ""
    """The `request` of the document that asks for it."""


class Free(ActionBase, frozen=True, tag="free"):
    """The machine is off and wiped: it is unclaimed. Nothing is sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.lifecycle"


class RetireGuard(ActionBase, frozen=True, tag="retire-guard"):
    """Write down that the former, stricter specs of a guard are in force no more. Nothing is sent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec"


MachineRecord = Bind | PinImage | RequestBoot | RequestErasure | RecordLifecycle | AcceptSystem | Free
"""Actions of machines that are done when they are written down."""


ClaimRecord = Rename | Claim | Unclaim
"""Actions of claims that are done when they are written down."""


GuardRecord = RetireGuard
"""Actions of guards that are done when they are written down."""


RecordAction = MachineRecord | ClaimRecord | GuardRecord
"""Actions that are done when they are written down."""
