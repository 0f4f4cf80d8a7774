"""What can be done: a closed union of values. One Action is one request to the outside, sent at most once."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from drivers.base import (
    NO_ABOUT,
    About,
    BootEnabled,
    BootOverride,
    BootTarget,
    IndicatorLED,
    IntegerRange,
    IpamNetwork,
    PowerState,
    ResetType,
    Task,
)
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailure, Purpose


class Disruption(StrEnum):
    """How much an action hurts. DISRUPTIVE takes a machine down; DESTRUCTIVE gives up what cannot be had back."""

    NONE = "none"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"


class Prerequisite(msgspec.Struct, frozen=True):
    """A managed field without which an action would do harm; in words why, and how to proceed."""

    path: str
    reason: str
    hint: str


def item_path(field: str, item: str) -> str:
    """The path of one item of a managed field, such as a port: `spec.ports[swp1]`. Its hold, failure and drift are
    its own."""
    return f"{field}[{item}]"


class _Action(msgspec.Struct, frozen=True, tag_field="action", kw_only=True):
    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "metadata"
    """The managed field that it serves."""
    needs: ClassVar[Prerequisite | None] = None
    """What must not be held, or the action is held too."""
    undoes: ClassVar[tuple[str, ...]] = ()
    """The managed fields that are not as they were applied once it is done: that is no drift."""

    reads_back: ClassVar[bool] = False
    """What was accepted shows at once: where it reads back as something else, the endpoint has not kept it."""
    brings_up: ClassVar[bool] = False
    """It makes a resource serve again: no guard keeps one down."""
    gives_back: ClassVar[bool] = False
    """What a project has is taken back, and wiped."""
    needs_boot_service: ClassVar[bool] = False
    """It comes to nothing where nothing answers a machine that starts from the network."""
    insists: ClassVar[bool] = False
    """It has to be done in the end: no refusal is final."""
    doubt: ClassVar[str] = ""
    """Why what got no reply is not sent again, where `once` holds."""

    key: ResourceKey
    reason: str = ""
    """For people. Never read back for a decision."""

    @property
    def served_path(self) -> str:
        """The managed field that it serves, or the one item of it."""
        return self.path

    def is_held_by(self, paths: Container[str | None]) -> bool:
        """Whether a hold on one of these paths is on it: of its field, or of its item."""
        return self.served_path in paths

    @property
    def once(self) -> bool:
        """Whether it is never sent again on a guess: the other side may have used the first one up."""
        return False

    @property
    def others(self) -> tuple[object, ...]:
        """The other resources that it is about, such as the machines of a claim: an action on others is another one."""
        return ()

    @property
    def replaces(self) -> bool:
        """Whether what does the work is replaced by something else, as by an installation."""
        return False

    @property
    def detail(self) -> str:
        """What is asked for, in a word, such as the Redfish ResetType; empty where the action's word says it."""
        return ""

    @property
    def name(self) -> str:
        """The action's word, such as `power-on`."""
        return str(self.__struct_config__.tag)


class PowerOn(_Action, frozen=True, tag="power-on"):
    """Send the Reset that brings the machine up."""

    path: ClassVar[str] = "spec.power"
    needs: ClassVar[Prerequisite | None] = Prerequisite(
        "spec.boot",
        "the boot override of the machine is held, and without the boot override the machine would boot from "
        "another device",
        "the change continues automatically when the boot override is not held any more",
    )
    goal: ClassVar[PowerState] = PowerState.ON
    brings_up: ClassVar[bool] = True
    reset_type: ResetType

    @property
    def detail(self) -> str:
        """The ResetType."""
        return self.reset_type


class PowerOff(_Action, frozen=True, tag="power-off"):
    """Send the Reset that takes the machine down."""

    disruption: ClassVar[Disruption] = Disruption.DISRUPTIVE
    path: ClassVar[str] = "spec.power"
    goal: ClassVar[PowerState] = PowerState.OFF
    reset_type: ResetType

    @property
    def detail(self) -> str:
        """The ResetType."""
        return self.reset_type


class SetBoot(_Action, frozen=True, tag="set-boot"):
    """Write the boot override. `mode` None leaves the mode alone (ironcore-dev/metal-operator#81)."""

    path: ClassVar[str] = "spec.boot"
    reads_back: ClassVar[bool] = True
    doubt: ClassVar[str] = "the machine may already have booted with it"
    override: BootOverride

    @property
    def once(self) -> bool:
        """An override for one boot."""
        return self.override.enabled is BootEnabled.ONCE

    @property
    def detail(self) -> str:
        """The target, and for how long."""
        return f"{self.override.target} {self.override.enabled}"


class SetIndicator(_Action, frozen=True, tag="set-indicator"):
    """Set the indicator LED."""

    path: ClassVar[str] = "spec.indicatorLED"
    reads_back: ClassVar[bool] = True
    led: IndicatorLED

    @property
    def detail(self) -> str:
        """The LED's state."""
        return self.led


class InsertMedia(_Action, frozen=True, tag="insert-media"):
    """Put the CD image at this URL into the machine's virtual drive."""

    path: ClassVar[str] = "virtualMedia"
    url: str

    @property
    def detail(self) -> str:
        """The image's URL."""
        return self.url


class EjectMedia(_Action, frozen=True, tag="eject-media"):
    """Take it out again."""

    path: ClassVar[str] = "virtualMedia"
    insists: ClassVar[bool] = True
    url: str

    @property
    def detail(self) -> str:
        """The image's URL."""
        return self.url


class PutNetwork(_Action, frozen=True, tag="put-network"):
    """Make the network in the IPAM be exactly this. `lengths`: for each family, the length of a prefix that the IPAM
    is to choose from the parent."""

    path: ClassVar[str] = "spec.prefixes"
    network: IpamNetwork
    lengths: tuple[tuple[int, int], ...] = ()

    @property
    def detail(self) -> str:
        """The prefixes, or the parent from which they come."""
        return ", ".join(prefix.cidr for prefix in self.network.prefixes) or f"of {self.network.parent}"


class DropNetwork(_Action, frozen=True, tag="drop-network"):
    """Take an empty network out of the IPAM."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE


class Acquire(_Action, frozen=True, tag="acquire"):
    """Acquire `address`, or the lowest free one of `family`, for the resource."""

    path: ClassVar[str] = "spec.address"
    network: str
    address: str | None = None
    family: int | None = None
    about: About = NO_ABOUT

    @property
    def detail(self) -> str:
        """The address, or the network that it is of."""
        return self.address or self.network


class DescribeAddress(_Action, frozen=True, tag="describe-address"):
    """Change what the IPAM says about the address that the resource holds."""

    path: ClassVar[str] = "spec"
    about: About


class Release(_Action, frozen=True, tag="release"):
    """Release the address that the resource holds."""

    path: ClassVar[str] = "spec.address"
    undoes: ClassVar[tuple[str, ...]] = ("spec.address", "spec.network", "spec")
    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE
    address: str

    @property
    def detail(self) -> str:
        """The address."""
        return self.address


class Transfer(_Action, frozen=True, tag="transfer"):
    """What the IPAM holds for the owner `was` is the resource's from now on: the address stays as it is."""

    path: ClassVar[str] = "metadata.name"
    was: str
    address: str

    @property
    def detail(self) -> str:
        """The address."""
        return self.address


class PutPool(_Action, frozen=True, tag="put-pool"):
    """Make the pool be exactly these numbers."""

    path: ClassVar[str] = "spec.ranges"
    ranges: tuple[IntegerRange, ...]


class DropPool(_Action, frozen=True, tag="drop-pool"):
    """Forget a pool of which nothing is held."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE


class AcquireNumber(_Action, frozen=True, tag="acquire-number"):
    """Take `number`, or the lowest free one, of a pool for the resource."""

    path: ClassVar[str] = "spec.number"
    pool: str
    number: int | None = None
    ephemeral: bool = False

    @property
    def detail(self) -> str:
        """The pool."""
        return self.pool


class ReleaseNumber(_Action, frozen=True, tag="release-number"):
    """Release the number that the resource holds."""

    path: ClassVar[str] = "spec.number"
    undoes: ClassVar[tuple[str, ...]] = ("spec.number", "spec.pool")
    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE
    pool: str
    number: int

    @property
    def detail(self) -> str:
        """The pool."""
        return self.pool


class AcquireVrf(AcquireNumber, frozen=True, tag="acquire-vrf"):
    """Take the number of a network's VRF, which is also its VNI."""

    path: ClassVar[str] = "spec.vrf"


class ReleaseVrf(ReleaseNumber, frozen=True, tag="release-vrf"):
    """Release the number of a network's VRF."""

    path: ClassVar[str] = "spec.vrf"
    undoes: ClassVar[tuple[str, ...]] = ("spec.vrf",)


class Bind(_Action, frozen=True, tag="bind"):
    """Remember whose machine it is; None: unclaimed. Nothing is sent to the outside."""

    path: ClassVar[str] = "spec.project"
    project: str | None


class PinImage(_Action, frozen=True, tag="pin-image"):
    """Remember which image, of those that the document allows, is the machine's; None: none. Nothing is sent."""

    path: ClassVar[str] = "spec.image"
    image: str | None


class Rename(_Action, frozen=True, tag="rename"):
    """Write down that a MachineClaim was called otherwise before, `was`: its machines stay as they are. Nothing is
    sent."""

    path: ClassVar[str] = "metadata.name"
    was: tuple[str, ...]
    machines: tuple[str, ...]


class Claim(_Action, frozen=True, tag="claim"):
    """Give machines to a MachineClaim, all of these or none: (slot, machine's name) of each. Nothing is sent."""

    path: ClassVar[str] = "spec.count"
    project: str
    machines: tuple[tuple[int, str], ...]

    @property
    def others(self) -> tuple[object, ...]:
        """The machines, with their slots."""
        return self.machines


class Unclaim(_Action, frozen=True, tag="unclaim"):
    """Take machines back from a MachineClaim: each is stopped, wiped and free again. Nothing is sent by this alone."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE
    path: ClassVar[str] = "spec.count"
    undoes: ClassVar[tuple[str, ...]] = ("spec.count",)
    gives_back: ClassVar[bool] = True
    machines: tuple[str, ...]

    @property
    def others(self) -> tuple[object, ...]:
        """The machines."""
        return self.machines


class RequestBoot(_Action, frozen=True, tag="request-boot"):
    """Write down that the machine is to start the agent once, and for what. From the network, or from the CD image at
    the URL `media`, by the boot target `target`. `heeded`: the `request` of the machine's document, where that is
    heeded with it. Nothing is sent by this alone."""

    path: ClassVar[str] = "spec.lifecycle"
    needs_boot_service: ClassVar[bool] = True
    purpose: Purpose
    attempt: int = 1
    word: str | None = None
    heeded: str | None = None
    media: str | None = None
    target: BootTarget | None = None


class RequestErasure(RequestBoot, frozen=True, tag="request-erasure"):
    """The same, for what ends what is on the disks: to wipe them, or to write an image over another."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE

    @property
    def replaces(self) -> bool:
        """An image is written over another."""
        return self.purpose is Purpose.INSTALL


class Settle(_Action, frozen=True, tag="settle"):
    """Write down how an order ended, or what keeps the machine from going on. Nothing is sent."""

    path: ClassVar[str] = "spec.lifecycle"
    failure: LifecycleFailure | None = None


class AcceptSystem(_Action, frozen=True, tag="accept-system"):
    """Remember that the machine's system has this UUID from now on, in the place of `was`, as the `request` of its
    document, `word`, says. Nothing is sent."""

    path: ClassVar[str] = "spec.lifecycle"
    system: str
    was: str
    word: str


class Free(_Action, frozen=True, tag="free"):
    """The machine is off and wiped: it is unclaimed. Nothing is sent."""

    path: ClassVar[str] = "spec.lifecycle"


class RetireGuard(_Action, frozen=True, tag="retire-guard"):
    """Write down that the former, stricter specs of a guard are in force no more. Nothing is sent."""

    path: ClassVar[str] = "spec"


class SetValue(_Action, frozen=True, tag="set-value", omit_defaults=True):
    """Make a managed field, or one item of it, be as declared, in the way that the kind's backend knows. The action of
    kinds whose endpoint needs no other."""

    field: str
    """The managed field's path."""
    value: Any
    item: str | None = None
    """Which item of the field it is about, such as a port; None: all of it."""

    @property
    def served_path(self) -> str:
        """Of the field, or of its item."""
        return self.field if self.item is None else item_path(self.field, self.item)

    def is_held_by(self, paths: Container[str | None]) -> bool:
        """A hold on the whole field is on each of its items."""
        return self.field in paths or self.served_path in paths

    @property
    def detail(self) -> str:
        """What becomes what."""
        return f"{self.served_path} {self.value}"


class SetValueDisruptively(SetValue, frozen=True, tag="set-value-disruptively", omit_defaults=True):
    """The same, where it takes something down that others use, such as a port with a host behind it."""

    disruption: ClassVar[Disruption] = Disruption.DISRUPTIVE


class Forget(_Action, frozen=True, tag="forget"):
    """Stop knowing a resource that git no longer declares. Nothing is sent to the outside."""


BmcAction = PowerOn | PowerOff | SetBoot | SetIndicator | InsertMedia | EjectMedia
"""Actions that a BMC carries out."""

AddressAction = Acquire | DescribeAddress | Release | Transfer
NetworkAction = PutNetwork | DropNetwork | AcquireVrf | ReleaseVrf
PoolAction = PutPool | DropPool
NumberAction = AcquireNumber | ReleaseNumber

IpamAction = AddressAction | NetworkAction | PoolAction | NumberAction
"""Actions that the IPAM carries out."""

MachineRecord = Bind | PinImage | RequestBoot | RequestErasure | Settle | AcceptSystem | Free
"""Actions of machines that are done when they are written down."""

ClaimRecord = Rename | Claim | Unclaim
"""Actions of claims that are done when they are written down."""

GuardRecord = RetireGuard
"""Actions of guards that are done when they are written down."""

RecordAction = MachineRecord | ClaimRecord | GuardRecord
"""Actions that are done when they are written down."""

MachineAction = BmcAction | MachineRecord | Forget
"""All that is done with machines."""

Action = BmcAction | IpamAction | RecordAction | SetValue | SetValueDisruptively | Forget


class InFlight(msgspec.Struct, frozen=True, omit_defaults=True):
    """An action that was, or may have been, sent and is not yet known to have taken effect.

    Written down before the sending. `by`: who runs the program that sent it. `cause`: the commit or the drift. `place`:
    the system, as `BMC#id` (`BMC` alone where no id is declared), which alone can be observed to confirm it. Until
    `deadline` the machine is observed and nothing else is sent to it. `accepted`: the other side is known to have taken
    the action. `handle`: of the Task that carries it out there. `task`: what was last read of that Task. `refusal`: why
    the other side refused it, where the action is waited for all the same."""

    id: str
    key: ResourceKey
    action: Action
    sent_at: datetime
    deadline: datetime
    by: str
    cause: str
    place: str = ""
    accepted: bool = False
    handle: str | None = None
    task: Task | None = None
    refusal: str | None = None

    @property
    def task_words(self) -> str:
        """What the other side says of it, to follow a sentence; empty where that is nothing."""
        task = f"; its Task reports {self.task}" if self.task is not None else ""
        return f"{task}; refused: {self.refusal}" if self.refusal is not None else task

    @property
    def lock(self) -> str:
        """What is at work on it, as a BMC, to which nothing else is sent meanwhile, whatever the system or its name."""
        return self.place.partition("#")[0]
