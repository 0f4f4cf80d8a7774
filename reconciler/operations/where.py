"""Which desired state, and which store."""

from __future__ import annotations

from pathlib import Path

import msgspec

from drivers.base import IpamSettings
from reconciler.kinds.common.access.credentials import NO_GRANTS, Grants


class Where(msgspec.Struct, frozen=True):
    """Which desired state, which store: what nearly every operation needs to know."""

    repo: str
    ref: str
    path: str
    work_tree: bool
    store: str | None
    base: Path
    ipam: IpamSettings = IpamSettings()
    grants: Grants = NO_GRANTS
