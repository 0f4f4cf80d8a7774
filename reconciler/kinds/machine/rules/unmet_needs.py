"""Holds for values that a BMC does not report, and for functions that a BMC does not have. Pure."""

from __future__ import annotations

from typing import Any

from drivers.base import SystemState
from reconciler.kinds.common.kind import Steps
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind


def state_of(value: Any) -> SystemState:
    """The observed system; if nothing was observed, a SystemState in which all is unknown."""
    return value if isinstance(value, SystemState) else SystemState()


def hold_unreported(path: str, reason: str) -> Steps:
    """The hold for a value that the BMC does not report now, for example while it starts (ibm-openbmc/bmcweb#246). The
    next observation may have the value."""
    hint = (
        f"wait for the next observation. If the BMC still does not report the value of {path} then, check the BMC. "
        "groundstate does not change this value before the BMC reports it"
    )
    return Steps(holds=(Hold(HoldKind.BLOCKED, HoldName.UNREPORTED, reason, hint, path),))


def hold_unsupported(path: str, reason: str, hint: str) -> Steps:
    """The hold for a function that the BMC does not have. The hold ends when the document declares something else."""
    return Steps(holds=(Hold(HoldKind.FAILED, "unsupported", reason, hint, path),))
