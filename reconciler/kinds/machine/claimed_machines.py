"""Machines that are a claim's stay declared, with their life. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kinds.claim.spec import claim_key
from reconciler.kinds.common.field_types.bmc_access import at_place
from reconciler.kinds.common.machine_facts import all_machine_facts
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, Resource, ResourceKey


def admit_claimed(desired: DesiredState, facts: Facts) -> Iterator[Diagnostic]:
    """A machine with a lifecycle must stay declared while a claim has it. Otherwise groundstate could not wipe it, and
    another machine could get its name and addresses."""
    known = all_machine_facts(facts.resources)
    for key in sorted(key for key, one in known.items() if one.lifecycle.claim is not None):
        machine, lifecycle = desired.resources.get(key), known[key].lifecycle
        claim_name = claim_key(lifecycle)
        if claim_name is None or (machine is not None and machine.spec.lifecycle is not None):
            continue
        claim = desired.resources.get(claim_name)
        where = f" ({claim.source.file}:{claim.source.line})" if claim is not None else ""
        said = f"{key} is no longer declared" if machine is None else f"{key} no longer has spec.lifecycle"
        renamed = at_place(desired, known[key].place) if machine is None else None
        if renamed is not None:
            said = f"{key} was renamed to {renamed}"
        still = "being released by" if lifecycle.releasing_at is not None else "claimed by"
        hint = "" if lifecycle.releasing_at is not None else f": {_hint(key.name, claim_name, claim)}"
        yield Diagnostic(
            "machine-claimed",
            Severity.ERROR,
            f"{said}, but is still {still} {claim_name}{where}, slot {lifecycle.slot}",
            machine.source if machine is not None else claim.source if claim is not None else None,
            "groundstate cannot wipe the machine without its document",
            f"declare the machine again, and remove the document after the machine is wiped{hint}",
        )


def _hint(machine: str, claim_name: ResourceKey, claim: Resource[Any] | None) -> str:
    if claim is None:
        return f"remove {claim_name} in a separate commit, and wait until its machines are wiped"
    return f"name {machine} in spec.without of {claim_name}, or remove the claim; then wait until the machine is wiped"
