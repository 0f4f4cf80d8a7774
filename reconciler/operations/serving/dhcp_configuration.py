"""The configuration of the DHCP server of partitions, so that their machines start from the boot service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from reconciler.kinds.catalogue.partition import partitions_of
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.services.boot import dhcp
from reconciler.services.boot.boot_settings import BootError


class DnsmasqConfiguration(msgspec.Struct, frozen=True):
    """A whole file for dnsmasq."""

    text: str
    notes: tuple[str, ...] = ()


class KeaConfiguration(msgspec.Struct, frozen=True):
    """A whole file for Kea's DHCPv4 server, as JSON has it."""

    value: dict[str, Any]
    notes: tuple[str, ...] = ()


def dnsmasq_configuration(where: Where, partitions: Iterable[str], tftp_root: str) -> DnsmasqConfiguration:
    """Of these partitions, or of all that start machines from the network. Raises OperationError."""
    with Workspace(where) as at:
        return DnsmasqConfiguration(dhcp.dnsmasq(_partitions(at, tuple(partitions)), tftp_root), at.notes)


def kea_configuration(where: Where, partitions: Iterable[str], next_server: str | None) -> KeaConfiguration:
    """The same for Kea. `next_server`: the TFTP server; None: the boot service's host."""
    with Workspace(where) as at:
        found = _partitions(at, tuple(partitions))
        try:
            return KeaConfiguration(dhcp.kea(found, next_server), at.notes)
        except BootError as error:
            raise OperationError(str(error)) from error


def _partitions(at: Workspace, names: tuple[str, ...]) -> list[dhcp.DhcpPartition]:
    declared = {one.key.name: one for one in partitions_of(at.read(at.source()))}
    if missing := [name for name in names if name not in declared]:
        known = ", ".join(declared) or "none"
        raise OperationError(
            f"no partition is named {missing[0]!r}; the declared partitions are {known}", FailureReason.NOT_FOUND
        )
    if silent := [name for name in names if declared[name].spec.boot is None]:
        raise OperationError(f"partition {silent[0]} has no spec.boot, which names the boot networks; add spec.boot")
    try:
        return dhcp.network_booted_partitions(declared[name] for name in names or declared)
    except BootError as error:
        raise OperationError(str(error)) from error
