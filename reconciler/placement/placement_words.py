"""What a claim gets, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import clean
from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.model.counting import count
from reconciler.model.resource import Resource
from reconciler.placement.placement_result import Candidate, Placement


def placement_lines(claim: Resource[MachineClaimSpec], found: Placement) -> Iterator[str]:
    """What is asked for, what it has, what it would get by which rule, and what stops it."""
    spec = claim.spec
    what = f"{count(spec.count, 'machine')}{_which(spec)} in {', '.join(spec.partitions)} for project {spec.project}"
    yield clean(f"{claim.key} ({claim.source.file}:{claim.source.line}): {what}, with {spec.image}")
    for had in found.held:
        leaving = "  (being released)" if had.releasing else ""
        yield f"  has       {_slot(had.slot, had.machine)}{leaving}"
    for one in found.chosen:
        where = f"{one.partition}, rack {one.rack}" if one.rack else one.partition
        yield f"  would get {_slot(one.slot, one.machine)}  ({clean(f'{where}: {one.rule}')})"
    missing = len(found.lacks) - len(found.chosen)
    if missing:
        yield f"  lacks     {count(missing, 'machine')}"
    for hold in found.holds:
        yield f"  held by {clean(f'{hold.by}: {hold.reason}')}"
        yield f"    To proceed: {clean(hold.hint)}"


def candidate_rows(found: Placement) -> list[list[str]]:
    """A row for each machine that was observed: where it is, and why it was chosen or not."""
    chosen = {one.machine: one.slot for one in found.chosen}
    return [
        [one.machine, one.partition, one.rack or "-", one.size or "-", _why(one, chosen, found)]
        for one in found.candidates
    ]


def _why(one: Candidate, chosen: dict[str, int], found: Placement) -> str:
    if one.machine in chosen:
        return f"chosen for slot {chosen[one.machine]}"
    if one.reasons:
        return clean("; ".join(reason.message for reason in one.reasons))
    return "can be claimed; other machines are preferred" if chosen or not found.lacks else "can be claimed"


def _slot(slot: int, machine: str) -> str:
    return f"slot {slot}  {clean(machine)}"


def _which(spec: MachineClaimSpec) -> str:
    size = f" of size {spec.size}" if spec.size else ""
    labels = ",".join(f"{name}={value}" for name, value in spec.selector.items())
    named = f" out of {', '.join(spec.machines)}" if spec.machines else ""
    return f"{size}{f' with {labels}' if labels else ''}{named}"
