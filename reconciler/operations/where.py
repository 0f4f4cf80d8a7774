"""Which desired state, and which store."""

from __future__ import annotations

from pathlib import Path

import msgspec

from drivers.base import IpamSettings, clean
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
    caller: str = "unknown"
    """Who asks, for the ledger: `ada@host`."""
    state: Path | None = None
    """The user's folder of what must be kept, for the store of a repository without a git directory here. None: the
    store has to be named."""
    cache: Path | None = None
    """The user's folder of copies that can be made again at any time; None: nothing is kept."""
    new_store: bool = False
    """An empty store may be made, although the fleet is known to have one."""

    def by(self, verb: str) -> str:
        """Who does what, for the ledger: `ada@host (apply)`."""
        return f"{clean(self.caller)} ({verb})"
