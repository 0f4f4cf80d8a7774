"""Which actions do no harm when they are sent twice. Pure."""

from __future__ import annotations

from typing import Any, assert_never

from drivers.base import BootEnabled, PowerState, ResetType, SystemState
from reconciler.model.actions.action import Action
from reconciler.model.actions.bmc_actions import (
    BmcAction,
    EjectMedia,
    InsertMedia,
    PowerOff,
    PowerOn,
    SetBoot,
    SetIndicator,
)


def is_repeatable(action: Action, seen: Any) -> bool:
    """Whether the action may be sent again to what was `seen` just now, though it may have been sent before.

    Not so: an order for one boot, which the machine may have used up. A graceful shutdown, which asks an operating
    system that may be on its way. A PushPowerButton, which does the opposite the second time. A boot mode, which queues
    a BIOS job (ironcore-dev/metal-operator#81). What is in a virtual drive. And whatever gives something up."""
    if not isinstance(action, BmcAction):
        return False
    match action:
        case PowerOn(reset_type=ResetType.ON | ResetType.FORCE_ON):
            return isinstance(seen, SystemState) and seen.power is PowerState.OFF
        case PowerOff(reset_type=ResetType.FORCE_OFF):
            return isinstance(seen, SystemState) and seen.power is PowerState.ON
        case SetBoot(override=override):
            return override.enabled is not BootEnabled.ONCE and override.mode is None
        case SetIndicator():
            return True
        case PowerOn() | PowerOff() | InsertMedia() | EjectMedia():
            return False
        case _:
            assert_never(action)
