"""A restart that a person asked for: one power cycle of one machine, at most once."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.model.resource import ResourceKey


class RestartRequest(msgspec.Struct, frozen=True):
    """One row of the store's restart requests. It must begin before `until`; times are aware."""

    id: str
    key: ResourceKey
    reason: str
    by: str
    at: datetime
    until: datetime


class RestartResult(msgspec.Struct, frozen=True):
    """How a restart ended. `failure`: why it was not done, or may not have been done; empty: it was."""

    id: str
    key: ResourceKey
    failure: str = ""
