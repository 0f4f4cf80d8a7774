"""How waits grow, and the one that drivers keep to themselves, as no caller may lock an account by asking again."""

from __future__ import annotations

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Waits that grow with each failure: `first`, then `growth` times the wait before, and `longest` at most."""

    first: float
    longest: float
    growth: float = 2.0

    def delay(self, attempt: int, jitter: float = 0.0) -> float:
        """The wait after the `attempt`th failure (from 1). `jitter` in [0, 1) takes up to a quarter off, so that a rack
        that went away together does not come back together."""
        raw: float = min(self.longest, self.first * self.growth ** min(attempt - 1, 20))
        return raw * (1 - jitter / 4)


REFUSED_LOGIN = Backoff(900, 3600)
"""A refused login is left alone for this long unless it changes: five refusals lock the account
(ibm-openbmc/openbmc#90)."""

CREDENTIAL_CHECK = 30.0
"""Seconds until a refused credential may be read again to find a change: that sends no login."""
