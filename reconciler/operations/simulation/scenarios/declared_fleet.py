"""What the repository of a simulated fleet declares. Values only."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


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


class DeclaredFleet(msgspec.Struct, frozen=True):
    """All of it. `managed`: the machines for claims, each with its `lifecycle.request`; None: it has none."""

    machines: Mapping[str, DeclaredMachine]
    managed: Mapping[str, str | None] = {}
    claims: Mapping[str, DeclaredClaim] = {}
    pool: DeclaredPool = DeclaredPool()
