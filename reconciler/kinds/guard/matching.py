"""Which resources a guard guards, and which of them it counts together. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from reconciler.kinds.common.field_types.label_selector import Requirement
from reconciler.kinds.guard.spec import DisruptionBudget, GuardMatch
from reconciler.model.resource import Resource

RACK = "rack"
"""What is in a rack fails together: its power, its switch."""


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
    """The group in which a budget counts the resource: `rack=fra1/r12`, `label:role=db`; empty without `per`.

    The name begins with what `per` says, so that a group of one spec is never taken for one of another. Racks of one
    name in two partitions are two groups.
    """
    return "" if budget.per is None else f"{budget.per}={_value(budget.per, resource, labels)}"


def group_value(group: str) -> str:
    """What the members of a group have in common: `fra1/r12`, `db`; empty where they have none of it."""
    value = group.partition("=")[2]
    return "" if group.startswith(f"{RACK}=") and value.endswith("/") else value


def group_words(group: str, what: str) -> str:
    """What is counted, in a sentence: `guarded machines of rack r12 in partition fra1`."""
    per, _, value = group.partition("=")
    name, where = per.removeprefix("label:"), ""
    if per == RACK:
        partition, _, value = value.partition("/")
        where = f" in partition {partition}" if partition else ""
    if not per:
        return what
    return f"{what} of {name} {value}{where}" if value else f"{what} without {name}{where}"


def _value(per: str, resource: Resource[Any], labels: Mapping[str, str]) -> str:
    partition = getattr(resource.spec, "partition", None) or ""
    if per == RACK:
        return f"{partition}/{getattr(resource.spec, 'rack', None) or labels.get(RACK, '')}"
    return partition if per == "partition" else labels.get(per.removeprefix("label:"), "")
