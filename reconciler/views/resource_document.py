"""A resource as a document: what is declared, and a `status` of what was observed. Pure.

The form is Kubernetes': several documents are the items of a `List`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.kinds.common.column import ClaimSlot, ResourceView
from reconciler.model.observation import ReadError
from reconciler.model.outcome import Condition
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.resource import API_VERSION
from reconciler.model.sink_state import SinkReport
from reconciler.views.camel_case import camel_form


class DeliveryStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an event sink is; `explain eventsink.status.delivery` shows the descriptions."""

    cursor: Annotated[int, Meta(description="All events up to this number are taken, or are not for this sink.")]
    lag_events: Annotated[
        int,
        Meta(
            description="How many events in the ledger come after the cursor. Above 1,000, this is an estimate: gaps "
            "in the numbers of events count too."
        ),
    ]
    behind_since: Annotated[datetime | None, Meta(description="When the first of these events was recorded.")] = None
    failures: Annotated[int, Meta(description="How many deliveries failed in a row.")] = 0
    failing_since: Annotated[datetime | None, Meta(description="When the first of these deliveries failed.")] = None
    next_at: Annotated[datetime | None, Meta(description="When groundstate sends again.")] = None
    error: Annotated[str | None, Meta(description="Why the last delivery failed.")] = None


class ResourceStatus(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The `status` of a resource; `explain KIND.status` shows the descriptions."""

    status: Annotated[
        str,
        Meta(
            description="The conditions in one word: Ready, Reconciling, Held, Observed, Suspended, Maintenance, "
            "Stalled, Unknown or Forgotten."
        ),
    ]
    conditions: Annotated[tuple[Condition, ...], Meta(description="Each condition, with its reason and message.")]
    phase: Annotated[str | None, Meta(description="The phase of a managed machine's lifecycle.")] = None
    observed_at: Annotated[datetime | None, Meta(description="The time of the latest observation.")] = None
    error: Annotated[ReadError | None, Meta(description="Why the latest observation failed.")] = None
    observed: Annotated[Any, Meta(description="What the BMC or the IPAM reported at the latest observation.")] = None
    labels: Annotated[Mapping[str, str], Meta(description="Labels that groundstate derives from the inventory.")] = {}
    source: Annotated[str | None, Meta(description="The file and line of the document.")] = None
    overrides: Annotated[tuple[Override, ...], Meta(description="Overrides of guards that cover the resource.")] = ()
    pauses: Annotated[tuple[dict[str, Any], ...], Meta(description="Pauses that cover the resource.")] = ()
    holds: Annotated[
        tuple[str, ...], Meta(description="Of a Guard: the resources with changes that the guard holds.")
    ] = ()
    machines: Annotated[tuple[ClaimSlot, ...], Meta(description="Of a MachineClaim: its machines, by slot.")] = ()
    delivery: Annotated[DeliveryStatus | None, Meta(description="Of an EventSink: which events it has taken.")] = None


def resource_document(view: ResourceView) -> dict[str, Any]:
    """apiVersion, kind, metadata, spec (where it is declared) and status."""
    metadata: dict[str, Any] = {"name": view.key.name}
    found: dict[str, Any] = {"apiVersion": API_VERSION, "kind": view.key.kind, "metadata": metadata}
    if view.resource is not None:
        for name in ("labels", "annotations"):
            if value := dict(getattr(view.resource, name)):
                metadata[name] = value
        found["spec"] = msgspec.to_builtins(view.resource.spec)
    return found | {"status": camel_form(_status(view))}


def _status(view: ResourceView) -> ResourceStatus:
    seen, declared = view.observation, view.resource
    return ResourceStatus(
        status=view.status,
        conditions=view.conditions,
        phase=view.phase,
        observed_at=seen.taken_at if seen else None,
        error=seen.error if seen else None,
        observed=seen.value if seen and seen.error is None else None,
        labels=dict(view.derived) if declared else {},
        source=str(declared.source) if declared else None,
        overrides=view.overrides,
        pauses=tuple(pause_document(one) for one in view.pauses),
        holds=tuple(str(key) for key in view.held_changes),
        machines=view.machines,
        delivery=None if view.delivery is None else _delivery(view.delivery),
    )


def _delivery(report: SinkReport) -> DeliveryStatus:
    trouble = report.state.trouble
    return DeliveryStatus(
        report.state.seq,
        report.lag.events,
        report.lag.oldest,
        trouble.failures,
        trouble.since,
        trouble.next_at,
        trouble.error or None,
    )


def pause_document(pause: ResourcePause) -> dict[str, Any]:
    """The pause without all else that it covers."""
    return {name: value for name, value in camel_form(pause).items() if name != "known"}


def document_list(documents: Iterable[dict[str, Any]], kind: str = "List") -> dict[str, Any]:
    """The documents as one."""
    return {"apiVersion": API_VERSION, "kind": kind, "items": list(documents)}
