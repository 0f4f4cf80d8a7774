"""What the fleet says. A read that failed is *unknown*: never taken for absent, and nothing is planned from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import ErrorReason
from reconciler.model.resource import ResourceKey

INTERNAL = ErrorReason.INTERNAL
"""The `reason` where groundstate, or a driver, failed in a way that it should not."""


class ReadError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a read gave nothing: the DriverError's `reason`, its text as `message`.
    `retry_after`: seconds, where the driver says how soon it may be asked again."""

    reason: Annotated[ErrorReason, Meta(description="The kind of error, such as Unreachable.")]
    message: Annotated[str, Meta(description="The error in words.")]
    retry_after: Annotated[float | None, Meta(description="Seconds until the next request is allowed.")] = None


class Observation(msgspec.Struct, frozen=True):
    """One look at one resource: `value` (the kind's observed type) or `error`. Neither: observed, and absent."""

    key: ResourceKey
    """The resource."""
    taken_at: datetime
    """When it was observed."""
    value: Any = None
    """The kind's observed type; None: absent, or not readable."""
    error: ReadError | None = None
    """Why it could not be read; None: it could."""


ObservedState = Mapping[ResourceKey, Observation]
