"""A machine's lifecycle as facts with their times. Its phase is derived (kinds/machine/lifecycle.py), never stored."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from drivers.base import BootTarget


class Purpose(StrEnum):
    """What a machine is started from the network for."""

    INSPECT = "inspect"
    INSTALL = "install"
    WIPE = "wipe"


class FactType(StrEnum):
    """What the boot service, the agent and the installed system can report of a machine."""

    SCRIPT_SERVED = "script-served"
    """The boot program asked for its script and got the one that leads to the agent."""
    SENT_TO_DISK = "sent-to-disk"
    """The boot program asked for its script with no order under way, and was sent to the machine's disk."""
    REGISTERED = "registered"
    """The agent is up, has proved which machine it runs on, and has sent what it found there."""
    ALIVE = "alive"
    """It still works; the detail says at what."""
    WRITTEN = "written"
    """The image is on the disk, and what was read back has its checksum."""
    WIPED = "wiped"
    """The disks are empty; the detail is the proof."""
    AGENT_FAILED = "agent-failed"
    """The agent cannot go on; the detail says why."""
    PHONED_HOME = "phoned-home"
    """The installed system is up."""


class BootRequest(msgspec.Struct, frozen=True):
    """That the machine is to start the agent once. `id` is new for each order, and is the order's name wherever it is
    spoken of; `word` is the `request` of the document for which it was given; `media`: the URL of the CD image that it
    is to start from, None for the network; `target`: the boot target that stands for either at its BMC; `uuid`: what
    its BMC told when the order was given, which whoever asks for its script has to show."""

    id: str
    purpose: Purpose
    at: datetime
    word: str | None = None
    media: str | None = None
    target: BootTarget | None = None
    uuid: str | None = None


class Inserted(msgspec.Struct, frozen=True):
    """That a CD image was, or may have been, put into the machine's virtual drive, for which order."""

    url: str
    order: str


class Written(msgspec.Struct, frozen=True):
    """What was written to the machine's disk, for which claim, under which order."""

    image: str
    checksum: str
    claim: str
    at: datetime
    word: str | None = None
    order: str = ""


class Wiped(msgspec.Struct, frozen=True):
    """That the disks were emptied, with one line of proof for each."""

    at: datetime
    proof: tuple[str, ...] = ()


class LifecycleFailure(msgspec.Struct, frozen=True):
    """What keeps the machine from going on. `final`: until a person asks for another try."""

    reason: str
    message: str
    at: datetime
    final: bool = False


class LifecycleFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of one machine.

    `claim` and `slot`: whose it is, and which of the claim's machines, from `claimed_at` until it is wiped and free
    again; `releasing_at`: since when it is on its way back, and `because`: of what, in words. `order` is the boot that
    is under way: `served_at`, `registered_at`, `heard_at`, `progress` and `ended_at` (its purpose is reached, the
    machine may go off) are of that order. `stopped_at`: since when it was seen off and has been started by nobody else;
    `system`: the UUID that its BMC told when an agent called last, else `serial:` and its serial number. `attempts`
    counts the orders for the present purpose, and `tried` is the `request` of the document for which the last of them
    was given. `asked`: the machine's `lifecycle.request` that was heeded last. `starts`: when it was sent to its disk,
    the last few since its system called. `media`: what is in its virtual drive, until it is seen gone. `installs`: the
    orders since the last wipe under which an agent may have installed something, the oldest first.
    """

    inspected_at: datetime | None = None
    claim: str | None = None
    slot: int | None = None
    claimed_at: datetime | None = None
    releasing_at: datetime | None = None
    because: str | None = None
    order: BootRequest | None = None
    stopped_at: datetime | None = None
    system: str | None = None
    attempts: int = 0
    tried: str | None = None
    served_at: datetime | None = None
    registered_at: datetime | None = None
    heard_at: datetime | None = None
    progress: str | None = None
    ended_at: datetime | None = None
    written: Written | None = None
    phoned_home_at: datetime | None = None
    wiped: Wiped | None = None
    trouble: LifecycleFailure | None = None
    asked: str | None = None
    starts: tuple[datetime, ...] = ()
    media: Inserted | None = None
    installs: tuple[str, ...] = ()


NEWBORN = LifecycleFacts()


def without_boot_request(life: LifecycleFacts) -> LifecycleFacts:
    """The life with no boot under way."""
    return msgspec.structs.replace(
        life, order=None, served_at=None, registered_at=None, heard_at=None, progress=None, ended_at=None
    )
