"""Machine: power, boot override and indicator LED of one system, and who may touch it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.base import (
    BootEnabled,
    BootTarget,
    Tls,
    canonical_macs,
)
from reconciler.kinds.catalogue.image import REFERENCE_PATTERN
from reconciler.kinds.catalogue.partition import StartFrom
from reconciler.kinds.common.access.access_rules import Access
from reconciler.kinds.common.consoles.console_fields import MachineConsole, check_console
from reconciler.kinds.common.field_types.bmc_access import BmcDefaults, BmcSpec, same_bmc, system_address
from reconciler.kinds.common.field_types.fields import Mac, PartitionRef, Spec, Taint, Text, reference_field
from reconciler.kinds.common.kind import RuleFinding
from reconciler.model.actions.bmc_actions import PowerOn, SetBoot, SetIndicator
from reconciler.model.plans.plan import digest
from reconciler.model.resource import DesiredState, Resource, ResourceKey

POWER, BOOT, LED = PowerOn.path, SetBoot.path, SetIndicator.path


class Escalate(StrEnum):
    """What groundstate does when the machine ignores a graceful shutdown."""

    NEVER = "Never"
    FORCE = "Force"


class ShutdownSpec(Spec, frozen=True, kw_only=True):
    """How the machine is powered off."""

    timeout_seconds: Annotated[
        int, Meta(ge=10, le=7200, description="How long a graceful shutdown may take, in seconds.")
    ] = 300
    escalate: Annotated[
        Escalate,
        Meta(
            description="What follows if the graceful shutdown has no effect, or if the BMC does not offer such a "
            "shutdown. Force: the power is cut. Never: the machine stays on."
        ),
    ] = Escalate.NEVER


class BootSpec(Spec, frozen=True, kw_only=True):
    """A boot override: the device to boot from, in place of the machine's boot order."""

    target: Annotated[BootTarget, Meta(description=("The device to boot from (Redfish BootSourceOverrideTarget)."))] = (
        BootTarget.NONE
    )
    enabled: Annotated[
        BootEnabled,
        Meta(
            description=(
                "How long the override lasts (Redfish BootSourceOverrideEnabled). Once: for one boot; "
                "groundstate sends the override again only when `boot` changes."
            )
        ),
    ]
    mode: (
        Annotated[
            Literal["UEFI", "Legacy"],
            Meta(
                description=(
                    "UEFI or Legacy (Redfish BootSourceOverrideMode). If this field is absent, the mode is not changed."
                )
            ),
        ]
        | None
    ) = None
    request: (
        Annotated[
            str, Meta(max_length=253, description=("Any text. To send the same Once override again, change the text."))
        ]
        | None
    ) = None


class Pause(Spec, frozen=True, kw_only=True):
    """The machine is suspended or in maintenance."""

    reason: Annotated[
        Text, Meta(min_length=1, description="Why the machine is in this state, and who to ask; shown in every plan.")
    ]


class Mode(StrEnum):
    """What groundstate does with the machine."""

    OBSERVE = "Observe"
    MANAGED = "Managed"


class LifecycleSpec(Spec, frozen=True, kw_only=True):
    """Whether groundstate inspects, installs and wipes the machine."""

    mode: Annotated[
        Mode,
        Meta(
            description=(
                "Observe: the machine is observed, and nothing is sent to it. Managed: groundstate inspects, installs, "
                "wipes, starts and stops the machine for MachineClaims; the document then has no power and no boot."
            ),
        ),
    ]
    start_from: (
        Annotated[
            StartFrom,
            Meta(
                description=(
                    "How the machine boots the agent: from the network, or from virtual media. The default is the "
                    "Partition's `boot.startFrom`."
                )
            ),
        ]
        | None
    ) = None
    install_on: (
        Annotated[
            str,
            Meta(
                pattern=r"^\S+$",
                max_length=253,
                description="The disk for the operating system, from the next installation on: its serial number or "
                "path. The default is the smallest disk that is large enough.",
                examples=["S4EVNF0M123456", "/dev/nvme0n1"],
            ),
        ]
        | None
    ) = None
    request: (
        Annotated[
            str,
            Meta(
                max_length=253,
                description=(
                    "Any text. To inspect the machine again, or to try again after a failure, change the text. "
                    "The id of an unknown installation, which the message of AgentFailed names, allows the agent to "
                    "overwrite this installation."
                ),
            ),
        ]
        | None
    ) = None


class MachineSpec(Spec, frozen=True, kw_only=True):
    """One machine and its BMC. Fields that are left out (power, boot, indicatorLED) are observed and not changed."""

    partition: PartitionRef
    bmc: Annotated[BmcSpec, Meta(description="The machine's BMC and how it is reached.")]
    console: Annotated[MachineConsole, Meta(description="The machine's serial console.")] | None = None
    rack: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=253,
                description="The machine's rack. Budgets per rack and the spread of claims use this field.",
            ),
        ]
        | None
    ) = None
    size: (
        Annotated[
            str, reference_field("Size", "The Size of the machine. If this field is absent, the inventory decides.")
        ]
        | None
    ) = None
    project: (
        Annotated[
            str,
            reference_field(
                "Project",
                "The Project of the machine. To move the machine, first remove this field, apply that, then set the "
                "new project.",
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
                description=(
                    "The name of the Image. `debian-12` and `debian-12.0` mean the newest supported Image of "
                    "that version; the machine keeps the Image that it got. Needs `project`."
                ),
                examples=["debian-12", "debian-12.0.20260101"],
            ),
        ]
        | None
    ) = None
    macs: Annotated[
        tuple[Mac, ...],
        Meta(
            description=(
                "MAC addresses of the machine's network interfaces. The boot service finds the machine by them "
                "and by its UUID."
            )
        ),
    ] = ()
    power: (
        Annotated[
            Literal["On", "Off"],
            Meta(
                description=(
                    "The power state that the machine should have (Redfish PowerState). If this field is "
                    "absent, groundstate does "
                    "not change the power."
                )
            ),
        ]
        | None
    ) = None
    shutdown: Annotated[ShutdownSpec, Meta(description="How the machine is powered off.")] = ShutdownSpec()
    boot: (
        Annotated[
            BootSpec,
            Meta(
                description=(
                    "The device to boot from instead of the first one in the boot order (Redfish boot override). "
                    "If this field is absent, groundstate does not change the override."
                )
            ),
        ]
        | None
    ) = None
    indicator_led: Annotated[
        Literal["Lit", "Blinking", "Off"] | None,
        Meta(
            description=(
                "The state that the indicator LED should have (Redfish IndicatorLED). If this field is absent, "
                "groundstate does not change the LED."
            )
        ),
    ] = msgspec.field(name="indicatorLED", default=None)
    maintenance: (
        Annotated[
            Pause,
            Meta(description=("People work on the machine: groundstate changes neither power nor boot, only the LED.")),
        ]
        | None
    ) = None
    suspend: (
        Annotated[Pause, Meta(description=("groundstate observes the machine, and sends nothing to it."))] | None
    ) = None
    cordon: (
        Annotated[Pause, Meta(description=("No new claim gets the machine. A claim that has the machine keeps it."))]
        | None
    ) = None
    taints: Annotated[
        tuple[Taint, ...],
        Meta(description=("Only claims that tolerate all of these taints get the machine. The default is no taint.")),
    ] = ()
    lifecycle: (
        Annotated[
            LifecycleSpec,
            Meta(
                description=(
                    "Whether groundstate inspects, installs and wipes the machine. If this field is absent, "
                    "groundstate only applies the other fields of the document."
                )
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        # One spelling, so that whoever compares them need not know of others.
        if self.macs:
            msgspec.structs.force_setattr(self, "macs", canonical_macs(self.macs))


DEFAULT_DRIVER = "redfish"


def access(spec: MachineSpec, defaults: BmcDefaults | None) -> Access:
    """What the machine says, else what its partition says, else redfish with the system's authorities."""
    fallback = defaults or BmcDefaults()
    tls = spec.bmc.tls or fallback.tls
    inherited = fallback.driver or DEFAULT_DRIVER
    driver = spec.bmc.driver or inherited
    return Access(
        driver=driver,
        address=spec.bmc.address,
        system_id=spec.bmc.system_id,
        tls=tls.trust() if tls else Tls(),
        credential_ref=spec.bmc.credential_ref or fallback.credential_ref,
        options=fallback.options | spec.bmc.options if fallback.options and driver == inherited else spec.bmc.options,
        timeout=spec.bmc.timeout_seconds or fallback.timeout_seconds,
    )


def system_of_spec(spec: MachineSpec) -> str:
    """Which system of which BMC it is, whatever it is called: `<BMC>#<id>`."""
    return system_address(spec.bmc)


def bmc_of_spec(spec: MachineSpec) -> str:
    """The BMC, which does one thing at a time for all of its systems."""
    return same_bmc(spec.bmc.address)


def is_paused(spec: MachineSpec) -> bool:
    """Whether people work on it, so that nothing is sent."""
    return bool(spec.maintenance or spec.suspend)


def declared_size(spec: MachineSpec) -> str | None:
    """The Size that the document says the machine has."""
    return spec.size


def machine_access(spec: MachineSpec, desired: DesiredState) -> Access:
    """How the machine is reached, with what its partition says for all of its machines."""
    partition = desired.resources.get(ResourceKey("Partition", spec.partition))
    return access(spec, partition.spec.bmc if partition is not None else None)


def managed(spec: MachineSpec) -> bool:
    """Whether groundstate inspects, gives away, installs and wipes it."""
    return spec.lifecycle is not None and spec.lifecycle.mode is Mode.MANAGED


def check_machine(resource: Resource[MachineSpec]) -> list[RuleFinding]:
    """Rules of one Machine document that a schema cannot say."""
    found: list[RuleFinding] = []
    boot = resource.spec.boot
    if boot and boot.enabled is not BootEnabled.DISABLED and boot.target is BootTarget.NONE:
        found.append(
            RuleFinding(
                "boot-without-target",
                "spec.boot.enabled",
                f"spec.boot.enabled is {boot.enabled}, but spec.boot.target is missing",
                "add spec.boot.target, such as Pxe; or set spec.boot.enabled to Disabled",
            )
        )
    if boot and boot.request is not None and boot.enabled is not BootEnabled.ONCE:
        found.append(
            RuleFinding(
                "request-without-once",
                "spec.boot.request",
                "spec.boot.request works only with spec.boot.enabled: Once",
                "remove spec.boot.request",
            )
        )
    if resource.spec.lifecycle is not None:
        for name in ("power", "boot", "project", "image"):
            if getattr(resource.spec, name) is not None:
                what = f"spec.{name} cannot be declared while spec.lifecycle.mode is {resource.spec.lifecycle.mode}"
                hint = f"remove spec.{name} (the claim of the machine decides this value), or remove spec.lifecycle"
                found.append(RuleFinding("lifecycle-and-declared", f"spec.{name}", what, hint))
    if resource.spec.image is not None and resource.spec.project is None:
        found.append(
            RuleFinding("image-without-project", "spec.image", "spec.image needs spec.project", "add spec.project")
        )
    found += check_console("spec.console", resource.spec.console)
    return found


def observes(spec: MachineSpec) -> bool:
    """Whether the machine is only observed, and nothing is sent to it."""
    return spec.lifecycle is not None and spec.lifecycle.mode is Mode.OBSERVE


def once_order(boot: BootSpec) -> str:
    """What makes one Once order differ from another."""
    return digest(boot)


def one_time_boot(spec: MachineSpec) -> str | None:
    """The one-time order that the document holds, if it holds one."""
    return once_order(spec.boot) if spec.boot is not None and spec.boot.enabled is BootEnabled.ONCE else None
