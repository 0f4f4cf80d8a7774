"""What documents say to have been called otherwise before, and what is remembered under those names. Pure.

A rename moves what is remembered of a claim, of its machines and of its addresses to the new name. That is one write
when the state takes force. Nothing is sent to a machine. What the IPAM holds under the old name follows, an address at
a time (`Transfer`). Until then, `RenamedFacts.was` has the old name, also if the documents change meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from reconciler.kinds.claim.spec import (
    ClaimedMachine,
    MachineClaimSpec,
    OfClaim,
    all_holders,
    of_claim,
)
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.common.renamed_facts import AddressFacts, ClaimFacts, RenamedFacts, former
from reconciler.model.facts import ResourceFacts, grouped
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_FACTS: Mapping[str, type[RenamedFacts]] = {"MachineClaim": ClaimFacts, "IPAddress": AddressFacts}
RENAMABLE = tuple(_FACTS)
"""The kinds whose documents can say what they were called before."""

Remembered = Mapping[ResourceKey, ResourceFacts]


class Move(msgspec.Struct, frozen=True):
    """What is remembered under the old name is the new one's. `why_not`: what stands against it, in words."""

    old: ResourceKey
    new: ResourceKey
    why_not: str | None = None


def former_names(desired: DesiredState) -> Mapping[ResourceKey, ResourceKey]:
    """Who was called so before, by the old name's key; not of a name that is declared itself."""
    return desired.derived("former names", _former_names)


def pending_renames(desired: DesiredState, remembered: Remembered) -> dict[ResourceKey, Move]:
    """The renames that the documents speak of and that did not take place yet, by the new name's key."""
    formers = former_names(desired)
    if not formers:
        return {}
    held = all_holders(remembered)
    found: dict[ResourceKey, Move] = {}
    for old, new in formers.items():
        if of_claim(new) is not None:
            continue  # It goes where its claim goes.
        if old in remembered or (old.kind == "MachineClaim" and old.name in held):
            found[new] = _judged(Move(old, new), desired.resources[new], held, found.get(new))
    return found


def renamed_addresses(desired: DesiredState, remembered: Remembered) -> dict[ResourceKey, ResourceFacts | None]:
    """What is remembered differently once all renames of addresses that may be have taken place; None: nothing any
    more. The addresses of a claim go with the claim."""
    return _moved(_permitted("IPAddress", desired, remembered), remembered)


def renamed_claims(desired: DesiredState, remembered: Remembered) -> dict[ResourceKey, ResourceFacts | None]:
    """The same of claims, with their machines and addresses."""
    moves = _permitted("MachineClaim", desired, remembered)
    changed = _moved(moves, remembered)
    claims = {move.old.name: move.new.name for move in moves}
    if claims:
        for key, facts in remembered.items():
            changed.update(_of_claim(key, facts, claims))
    return changed


def _permitted(kind: str, desired: DesiredState, remembered: Remembered) -> list[Move]:
    """The renames of this kind against which nothing stands."""
    moves = pending_renames(desired, remembered).values()
    return [move for move in moves if move.why_not is None and move.old.kind == kind]


def _moved(moves: Iterable[Move], remembered: Remembered) -> dict[ResourceKey, ResourceFacts | None]:
    changed: dict[ResourceKey, ResourceFacts | None] = {}
    for move in moves:
        facts = remembered.get(move.old, _FACTS[move.old.kind]())
        changed[move.old] = None
        changed[move.new] = msgspec.structs.replace(facts, was=(*former(facts), move.old.name), joining=False)
    return changed


def olds_of(key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> list[ResourceKey]:
    """The names under which the IPAM may hold what is this one's; none that is declared itself."""
    if key.kind != "IPAddress":
        return []
    resource = desired.resources.get(key)
    names = resource.spec.former if resource is not None else ()
    found = [ResourceKey(key.kind, name) for name in (*names, *reversed(former(facts)))]
    return [old for old in dict.fromkeys(found) if old not in desired.resources]


def new_owners(desired: DesiredState, remembered: Remembered) -> dict[ResourceKey, ResourceKey]:
    """Whose the address is that the IPAM may hold under a name of before, by that name's key."""
    found = {old: new for old, new in former_names(desired).items() if old.kind == "IPAddress"}
    for key, facts in grouped(remembered, renamed_kind).get("IPAddress", {}).items():
        found.update((ResourceKey(key.kind, name), key) for name in former(facts))
    return found


def renamed_kind(facts: ResourceFacts) -> str | None:
    """The kind of what has another name than before, and is held under the old one: a group of facts."""
    if not former(facts):
        return None
    return next((kind for kind, known in _FACTS.items() if isinstance(facts, known)), None)


def _former_names(desired: DesiredState) -> dict[ResourceKey, ResourceKey]:
    found: dict[ResourceKey, ResourceKey] = {}
    for kind in RENAMABLE:
        for resource in desired.of_kind(kind):
            for name in resource.spec.former:
                old = ResourceKey(kind, name)
                if old not in desired.resources:
                    found.setdefault(old, resource.key)
    return found


def _judged(
    move: Move,
    resource: Resource[MachineClaimSpec],
    held: Mapping[str, tuple[ClaimedMachine, ...]],
    before: Move | None,
) -> Move:
    """The move, with what stands against it: one claim has the machines of one, for its own project."""
    why = None
    if before is not None:
        why = f"the store also has records of {before.old}, another former name; only one of the two can be taken over"
    elif move.new.kind == "MachineClaim":
        strange = {one.project for one in held.get(move.old.name, ())} - {resource.spec.project, None}
        if held.get(move.new.name) and held.get(move.old.name):
            why = f"{move.new} already has machines"
        elif strange:
            why = (
                f"the claim's machines belong to project {min(map(str, strange))}, and must be wiped "
                "before another project gets them"
            )
    return msgspec.structs.replace(move, why_not=why)


def _of_claim(
    key: ResourceKey, facts: ResourceFacts, claims: Mapping[str, str]
) -> Iterator[tuple[ResourceKey, ResourceFacts | None]]:
    """What is remembered of a claim's machine, or of its address, once the claim has its new name."""
    if isinstance(facts, MachineFacts):
        lifecycle = facts.lifecycle
        new = claims.get(lifecycle.claim) if lifecycle.claim is not None else None
        if new is not None:
            written = lifecycle.written
            if written is not None and written.claim == lifecycle.claim:
                written = msgspec.structs.replace(written, claim=new)
            moved = msgspec.structs.replace(lifecycle, claim=new, written=written)
            yield key, msgspec.structs.replace(facts, lifecycle=moved)
        return
    meant = of_claim(key)
    if meant is not None and meant.claim in claims:
        yield key, None
        again = OfClaim(claims[meant.claim], meant.slot, meant.network, meant.family)
        yield ResourceKey(key.kind, again.name), msgspec.structs.replace(facts, was=(*former(facts), key.name))
