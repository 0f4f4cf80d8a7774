"""What a BMC does not report, or cannot do, and what is held for want of it. Pure."""

from __future__ import annotations

from typing import Any

from drivers.base import SystemState
from reconciler.kinds.common.kind import Steps
from reconciler.model.plans.plan import UNREPORTED, Hold, HoldKind


def state_of(value: Any) -> SystemState:
    """What was read of the system; all of it unknown where nothing was."""
    return value if isinstance(value, SystemState) else SystemState()


def hold_unreported(path: str, reason: str) -> Steps:
    """What a BMC does not say now, as while it starts (ibm-openbmc/bmcweb#246), it may say at the next look."""
    hint = (
        "wait for the next observation. If the BMC still does not report the value then, check the BMC. "
        "groundstate sends nothing before that"
    )
    return Steps(holds=(Hold(HoldKind.BLOCKED, UNREPORTED, reason, hint, path),))


def hold_unsupported(path: str, reason: str, hint: str) -> Steps:
    """What a BMC cannot do is held until the document asks for something else."""
    return Steps(holds=(Hold(HoldKind.FAILED, "unsupported", reason, hint, path),))
