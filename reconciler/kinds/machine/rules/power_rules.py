"""The actions for a machine's power and its indicator LED. Pure."""

from __future__ import annotations

import msgspec

from drivers.base import IndicatorLED, PowerState, ResetType, SystemState
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import facts_in
from reconciler.kinds.machine import machine_restart
from reconciler.kinds.machine.rules.unmet_needs import hold_unreported, hold_unsupported
from reconciler.kinds.machine.spec import Escalate, MachineSpec
from reconciler.model.actions.bmc_actions import PowerOff, PowerOn, SetIndicator
from reconciler.model.plans.plan import Hold, HoldKind

POWER, LED = PowerOn.path, SetIndicator.path


def led_steps(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    """The actions that make the LED as declared, or the holds that prevent them."""
    if spec.indicator_led is None:
        return Steps()
    if state.indicator is None and "indicator" in state.unreported:
        return hold_unreported(LED, "BMC does not report its indicator LED")
    if state.indicator is None:
        return hold_unsupported(LED, "the BMC has no indicator LED", "remove spec.indicatorLED")
    return Steps(
        (
            SetIndicator(
                key=view.key,
                led=IndicatorLED(spec.indicator_led),
                reason=("indicator LED differs from spec.indicatorLED"),
            ),
        )
    )


def power_steps(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    """The actions that make the power as declared, or the holds that prevent them."""
    # A graceful shutdown that hangs may show as PoweringOff for ever (ironcore-dev/metal-operator#129).
    hangs = state.power is PowerState.POWERING_OFF and spec.power == "Off" and facts_in(view).shutdown_ignored
    if state.power in (PowerState.POWERING_ON, PowerState.POWERING_OFF) and not hangs:
        reason = f"BMC reports power {state.power}"
        return Steps(
            holds=(
                Hold(
                    HoldKind.IN_FLIGHT,
                    "power",
                    reason,
                    "wait for the next observation of the machine, in some seconds",
                ),
            )
        )
    if state.power is None:
        return hold_unreported(POWER, "BMC reports no power state")
    if spec.power == "On":
        return _power_on(state, view)
    off, asked = _power_off(spec, state, view), facts_in(view).restart
    if off.actions and asked is not None and machine_restart.turns_off(facts_in(view), view.now):
        why = f"restart {asked.id} by {asked.by}: {asked.reason}"
        both = (*off.actions, *_power_on(state, view).actions)
        return Steps(tuple(msgspec.structs.replace(action, reason=why) for action in both))
    return off


def _power_on(state: SystemState, view: KindView) -> Steps:
    for choice in (ResetType.ON, ResetType.FORCE_ON, ResetType.PUSH_POWER_BUTTON):
        if state.allowed_resets is None or choice in state.allowed_resets:
            return Steps((PowerOn(key=view.key, reset_type=choice, reason=f"power is {state.power}"),))
    return hold_unsupported(
        POWER, "the BMC offers no ResetType that powers on", "remove spec.power, or power on the machine by hand"
    )


def _power_off(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    offered = state.allowed_resets
    graceful = _graceful(offered)
    if graceful is not None and facts_in(view).shutdown_ignored is None:
        reset, reason = graceful, "power is On"
    elif spec.shutdown.escalate is not Escalate.FORCE:
        why = "the graceful shutdown was ignored" if graceful is not None else "the BMC offers no graceful shutdown"
        return hold_unsupported(POWER, why, "set spec.shutdown.escalate to Force to cut the power")
    elif offered is None or ResetType.FORCE_OFF in offered:
        reset = ResetType.FORCE_OFF
        reason = "graceful shutdown ignored" if graceful is not None else "no graceful shutdown offered"
    else:
        return hold_unsupported(
            POWER, "the BMC offers no ResetType that powers off", "remove spec.power, or power off the machine by hand"
        )
    return Steps((PowerOff(key=view.key, reset_type=reset, reason=reason),))


def _graceful(offered: tuple[ResetType, ...] | None) -> ResetType | None:
    """The ResetType that asks the operating system to shut down; the power button where there is no other."""
    if offered is None or ResetType.GRACEFUL_SHUTDOWN in offered:
        return ResetType.GRACEFUL_SHUTDOWN
    return ResetType.PUSH_POWER_BUTTON if ResetType.PUSH_POWER_BUTTON in offered else None
