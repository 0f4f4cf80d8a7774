"""What is done about a machine: whose it is, its boot override, its power and its LED. And its life, where that is
groundstate's to manage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, assert_never

import msgspec

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
from reconciler.kinds.common.field_types.bmc_access import at_place
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import (
    LifecycleFacts,
    MachineFacts,
    all_machine_facts,
    facts_in,
    machine_facts,
)
from reconciler.kinds.machine import binding, machine_restart
from reconciler.kinds.machine.lifecycle import lifecycle, virtual_media
from reconciler.kinds.machine.lifecycle.lifecycle_steps import LIFECYCLE_PATH, lifecycle_field, lifecycle_steps
from reconciler.kinds.machine.spec import BootSpec, Escalate, MachineSpec, Mode, managed, observes, once_order
from reconciler.model.action import (
    AcceptSystem,
    Action,
    Bind,
    BmcAction,
    EjectMedia,
    Forget,
    Free,
    InsertMedia,
    MachineAction,
    PinImage,
    PowerOff,
    PowerOn,
    RequestBoot,
    SetBoot,
    SetIndicator,
    Settle,
)
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import ObservedState
from reconciler.model.plans.plan import UNREPORTED, Hold, HoldKind, override_hint
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.values.boot_purpose import Purpose

POWER, BOOT, LED = PowerOn.path, SetBoot.path, SetIndicator.path

FIRST_SIGHT = "first-sight"
"""The guard of one-time boot orders of unknown age."""


class MachineRules:
    """The reconciled half of Machine: fields against what the BMC says, and the actions between them."""

    def fields(self, resource: Resource[MachineSpec], look: KindView) -> tuple[Field, ...]:
        """Project, image, power, boot and LED, as far as they are declared; the first two as they are remembered."""
        state = _state(look.value)
        spec = _effective(resource.spec, look)
        found = binding.fields(spec.project, spec.image, facts_in(look))
        if managed(spec):
            found.append(lifecycle_field(spec, look))
            drive = virtual_media.media_field(facts_in(look).lifecycle, state)
            found += [] if drive is None else [drive]
        if spec.boot is not None:
            found.append(_boot_field(spec.boot, state, look))
        if spec.power is not None:
            found.append(Field(POWER, spec.power, state.power, state.power == spec.power, unknown=state.power is None))
        if spec.indicator_led is not None:
            is_lit = state.indicator == spec.indicator_led
            found.append(Field(LED, spec.indicator_led, state.indicator, is_lit, unknown=state.indicator is None))
        return tuple(found)

    def steps(self, resource: Resource[MachineSpec], look: KindView, fields: tuple[Field, ...]) -> Steps:
        """Whose it is first; boot before power, so that a machine boots from the declared target; the LED last."""
        state = _state(look.value)
        spec = _effective(resource.spec, look)
        parts = _binding_steps(spec, look, fields)
        bound = len(parts)
        if managed(spec) and any(field.path == LIFECYCLE_PATH and not field.equal for field in fields):
            step = lifecycle_steps(spec, state, look)
            if spec.maintenance and step.actions:
                step = Steps(holds=(_declared("maintenance", spec.maintenance.reason, LIFECYCLE_PATH),))
            parts.append(step)
        for path, build in _in_order(facts_in(look).lifecycle):
            if any(field.path == path and not field.equal for field in fields):
                step = build(spec, state, look)
                if spec.maintenance and path != LED:
                    step = Steps(holds=(_declared("maintenance", spec.maintenance.reason, path),))
                parts.append(step)
        holds = [hold for part in parts for hold in part.holds]
        if managed(spec) and lifecycle.held_for_another_system(spec, facts_in(look).lifecycle, state):
            holds.append(_other_machine(facts_in(look).lifecycle, state))
        elif managed(spec) and lifecycle.another_system(facts_in(look).lifecycle, state):
            holds += [_already(key) for key in _with_system(state, look)]
        if spec.suspend:
            # Nothing is sent for a binding: it goes on beside what is held.
            paths = {one.path for part in parts[bound:] for one in (*part.actions, *part.holds)} if bound else {None}
            holds += [_declared("suspend", spec.suspend.reason, path) for path in sorted(paths, key=str)]
        if observes(spec):
            paths = {one.path for part in parts for one in (*part.actions, *part.holds)}
            holds += [_observed(path) for path in sorted(paths, key=str)]
        actions, passes = (a for part in parts for a in part.actions), (one for part in parts for one in part.passes)
        return Steps(tuple(actions), tuple(dict.fromkeys(holds)), tuple(passes))

    def removal(self, look: KindView) -> Steps:
        """A machine that git no longer declares is forgotten, never powered off."""
        if facts_in(look).lifecycle.claim is not None:
            reason = f"no longer declared, but claimed by MachineClaim/{facts_in(look).lifecycle.claim}"
            hint = "declare the machine again, and remove it after the claim has released it"
            return Steps((), (Hold(HoldKind.GUARD, "claimed", reason, hint),))
        left = facts_in(look).lifecycle.media
        image = f"; {left.url} stays in its virtual drive" if left is not None else ""
        why = f"no longer declared; its power is not changed{image}"
        renamed = at_place(look.desired, facts_in(look).place) if look.desired is not None else None
        if renamed is not None:
            why = f"renamed to {renamed}, which takes over its BMC, system and recorded facts{image}"
        return Steps((Forget(key=look.key, reason=why),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the BMC now says what the action asked for."""
        if not isinstance(action, MachineAction):
            return False
        state = _state(value)
        match action:
            case PowerOn() | PowerOff():
                return state.power is action.goal
            case SetBoot(override=override):
                return state.boot is not None and _kept(override, state.boot)
            case SetIndicator(led=led):
                return state.indicator is led
            case InsertMedia(url=url):
                return state.holds(url) is True
            case EjectMedia(url=url):
                return state.holds(url) is False
            case Bind() | PinImage() | RequestBoot() | Settle() | AcceptSystem() | Free():
                return True  # written down is done
            case Forget():
                return False
            case _:
                assert_never(action)

    def patience(self, action: Action, resource: Resource[MachineSpec] | None) -> float:
        """Some BMCs say Off for three minutes after power on (openbmc/openbmc#804)."""
        if not isinstance(action, BmcAction):
            return 0.0
        match action:
            case PowerOff(reset_type=ResetType.GRACEFUL_SHUTDOWN):
                return float(resource.spec.shutdown.timeout_seconds) if resource else 300.0
            case PowerOn():
                return 300.0
            case PowerOff() | InsertMedia():
                return 120.0  # Some BMCs fetch the whole image first.
            case SetBoot() | SetIndicator() | EjectMedia():
                return 60.0
            case _:
                assert_never(action)


def _in_order(life: LifecycleFacts) -> tuple[tuple[str, Callable[[MachineSpec, SystemState, KindView], Steps]], ...]:
    """The CD image before all else where the machine is to start from it; else last, as some BMCs never let it go."""
    drive = ((virtual_media.MEDIA, _media_steps),)
    others = ((BOOT, _boot_steps), (POWER, _power_steps), (LED, _led_steps))
    return (*drive, *others) if life.boot_request is not None else (*others, *drive)


def _effective(spec: MachineSpec, look: KindView) -> MachineSpec:
    spec = _for_lifecycle(spec, look)
    return msgspec.structs.replace(spec, power="Off") if _turns_off(spec, look) else spec


def declared_power(
    resource: Resource[MachineSpec],
    desired: DesiredState,
    remembered: Mapping[ResourceKey, ResourceFacts],
    observed: ObservedState,
    now: datetime,
) -> str | None:
    """What power is asked of the machine, by its document or for its claim, whatever restart is under way."""
    seen, facts = observed.get(resource.key), machine_facts(remembered, resource.key)
    value = seen.value if seen is not None else None
    return _for_lifecycle(
        resource.spec, KindView(resource.key, value, facts, observed, desired, remembered, now=now)
    ).power


def _turns_off(spec: MachineSpec, look: KindView) -> bool:
    """For a restart. One that is off already has only to be powered on."""
    running = _state(look.value).power is not PowerState.OFF
    return spec.power == "On" and running and machine_restart.turns_off(facts_in(look), look.now)


def _for_lifecycle(spec: MachineSpec, look: KindView) -> MachineSpec:
    if not managed(spec) and facts_in(look).lifecycle.claim is None:
        return spec
    claim = lifecycle.claim_spec(facts_in(look), look.desired)
    return lifecycle.effective_machine(spec, facts_in(look), _state(look.value), claim, look.now)


def ordered_boot(resource: Resource[Any], facts: MachineFacts, value: Any) -> BootSpec | None:
    """The boot override that is asked of the machine now, by its document or for its life."""
    if not isinstance(resource.spec, MachineSpec):
        return None
    return lifecycle.boot_of(facts, _state(value)) if managed(resource.spec) else resource.spec.boot


def confirms_order(boot: BootSpec, sent: BootOverride, value: Any) -> bool:
    """Whether what was sent, perhaps for an order that was declared before, is what this one asks for."""
    seen = _state(value).boot
    return boot.target == sent.target and (boot.mode is None or (seen is not None and seen.mode == boot.mode))


def _assignment(spec: MachineSpec) -> binding.Assignment:
    taint = next((taint.key for taint in spec.taints), None)  # NoClaim is the only effect that there is
    return binding.Assignment(spec.project, spec.image, spec.size, taint)


def _binding_steps(spec: MachineSpec, look: KindView, fields: tuple[Field, ...]) -> list[Steps]:
    wanted, parts = _assignment(spec), []
    differing = {field.path for field in fields if not field.equal}
    bound = facts_in(look).project == spec.project
    if binding.PROJECT in differing:
        step = binding.project_steps(wanted, look)
        bound = bool(step.actions)
        parts.append(step)
    order = facts_in(look).lifecycle.boot_request
    if binding.IMAGE in differing and order is not None and order.purpose is Purpose.INSTALL:
        why = f"image {facts_in(look).image} is being written"
        parts.append(
            Steps(
                holds=(
                    Hold(HoldKind.IN_FLIGHT, "to install", why, "continues automatically after that", binding.IMAGE),
                )
            )
        )
    elif binding.IMAGE in differing:
        parts.append(binding.image_steps(wanted, look, bound=bound))
    return parts


def _state(value: Any) -> SystemState:
    return value if isinstance(value, SystemState) else SystemState()


def _other_machine(life: LifecycleFacts, state: SystemState) -> Hold:
    new = lifecycle.like_before(life, state)
    what = "" if str(new).startswith(lifecycle.SERIAL) else "UUID "
    reason = f"BMC reports {what}{new}, but this Machine was recorded with {life.system}"
    hint = f"correct spec.bmc; or, if the mainboard was replaced, set spec.lifecycle.request to {new}"
    return Hold(HoldKind.GUARD, "another-system", reason, hint)


def _with_system(state: SystemState, look: KindView) -> list[ResourceKey]:
    """Other machines whose system that is."""
    wanted = lifecycle.like_before(facts_in(look).lifecycle, state) or ""
    by_serial = wanted.startswith(lifecycle.SERIAL)
    lives = {
        key
        for key, facts in all_machine_facts(look.remembered).items()
        if lifecycle.same_system(facts.lifecycle.system or "", wanted)
    }
    told = ((key, lifecycle.system_of(_state(one.value), by_serial=by_serial)) for key, one in look.observed.items())
    seen = {key for key, system in told if lifecycle.same_system(system or "", wanted)}
    return sorted(key for key in lives | seen if key.kind == "Machine" and key != look.key)


def _already(key: ResourceKey) -> Hold:
    reason = f"BMC reports the system that belongs to {key}"
    return Hold(HoldKind.GUARD, "another-system", reason, "correct spec.bmc")


def _declared(word: str, reason: str, path: str | None = None) -> Hold:
    return Hold(HoldKind.DECLARED, word, reason, f"remove spec.{word} from the document", path)


def _observed(path: str | None) -> Hold:
    hint = (
        f"`groundstate adopt` sets spec.lifecycle.mode to {Mode.MANAGED}; without "
        "lifecycle, declared fields are applied"
    )
    return Hold(
        HoldKind.DECLARED, "observe", f"Machine is only observed (spec.lifecycle.mode is {Mode.OBSERVE})", hint, path
    )


def _unreported(path: str, reason: str) -> Steps:
    """What a BMC does not say now, as while it starts (ibm-openbmc/bmcweb#246), it may say at the next look."""
    hint = "nothing is sent while it is unknown; the machine is observed again; check the BMC if it stays so"
    return Steps(holds=(Hold(HoldKind.BLOCKED, UNREPORTED, reason, hint, path),))


def _refused(path: str, reason: str, hint: str) -> Steps:
    return Steps(holds=(Hold(HoldKind.FAILED, "unsupported", reason, hint, path),))


def _boot_field(boot: BootSpec, state: SystemState, look: KindView) -> Field:
    desired = msgspec.to_builtins(boot)
    seen = state.boot
    if boot.enabled is BootEnabled.ONCE:
        # A machine that boots uses a Once order up and reads Disabled again: only the record of having given the
        # order tells that from never having given it.
        equal = facts_in(look).once_done == once_order(boot)
    elif boot.enabled is BootEnabled.DISABLED:
        equal = seen is not None and seen.enabled in (None, BootEnabled.DISABLED)
    else:
        equal = seen is not None and (seen.target, seen.enabled) == (boot.target, boot.enabled)
    if boot.mode is not None and boot.enabled is not BootEnabled.ONCE and seen is not None:
        equal = equal and seen.mode == boot.mode
    observed = None if seen is None else msgspec.to_builtins(seen)
    return Field(BOOT, desired, observed, equal, once=boot.enabled is BootEnabled.ONCE, unknown=seen is None)


def _kept(asked: BootOverride, seen: BootOverride) -> bool:
    """Compared by meaning: a Once order may read back as Continuous (sushy-emulator) or as UefiTarget (Dell R640,
    dell/redfish-ansible-module#74)."""
    if asked.enabled is BootEnabled.DISABLED:
        return seen.enabled in (None, BootEnabled.DISABLED)
    enabled = seen.enabled == asked.enabled or (
        asked.enabled is BootEnabled.ONCE and seen.enabled is BootEnabled.CONTINUOUS
    )
    target = seen.target == asked.target or (
        asked.enabled is BootEnabled.ONCE and seen.target is BootTarget.UEFI_TARGET
    )
    return enabled and target and (asked.mode is None or seen.mode == asked.mode)


def _media_steps(_: MachineSpec, state: SystemState, look: KindView) -> Steps:
    return virtual_media.media_steps(facts_in(look).lifecycle, state, look)


def _boot_steps(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    boot = spec.boot
    if boot is None:
        return Steps()
    if state.boot is None and "boot" in state.unreported:
        return _unreported(BOOT, "BMC does not report its boot override")
    if state.boot is None:
        return _refused(BOOT, "the BMC has no boot override", "remove spec.boot")
    if boot.mode is not None and state.boot.mode is None:
        return _refused(BOOT, "the BMC has no BootSourceOverrideMode", "remove spec.boot.mode")
    unsure = _order_of_unknown_age(boot, state, look)
    if unsure is not None and look.lifted(FIRST_SIGHT) is None:
        return Steps(holds=(unsure,))
    allowed = state.allowed_boot_targets
    if allowed is not None and boot.enabled is not BootEnabled.DISABLED and boot.target not in allowed:
        return _refused(
            BOOT,
            f"the BMC does not offer boot target {boot.target}",
            f"choose one of {', '.join(sorted({*allowed} - {BootTarget.NONE}))}",
        )
    # Sending the mode again queues a BIOS job and a second reboot on iDRAC9 (ironcore-dev/metal-operator#81).
    mode = BootMode(boot.mode) if boot.mode is not None and boot.mode != state.boot.mode else None
    target: BootTarget | None = boot.target
    if boot.enabled is BootEnabled.DISABLED:
        # Where a BMC does not offer None, the target that is there stays, as some want a target in every write
        # (Ironic note redfish-full-boot-payload-asrockrack).
        target = BootTarget.NONE if allowed is None or BootTarget.NONE in allowed else state.boot.target
    override = BootOverride(target=target, enabled=boot.enabled, mode=mode)
    set_boot = SetBoot(key=look.key, override=override, reason="boot override differs")
    return Steps((set_boot,), passes=(FIRST_SIGHT,) if unsure is not None else ())


def _order_of_unknown_age(boot: BootSpec, state: SystemState, look: KindView) -> Hold | None:
    """A new store, or one that was mistyped, knows of no order that was carried out. Whatever it gives, the next boot
    of a machine in production would install it again, whether the machine runs or is off just now."""
    if facts_in(look).found_order is None or facts_in(look).found_order != once_order(boot):
        return None
    if facts_in(look).found_new:
        why, also = "the store is new: this one-time boot override may already have been executed", ""
    elif state.power is not PowerState.OFF:
        why = "first observation of a running machine: the one-time boot override may already have been executed"
        also = ", or power the machine off"
    else:
        return None
    hint = f"set or change spec.boot.request to send the boot override{also}; or {override_hint(FIRST_SIGHT, look.key)}"
    return Hold(HoldKind.GUARD, FIRST_SIGHT, why, hint, BOOT)


def _led_steps(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    if spec.indicator_led is None:
        return Steps()
    if state.indicator is None and "indicator" in state.unreported:
        return _unreported(LED, "BMC does not report its indicator LED")
    if state.indicator is None:
        return _refused(LED, "the BMC has no indicator LED", "remove spec.indicatorLED")
    return Steps((SetIndicator(key=look.key, led=IndicatorLED(spec.indicator_led), reason="indicator LED differs"),))


def _power_steps(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    # A graceful shutdown that hangs may show as PoweringOff for ever (ironcore-dev/metal-operator#129).
    hangs = state.power is PowerState.POWERING_OFF and spec.power == "Off" and facts_in(look).shutdown_ignored
    if state.power in (PowerState.POWERING_ON, PowerState.POWERING_OFF) and not hangs:
        reason = f"BMC reports power {state.power}"
        return Steps(holds=(Hold(HoldKind.IN_FLIGHT, "power", reason, "wait; the machine is observed again shortly"),))
    if state.power is None:
        return _unreported(POWER, "BMC reports no power state")
    if spec.power == "On":
        return _power_on(state, look)
    off, asked = _power_off(spec, state, look), facts_in(look).restart
    if off.actions and asked is not None and machine_restart.turns_off(facts_in(look), look.now):
        why = f"restart {asked.id} by {asked.by}: {asked.reason}"
        both = (*off.actions, *_power_on(state, look).actions)
        return Steps(tuple(msgspec.structs.replace(action, reason=why) for action in both))
    return off


def _power_on(state: SystemState, look: KindView) -> Steps:
    for choice in (ResetType.ON, ResetType.FORCE_ON, ResetType.PUSH_POWER_BUTTON):
        if state.allowed_resets is None or choice in state.allowed_resets:
            return Steps((PowerOn(key=look.key, reset_type=choice, reason=f"power is {state.power}"),))
    return _refused(POWER, "the BMC offers no ResetType that powers on", "remove spec.power, or power it on by hand")


def _power_off(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    offered = state.allowed_resets
    graceful = offered is None or ResetType.GRACEFUL_SHUTDOWN in offered
    if graceful and facts_in(look).shutdown_ignored is None:
        reset, reason = ResetType.GRACEFUL_SHUTDOWN, "power is On"
    elif spec.shutdown.escalate is not Escalate.FORCE:
        why = "the graceful shutdown was ignored" if graceful else "the BMC offers no graceful shutdown"
        return _refused(POWER, why, "set spec.shutdown.escalate to Force to cut the power")
    elif offered is None or ResetType.FORCE_OFF in offered:
        reset, reason = ResetType.FORCE_OFF, "graceful shutdown ignored" if graceful else "no graceful shutdown offered"
    else:
        return _refused(
            POWER, "the BMC offers no ResetType that powers off", "remove spec.power, or power it off by hand"
        )
    return Steps((PowerOff(key=look.key, reset_type=reset, reason=reason),))
