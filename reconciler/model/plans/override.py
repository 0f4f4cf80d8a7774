"""An override: a person lifts the holds of a guard for some resources, for a limited time, with a reason."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Override(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the store's overrides; never changed but for its end.

    `targets` (`machine/r1-01`, `machines`) and `selector` (as in `-l`) narrow what it covers; neither: everything.
    `at` and `until` are aware times. It is over at `until`, or at `revoked_at` by `revoked_by`.
    """

    id: str
    """Its id."""
    guard: str
    """The guard that it lifts."""
    reason: str
    """Why, as the person said."""
    by: str
    """Who began it."""
    at: datetime
    """When it began."""
    until: datetime
    """It ends then."""
    targets: tuple[str, ...] = ()
    """`machine/r1-01` or `machines`; empty: those of the selector, or everything."""
    selector: str = ""
    """The labels of the resources that it covers."""
    revoked_at: datetime | None = None
    """When a person ended it; None: no person ended it."""
    revoked_by: str | None = None
    """Who ended it."""

    def in_force(self, now: datetime) -> bool:
        """Whether it lifts holds at `now`."""
        return self.revoked_at is None and now < self.until

    @property
    def covers(self) -> str:
        """What it covers, in words: `machine/r1-01`, `-l rack=r1`, or `everything`."""
        return " ".join([*self.targets, *([f"-l {self.selector}"] if self.selector else [])]) or "everything"
