"""What was seen of machines that belong to claims, for the oracles to judge. Values only."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Installation(msgspec.Struct, frozen=True):
    """A system on a disk: its cloud-init instance, and for which slot of which claim, with which request and addresses.
    `order`: the boot request that it was written for. `is_whole`: the agent has finished."""

    instance: str
    claim: str
    slot: int
    request: str
    addresses: tuple[str, ...]
    order: str
    is_whole: bool = False


class DiskChange(msgspec.Struct, frozen=True):
    """An agent wrote the disk of a machine, or wiped it: `after` is None then. `order`: the boot request for it."""

    at: float
    machine: str
    order: str
    before: Installation | None
    after: Installation | None


class SeenAllocations(msgspec.Struct, frozen=True):
    """What was allocated at a moment."""

    at: float
    machines: Mapping[str, tuple[str, int]]
    """The claim and the slot of each claimed machine, by the facts of machines."""
    addresses: tuple[tuple[str, str, str], ...]
    """Owner, network and address, by the IPAM."""
    numbers: tuple[tuple[str, str, int], ...]
    """Owner, pool and number, by the IPAM."""
    systems: Mapping[str, Installation]
    """What runs on the machines."""
