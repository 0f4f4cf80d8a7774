"""The actions for a machine: binding, lifecycle, boot override, power and LED. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, assert_never

import msgspec

from drivers.base import (
    PowerState,
    SystemState,
)
from reconciler.kinds.common.field_types.bmc_access import at_place
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import (
    LifecycleFacts,
    MachineFacts,
    facts_in,
    machine_facts,
)
from reconciler.kinds.machine import binding, machine_restart
from reconciler.kinds.machine.identity.identity_rules import identity_conflict, identity_field, identity_steps
from reconciler.kinds.machine.identity.machine_identity import with_last_identity
from reconciler.kinds.machine.lifecycle import phases, system_identity, virtual_media
from reconciler.kinds.machine.lifecycle.lifecycle_steps import LIFECYCLE_PATH, lifecycle_field, lifecycle_steps
from reconciler.kinds.machine.rules.boot_rules import BOOT, boot_field, boot_steps, keeps_override
from reconciler.kinds.machine.rules.port_waits import port_holds
from reconciler.kinds.machine.rules.power_rules import LED, POWER, led_steps, power_steps
from reconciler.kinds.machine.rules.unmet_needs import state_of
from reconciler.kinds.machine.spec import BootSpec, MachineSpec, Mode, managed, observes
from reconciler.model.actions.action import Action, MachineAction
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.bmc_actions import (
    BmcAction,
    EjectMedia,
    InsertMedia,
    PowerOff,
    PowerOn,
    SetBoot,
    SetIndicator,
)
from reconciler.model.actions.record_actions import AcceptSystem, Bind, Free, PinImage, RecordLifecycle, RequestBoot
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import ObservedState
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.values.boot_purpose import Purpose


class MachineRules:
    """The rules of Machine: the managed fields, and the actions that make the observed values equal to the declared
    ones."""

    def fields(self, resource: Resource[MachineSpec], view: KindView) -> tuple[Field, ...]:
        """Project, image, power, boot and LED, as far as they are declared. Project and image are compared with the
        store. The system that the BMC reports is one while it is another one than expected."""
        state = with_last_identity(state_of(view.value), facts_in(view))
        spec = _effective(resource.spec, view)
        found = binding.fields(spec.project, spec.image, facts_in(view))
        conflict = identity_conflict(resource.spec, view)
        if conflict is not None and (identity := identity_field(conflict, view)) is not None:
            found.append(identity)
        if managed(spec):
            found.append(lifecycle_field(spec, view))
            drive = virtual_media.media_field(facts_in(view).lifecycle, state)
            found += [] if drive is None else [drive]
        if spec.boot is not None:
            found.append(boot_field(spec.boot, state, view))
        if spec.power is not None:
            found.append(Field(POWER, spec.power, state.power, state.power == spec.power, unknown=state.power is None))
        if spec.indicator_led is not None:
            is_lit = state.indicator == spec.indicator_led
            found.append(Field(LED, spec.indicator_led, state.indicator, is_lit, unknown=state.indicator is None))
        return tuple(found)

    def steps(self, resource: Resource[MachineSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """The actions in order: binding first, boot before power (so that the machine boots from the declared target),
        the LED last."""
        state = with_last_identity(state_of(view.value), facts_in(view))
        spec = _effective(resource.spec, view)
        parts = _binding_steps(spec, view, fields)
        bound = len(parts)
        if managed(spec) and any(field.path == LIFECYCLE_PATH and not field.equal for field in fields):
            step = lifecycle_steps(spec, state, view)
            if spec.maintenance and step.actions:
                step = Steps(holds=(_declared(HoldName.MAINTENANCE, spec.maintenance.reason, LIFECYCLE_PATH),))
            parts.append(step)
        for path, build in _in_order(facts_in(view).lifecycle):
            if any(field.path == path and not field.equal for field in fields):
                step = build(spec, state, view)
                if spec.maintenance and path != LED:
                    step = Steps(holds=(_declared(HoldName.MAINTENANCE, spec.maintenance.reason, path),))
                parts.append(step)
        conflict = identity_conflict(resource.spec, view)
        own = Steps() if conflict is None else identity_steps(conflict, view)
        holds = [*own.holds, *(hold for part in parts for hold in part.holds)]
        holds += port_holds(spec, [action for part in parts for action in part.actions], view)
        if managed(spec) and system_identity.held_for_another_system(spec, facts_in(view).lifecycle, state):
            holds.append(_other_machine(facts_in(view).lifecycle, state))
        if spec.suspend:
            # Nothing is sent for a binding: it goes on beside what is held.
            paths = {one.path for part in parts[bound:] for one in (*part.actions, *part.holds)} if bound else {None}
            holds += [_declared(HoldName.SUSPEND, spec.suspend.reason, path) for path in sorted(paths, key=str)]
        if observes(spec):
            paths = {one.path for part in parts for one in (*part.actions, *part.holds)}
            holds += [_observed(path) for path in sorted(paths, key=str)]
        parts.insert(0, own)
        actions, passes = (a for part in parts for a in part.actions), (one for part in parts for one in part.passes)
        return Steps(tuple(actions), tuple(dict.fromkeys(holds)), tuple(passes))

    def removal(self, view: KindView) -> Steps:
        """A machine that git no longer declares is removed from the store, and never powered off."""
        if facts_in(view).lifecycle.claim is not None:
            reason = f"no longer declared, but claimed by MachineClaim/{facts_in(view).lifecycle.claim}"
            hint = "declare the machine again, and remove the document after the claim has released the machine"
            return Steps((), (Hold(HoldKind.GUARD, HoldName.CLAIMED, reason, hint),))
        left = facts_in(view).lifecycle.media
        image = f"; the image {left.url} stays in the virtual drive of the BMC" if left is not None else ""
        why = f"no longer declared; groundstate does not change the power of the machine{image}"
        renamed = at_place(view.desired, facts_in(view).place) if view.desired is not None else None
        if renamed is not None:
            why = f"renamed to {renamed}; the recorded facts move to the new name{image}"
        return Steps((Forget(key=view.key, reason=why),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the BMC now reports the effect of the action."""
        if not isinstance(action, MachineAction):
            return False
        state = state_of(value)
        match action:
            case PowerOn() | PowerOff():
                return state.power is action.goal
            case SetBoot(override=override):
                return state.boot is not None and keeps_override(override, state.boot)
            case SetIndicator(led=led):
                return state.indicator is led
            case InsertMedia(url=url):
                return state.holds(url) is True
            case EjectMedia(url=url):
                return state.holds(url) is False
            case Bind() | PinImage() | RequestBoot() | RecordLifecycle() | AcceptSystem() | Free():
                return True  # written down is done
            case Forget():
                return False
            case _:
                assert_never(action)

    def patience(self, action: Action, resource: Resource[MachineSpec] | None) -> float:
        """Seconds to wait for the effect. Some BMCs report Off for three minutes after a power-on
        (openbmc/openbmc#804)."""
        if not isinstance(action, BmcAction):
            return 0.0
        match action:
            case PowerOff(is_graceful=True):
                return float(resource.spec.shutdown.timeout_seconds) if resource else 300.0
            case PowerOn():
                return 300.0
            case PowerOff() | InsertMedia():
                return 120.0  # Some BMCs fetch the whole image first.
            case SetBoot() | SetIndicator() | EjectMedia():
                return 60.0
            case _:
                assert_never(action)


def _in_order(
    lifecycle: LifecycleFacts,
) -> tuple[tuple[str, Callable[[MachineSpec, SystemState, KindView], Steps]], ...]:
    """The steps in order. The CD image is inserted first if the machine is to boot from it. Otherwise media actions
    come last, because some BMCs never eject."""
    drive = ((virtual_media.MEDIA, _media_steps),)
    others = ((BOOT, boot_steps), (POWER, power_steps), (LED, led_steps))
    return (*drive, *others) if lifecycle.boot_request is not None else (*others, *drive)


def _effective(spec: MachineSpec, view: KindView) -> MachineSpec:
    spec = _for_lifecycle(spec, view)
    return msgspec.structs.replace(spec, power="Off") if _turns_off(spec, view) else spec


def declared_power(
    resource: Resource[MachineSpec],
    desired: DesiredState,
    remembered: Mapping[ResourceKey, ResourceFacts],
    observed: ObservedState,
    now: datetime,
) -> str | None:
    """The power state that the document or the claim requests, regardless of an open restart."""
    seen, facts = observed.get(resource.key), machine_facts(remembered, resource.key)
    value = seen.value if seen is not None else None
    return _for_lifecycle(
        resource.spec, KindView(resource.key, value, facts, observed, desired, remembered, now=now)
    ).power


def _turns_off(spec: MachineSpec, view: KindView) -> bool:
    """Whether a restart must power the machine off first. A machine that is already off is only powered on."""
    running = state_of(view.value).power is not PowerState.OFF
    return spec.power == "On" and running and machine_restart.turns_off(facts_in(view), view.now)


def _for_lifecycle(spec: MachineSpec, view: KindView) -> MachineSpec:
    if not managed(spec) and facts_in(view).lifecycle.claim is None:
        return spec
    claim = phases.claim_spec(facts_in(view), view.desired)
    return phases.effective_machine(spec, facts_in(view), state_of(view.value), claim, view.now)


def ordered_boot(resource: Resource[Any], facts: MachineFacts, value: Any) -> BootSpec | None:
    """The boot override that the machine should have now, by its document or its lifecycle."""
    if not isinstance(resource.spec, MachineSpec):
        return None
    return phases.boot_of(facts, state_of(value)) if managed(resource.spec) else resource.spec.boot


def _assignment(spec: MachineSpec) -> binding.Assignment:
    taint = next((taint.key for taint in spec.taints), None)  # NoClaim is the only effect that there is
    return binding.Assignment(spec.project, spec.image, spec.size, taint)


def _binding_steps(spec: MachineSpec, view: KindView, fields: tuple[Field, ...]) -> list[Steps]:
    wanted, parts = _assignment(spec), []
    differing = {field.path for field in fields if not field.equal}
    bound = facts_in(view).project == spec.project
    if binding.PROJECT in differing:
        step = binding.project_steps(wanted, view)
        bound = bool(step.actions)
        parts.append(step)
    order = facts_in(view).lifecycle.boot_request
    if binding.IMAGE in differing and order is not None and order.purpose is Purpose.INSTALL:
        why = f"image {facts_in(view).image} is being written"
        parts.append(
            Steps(
                holds=(
                    Hold(
                        HoldKind.IN_FLIGHT,
                        "to install",
                        why,
                        "continues automatically when the image is written",
                        binding.IMAGE,
                    ),
                )
            )
        )
    elif binding.IMAGE in differing:
        parts.append(binding.image_steps(wanted, view, bound=bound))
    return parts


def _other_machine(lifecycle: LifecycleFacts, state: SystemState) -> Hold:
    new = system_identity.like_before(lifecycle, state)
    what = "" if str(new).startswith(system_identity.SERIAL) else "UUID "
    reason = f"BMC reports {what}{new}, but this Machine was recorded with {lifecycle.system}"
    hint = f"correct spec.bmc; or, if the mainboard was replaced, set spec.lifecycle.request to {new}"
    return Hold(HoldKind.GUARD, HoldName.ANOTHER_SYSTEM, reason, hint)


def _declared(word: HoldName, reason: str, path: str | None = None) -> Hold:
    return Hold(HoldKind.DECLARED, word, reason, f"remove spec.{word} from the document", path)


def _observed(path: str | None) -> Hold:
    hint = (
        f"to let groundstate manage the machine, set spec.lifecycle.mode to {Mode.MANAGED} (`groundstate "
        "adopt`); to let it apply only the declared fields, remove spec.lifecycle"
    )
    return Hold(
        HoldKind.DECLARED,
        HoldName.OBSERVE,
        f"Machine is only observed (spec.lifecycle.mode is {Mode.OBSERVE})",
        hint,
        path,
    )


def _media_steps(_: MachineSpec, state: SystemState, view: KindView) -> Steps:
    return virtual_media.media_steps(facts_in(view).lifecycle, state, view)
