"""What the repository of a simulated fleet declares. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

GUARD_NAME = "hours"
"""The guard that a scenario declares from time to time."""


class DeclaredMachine(msgspec.Struct, frozen=True):
    """What a document says of a machine. `request`: of a boot override for one boot; None: no override."""

    power: str = "On"
    led: str = "Off"
    request: str | None = None


class DeclaredClaim(msgspec.Struct, frozen=True):
    """What a document says of a claim. A new `request` installs its machines again."""

    count: int
    request: str = "first"


class DeclaredPool(msgspec.Struct, frozen=True):
    """How many addresses and numbers have a document of their own."""

    addresses: int = 0
    numbers: int = 0


class DeclaredGuard(msgspec.Struct, frozen=True):
    """What the document of the guard says. `closes`, `opens`: whole minutes between which nothing may begin on
    `machines`. `level`: as in the document."""

    closes: datetime
    opens: datetime
    machines: tuple[str, ...]
    level: str = "Mandatory"


class DeclaredFleet(msgspec.Struct, frozen=True):
    """All of it. `managed`: the machines for claims, each with its `lifecycle.request`; None: it has none. `guard`:
    None: no guard is declared."""

    machines: Mapping[str, DeclaredMachine]
    managed: Mapping[str, str | None] = {}
    claims: Mapping[str, DeclaredClaim] = {}
    pool: DeclaredPool = DeclaredPool()
    guard: DeclaredGuard | None = None


def closing_guard(
    now: datetime, minutes: int, seconds: float, machines: tuple[str, ...], level: str
) -> DeclaredGuard | None:
    """A guard whose window closes in less than so many minutes, for so many seconds; None for zero."""
    if not seconds:
        return None
    closes = now.replace(second=0, microsecond=0) + timedelta(minutes=minutes)
    return DeclaredGuard(closes, closes + timedelta(minutes=max(1, seconds // 60)), machines, level)
