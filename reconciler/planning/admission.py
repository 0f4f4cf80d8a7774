"""What only facts can tell against a desired state: it would take away what a machine is bound to. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, ResourceKey

NAMED = 10
"""How many users of one thing are named."""


def admit(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """An error for each image that a declared machine has and that is declared no more (ironcore and metal-stack
    refuse to delete an image in use, metal-api#148)."""
    users: dict[str, list[ResourceKey]] = {}
    for key, fact in facts.resources.items():
        if fact.image is not None and key in desired.resources:
            users.setdefault(fact.image, []).append(key)
    return tuple(
        _in_use(image, sorted(keys), desired)
        for image, keys in sorted(users.items())
        if ResourceKey("Image", image) not in desired.resources
    )


def _in_use(image: str, users: list[ResourceKey], desired: DesiredState) -> Diagnostic:
    machines = "machine has" if len(users) == 1 else "machines have"
    return Diagnostic(
        "image-in-use",
        Severity.ERROR,
        f"Image {image} is not declared any more, and {len(users):,} {machines} it: {listed(map(str, users))}",
        desired.resources[users[0]].source,
        "a machine keeps its image until another is pinned",
        "declare it again; it goes when spec.image of these says another and that has taken effect",
    )


def listed(names: Iterable[str], most: int = NAMED) -> str:
    """`a, b and 3 more`."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
