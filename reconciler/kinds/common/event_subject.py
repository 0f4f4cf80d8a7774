"""Whose an event is: the project and the labels of its resource at the time when it is recorded. Pure.

They are kept with the event. A machine that has another tenant tomorrow must not take its former tenant's events along.
"""

from __future__ import annotations

from typing import Any

import msgspec

from reconciler.model.event import Event
from reconciler.model.facts import LastDeclared, ResourceFacts
from reconciler.model.resource import DesiredState, Resource


def declared_now(resource: Resource[Any]) -> LastDeclared:
    """Whose the resource is by its document."""
    return LastDeclared(getattr(resource.spec, "project", None), resource.labels)


def with_subject(
    event: Event,
    desired: DesiredState | None,
    facts: ResourceFacts | None,
    before: ResourceFacts | None = None,
) -> Event:
    """The event with the project and the labels of its resource, by what is declared and remembered now. What is not
    declared any more is still its last project's, until it is forgotten.

    `before`: what was remembered before the change that the event is about. The event that says that a machine leaves
    its project still belongs to that project. So does the event that says that a claim is forgotten."""
    key = event.key
    if key is None or event.labels is not None:
        return event
    resource = desired.resources.get(key) if desired is not None else None
    remembered = facts if facts is not None else before
    last = declared_now(resource) if resource is not None else remembered.last_declared if remembered else None
    # A Project is its own project. What a machine remembers goes before its document: it leaves a project later.
    project = key.name if key.kind == "Project" else _remembered(facts) or (last.project if last else None)
    labels = {**last.labels, **(remembered.labels if remembered else {})} if last else None
    return msgspec.structs.replace(event, project=project or _remembered(before), labels=labels)


def _remembered(facts: ResourceFacts | None) -> str | None:
    project = getattr(facts, "project", None)
    return project if isinstance(project, str) else None
