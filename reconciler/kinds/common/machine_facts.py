"""What is remembered of a machine: facts with their times.

A machine's phase is derived from them (kinds/machine/lifecycle/phases.py), and never stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from drivers.base import BootTarget
from reconciler.kinds.common.kind import KindView
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailure, Purpose


class FactType(StrEnum):
    """What the boot service, the agent and the installed system can report of a machine."""

    SCRIPT_SERVED = "script-served"
    """The boot program asked for its script and got the one that leads to the agent."""
    SENT_TO_DISK = "sent-to-disk"
    """The boot program asked for its script with no boot request under way, and was sent to the machine's disk."""
    REGISTERED = "registered"
    """The agent is up, has proved which machine it runs on, and has sent what it found there."""
    INSTALL_SERVED = "install-served"
    """The agent got what it is to install, and the boot request does not say that yet; the detail is from
    `install_served`."""
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


class BootRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """That the machine is to start the agent once, and how far that has come."""

    id: str
    """New for each request, and its name wherever it is spoken of."""
    purpose: Purpose
    """For what it is started."""
    requested_at: datetime
    """When the request was given."""
    document_request: str | None = None
    """The `request` of the document for which it was given. If the document changed before the agent got what it is to
    install: of that document."""
    media: str | None = None
    """The URL of the CD image from which it is to start; None: from the network."""
    target: BootTarget | None = None
    """The boot target that stands for either at its BMC."""
    uuid: str | None = None
    """The UUID that its BMC reported when the request was given; a request for the machine's script must have the same
    UUID."""
    served_at: datetime | None = None
    """When its boot program got the script that leads to the agent."""
    registered_at: datetime | None = None
    """When the agent called first."""
    last_heard_at: datetime | None = None
    """When the agent called last."""
    progress: str | None = None
    """At what the agent works, in its own words."""
    ended_at: datetime | None = None
    """When its purpose was reached: the machine may go off."""
    image: str | None = None
    """The image that the agent got to install, which stays the same for this boot request."""


class Inserted(msgspec.Struct, frozen=True):
    """A CD image that was, or may have been, put into the machine's virtual drive."""

    url: str
    """From where the BMC reads the image."""
    boot_request: str
    """The id of the boot request for which it was inserted."""


class Written(msgspec.Struct, frozen=True):
    """What was written to the machine's disk."""

    image: str
    """The image's name."""
    checksum: str
    """The checksum of what was read back."""
    claim: str
    """The claim for which it was written."""
    at: datetime
    """When the agent said so."""
    document_request: str | None = None
    """The `request` of the claim's document then."""
    boot_request: str = ""
    """The id of the boot request under which it was written."""


class Wiped(msgspec.Struct, frozen=True):
    """That the disks were emptied."""

    at: datetime
    """When the agent said so."""
    proof: tuple[str, ...] = ()
    """One line for each disk."""


class LifecycleFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of a managed machine's lifecycle."""

    inspected_at: datetime | None = None
    """When an agent said last what is in it."""
    claim: str | None = None
    """The name of the MachineClaim that has it, from `claimed_at` until it is wiped and free again."""
    slot: int | None = None
    """Which of the claim's machines it is."""
    claimed_at: datetime | None = None
    """Since when the claim has it."""
    releasing_at: datetime | None = None
    """Since when the claim is releasing it."""
    release_cause: str | None = None
    """Why it is, in words: the commit."""
    boot_request: BootRequest | None = None
    """The boot request under way."""
    stopped_at: datetime | None = None
    """Since when it was seen off and has been started by groundstate alone."""
    system: str | None = None
    """The UUID that its BMC reported when an agent called last, else `serial:` and its serial number."""
    attempts: int = 0
    """How many boot requests were given for the present purpose."""
    tried_request: str | None = None
    """The `request` of the document for which the last boot request was given."""
    written: Written | None = None
    """What is on its disk."""
    phoned_home_at: datetime | None = None
    """When the system on its disk said that it is up."""
    wiped: Wiped | None = None
    """That its disks are empty, from a wipe until something is installed."""
    failure: LifecycleFailure | None = None
    """What keeps it from going on."""
    heeded_request: str | None = None
    """The machine's `lifecycle.request` that was heeded last."""
    starts: tuple[datetime, ...] = ()
    """When it was sent to its disk, the last few times since its system called."""
    media: Inserted | None = None
    """What is in its virtual drive, until it is seen gone."""
    installs: tuple[str, ...] = ()
    """The ids of the boot requests since the last wipe under which an agent may have installed something, the oldest
    first."""

    def progressed(self, **changes: Any) -> LifecycleFacts:
        """The same with its boot request further on: fields of `BootRequest`. Without one nothing changes."""
        if self.boot_request is None:
            return self
        return msgspec.structs.replace(self, boot_request=msgspec.structs.replace(self.boot_request, **changes))


NEWBORN = LifecycleFacts()


class Restart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A restart that a person asked for. It stays when it has ended, so that it is not done again."""

    id: str
    """Of the request."""
    reason: str
    """Why, as the person said."""
    by: str
    """Who asked for it."""
    until: datetime
    """Before when it must begin."""
    sent: bool = False
    """Its power-off was recorded, and sent or about to be."""
    forced: bool = False
    """That was one that cuts the power."""
    watched: bool = True
    """The same process has been at work since then."""
    seen_off: bool = False
    """The machine was seen off."""
    ended: bool = False
    """Nothing is done for it any more."""
    failure: str = ""
    """Why it was not done, or may not have been done; empty: it was."""


class SystemIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a BMC reports by which its system differs from all others."""

    uuid: str | None = None
    """The UUID, in lower case."""
    serial: str | None = None
    """The serial number, without blanks."""

    def __str__(self) -> str:
        if self.uuid is not None:
            return f"UUID {self.uuid}"
        return f"serial number {self.serial}" if self.serial is not None else "no UUID and no serial number"


class MachineFacts(ResourceFacts, frozen=True, omit_defaults=True):
    """What is remembered of a machine."""

    serial: str | None = None
    """The serial number of its system, beside `uuid`; None: its BMC reported none."""
    reported: SystemIdentity | None = None
    """What its BMC reports instead of `uuid` and `serial`, until a person accepts that; None: no other system."""
    identity_at: datetime | None = None
    """When a reported system was accepted, or the BMC reported yet another one. Overrides that began earlier were given
    for another system."""
    system_place: str | None = None
    """Where `uuid` and `serial` were read, if `spec.bmc` names another place since then. None: at `place`, or an
    observation has shown the same system there."""

    once_done: str | None = None
    """The digest of the one-time boot order that was carried out, so that it is not carried out again."""
    shutdown_ignored: datetime | None = None
    """When a graceful shutdown ran out of time."""
    found_order: str | None = None
    """The one-time boot order that stood in the document when nothing was known of the machine yet."""
    found_new: bool = False
    """Nothing was known of any machine then, so that the order may be of any age."""
    project: str | None = None
    """Whose machine it is, from the moment at which the rules let that pass."""
    image: str | None = None
    """Which image was chosen for it, from the moment at which the rules let that pass."""
    lifecycle: LifecycleFacts = NEWBORN
    """What groundstate did with it, where it inspects, installs and wipes it."""
    restart: Restart | None = None
    """The latest restart that a person asked for."""


NO_MACHINE_FACTS = MachineFacts()


def machine_facts(remembered: Mapping[ResourceKey, ResourceFacts], key: ResourceKey) -> MachineFacts:
    """What is remembered of one machine; nothing, where none is known. Raises TypeError for what is no machine's."""
    return as_machine_facts(remembered.get(key, NO_MACHINE_FACTS))


def facts_in(view: KindView) -> MachineFacts:
    """What is remembered of the machine that is observed. Raises TypeError for what is no machine's."""
    facts = view.facts
    # A step of a machine asks ten times.
    return facts if isinstance(facts, MachineFacts) else as_machine_facts(facts)


def as_machine_facts(facts: ResourceFacts) -> MachineFacts:
    """The facts as those of a machine. Raises TypeError."""
    if not isinstance(facts, MachineFacts):
        raise TypeError(f"{type(facts).__name__} in the place of a machine's facts")
    return facts


def all_machine_facts(remembered: Mapping[ResourceKey, ResourceFacts]) -> dict[ResourceKey, MachineFacts]:
    """What is remembered of all machines."""
    return {key: one for key, one in remembered.items() if isinstance(one, MachineFacts)}


def claim_of_facts(facts: ResourceFacts) -> str | None:
    """The claim whose machine it is, by name: a group of facts."""
    return facts.lifecycle.claim if isinstance(facts, MachineFacts) else None


def project_of_facts(facts: ResourceFacts) -> str | None:
    """The project whose machine it is: a group of facts."""
    return facts.project if isinstance(facts, MachineFacts) else None
