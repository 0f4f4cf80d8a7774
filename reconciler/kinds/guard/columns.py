"""The columns of `get guards`. Pure."""

from __future__ import annotations

from reconciler.kinds.common.column import spec_column

GUARD_COLUMNS = (spec_column("level", "LEVEL"),)
