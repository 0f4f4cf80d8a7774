"""Whose an event is: the project and the labels of its resource at the time when it is recorded. Pure.

They are kept with the event. A machine that has another tenant tomorrow must not take its former tenant's events along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey


def with_subject(
    event: Event,
    desired: DesiredState | None,
    facts: ResourceFacts | None,
    before: ResourceFacts | None = None,
) -> Event:
    """The event with the project and the labels of its resource, by what is declared and remembered now.

    `before`: what was remembered before the change that the event is about. The event that says that a machine leaves
    its project still belongs to that project."""
    key = event.key
    if key is None or event.labels is not None:
        return event
    resource = desired.resources.get(key) if desired is not None else None
    project = _project(key, resource, facts) or _remembered(before)
    return msgspec.structs.replace(event, project=project, labels=_labels(resource, facts))


def _project(key: ResourceKey, resource: Resource[Any] | None, facts: ResourceFacts | None) -> str | None:
    """The project that is remembered, or else the one of the document. A Project is its own project."""
    if key.kind == "Project":
        return key.name
    return _remembered(facts) or (getattr(resource.spec, "project", None) if resource is not None else None)


def _remembered(facts: ResourceFacts | None) -> str | None:
    project = getattr(facts, "project", None)
    return project if isinstance(project, str) else None


def _labels(resource: Resource[Any] | None, facts: ResourceFacts | None) -> Mapping[str, str] | None:
    """None: it is not declared."""
    if resource is None:
        return None
    return {**resource.labels, **(facts.labels if facts is not None else {})}
