"""Which events a sink gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reconciler.kinds.common.field_types.label_selector import Requirement
from reconciler.kinds.sink.spec import SendSpec
from reconciler.model.event import Event, EventReason
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import Resource, ResourceKey

KIND = "EventSink"
OF_A_SINK = frozenset({EventReason.SINK_FAILED, EventReason.SINK_RECOVERED, EventReason.SINK_BEHIND})
"""Events of a sink's own failure. They go to all other sinks, because this one may fail again."""


class Subject(msgspec.Struct, frozen=True):
    """What is known of the resource of an event: its document, its labels with the derived ones, its project."""

    resource: Resource[Any] | None = None
    labels: Mapping[str, str] = {}
    project: str | None = None


def wants(name: str, send: SendSpec, selector: tuple[Requirement, ...], event: Event, subject: Subject) -> bool:
    """Whether the sink `name` gets the event. `selector`: the parsed one of `send`."""
    key = event.key
    if event.reason in OF_A_SINK and key == ResourceKey(KIND, name):
        return False
    return (
        (not send.types or event.type in send.types)
        and (not send.reasons or event.reason in send.reasons)
        and (not send.kinds or (key is not None and key.kind in send.kinds))
        and (not selector or _has_labels(selector, subject))
        and (send.project is None or _project(key, subject) == send.project)
    )


def _has_labels(selector: tuple[Requirement, ...], subject: Subject) -> bool:
    return subject.resource is not None and all(requirement.accepts(subject.labels) for requirement in selector)


def _project(key: ResourceKey | None, subject: Subject) -> str | None:
    """The project by the document, or else by what is remembered; a Project is its own."""
    if key is not None and key.kind == "Project":
        return key.name
    declared = getattr(subject.resource.spec, "project", None) if subject.resource is not None else None
    return declared or subject.project


def subject_of(resource: Resource[Any] | None, facts: ResourceFacts | None) -> Subject:
    """What is known of a resource, by its document and by what is remembered."""
    derived = getattr(facts, "labels", None) or {}
    labels = {**resource.labels, **derived} if resource is not None else {}
    project = getattr(facts, "project", None)
    return Subject(resource, labels, project if isinstance(project, str) else None)
