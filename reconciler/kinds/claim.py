"""MachineClaim: machines of a size, or of some labels, for a project: placed, installed, kept, wiped. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from reconciler.kinds.fields import Address, PartitionRef, ProjectRef, Spec, Text, reference
from reconciler.kinds.image import REFERENCE_PATTERN
from reconciler.kinds.kind import Place
from reconciler.kinds.machine import ShutdownSpec
from reconciler.model.resource import Resource

Word = Annotated[str, Meta(min_length=1, max_length=253)]


class TolerationOperator(StrEnum):
    """How a toleration's value is compared."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class Toleration(Spec, frozen=True, kw_only=True):
    """A taint that does not keep the claim away."""

    key: Annotated[str, Meta(min_length=1, max_length=253, description="The taint's name.")]
    operator: Annotated[TolerationOperator, Meta(description="Exists: whatever its value.")] = TolerationOperator.EQUAL
    value: Annotated[str, Meta(max_length=253, description="The taint's value.")] | None = None


class SpreadBy(StrEnum):
    """Over what machines are spread."""

    RACK = "Rack"
    NONE = "None"


class SpreadSpec(Spec, frozen=True, kw_only=True):
    """How the machines lie to each other."""

    by: Annotated[
        SpreadBy, Meta(description="Rack: the racks in which the project has the fewest machines of the size go first.")
    ] = SpreadBy.RACK
    labels: Annotated[
        dict[str, str],
        Meta(description="Machines of claims with the same labels here are kept apart before all others."),
    ] = msgspec.field(default_factory=dict)


class ClaimNetwork(Spec, frozen=True, kw_only=True):
    """A network in which each machine has an address of each family."""

    network: Annotated[str, reference("Network", "The Network.")]
    addresses: Annotated[
        tuple[Address, ...],
        Meta(description="Addresses to use instead of any free ones: one for each machine, in order."),
    ] = ()


class MachineClaimSpec(Spec, frozen=True, kw_only=True):
    """So many machines for a project, with an operating system and addresses on them."""

    description: Annotated[Text, Meta(description="What they are for.")] | None = None
    project: ProjectRef
    partitions: Annotated[
        tuple[PartitionRef, ...], Meta(min_length=1, description="Where they may stand, the first choice first.")
    ]
    size: Annotated[str, reference("Size", "The Size that they have.")] | None = None
    selector: Annotated[
        dict[str, str], Meta(description="Labels that they have, those of their size and of aggregates among them.")
    ] = msgspec.field(default_factory=dict)
    machines: Annotated[
        tuple[Annotated[str, reference("Machine", "A Machine.")], ...],
        Meta(description="Only these; the rules for machines hold for them as for others."),
    ] = ()
    count: Annotated[int, Meta(ge=0, le=1000, description="How many; fewer than before gives back the last.")] = 1
    partial: Annotated[
        bool, Meta(description="Take what there is; without it there are all of them, or none is given.")
    ] = False
    image: Annotated[
        str,
        Meta(
            pattern=REFERENCE_PATTERN,
            max_length=253,
            description="The Image: by its name, or `debian-12` for the newest supported one, which is then kept. "
            "Another image here is written to each machine anew.",
            examples=["debian-12"],
        ),
    ]
    networks: Annotated[tuple[ClaimNetwork, ...], Meta(description="Networks in which each has addresses.")] = ()
    hostname: Annotated[
        str,
        Meta(pattern=r"^[a-z0-9{]([a-z0-9.{}-]*[a-z0-9}])?$", description="`{slot}` is the machine's number, from 0."),
    ] = "{claim}-{slot}"
    ssh_keys: Annotated[tuple[Word, ...], Meta(description="Public SSH keys that may log in.")] = ()
    user_data: (
        Annotated[str, Meta(max_length=65536, description="cloud-init user data, or an Ignition config.")] | None
    ) = None
    spread: Annotated[SpreadSpec, Meta(description="How they lie to each other.")] = SpreadSpec()
    tolerations: Annotated[tuple[Toleration, ...], Meta(description="Taints that do not keep it away.")] = ()
    shutdown: Annotated[ShutdownSpec, Meta(description="How a machine is taken down when it is given back.")] = (
        ShutdownSpec()
    )
    request: (
        Annotated[str, Meta(max_length=253, description="Any word; changing it writes the image to each anew.")] | None
    ) = None


def check(resource: Resource[MachineClaimSpec]) -> list[Place]:
    """Rules of one MachineClaim that a schema cannot say."""
    spec, found = resource.spec, []
    if spec.size is None and not spec.selector and not spec.machines:
        hint = "add size, selector or machines"
        found.append(Place("claim-of-anything", "spec", "nothing says which machines are meant", hint))
    if spec.machines and len(spec.machines) < spec.count:
        what = f"{spec.count} are claimed of {len(spec.machines)} machines"
        found.append(Place("too-few-machines", "spec.machines", what, "name more machines, or lower count"))
    for index, one in enumerate(spec.networks):
        if one.addresses and len(one.addresses) < spec.count:
            what = f"{len(one.addresses)} addresses for {spec.count} machines"
            found.append(
                Place("too-few-addresses", f"spec.networks.{index}.addresses", what, "give one for each machine")
            )
    return found
