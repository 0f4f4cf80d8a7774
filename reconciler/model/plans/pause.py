"""A pause: a person stops all writes to the resources that it covers, with a reason."""

from __future__ import annotations

from datetime import datetime

import msgspec


class ResourcePause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the store's pauses; never changed but for its end.

    `targets` (`machine/r1-01`, `machines`) and `selector` (as in `-l`) narrow what it covers; neither: everything.
    `known`: what the selector meant when it began (`Machine/r1-01`), for resources whose labels are gone with their
    documents. `at` and `until` are aware times; no `until`: it stands until it is ended.
    """

    id: str
    """Its id."""
    reason: str
    """Why, as the person said."""
    by: str
    """Who began it."""
    at: datetime
    """When it began."""
    until: datetime | None = None
    """It ends then; None: when a person ends it."""
    targets: tuple[str, ...] = ()
    """The resources that it covers; empty: those of the selector, or all."""
    selector: str = ""
    """The labels of the resources that it covers."""
    known: frozenset[str] = frozenset()
    """What the selector meant when it began (`Machine/r1-01`): labels go with their documents."""
    ended_at: datetime | None = None
    """When a person ended it; None: no person ended it."""
    ended_by: str | None = None
    """Who ended it."""

    def stands(self, now: datetime) -> bool:
        """Whether it holds at `now`."""
        return self.ended_at is None and (self.until is None or now < self.until)

    @property
    def covers(self) -> str:
        """What it covers, in words: `machine/r1-01`, `-l rack=r1`, or `everything`."""
        return " ".join([*self.targets, *([f"-l {self.selector}"] if self.selector else [])]) or "everything"

    @property
    def lasts(self) -> str:
        """Until when, in words."""
        return "until `groundstate resume`" if self.until is None else f"until {self.until:%Y-%m-%d %H:%M:%S}Z"
