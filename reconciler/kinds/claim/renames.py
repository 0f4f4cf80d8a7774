"""Claims that are gone from git while others come that could be the same under another name. Pure.

To git a rename is a removal and an addition, and carried out as such it wipes every machine of the claim. Which of both
is meant only a person can say (hashicorp/terraform#18347).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.kinds.claim.renamed_from import pending_renames
from reconciler.kinds.claim.spec import ClaimedMachine, MachineClaimSpec, all_holders
from reconciler.kinds.common.kind import KindView
from reconciler.model.facts import NO_FACTS
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource, ResourceKey

RENAMED = "renamed"

ClaimResource = Resource[MachineClaimSpec]


class Renames(msgspec.Struct, frozen=True):
    """Which claims may be which under another name: of each that is gone, those that came; and the other way round."""

    came: dict[str, list[str]]
    gone: dict[str, list[str]]


def renames(view: KindView) -> Renames:
    """All of them. A claim is gone when it has machines and no document. Another came when it was first declared by a
    state with which some are gone, and has no machine yet."""
    return view.once("renamed claims", lambda: _renames(view))


def held_for_rename(view: KindView) -> Hold | None:
    """The hold of a claim that may be another under a new name, or has perhaps got one."""
    found, name = renames(view), view.key.name
    if (stuck := cannot_be(view.key, view)) is not None:
        return stuck
    if others := found.gone.get(name):
        was, new = _named(others), f"MachineClaim/{name}"
    elif others := found.came.get(name):
        was, new = f"MachineClaim/{name}", _named(others)
    else:
        return None
    reason = f"{was} was removed from git and {new} was added: this may be a rename"
    old, now = (others[0], name) if name in found.gone else (name, others[0])
    hint = (
        f"to keep the machines, set spec.renamedFrom: {old} in MachineClaim/{now}; to wipe the machines, "
        f"remove {was} in one commit, apply that, and declare {new} in a later commit"
    )
    return Hold(HoldKind.GUARD, RENAMED, reason, hint)


def cannot_be(claim: ResourceKey, view: KindView) -> Hold | None:
    """The hold of a claim whose document asks for a rename that cannot be, and of the one that it names."""
    if view.desired is None:
        return None
    desired = view.desired
    asked = view.once("moves", lambda: pending_renames(desired, view.remembered))
    move = next((one for one in asked.values() if one.why_not and claim in (one.old, one.new)), None)
    if move is None:
        return None
    reason = (
        f"{move.new} names {move.old} in spec.renamedFrom, but cannot take over the machines of {move.old}: "
        f"{move.why_not}"
    )
    return Hold(HoldKind.GUARD, RENAMED, reason, f"remove spec.renamedFrom, and declare {move.old} again")


def _renames(view: KindView) -> Renames:
    found = Renames({}, {})
    if view.desired is None:
        return found
    holders = view.once("holders", lambda: all_holders(view.remembered))
    gone = {
        name: live
        for name, held in sorted(holders.items())
        if ResourceKey("MachineClaim", name) not in view.desired.resources
        if (live := [one for one in held if not one.releasing])
    }
    if not gone:
        return found
    for claim in view.desired.of_kind("MachineClaim"):
        if claim.key.name in holders or not view.remembered.get(claim.key, NO_FACTS).joining:
            continue
        for name, live in gone.items():
            if _could_be(claim, live):
                found.gone.setdefault(claim.key.name, []).append(name)
                found.came.setdefault(name, []).append(claim.key.name)
    return found


def _could_be(claim: ClaimResource, live: Iterable[ClaimedMachine]) -> bool:
    """Whether the claim is for the same project, and may have these machines. Its partition, size and image may have
    changed with its name, so they say nothing; who names other machines means others."""
    names = claim.spec.machines
    return any(one.project == claim.spec.project and (not names or one.machine in names) for one in live)


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"MachineClaim/{name}" for name in names)
