"""What only the facts can tell against a desired state: something that is in use would go. Pure.

The rules between documents see documents alone; here a revision is held against what was given out under earlier ones.
A revision that is refused here is refused whole, like one with a broken document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.kinds.claim.spec import claim_key
from reconciler.kinds.common.field_types.bmc_access import at_place
from reconciler.kinds.common.machine_facts import all_machine_facts, machine_facts
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_NAMED = 10
"""How many users of one thing are named."""


def admit(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """Every reason to refuse the state, none when it may take force.

    An image stays declared while a declared machine has it, whatever its document asks for by now (metal-api#148).
    Nobody could tell what the machine runs, or install it again. A machine stays declared, with its life, while it is a
    claim's: nobody would wipe it, and its name and addresses would be another's."""
    return (*_images_in_use(desired, facts), *_claimed(desired, facts))


def _images_in_use(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    users: dict[str, list[ResourceKey]] = {}
    for key, remembered in all_machine_facts(facts.resources).items():
        image = remembered.image
        if image is not None and key in desired.resources and ResourceKey("Image", image) not in desired.resources:
            users.setdefault(image, []).append(key)
    return tuple(_in_use(image, sorted(found), desired, facts) for image, found in sorted(users.items()))


def _claimed(desired: DesiredState, facts: Facts) -> Iterator[Diagnostic]:
    known = all_machine_facts(facts.resources)
    for key in sorted(key for key, one in known.items() if one.lifecycle.claim is not None):
        machine, life = desired.resources.get(key), known[key].lifecycle
        whose = claim_key(life)
        if whose is None or (machine is not None and machine.spec.lifecycle is not None):
            continue
        claim = desired.resources.get(whose)
        where = f" ({claim.source.file}:{claim.source.line})" if claim is not None else ""
        said = f"{key} is no longer declared" if machine is None else f"{key} no longer has spec.lifecycle"
        renamed = at_place(desired, known[key].place) if machine is None else None
        if renamed is not None:
            said = f"{key} was renamed to {renamed}"
        still = "being released by" if life.releasing_at is not None else "claimed by"
        hint = "wait until the machine is free" if life.releasing_at is not None else _hint(key.name, whose, claim)
        yield Diagnostic(
            "machine-claimed",
            Severity.ERROR,
            f"{said}, but is still {still} {whose}{where}, slot {life.slot}",
            machine.source if machine is not None else claim.source if claim is not None else None,
            "without its document the machine would never be wiped",
            f"declare the machine again, and remove it once it is free: {hint}",
        )


def _hint(machine: str, whose: ResourceKey, claim: Resource[Any] | None) -> str:
    if claim is None:
        return f"remove {whose} in a separate commit, and wait until its machines are wiped"
    return f"name {machine} in spec.without of {whose}, or remove the claim; then wait until the machine is wiped"


def listed_names(names: Iterable[str], most: int = _NAMED) -> str:
    """`a, b and 3 more`."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")


def _in_use(image: str, users: list[ResourceKey], desired: DesiredState, facts: Facts) -> Diagnostic:
    sources = [desired.resources[key].source for key in users]
    who = listed_names(f"{key} ({source.file}:{source.line})" for key, source in zip(users, sources, strict=True))
    count = "1 machine uses" if len(users) == 1 else f"{len(users):,} machines use"
    claimed = any(machine_facts(facts.resources, key).lifecycle.claim is not None for key in users)
    whose = "these machines, or of their claims," if claimed else "these machines"
    return Diagnostic(
        "image-in-use",
        Severity.ERROR,
        f"Image {image} is no longer declared, but {count} it",
        sources[0],
        who,
        f"declare the image again, and remove it after spec.image of {whose} names another image and that is applied",
    )
