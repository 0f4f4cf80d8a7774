"""How far an event sink has taken the ledger, and what keeps it from taking more."""

from __future__ import annotations

from datetime import datetime

import msgspec


class SinkTrouble(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong since the last delivery that was taken, and what was reported of it."""

    failures: int = 0
    """Deliveries in a row that failed."""
    since: datetime | None = None
    """When the first of these failed."""
    next_at: datetime | None = None
    """When the next delivery is tried."""
    error: str = ""
    """Why the last one failed, for people."""
    ended: str = ""
    """The document with which the receiver answered that it wants no more events (HTTP 410); a changed document is
    tried again. Empty: it did not."""
    is_told: bool = False
    """These failures were reported (SinkFailed), so their end is reported too."""
    told_at: datetime | None = None
    """When SinkFailed was recorded last; forgotten after an hour without failures."""
    untold: int = 0
    """How often since then the sink failed and took events again without a report."""
    behind_at: datetime | None = None
    """When SinkBehind was recorded; None: the sink has caught up since."""
    replayed_at: datetime | None = None
    """When the cursor was set back last: old events wait since then, and not since they were recorded."""


class SinkState(msgspec.Struct, frozen=True):
    """A sink and its place in the ledger."""

    name: str
    """The name of its document."""
    seq: int
    """The cursor: all events up to this number are taken, or are not for this sink."""
    trouble: SinkTrouble = SinkTrouble()
    """What went wrong since the last delivery that was taken."""


class SinkLag(msgspec.Struct, frozen=True):
    """How far a sink is behind."""

    events: int
    """Events after its cursor, also those that it does not want."""
    oldest: datetime | None
    """When the first of them was recorded; None: there are none."""
    exact: bool = True
    """False: they are too many to be counted again and again. Then `events` follows from the numbers of the first and
    the last one, and is too large by the numbers that no event has."""


class SinkReport(msgspec.Struct, frozen=True):
    """All that the store knows of a sink."""

    state: SinkState
    """Its cursor, and what keeps it."""
    lag: SinkLag
    """How far it is behind."""


def replayed(state: SinkState, seq: int, now: datetime) -> SinkState:
    """The sink when its cursor is set back: it is tried at once, also where the receiver wanted no more events."""
    trouble = msgspec.structs.replace(state.trouble, next_at=None, ended="", replayed_at=now)
    return SinkState(state.name, seq, trouble)
