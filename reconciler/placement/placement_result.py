"""What becomes of a claim, as a value, and what stops it, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.kinds.catalogue.image import Refusal
from reconciler.kinds.claim.rules import named_machines
from reconciler.kinds.claim.spec import ClaimedMachine, MachineClaimSpec, surplus
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource
from reconciler.placement.filters import FilterReason, most_frequent

_Claim = Resource[MachineClaimSpec]


class Candidate(msgspec.Struct, frozen=True):
    """A machine that was observed for a claim, and everything that keeps it from it."""

    machine: str
    partition: str
    rack: str | None
    size: str | None
    reasons: tuple[FilterReason, ...] = ()


class Chosen(msgspec.Struct, frozen=True):
    """A machine that a claim would get, and by which rule."""

    slot: int
    machine: str
    partition: str
    rack: str | None
    rule: str


class Placement(msgspec.Struct, frozen=True):
    """What becomes of one claim. `held`: what it has. `lacks`: slots without a machine. `candidates`: of a claim that
    is explained, all that were observed, in the order in which they would be preferred."""

    claim: str
    held: tuple[ClaimedMachine, ...] = ()
    lacks: tuple[int, ...] = ()
    chosen: tuple[Chosen, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    holds: tuple[Hold, ...] = ()


Placements = Mapping[str, Placement]
"""By claim."""


def holds_before_observation(
    claim: _Claim, held: tuple[ClaimedMachine, ...], lacks: tuple[int, ...], image: object
) -> tuple[Hold, ...]:
    """What stops a claim before any machine is observed."""
    spec = claim.spec
    if surplus(spec, held) or any(one.project != spec.project for one in held if not one.releasing):
        return (
            Hold(
                HoldKind.BLOCKED,
                "release",
                "the claim must release machines first, and then gets others",
                "continues automatically when these machines are wiped and free",
            ),
        )
    leaving = [one for one in held if one.releasing and one.slot in lacks]
    if leaving and not (spec.partial and len(leaving) < len(lacks)):
        reason = f"the slots are free when their machines are wiped; still being released: {named_machines(leaving)}"
        return (
            Hold(
                HoldKind.BLOCKED, "release", reason, ("continues automatically when these machines are wiped and free")
            ),
        )
    if isinstance(image, Refusal):
        return (Hold(HoldKind.GUARD, image.by, image.reason, image.hint),)
    return ()


def shortage_hold(claim: _Claim, wanted: int, firsts: Mapping[str | None, int]) -> Hold:
    """Why there are too few, in numbers. `firsts`: how many of the machines that were observed each reason keeps away
    as the first one; None: those that it may have."""
    spec, name = claim.spec, claim.key.name
    away = {code: number for code, number in firsts.items() if code is not None and number}
    free, every = firsts.get(None, 0), sum(firsts.values())
    where = ", ".join(spec.partitions)
    reason = f"{more_machines_words(wanted)} needed, {free:,} available in {where}"
    if away:
        which = "machines that spec.machines names" if spec.machines else "in total"
        reason += f"; of {every:,} {which}, {most_frequent(away)}"
    elif not every:
        reason += "; git declares no other machine"
    part = " or set spec.partial," if free and not spec.partial else ""
    hint = (
        f"see each machine's reason with `groundstate explain-placement {name}`; add machines, "
        f"lower spec.count,{part} or wait"
    )
    return Hold(HoldKind.GUARD, "placement", reason, hint)


def more_machines_words(wanted: int) -> str:
    """`3 more machines are`."""
    return "1 more machine is" if wanted == 1 else f"{wanted:,} more machines are"
