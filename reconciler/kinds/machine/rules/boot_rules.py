"""The actions for a machine's boot override, as the document declares it or the lifecycle requests it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import BootEnabled, BootMode, BootOverride, BootTarget, PowerState, SystemState
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import facts_in
from reconciler.kinds.machine.rules.unmet_needs import hold_unreported, hold_unsupported, state_of
from reconciler.kinds.machine.spec import BootSpec, MachineSpec, once_order
from reconciler.model.actions.bmc_actions import SetBoot
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind, override_hint

BOOT = SetBoot.path
"""The guard that holds a one-time boot override if it is unknown whether the machine already booted with this override.
"""


def confirms_order(boot: BootSpec, sent: BootOverride, value: Any) -> bool:
    """Whether an action that was sent, perhaps for an earlier document, has the same effect as this one."""
    seen = state_of(value).boot
    return boot.target == sent.target and (boot.mode is None or (seen is not None and seen.mode == boot.mode))


def boot_field(boot: BootSpec, state: SystemState, view: KindView) -> Field:
    """The declared boot override beside the observed one."""
    desired = msgspec.to_builtins(boot)
    seen = state.boot
    if boot.enabled is BootEnabled.ONCE:
        # A machine that boots uses a Once order up and reads Disabled again: only the record of having given the
        # order tells that from never having given it.
        equal = facts_in(view).once_done == once_order(boot)
    elif boot.enabled is BootEnabled.DISABLED:
        equal = seen is not None and seen.enabled in (None, BootEnabled.DISABLED)
    else:
        equal = seen is not None and (seen.target, seen.enabled) == (boot.target, boot.enabled)
    if boot.mode is not None and boot.enabled is not BootEnabled.ONCE and seen is not None:
        equal = equal and seen.mode == boot.mode
    observed = None if seen is None else msgspec.to_builtins(seen)
    return Field(BOOT, desired, observed, equal, once=boot.enabled is BootEnabled.ONCE, unknown=seen is None)


def keeps_override(asked: BootOverride, seen: BootOverride) -> bool:
    """Whether the observed override means the same as the declared one. A Once override may read back as Continuous
    (sushy-emulator) or as UefiTarget (Dell R640, dell/redfish-ansible-module#74)."""
    if asked.enabled is BootEnabled.DISABLED:
        return seen.enabled in (None, BootEnabled.DISABLED)
    enabled = seen.enabled == asked.enabled or (
        asked.enabled is BootEnabled.ONCE and seen.enabled is BootEnabled.CONTINUOUS
    )
    target = seen.target == asked.target or (
        asked.enabled is BootEnabled.ONCE and seen.target is BootTarget.UEFI_TARGET
    )
    return enabled and target and (asked.mode is None or seen.mode == asked.mode)


def boot_steps(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    """The actions that make the boot override as declared, or the holds that prevent them."""
    boot = spec.boot
    if boot is None:
        return Steps()
    if state.boot is None and "boot" in state.unreported:
        return hold_unreported(BOOT, "BMC does not report its boot override")
    if state.boot is None:
        return hold_unsupported(BOOT, "the BMC has no boot override", "remove spec.boot")
    if boot.mode is not None and state.boot.mode is None:
        return hold_unsupported(BOOT, "the BMC has no BootSourceOverrideMode", "remove spec.boot.mode")
    unsure = _order_of_unknown_age(boot, state, view)
    if unsure is not None and view.lifted(HoldName.FIRST_SIGHT) is None:
        return Steps(holds=(unsure,))
    allowed = state.allowed_boot_targets
    if allowed is not None and boot.enabled is not BootEnabled.DISABLED and boot.target not in allowed:
        return hold_unsupported(
            BOOT,
            f"the BMC does not offer boot target {boot.target}",
            f"set spec.boot.target to one of {', '.join(sorted({*allowed} - {BootTarget.NONE}))}",
        )
    if (held := _enabled_not_offered(boot, state)) is not None:
        return held
    # Sending the mode again queues a BIOS job and a second reboot on iDRAC9 (ironcore-dev/metal-operator#81).
    mode = BootMode(boot.mode) if boot.mode is not None and boot.mode != state.boot.mode else None
    target: BootTarget | None = boot.target
    if boot.enabled is BootEnabled.DISABLED:
        # Where a BMC does not offer None, the target that is there stays, as some want a target in every write
        # (Ironic note redfish-full-boot-payload-asrockrack).
        target = BootTarget.NONE if allowed is None or BootTarget.NONE in allowed else state.boot.target
    override = BootOverride(target=target, enabled=boot.enabled, mode=mode)
    set_boot = SetBoot(key=view.key, override=override, reason="boot override differs from spec.boot")
    return Steps((set_boot,), passes=(HoldName.FIRST_SIGHT,) if unsure is not None else ())


def _enabled_not_offered(boot: BootSpec, state: SystemState) -> Steps | None:
    """The hold for an override of a duration that the BMC does not offer: some offer Once and Disabled alone. To switch
    an override off is sent in any case, because Disabled is left out of some lists and accepted."""
    allowed = state.allowed_boot_enabled
    if allowed is None or boot.enabled is BootEnabled.DISABLED or boot.enabled in allowed:
        return None
    others = sorted({*allowed} - {BootEnabled.DISABLED})
    hint = f"set spec.boot.enabled to {' or '.join(others)}" if others else "remove spec.boot"
    return hold_unsupported(BOOT, f"the BMC does not offer a boot override with enabled {boot.enabled}", hint)


def _order_of_unknown_age(boot: BootSpec, state: SystemState, view: KindView) -> Hold | None:
    """The hold for a new or wrong store, which has no record of one-time overrides that machines already used. Without
    the hold, the next boot could install a production machine again."""
    if facts_in(view).found_order is None or facts_in(view).found_order != once_order(boot):
        return None
    if facts_in(view).found_new:
        why, also = "the store is new, so the machine may already have booted with this one-time boot override", ""
    elif state.power is not PowerState.OFF:
        why = (
            "this is the first observation of the running machine, which may already have booted with this one-time "
            "boot override"
        )
        also = ", or power the machine off"
    else:
        return None
    lift = override_hint(HoldName.FIRST_SIGHT, view.key)
    hint = f"to send the boot override, set or change spec.boot.request{also}; or {lift}"
    return Hold(HoldKind.GUARD, HoldName.FIRST_SIGHT, why, hint, BOOT)
