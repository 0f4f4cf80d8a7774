"""Which resources a guard guards, and which of them it counts together. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from reconciler.kinds.common.field_types.label_selector import Requirement
from reconciler.kinds.guard.spec import DisruptionBudget, GuardMatch
from reconciler.model.resource import Resource


def guards_resource(
    match: GuardMatch,
    selector: tuple[Requirement, ...],
    resource: Resource[Any],
    labels: Mapping[str, str],
    project: str | None,
) -> bool:
    """Whether all that the guard asks for holds. `selector`: the parsed one of `match`. `labels`: those of the document
    and those that follow from the inventory. `project`: whose it is by what is remembered."""
    spec, name = resource.spec, resource.key.name
    return (
        (not match.kinds or resource.key.kind in match.kinds)
        and (not match.partitions or getattr(spec, "partition", None) in match.partitions)
        and (not match.projects or (getattr(spec, "project", None) or project) in match.projects)
        and (not match.names or any(fnmatchcase(name, pattern) for pattern in match.names))
        and all(requirement.accepts(labels) for requirement in selector)
    )


def may_guard(match: GuardMatch, selector: tuple[Requirement, ...], resource: Resource[Any]) -> bool:
    """Whether the document lets the guard match: what has no project of its own may become any project's."""
    own = getattr(resource.spec, "project", None) or next(iter(match.projects), None)
    return guards_resource(match, selector, resource, resource.labels, own)


def group_of_resource(budget: DisruptionBudget, resource: Resource[Any], labels: Mapping[str, str]) -> str:
    """The group in which a budget counts the resource: the value of what `per` names; empty where it has none."""
    if budget.per is None:
        return ""
    if budget.per == "partition":
        return str(getattr(resource.spec, "partition", None) or "")
    if budget.per == "rack":
        return str(getattr(resource.spec, "rack", None) or labels.get("rack", ""))
    return labels.get(budget.per.removeprefix("label:"), "")


def group_words(budget: DisruptionBudget, group: str) -> str:
    """What is counted, in a sentence: `machines of rack r12`."""
    if budget.per is None:
        return "guarded machines"
    name = budget.per.removeprefix("label:")
    return f"guarded machines of {name} {group}" if group else f"guarded machines without {name}"
