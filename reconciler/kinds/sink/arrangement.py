"""Which sinks the ledger is kept for when the documents change: new ones, renamed ones, and those that go. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from reconciler.kinds.sink.event_selection import KIND
from reconciler.model.counting import count
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.model.sink_state import SinkReport


class Arrangement(msgspec.Struct, frozen=True):
    """What follows from the documents: new names by former ones, new sinks, and sinks that are declared no more."""

    renamed: Mapping[str, str]
    begun: tuple[str, ...]
    removed: tuple[str, ...]


def arrange(known: Collection[str], declared: Mapping[str, tuple[str, ...]]) -> Arrangement:
    """`known`: the sinks that have a place in the ledger. `declared`: each sink with its former names."""
    renamed: dict[str, str] = {}
    for name, former in declared.items():
        old = next((one for one in former if one in known and one not in declared and one not in renamed), None)
        if name not in known and old is not None:
            renamed[old] = name
    begun = tuple(name for name in declared if name not in known and name not in renamed.values())
    return Arrangement(renamed, begun, tuple(one for one in known if one not in declared and one not in renamed))


def renamed_event(old: str, new: str, now: datetime) -> Event:
    """That a sink has a new name."""
    said = f"the sink was {old} before, and keeps its place in the ledger"
    return Event(now, EventType.NORMAL, EventReason.RENAMED, said, ResourceKey(KIND, new), about=(old,))


def removed_event(last: SinkReport, now: datetime) -> Event:
    """That a sink is gone, with what it has not taken. `last`: as it was when its document was removed."""
    name, lag = last.state.name, last.lag
    if not lag.events:
        said = "the document of the sink was removed. The sink had taken all events"
        return Event(now, EventType.NORMAL, EventReason.SINK_REMOVED, said, ResourceKey(KIND, name))
    since = f" since {lag.oldest:%Y-%m-%d %H:%M:%S}Z" if lag.oldest is not None else ""
    about = "" if lag.exact else "about "
    said = (
        f"the document of the sink was removed while {about}{count(lag.events, 'event')} after {last.state.seq} waited "
        f"for the sink{since}. groundstate does not send these events any more. If the sink has a new name, send them "
        f"with `groundstate sink replay NEW-NAME --after {last.state.seq}`. `spec.renamedFrom` avoids this"
    )
    return Event(now, EventType.WARNING, EventReason.SINK_REMOVED, said, ResourceKey(KIND, name))
