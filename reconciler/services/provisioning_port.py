"""What the services for machines request from the reconciler, and report to it. The daemon implements it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import ASK_AGAIN


class ProvisioningUnavailable(Exception):
    """The daemon that decides does not answer now, or cannot yet: ask again. What was called may be done or not."""


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Nothing to do yet: ask again after so many seconds."""

    seconds: int = ASK_AGAIN


class PowerOffNow(msgspec.Struct, frozen=True, tag="poweroff"):
    """All is done: switch the machine off."""


class Install(msgspec.Struct, frozen=True, tag="install"):
    """Write the image to a disk: the one with this serial number or path, `auto` for the smallest of at least `size`
    bytes. `url` and `checksum` (`sha256:...`) are those of the fetched file. `seed` are the files of a cloud-init
    NoCloud seed (`meta-data`, `user-data`, `network-config`, `vendor-data`), or `config.ign` with `meta-data`, as
    kinds/machine/lifecycle/cloud_init.py builds them with MARKS. The boot service puts the way to phone home in their
    place. `known`: the instance-ids of installations that may be on the machine's disks. For any other the agent does
    nothing, as a restored store may have forgotten whose installation that is."""

    image: str
    url: str
    checksum: str
    seed: Mapping[str, str]
    known: tuple[str, ...] = ()
    disk: str = "auto"
    size: int = 0


class Wipe(msgspec.Struct, frozen=True, tag="wipe"):
    """Empty every disk. `known`: as with Install."""

    known: tuple[str, ...] = ()


Work = Wait | PowerOffNow | Install | Wipe


class Provisioning(Protocol):
    """The machines' lifecycles, as the services see them. Calls come from many threads, and are durable when they
    return.

    Every call may raise StoreError: then nothing was taken up, and the caller is to ask again. It may also raise
    ProvisioningUnavailable. So every call may be repeated.
    """

    def find(self, uuid: str, macs: Collection[str]) -> ResourceKey | None:
        """The declared machine with this UUID (as its BMC says) and one of these MACs, in any case. None when there is
        none, or when the two point to different machines.

        Where its BMC reported a UUID, that has to be shown. A MAC address in a document takes precedence over the
        reports of BMCs. So no BMC can take the place of another machine by reporting its UUID or MAC address.
        """

    def resembles(self, macs: Collection[str]) -> ResourceKey | None:
        """The declared machine whose document or BMC has one of these MACs, with any UUID. Only for messages."""

    def serves(self, key: ResourceKey | None, address: str) -> bool:
        """Whether the address is in a network over which the machine's Partition starts machines (`boot.networks`);
        with None, in that of any Partition."""

    def unanswered_boot_request(self, key: ResourceKey) -> BootRequest | None:
        """The boot request under way that no agent has answered yet: only then may a script lead there."""

    def boot_request(self, key: ResourceKey) -> BootRequest | None:
        """The boot request that is under way, answered or not."""

    def work(self, key: ResourceKey) -> Work:
        """What the agent of the machine is to do now."""

    def report(self, key: ResourceKey, request_id: str, fact: FactType, detail: str = "") -> bool:
        """Take up a fact, reported for this order. False when the order is not the machine's any more."""

    def took_inventory(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        """Keep what the agent found in the machine."""

    def found(self, uuid: str | None, macs: Collection[str], collected: Mapping[str, object]) -> None:
        """Keep what the agent found in an undeclared machine. May come again for the same one."""

    def refused(self, key: ResourceKey | None, reason: EventReason, message: str) -> None:
        """Record that a request was refused, as a warning with that reason (CamelCase)."""

    def discovers(self, address: str, uuid: str, macs: Sequence[str]) -> bool:
        """Whether an unknown machine that asks from this address may start the discovery image, which switches it off
        in the end: its partition says. Never one whose card, the first of `macs`, is a declared machine's, or that has
        the UUID of one that is not off. It may be that machine, with another card or mainboard, and in use."""

    def failed(self, what: str, error: BaseException) -> None:
        """Something failed unexpectedly: what it was, in words, and the error."""
