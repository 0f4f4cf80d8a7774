"""What only the facts can tell against a desired state: something that is in use would go. Pure.

The rules between documents see documents alone; here a revision is held against what was given out under earlier ones.
A revision that is refused here is refused whole, like one with a broken document.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, ResourceKey

NAMED = 10
"""How many users of one thing are named."""


def admit(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """Every reason to refuse the state, none when it may take force.

    An image stays declared while a declared machine has it, whatever its document asks for by now (metal-api#148):
    nobody could tell what the machine runs, or install it again.
    """
    users: dict[str, list[ResourceKey]] = {}
    for key, remembered in facts.resources.items():
        image = remembered.image
        if image is not None and key in desired.resources and ResourceKey("Image", image) not in desired.resources:
            users.setdefault(image, []).append(key)
    return tuple(_in_use(image, sorted(found), desired) for image, found in sorted(users.items()))


def listed(names: Iterable[str], most: int = NAMED) -> str:
    """`a, b and 3 more`."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")


def _in_use(image: str, users: list[ResourceKey], desired: DesiredState) -> Diagnostic:
    sources = [desired.resources[key].source for key in users]
    who = listed(f"{key} ({source.file}:{source.line})" for key, source in zip(users, sources, strict=True))
    count = "1 machine has" if len(users) == 1 else f"{len(users):,} machines have"
    return Diagnostic(
        "image-in-use",
        Severity.ERROR,
        f"Image {image} is not declared any more, and {count} it",
        sources[0],
        who,
        "declare it again; it can go when spec.image of these says another and that has taken effect",
    )
