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
    """How many may be taken down within the window."""
    max_disrupted_per_rack: FleetShare = TENTH
    """The same, of each rack."""
    max_removed: FleetShare = TENTH
    """How many may be removed by one revision."""
    max_unreachable: FleetShare = TENTH
    """How many may be unreadable before disruptive actions are held."""
    max_released: FleetShare = TENTH
    """How many may be released by one revision."""
    allow_empty: bool = False
    """An empty desired state may take force."""
    window: timedelta = WINDOW
    """For so long a power-off counts as a disruption."""
