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
"""How many users a refusal names."""


def admit(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """Every reason to refuse the state, none when it may take force.

    An image stays declared while a machine has it, whatever its document asks for by now (metal-api, image-service:
    delete is refused while a machine uses it): nobody could tell what the machine runs, or install it again.
    """
    users: dict[str, list[ResourceKey]] = {}
    for key, remembered in facts.resources.items():
        image = remembered.image
        if image is not None and key in desired.resources and ResourceKey("Image", image) not in desired.resources:
            users.setdefault(image, []).append(key)
    return tuple(_in_use(image, sorted(found), desired) for image, found in sorted(users.items()))


def named(users: Iterable[str]) -> str:
    """`Machine/a (racks/r1.yaml:3), Machine/b (racks/r1.yaml:20) and 4 more`."""
    listed = list(users)
    words = ", ".join(listed[:NAMED])
    return f"{words} and {len(listed) - NAMED} more" if len(listed) > NAMED else words


def _in_use(image: str, users: list[ResourceKey], desired: DesiredState) -> Diagnostic:
    sources = [desired.resources[key].source for key in users]
    who = named(f"{key} ({source.file}:{source.line})" for key, source in zip(users, sources, strict=True))
    count = "1 machine has" if len(users) == 1 else f"{len(users)} machines have"
    return Diagnostic(
        "image-in-use",
        Severity.ERROR,
        f"Image {image} is not declared any more, and {count} it",
        sources[0],
        who,
        "declare the image again until these have another one",
    )
