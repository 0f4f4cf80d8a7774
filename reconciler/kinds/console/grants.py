"""Who may use which console, and to whom belongs what it says. Pure.

A grant follows from the documents and the facts of the moment. The owner of a session asks again at each change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

import msgspec

from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.claim.spec import ClaimConsole, claim_of
from reconciler.kinds.common.access.access_rules import DEFAULT_SUITE, ConsoleAccess
from reconciler.kinds.common.access.credentials import host_of
from reconciler.kinds.common.consoles.console_fields import (
    NO_CONSOLE,
    ConsoleAdmins,
    ConsoleSettings,
    MachineConsole,
    PartitionConsole,
    console_settings,
)
from reconciler.kinds.common.consoles.ssh_keys import KeyLine, key_line
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.machine.spec import MachineSpec, machine_access
from reconciler.model.resource import DesiredState, Resource, ResourceKey

ADMIN = "admin"
_LONGEST_CLAIM = 150
_SLOT = re.compile(r"[0-9]{1,9}")


class ConsoleGrant(msgspec.Struct, frozen=True):
    """That the owner of this key may read the console, and type if `write`. `role`: `admin`, or the claim's name.
    `authority`: the key signs certificates. A certificate must have one of the `principals`; if there are none, the
    user name of the login."""

    key: KeyLine
    role: str
    write: bool
    authority: bool = False
    principals: tuple[str, ...] = ()

    def holds(self, now: datetime) -> bool:
        """Whether the key has not ended."""
        until = self.key.until
        return until is None or now < until


class Tenancy(msgspec.Struct, frozen=True):
    """To whom belongs what the console says. No other tenancy gets it. `name`: new for each, and fit
    to be part of a file's name. `words`: for people."""

    name: str
    words: str


class MachineConsoleState(msgspec.Struct, frozen=True):
    """All that a machine's console follows from. `order`: the boot request under way, as its purpose and id."""

    machine: str
    access: ConsoleAccess
    settings: ConsoleSettings
    tenancy: Tenancy
    grants: tuple[ConsoleGrant, ...]
    order: str = ""


def console_access(spec: MachineSpec, desired: DesiredState) -> ConsoleAccess | None:
    """What the machine says, else what its partition says; None for a machine without a console."""
    own, shared = spec.console or MachineConsole(), _shared(spec, desired) or PartitionConsole()
    driver = own.driver or shared.driver
    if driver is None or driver == NO_CONSOLE:
        return None
    bmc = machine_access(spec, desired)
    return ConsoleAccess(
        driver,
        own.address or host_of(bmc.address) or bmc.address,
        own.port or shared.port,
        own.credential_ref or bmc.credential_ref,
        own.cipher_suite or shared.cipher_suite or DEFAULT_SUITE,
        own.dialect or shared.dialect or "",
        own.host_key or shared.host_key or "",
    )


def console_of(
    machine: Resource[MachineSpec], desired: DesiredState, facts: MachineFacts
) -> MachineConsoleState | None:
    """The console of a declared machine; None for a machine without one."""
    access = console_access(machine.spec, desired)
    if access is None:
        return None
    settings = console_settings(machine.spec.console, _shared(machine.spec, desired))
    request = facts.lifecycle.boot_request
    return MachineConsoleState(
        machine.key.name,
        access,
        settings,
        tenancy(facts.lifecycle),
        grants(desired, facts.lifecycle, settings.admins),
        f"{request.purpose} {request.id}" if request is not None else "",
    )


def grants(desired: DesiredState, lifecycle: LifecycleFacts, admins: ConsoleAdmins) -> tuple[ConsoleGrant, ...]:
    """The keys that are let in: those of the machine's claim, from the binding until its release begins, and those of
    the partition's admins. Keys with options that run something are let in nowhere."""
    found = [*_of_keys(admins.ssh_keys, ADMIN, write=True)]
    authority = key_line(admins.authority) if admins.authority is not None else None
    if authority is not None and admins.principals and authority.is_usable:
        found.append(ConsoleGrant(authority, ADMIN, True, True, admins.principals))
    claim = claim_of(desired, lifecycle)
    if claim is not None and lifecycle.releasing_at is None and claim.spec.console is not ClaimConsole.NONE:
        found += _of_keys(claim.spec.ssh_keys, claim.key.name, write=claim.spec.console is ClaimConsole.WRITE)
    return tuple(found)


def _of_keys(keys: Iterable[str], role: str, *, write: bool) -> list[ConsoleGrant]:
    lines = (key_line(text) for text in keys)
    return [
        ConsoleGrant(line, role, write, "cert-authority" in line.options)
        for line in lines
        if line is not None and line.is_usable
    ]


def tenancy(lifecycle: LifecycleFacts) -> Tenancy:
    """Whose the machine is: a claim's from the binding until its release begins, then no claim's until the next."""
    claim, slot = lifecycle.claim, lifecycle.slot or 0
    if claim is None:
        wiped = lifecycle.wiped.at if lifecycle.wiped is not None else None
        return Tenancy(f"free-{_stamp(wiped)}", "free")
    short = _short(claim)
    if lifecycle.releasing_at is not None:
        since = _stamp(lifecycle.releasing_at)
        return Tenancy(f"release-{short}-{slot}-{since}", f"released by claim {claim}, slot {slot}")
    return Tenancy(f"claim-{short}-{slot}-{_stamp(lifecycle.claimed_at)}", f"claim {claim}, slot {slot}")


def _short(claim: str) -> str:
    """The name of the claim, as far as the name of a file has room for it (255 bytes on Linux)."""
    if len(claim) <= _LONGEST_CLAIM:
        return claim
    return f"{claim[: _LONGEST_CLAIM - 17]}-{hashlib.sha256(claim.encode()).hexdigest()[:16]}"


def _stamp(at: datetime | None) -> str:
    return f"{at:%Y%m%dT%H%M%S.%fZ}" if at is not None else "new"


def machine_of_slot(user: str, held: Iterable[tuple[str, LifecycleFacts]]) -> str | None:
    """The machine that `CLAIM.SLOT` means, of those that claims hold; None where there is none."""
    claim, _, slot = user.rpartition(".")
    if not claim or not _SLOT.fullmatch(slot):
        return None
    return next(
        (name for name, one in held if one.claim == claim and one.slot == int(slot) and one.releasing_at is None),
        None,
    )


def _shared(spec: MachineSpec, desired: DesiredState) -> PartitionConsole | None:
    partition = desired.resources.get(ResourceKey("Partition", spec.partition))
    return partition.spec.console if partition is not None and isinstance(partition.spec, PartitionSpec) else None
