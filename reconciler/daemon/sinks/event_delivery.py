"""The daemon's part of sending events to the sinks that documents declare: what it wires together for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.daemon.sinks.deliverer import DeclaredSinks, Deliverer
from reconciler.daemon.sinks.lane import LaneSettings
from reconciler.kinds import DELIVERED_TO
from reconciler.model.event import Event
from reconciler.model.sink_state import SinkReport
from reconciler.observed.connections import Connections
from reconciler.observed.sink_connections import sink_opener
from reconciler.services.metrics import Metrics
from reconciler.store import Store


def event_deliverer(
    store: Store,
    engine: Engine,
    connections: Connections,
    context: Context,
    metrics: Metrics,
    report: Callable[[Event], None],
) -> Deliverer:
    """Sends the ledger of this store to the sinks that are in force in this engine."""

    def declared() -> DeclaredSinks | None:
        desired = engine.desired
        if desired is None:
            return None
        sinks = {one.key.name: one.spec for kind in DELIVERED_TO for one in desired.of_kind(kind)}
        return DeclaredSinks(desired.revision.id, sinks)

    def counted(reports: Mapping[str, SinkReport]) -> None:
        metrics.sinks_counted(reports, context.now())

    opener = sink_opener(connections)
    settings = LaneSettings(store, opener, engine.described, report, metrics.sent, context.now, context.random)
    return Deliverer(settings, declared, counted)
