"""A restart that a person asked for: one power cycle of one machine, at most once."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.model.resource import ResourceKey


class RestartRequest(msgspec.Struct, frozen=True):
    """One row of the store's restart requests. It must begin before `until`; times are aware."""

    id: str
    """Its id."""
    key: ResourceKey
    """The resource."""
    reason: str
    """Why, as the person said."""
    by: str
    """Who asked for it."""
    at: datetime
    """When."""
    until: datetime
    """Before when it must begin."""


class RestartResult(msgspec.Struct, frozen=True):
    """How a restart ended. `failure`: why it was not done, or may not have been done; empty: it was."""

    id: str
    """Of the request."""
    key: ResourceKey
    """The resource."""
    failure: str = ""
    """Why it was not done, or may not have been done; empty: it was."""
