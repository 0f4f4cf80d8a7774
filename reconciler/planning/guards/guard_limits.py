"""The limits of the guards that are always there; settings and options give them."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from reconciler.kinds.common.field_types.fleet_share import TENTH, FleetShare

FEW = 5
"""Releases that a share never forbids: a tenth of a handful would stop the first network that a lab gives up."""


WINDOW = timedelta(hours=1)


class GuardLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the built-in guards. `window`: how long a power-off counts as disruption under way."""

    max_disrupted: FleetShare = TENTH
    max_disrupted_per_rack: FleetShare = TENTH
    max_removed: FleetShare = TENTH
    max_unreachable: FleetShare = TENTH
    max_released: FleetShare = TENTH
    allow_empty: bool = False
    window: timedelta = WINDOW
