"""The guards that are always there, beside those that documents declare: what each holds, and how to proceed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.kinds.guard.spec import GuardSpec, Level
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.resource import Resource, ResourceKey, Source

SOURCE = Source("built-in", 0, 0)
BUILT_IN_ANNOTATION = "groundstate/built-in"


class BuiltInGuard(msgspec.Struct, frozen=True):
    """One of them."""

    name: HoldName
    holds: str
    """What it holds, and when: a sentence."""
    overridden: str | None = None
    """What happens while an override lifts it. None: no override does, as what it protects is lost for good, or cannot
    work."""
    instead: str = ""
    """How to proceed where no override lifts it."""
    limits: tuple[str, ...] = ()
    """The settings that limit it, as `GuardLimits` calls them."""
    narrow: bool = False
    """It is overridden for named or selected resources only."""
    only_held: bool = False
    """It is overridden only for resources that it holds: a person accepts what was observed, and nothing unseen."""

    @property
    def level(self) -> Level:
        """How binding it is, in the words of the kind."""
        return Level.MANDATORY if self.overridden is not None else Level.ABSOLUTE


_EVERY = (
    BuiltInGuard(
        HoldName.DISRUPTION_BUDGET,
        "Holds changes that would take down more machines of the fleet, or of one rack, at once than the limit.",
        "more machines of the fleet, or of one rack, are taken down at once than the limit",
        limits=("max_disrupted", "max_disrupted_per_rack"),
    ),
    BuiltInGuard(
        HoldName.MASS_REMOVAL,
        "Holds all changes if one commit removes more machines from git than the limit.",
        "more machines are removed from git than the limit",
        limits=("max_removed",),
    ),
    BuiltInGuard(
        HoldName.EMPTY_DESIRED_STATE,
        "Holds all changes if the repository declared machines before and now declares none, or nothing at all.",
        "the repository declared machines before, and now declares none, or nothing at all",
        limits=("allow_empty",),
    ),
    BuiltInGuard(
        HoldName.UNREACHABLE_FLEET,
        "Holds disruptive changes while more BMCs than the limit cannot be read.",
        "more BMCs than the limit cannot be read; disruptive changes continue nevertheless",
        limits=("max_unreachable",),
    ),
    BuiltInGuard(
        HoldName.MASS_RELEASE,
        "Holds the release of more addresses, numbers and networks than the limit.",
        "more addresses, numbers and networks are released than the limit",
        limits=("max_released",),
    ),
    BuiltInGuard(
        HoldName.MASS_UNCLAIM,
        "Holds the release of more claimed machines than the limit; a released machine is wiped.",
        "more claimed machines are released and wiped than the limit",
        limits=("max_released",),
    ),
    BuiltInGuard(
        HoldName.FIRST_SIGHT,
        "Holds a one-time boot override that may already have been executed, as the store has no record of it.",
        "a one-time boot override is sent although it may already have been executed",
        narrow=True,
    ),
    BuiltInGuard(
        HoldName.BOOT_SERVICE,
        "Holds network boots while no boot service runs.",
        instead="network boot needs the boot service; start `groundstate run --boot-address ADDR`",
    ),
    BuiltInGuard(
        HoldName.FIRST_LOOK,
        "Holds disruptive changes of a daemon that has not observed enough of the fleet since its start.",
        instead="the daemon has not observed the fleet yet; the change continues automatically after that",
    ),
    BuiltInGuard(
        HoldName.RUNNING,
        "Holds inspecting, installing, wiping and claiming a machine that is on, if groundstate did not power it on.",
        instead="power the machine off; see docs/reference/guards.md",
    ),
    BuiltInGuard(
        HoldName.ANOTHER_SYSTEM,
        "Holds all changes of a machine if its BMC reports another system than the system that was inspected.",
        instead="correct spec.bmc; if the mainboard was replaced, write the new UUID into spec.lifecycle.request",
    ),
    BuiltInGuard(
        HoldName.SYSTEM_IDENTITY,
        "Holds all changes of a machine whose BMC reports the system of another machine, another system at a new "
        "spec.bmc, or a wholly different system.",
        "the machine is managed as the system that its BMC reports now",
        narrow=True,
        only_held=True,
    ),
    BuiltInGuard(
        HoldName.TENANT_BEHIND,
        "Holds a switch port if another machine than the declared one seems to be there. A tenant could be cut off, "
        "or meet another tenant.",
        "the port is moved as the documents say, whichever machine is at the port",
        narrow=True,
    ),
    BuiltInGuard(
        HoldName.OTHER_TENANT,
        "Holds a switch port that would come into a VRF in which a port of another project's machine wrongly still is.",
        instead="the change continues automatically when the other port has left the VRF",
    ),
    BuiltInGuard(
        HoldName.OTHER_PORT,
        "Holds a switch port of a running machine, if the machine could have no other working port.",
        "the port is changed, and the running machine may be cut off",
        narrow=True,
    ),
    BuiltInGuard(
        HoldName.UNJUDGED,
        "Holds a change if the guards cannot judge it because of a bug in groundstate.",
        instead="the guards cannot count the effect of the change; report the bug, or change the document",
    ),
    BuiltInGuard(
        HoldName.PAUSED,
        "Holds all changes of resources that a pause covers.",
        instead="`groundstate resume` ends a pause; `groundstate get pauses` lists all pauses",
    ),
    BuiltInGuard(
        HoldName.OBSERVE_ONLY,
        "Holds all changes in a daemon that only observes (`run --observe`).",
        instead="stop the daemon, and start `groundstate run` without --observe",
    ),
    BuiltInGuard(
        HoldName.CLAIMED,
        "Holds the removal of a machine from the store while a claim has the machine.",
        instead="declare the machine until its claim has released the machine",
    ),
)

BUILT_IN_GUARDS: Mapping[str, BuiltInGuard] = {one.name: one for one in _EVERY}
"""By the name that holds and overrides use."""


def built_in_resource(key: ResourceKey) -> Resource[GuardSpec] | None:
    """The guard in the form of a document, to be shown; None for a key that is of no built-in guard."""
    found = BUILT_IN_GUARDS.get(key.name)
    if found is None:
        return None
    return Resource(
        key, GuardSpec(description=found.holds, level=found.level), {}, {BUILT_IN_ANNOTATION: "true"}, SOURCE
    )
