"""Rules between guards and what they name. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from reconciler.desired.rules.findings import Finding
from reconciler.kinds import FLEET, RECONCILED
from reconciler.kinds.guard.spec import GuardSpec
from reconciler.model.resource import DesiredState, Resource, ResourceKey

GUARDABLE = tuple(kind for kind in RECONCILED if kind != "Guard")


def check_guards(desired: DesiredState, claimed: Collection[ResourceKey] = ()) -> list[Finding]:
    """Every kind, partition and project that a guard names must be there: a guard with a typing error guards nothing.
    `claimed`: keys of documents that are there but broken."""
    return [finding for guard in desired.of_kind("Guard") for finding in _named(guard, desired, claimed)]


def _named(guard: Resource[GuardSpec], desired: DesiredState, claimed: Collection[ResourceKey]) -> Iterator[Finding]:
    match = guard.spec.match
    for index, kind in enumerate(match.kinds):
        if kind not in GUARDABLE:
            what, path = f"no guard guards the kind {kind}", ("spec", "match", "kinds", index)
            yield Finding("not-guardable", guard, path, what, "", _hint(kind, GUARDABLE))
    if guard.spec.budget is not None and match.kinds and not set(match.kinds) & set(FLEET):
        what = f"a budget counts {' and '.join(FLEET)} alone, and the guard matches none, so the budget holds nothing"
        hint = "add the kind to spec.match.kinds, or remove spec.budget"
        yield Finding("not-guardable", guard, ("spec", "budget"), what, "", hint)
    for field, kind, names in (("partitions", "Partition", match.partitions), ("projects", "Project", match.projects)):
        for index, name in enumerate(names):
            if ResourceKey(kind, name) not in desired.resources and ResourceKey(kind, name) not in claimed:
                known = [one.key.name for one in desired.of_kind(kind)]
                yield _dangling(guard, field, index, f"{kind} {name!r}", _hint(name, known))


def _dangling(guard: Resource[Any], field: str, index: int, what: str, hint: str) -> Finding:
    path = ("spec", "match", field, index)
    return Finding("dangling-reference", guard, path, f"{what} is not declared", "", hint)


def _hint(word: str, known: Collection[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
