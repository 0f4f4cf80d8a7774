"""Rules between guards and what they name. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import msgspec

from reconciler.desired.rules.findings import Finding, FindingPath
from reconciler.kinds import BUDGETED, FLEET, RECONCILED
from reconciler.kinds.common.field_types.label_selector import Requirement, Unmatched, parse_selector
from reconciler.kinds.common.machine_inventory import is_derived
from reconciler.kinds.guard.matching import group_of_resource, group_value, may_guard
from reconciler.kinds.guard.spec import DisruptionBudget, GuardMatch, GuardSpec
from reconciler.kinds.selectors import shortened_list
from reconciler.model.diagnostic import Severity
from reconciler.model.resource import DesiredState, Resource, ResourceKey

GUARDABLE = tuple(kind for kind in RECONCILED if kind != "Guard")


def check_guards(
    desired: DesiredState, claimed: Collection[ResourceKey] = (), everything: DesiredState | None = None
) -> list[Finding]:
    """Every kind, partition and project that a guard names must be there, and something should match the guard. A guard
    with a typing error guards nothing. `claimed`: keys of documents that are there but broken; `everything`: the state
    with what claims imply."""
    found: list[Finding] = []
    whole = everything or desired
    guarded = [one for one in whole.resources.values() if one.key.kind in GUARDABLE]
    for guard in desired.of_kind("Guard"):
        wrong = list(_named(guard, desired, claimed))
        # A broken document may be what the guard is for.
        found.extend(wrong or ([] if claimed else _unmatched(guard, guarded)))
    return found


def _named(guard: Resource[GuardSpec], desired: DesiredState, claimed: Collection[ResourceKey]) -> Iterator[Finding]:
    match = guard.spec.match
    for index, kind in enumerate(match.kinds):
        if kind not in GUARDABLE:
            what, path = f"guards do not hold changes of resources of kind {kind}", ("spec", "match", "kinds", index)
            yield Finding("not-guardable", guard, path, what, "", _hint(kind, GUARDABLE))
    if guard.spec.budget is not None and match.kinds and not set(match.kinds) & set(BUDGETED):
        what = f"a budget counts only {' and '.join(BUDGETED)} resources, but the guard matches none of them"
        hint = f"add {' or '.join(BUDGETED)} to spec.match.kinds, or remove spec.budget"
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
    return (
        f"did you mean {near[0]}?"
        if near
        else f"choose one of: {', '.join(sorted(known))}"
        if known
        else "none is declared"
    )


# -- what matches nothing ----------------------------------------------------------------------------------------------


def _unmatched(guard: Resource[GuardSpec], resources: Iterable[Resource[Any]]) -> Iterator[Finding]:
    """Warnings for a guard that no declared resource matches, or whose budget counts none of them. What only facts
    decide, such as labels of an inventory, counts as matched."""
    match, budget = guard.spec.match, guard.spec.budget
    selector = _declared_requirements(match.selector)
    found = [one for one in resources if may_guard(match, selector, one)]
    counted = [one for one in found if one.key.kind in FLEET or one.key.kind in {*match.kinds} & {*BUDGETED}]
    if match == GuardMatch() and not counted:  # It is meant for what is still to be declared.
        return
    if not found:
        path, hint = _culprit(match, selector, list(resources))
        yield _nothing(guard, path, "no declared resource matches the guard, so the guard holds nothing", hint)
        return
    if budget is None:
        return
    if not counted:
        what = (
            f"a budget counts only {' and '.join(BUDGETED)} resources, and the guard matches none of them, so the "
            "budget holds nothing"
        )
        yield _nothing(guard, ("spec", "budget"), what, "change spec.match, or remove spec.budget")
    elif (label := _ungrouped(budget, counted)) is not None:
        known = {name for one in counted for name in one.labels}
        kinds = " or ".join(dict.fromkeys(one.key.kind for one in counted))
        what = f"no matched {kinds} has a {label}, so the budget counts all of them as one group"
        yield _nothing(guard, ("spec", "budget", "per"), what, _hint(label, known))


def _ungrouped(budget: DisruptionBudget, counted: Iterable[Resource[Any]]) -> str | None:
    """What the budget groups by, where no document has it."""
    label = (budget.per or "").removeprefix("label:")
    groups = (group_of_resource(budget, one, one.labels) for one in counted)
    if not label or is_derived(label) or any(map(group_value, groups)):
        return None
    return label


def _declared_requirements(selector: str) -> tuple[Requirement, ...]:
    """Those of a selector that documents decide. None of a selector that cannot be read, which is an error already."""
    try:
        return tuple(one for one in parse_selector(selector) if not is_derived(one.key))
    except Unmatched:
        return ()


def _culprit(
    match: GuardMatch, selector: tuple[Requirement, ...], resources: list[Resource[Any]]
) -> tuple[FindingPath, str]:
    """Which field alone matches nothing, and a hint for it; all of `match` where only the fields together match
    nothing."""
    for name in ("kinds", "partitions", "projects", "names"):
        alone = msgspec.structs.replace(GuardMatch(), **{name: getattr(match, name)})
        if not any(may_guard(alone, (), one) for one in resources):
            known = {one.key.name for one in resources} if name == "names" else set()
            near = [hint for pattern in match.names for hint in get_close_matches(pattern.strip("*"), known, n=1)]
            what = "kind" if name == "kinds" else "name"
            other = f"correct the {what}, or declare a resource of that {what}"
            return ("spec", "match", name), f"did you mean {near[0]}?" if near else other
    for one in selector:
        if not any(one.accepts(resource.labels) for resource in resources):
            values = {resource.labels[one.key] for resource in resources if one.key in resource.labels}
            if values:
                return (
                    "spec",
                    "match",
                    "selector",
                ), f"choose one of the values of the label {one.key}: {shortened_list(sorted(values))}"
            labels = {name for resource in resources for name in resource.labels}
            return ("spec", "match", "selector"), f"no resource has the label {one.key}; {_hint(one.key, labels)}"
    return ("spec", "match"), (
        "each field alone matches resources, but no resource matches all fields; correct spec.match"
    )


def _nothing(guard: Resource[Any], path: FindingPath, what: str, hint: str) -> Finding:
    return Finding("guard-matches-nothing", guard, path, what, "", hint, Severity.WARNING)
