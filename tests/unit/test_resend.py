"""Which actions do no harm when they are sent twice."""

from __future__ import annotations

import pytest

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    IndicatorLED,
    PowerState,
    ResetType,
    SystemState,
)
from reconciler.kinds import KINDS
from reconciler.model.actions.action import Action
from reconciler.model.actions.bmc_actions import EjectMedia, InsertMedia, PowerOff, PowerOn, SetBoot, SetIndicator
from reconciler.model.actions.ipam_actions import Acquire, Release
from reconciler.model.resource import ResourceKey

KEY, ADDRESS = ResourceKey("Machine", "m1"), ResourceKey("IPAddress", "vip")


def boot(enabled: BootEnabled, mode: BootMode | None = None) -> SetBoot:
    return SetBoot(key=KEY, override=BootOverride(target=BootTarget.PXE, enabled=enabled, mode=mode))


@pytest.mark.parametrize(
    ("action", "power", "expected"),
    [
        (PowerOn(key=KEY, reset_type=ResetType.ON), PowerState.OFF, True),
        (PowerOn(key=KEY, reset_type=ResetType.FORCE_ON), PowerState.OFF, True),
        (PowerOn(key=KEY, reset_type=ResetType.PUSH_POWER_BUTTON), PowerState.OFF, False),
        (PowerOn(key=KEY, reset_type=ResetType.ON), PowerState.POWERING_ON, False),
        (PowerOn(key=KEY, reset_type=ResetType.ON), None, False),
        (PowerOff(key=KEY, reset_type=ResetType.FORCE_OFF), PowerState.ON, True),
        (PowerOff(key=KEY, reset_type=ResetType.FORCE_OFF), PowerState.POWERING_OFF, False),
        (PowerOff(key=KEY, reset_type=ResetType.GRACEFUL_SHUTDOWN), PowerState.ON, False),
        (SetIndicator(key=KEY, led=IndicatorLED.LIT), PowerState.ON, True),
        (boot(BootEnabled.CONTINUOUS), PowerState.OFF, True),
        (boot(BootEnabled.DISABLED), PowerState.OFF, True),
        (boot(BootEnabled.CONTINUOUS, BootMode.UEFI), PowerState.OFF, False),
        (boot(BootEnabled.ONCE), PowerState.OFF, False),
        (InsertMedia(key=KEY, url="https://x.example/a.iso"), PowerState.OFF, False),
        (EjectMedia(key=KEY, url="https://x.example/a.iso"), PowerState.OFF, False),
        (Acquire(key=ADDRESS, network="n"), PowerState.OFF, True),
        (Release(key=ADDRESS, address="10.0.0.1"), PowerState.OFF, False),
    ],
)
def test_what_may_be_repeated(action: Action, power: PowerState | None, expected: bool) -> None:
    assert KINDS[action.key.kind].fact_rules.repeatable(action, SystemState(power=power)) is expected
