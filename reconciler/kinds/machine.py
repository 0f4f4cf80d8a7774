"""Machine: power, boot override and indicator LED of one system, and who may touch it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    IndicatorLED,
    PowerState,
    ResetType,
    SystemState,
    Tls,
)
from reconciler.kinds import binding
from reconciler.kinds.access import BmcDefaults, BmcSpec, CredentialRef
from reconciler.kinds.fields import Mac, PartitionRef, Spec, Text, reference
from reconciler.kinds.image import REFERENCE_PATTERN
from reconciler.kinds.kind import Field, Look, Place, Steps
from reconciler.model.action import Action, Bind, Forget, PinImage, PowerOff, PowerOn, SetBoot, SetIndicator
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.plan import Hold, HoldKind, digest
from reconciler.model.resource import Resource

POWER, BOOT, LED = PowerOn.path, SetBoot.path, SetIndicator.path


class Escalate(StrEnum):
    """What follows a graceful shutdown that the machine ignores."""

    NEVER = "Never"
    FORCE = "Force"


class TaintEffect(StrEnum):
    """What a taint keeps away."""

    NO_CLAIM = "NoClaim"


class ShutdownSpec(Spec, frozen=True, kw_only=True):
    """How the machine is taken down."""

    timeout_seconds: Annotated[int, Meta(ge=10, le=7200, description="How long a graceful shutdown may take.")] = 300
    escalate: Annotated[
        Escalate,
        Meta(description="Force: power is cut when the graceful shutdown was ignored, or cannot be asked for."),
    ] = Escalate.NEVER


class BootSpec(Spec, frozen=True, kw_only=True):
    """Where the machine boots from instead of its own order."""

    target: Annotated[BootTarget, Meta(description="Redfish BootSourceOverrideTarget.")] = BootTarget.NONE
    enabled: Annotated[
        BootEnabled,
        Meta(
            description="Redfish BootSourceOverrideEnabled. Once is an order: it is carried out one time for each "
            "change of `boot`, and not repeated when the machine has used it up."
        ),
    ]
    mode: (
        Annotated[Literal["UEFI", "Legacy"], Meta(description="Redfish BootSourceOverrideMode; left out: not touched.")]
        | None
    ) = None
    request: (
        Annotated[str, Meta(max_length=253, description="Any word; changing it gives the same Once order again.")]
        | None
    ) = None


class Pause(Spec, frozen=True, kw_only=True):
    """Why hands are off."""

    reason: Annotated[Text, Meta(min_length=1, description="Why, and who to ask; shown in every plan.")]


class Taint(Spec, frozen=True, kw_only=True):
    """Keeps claims away."""

    key: Annotated[str, Meta(min_length=1, max_length=253, description="The taint's name.")]
    value: Annotated[str, Meta(max_length=253, description="Its value.")] | None = None
    effect: Annotated[TaintEffect, Meta(description="What it keeps away.")] = TaintEffect.NO_CLAIM


class Mode(StrEnum):
    """What groundstate does with the machine by itself."""

    OBSERVE = "Observe"
    MANAGED = "Managed"


class LifecycleSpec(Spec, frozen=True, kw_only=True):
    """Whether groundstate inspects, installs and wipes the machine."""

    mode: Annotated[
        Mode,
        Meta(
            description="Observe: it is looked at, and nothing is sent to it. Managed: it is inspected, given to "
            "MachineClaims, installed, wiped and started and stopped for that; power and boot are then not declared."
        ),
    ]
    request: (
        Annotated[
            str, Meta(max_length=253, description="Any word; changing it inspects the machine anew, or tries again.")
        ]
        | None
    ) = None


class MachineSpec(Spec, frozen=True, kw_only=True):
    """One machine and its BMC. What is not declared (power, boot, indicatorLED) is observed and left alone."""

    partition: PartitionRef
    bmc: Annotated[BmcSpec, Meta(description="The machine's BMC and how it is reached.")]
    rack: Annotated[str, Meta(min_length=1, max_length=253, description="The rack that it stands in.")] | None = None
    size: Annotated[str, reference("Size", "The Size that it is meant to be.")] | None = None
    project: (
        Annotated[
            str,
            reference(
                "Project",
                "The Project whose machine it is. To move it to another, first remove this, then set it anew.",
            ),
        ]
        | None
    ) = None
    image: (
        Annotated[
            str,
            Meta(
                pattern=REFERENCE_PATTERN,
                max_length=253,
                description="The Image that its project runs on it: by its name, or `debian-12` or `debian-12.0` for "
                "the newest supported one, which it then keeps. Needs project.",
                examples=["debian-12", "debian-12.0.20260101"],
            ),
        ]
        | None
    ) = None
    macs: Annotated[tuple[Mac, ...], Meta(description="MAC addresses of its network interfaces.")] = ()
    power: Annotated[Literal["On", "Off"], Meta(description="Redfish PowerState.")] | None = None
    shutdown: Annotated[ShutdownSpec, Meta(description="How it is taken down.")] = ShutdownSpec()
    boot: Annotated[BootSpec, Meta(description="The boot override.")] | None = None
    indicator_led: Annotated[Literal["Lit", "Blinking", "Off"] | None, Meta(description="Redfish IndicatorLED.")] = (
        msgspec.field(name="indicatorLED", default=None)
    )
    maintenance: (
        Annotated[Pause, Meta(description="People work on it: power and boot are left alone, the LED is not.")] | None
    ) = None
    suspend: Annotated[Pause, Meta(description="Nothing is sent to it; it is observed and shown.")] | None = None
    cordon: Annotated[Pause, Meta(description="It is given to no claim anew; whose it is, keeps it.")] | None = None
    taints: Annotated[tuple[Taint, ...], Meta(description="What keeps claims away.")] = ()
    lifecycle: (
        Annotated[
            LifecycleSpec,
            Meta(description="Who cares for the machine's life; left out: only what the document declares is done."),
        ]
        | None
    ) = None


class Access(msgspec.Struct, frozen=True):
    """How a machine's BMC is reached, the partition's defaults taken in."""

    driver: str
    address: str
    system_id: str | None
    tls: Tls
    credential_ref: CredentialRef | None


def access(spec: MachineSpec, defaults: BmcDefaults | None) -> Access:
    """What the machine says, else what its partition says, else redfish with the system's authorities."""
    fallback = defaults or BmcDefaults()
    tls = spec.bmc.tls or fallback.tls
    return Access(
        driver=spec.bmc.driver or fallback.driver or "redfish",
        address=spec.bmc.address,
        system_id=spec.bmc.system_id,
        tls=tls.trust() if tls else Tls(),
        credential_ref=spec.bmc.credential_ref or fallback.credential_ref,
    )


SIZE_LABEL = "groundstate/size"
"""The label that onboarding gives a machine of which no document says the size."""


def size_of(machine: Resource[MachineSpec], facts: ResourceFacts = NO_FACTS) -> str | None:  # noqa: ARG001
    """Which Size the machine is: as its document says, else as its label does. `facts`: what else is known of it."""
    return machine.spec.size or machine.labels.get(SIZE_LABEL)


def managed(spec: MachineSpec) -> bool:
    """Whether groundstate inspects, gives away, installs and wipes it."""
    return spec.lifecycle is not None and spec.lifecycle.mode is Mode.MANAGED


def check(resource: Resource[MachineSpec]) -> list[Place]:
    """Rules of one Machine document that a schema cannot say."""
    found: list[Place] = []
    boot = resource.spec.boot
    if boot and boot.enabled is not BootEnabled.DISABLED and boot.target is BootTarget.NONE:
        found.append(
            Place(
                "boot-without-target",
                "spec.boot.enabled",
                f"boot is enabled {boot.enabled} but names no target",
                "add a target such as Pxe, or set enabled to Disabled",
            )
        )
    if boot and boot.request is not None and boot.enabled is not BootEnabled.ONCE:
        found.append(
            Place("request-without-once", "spec.boot.request", "request is for enabled: Once only", "remove it")
        )
    if resource.spec.lifecycle is not None:
        for name in ("power", "boot", "project", "image"):
            if getattr(resource.spec, name) is not None:
                what = f"{name} is declared, and lifecycle.mode is {resource.spec.lifecycle.mode}"
                hint = f"remove {name}, or lifecycle; a machine whose life is managed gets it from its MachineClaim"
                found.append(Place("lifecycle-and-declared", f"spec.{name}", what, hint))
    if resource.spec.image is not None and resource.spec.project is None:
        found.append(Place("image-without-project", "spec.image", "nobody's machine has an image", "add project"))
    return found


class MachineRules:
    """The reconciled half of Machine: fields against what the BMC says, and the actions between them."""

    def fields(self, resource: Resource[MachineSpec], look: Look) -> tuple[Field, ...]:
        """Project, image, power, boot and LED, as far as they are declared; the first two as they are remembered."""
        spec, state = resource.spec, _state(look.value)
        # Whose a claim's machine is, the claim says.
        found = [] if look.facts.life.claim is not None else binding.fields(_assignment(spec), look.facts)
        if spec.boot is not None:
            found.append(_boot_field(spec.boot, state, look))
        if spec.power is not None:
            found.append(Field(POWER, spec.power, state.power, state.power == spec.power))
        if spec.indicator_led is not None:
            found.append(Field(LED, spec.indicator_led, state.indicator, state.indicator == spec.indicator_led))
        return tuple(found)

    def steps(self, resource: Resource[MachineSpec], look: Look, fields: tuple[Field, ...]) -> Steps:
        """Whose it is first; boot before power, so that a machine comes up from where it was told to; the LED last."""
        spec, state = resource.spec, _state(look.value)
        parts = _binding_steps(spec, look, fields)
        bound = len(parts)
        for path, build in ((BOOT, _boot_steps), (POWER, _power_steps), (LED, _led_steps)):
            if any(field.path == path and not field.equal for field in fields):
                step = build(spec, state, look)
                if spec.maintenance and path != LED:
                    step = Steps(holds=(_declared("maintenance", spec.maintenance.reason, path),))
                parts.append(step)
        holds = [hold for part in parts for hold in part.holds]
        if spec.suspend:
            # Nothing is sent for a binding: it goes on beside what is held.
            paths = {one.path for part in parts[bound:] for one in (*part.actions, *part.holds)} if bound else {None}
            holds += [_declared("suspend", spec.suspend.reason, path) for path in sorted(paths, key=str)]
        return Steps(tuple(a for part in parts for a in part.actions), tuple(dict.fromkeys(holds)))

    def removal(self, look: Look) -> Steps:
        """A machine that git no longer declares is forgotten, never powered off."""
        return Steps((Forget(key=look.key, reason="no longer declared; its power is left as it is"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the BMC now says what the action asked for."""
        state = _state(value)
        match action:
            case PowerOn() | PowerOff():
                return state.power is action.goal
            case SetBoot(override=override):
                return state.boot is not None and _kept(override, state.boot)
            case SetIndicator(led=led):
                return state.indicator is led
            case Bind() | PinImage():
                return True  # written down is done
            case _:
                return False

    def patience(self, action: Action, resource: Resource[MachineSpec] | None) -> float:
        """Some BMCs say Off for three minutes after power on (openbmc/openbmc#804)."""
        match action:
            case PowerOff(reset_type=ResetType.GRACEFUL_SHUTDOWN):
                return float(resource.spec.shutdown.timeout_seconds) if resource else 300.0
            case PowerOn():
                return 300.0
            case PowerOff():
                return 120.0
            case _:
                return 60.0


def once_order(boot: BootSpec) -> str:
    """What makes one Once order differ from another."""
    return digest(boot)


def standing_order(spec: MachineSpec) -> str | None:
    """The one-time order that the document holds, if it holds one."""
    return once_order(spec.boot) if spec.boot is not None and spec.boot.enabled is BootEnabled.ONCE else None


def confirms_order(boot: BootSpec, sent: BootOverride, value: Any) -> bool:
    """Whether what was sent, perhaps for an order that was declared before, is what this one asks for."""
    seen = _state(value).boot
    return boot.target == sent.target and (boot.mode is None or (seen is not None and seen.mode == boot.mode))


def _assignment(spec: MachineSpec) -> binding.Assignment:
    taint = next((taint.key for taint in spec.taints), None)  # NoClaim is the only effect that there is
    return binding.Assignment(spec.project, spec.image, spec.size, taint)


def _binding_steps(spec: MachineSpec, look: Look, fields: tuple[Field, ...]) -> list[Steps]:
    wanted, parts = _assignment(spec), []
    differing = {field.path for field in fields if not field.equal}
    bound = look.facts.project == spec.project
    if binding.PROJECT in differing:
        step = binding.project_steps(wanted, look)
        bound = bool(step.actions)
        parts.append(step)
    if binding.IMAGE in differing:
        parts.append(binding.image_steps(wanted, look, bound=bound))
    return parts


def _state(value: Any) -> SystemState:
    return value if isinstance(value, SystemState) else SystemState()


def _declared(word: str, reason: str, path: str | None = None) -> Hold:
    return Hold(HoldKind.DECLARED, word, reason, f"remove spec.{word} from the document", path)


def _refused(path: str, reason: str, way_out: str) -> Steps:
    return Steps(holds=(Hold(HoldKind.FAILED, "unsupported", reason, way_out, path),))


def _boot_field(boot: BootSpec, state: SystemState, look: Look) -> Field:
    desired = msgspec.to_builtins(boot)
    seen = state.boot
    if boot.enabled is BootEnabled.ONCE:
        # A machine that boots uses a Once order up and reads Disabled again: only the record of having given the
        # order tells that from never having given it.
        equal = look.facts.once_done == once_order(boot)
    elif boot.enabled is BootEnabled.DISABLED:
        equal = seen is not None and seen.enabled in (None, BootEnabled.DISABLED)
    else:
        equal = seen is not None and (seen.target, seen.enabled) == (boot.target, boot.enabled)
    if boot.mode is not None and boot.enabled is not BootEnabled.ONCE and seen is not None:
        equal = equal and seen.mode == boot.mode
    observed = None if seen is None else msgspec.to_builtins(seen)
    return Field(BOOT, desired, observed, equal, once=boot.enabled is BootEnabled.ONCE)


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


def _boot_steps(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    boot = spec.boot
    if boot is None:
        return Steps()
    if state.boot is None:
        return _refused(BOOT, "the BMC has no boot override", "remove spec.boot")
    if boot.mode is not None and state.boot.mode is None:
        return _refused(BOOT, "the BMC has no BootSourceOverrideMode", "remove spec.boot.mode")
    if state.power is not PowerState.OFF and look.facts.found_order == once_order(boot):
        # A new store, or one that was mistyped, knows of no order that was carried out: the next reboot of a machine
        # that runs would install it again.
        why = "it runs, and nothing is known of it from before: the order may have been carried out already"
        way_out = "set or change spec.boot.request to give the order, or power the machine off"
        return Steps(holds=(Hold(HoldKind.GUARD, "first-sight", why, way_out, BOOT),))
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
    return Steps((SetBoot(key=look.key, override=override, reason="boot override differs"),))


def _led_steps(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    if spec.indicator_led is None:
        return Steps()
    if state.indicator is None:
        return _refused(LED, "the BMC has no indicator LED", "remove spec.indicatorLED")
    return Steps((SetIndicator(key=look.key, led=IndicatorLED(spec.indicator_led), reason="indicator LED differs"),))


def _power_steps(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    if state.power in (PowerState.POWERING_ON, PowerState.POWERING_OFF):
        reason = f"the BMC says {state.power}"
        return Steps(holds=(Hold(HoldKind.IN_FLIGHT, "power", reason, "it is looked at again shortly"),))
    if state.power is None:
        return _refused(
            POWER, "the BMC does not say whether it is on", "look at the BMC; nothing is sent while this is unknown"
        )
    return _power_on(state, look) if spec.power == "On" else _power_off(spec, state, look)


def _power_on(state: SystemState, look: Look) -> Steps:
    for choice in (ResetType.ON, ResetType.FORCE_ON, ResetType.PUSH_POWER_BUTTON):
        if state.allowed_resets is None or choice in state.allowed_resets:
            return Steps((PowerOn(key=look.key, reset_type=choice, reason=f"power is {state.power}"),))
    return _refused(POWER, "the BMC offers no way to power it on", "remove spec.power, or power it on by hand")


def _power_off(spec: MachineSpec, state: SystemState, look: Look) -> Steps:
    offered = state.allowed_resets
    graceful = offered is None or ResetType.GRACEFUL_SHUTDOWN in offered
    if graceful and look.facts.shutdown_ignored is None:
        reset, reason = ResetType.GRACEFUL_SHUTDOWN, "power is On"
    elif spec.shutdown.escalate is not Escalate.FORCE:
        why = "the graceful shutdown was ignored" if graceful else "the BMC offers no graceful shutdown"
        return _refused(POWER, why, "set spec.shutdown.escalate to Force to cut the power")
    elif offered is None or ResetType.FORCE_OFF in offered:
        reset, reason = ResetType.FORCE_OFF, "graceful shutdown ignored" if graceful else "no graceful shutdown offered"
    else:
        return _refused(POWER, "the BMC offers no way to power it off", "remove spec.power, or power it off by hand")
    return Steps((PowerOff(key=look.key, reset_type=reset, reason=reason),))
