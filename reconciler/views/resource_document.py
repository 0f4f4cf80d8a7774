"""A resource as a document: what is declared, and a `status` of what was observed. Pure.

The form is Kubernetes': several documents are the items of a `List`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from reconciler.kinds.common.column import ResourceView
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.resource import API_VERSION


def resource_document(view: ResourceView) -> dict[str, Any]:
    """apiVersion, kind, metadata, spec (where it is declared) and status."""
    metadata: dict[str, Any] = {"name": view.key.name}
    found: dict[str, Any] = {"apiVersion": API_VERSION, "kind": view.key.kind, "metadata": metadata}
    if view.resource is not None:
        for name in ("labels", "annotations"):
            if value := dict(getattr(view.resource, name)):
                metadata[name] = value
        found["spec"] = msgspec.to_builtins(view.resource.spec)
    return found | {"status": _status(view)}


def _status(view: ResourceView) -> dict[str, Any]:
    status: dict[str, Any] = {"status": view.status, "conditions": msgspec.to_builtins(view.conditions)}
    seen = view.observation
    if view.phase is not None:
        status["phase"] = view.phase
    if seen is not None:
        status["observedAt"] = msgspec.to_builtins(seen.taken_at)
        if seen.error is not None:
            status["error"] = msgspec.to_builtins(seen.error)
        elif seen.value is not None:
            status["observed"] = msgspec.to_builtins(seen.value)
    if view.resource is not None:
        if view.derived:
            status["labels"] = dict(view.derived)
        status["source"] = str(view.resource.source)
    if view.overrides:
        status["overrides"] = [msgspec.to_builtins(one) for one in view.overrides]
    if view.pauses:
        status["pauses"] = [pause_document(one) for one in view.pauses]
    if view.held_changes:
        status["holds"] = [str(key) for key in view.held_changes]
    if view.machines:
        status["machines"] = [msgspec.to_builtins(one) for one in view.machines]
    return status


def pause_document(pause: ResourcePause) -> dict[str, Any]:
    """The pause without all else that it covers."""
    return {name: value for name, value in msgspec.to_builtins(pause).items() if name != "known"}


def document_list(documents: Iterable[dict[str, Any]], kind: str = "List") -> dict[str, Any]:
    """The documents as one."""
    return {"apiVersion": API_VERSION, "kind": kind, "items": list(documents)}
