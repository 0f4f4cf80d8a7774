"""MachineClaim: machines of a size, or of some labels, for a project: placed, installed, kept, wiped. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta

from reconciler.kinds.catalogue.image import REFERENCE_PATTERN
from reconciler.kinds.common.consoles.ssh_keys import SshKey
from reconciler.kinds.common.field_types.fields import (
    Address,
    RenamedFrom,
    Spec,
    Taint,
    Text,
    names_of,
    reference_field,
)
from reconciler.kinds.common.kind import Implied, KindView
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, as_machine_facts, claim_of_facts
from reconciler.model.facts import ResourceFacts, grouped
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class TolerationOperator(StrEnum):
    """How the value of a toleration is compared."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class Toleration(Spec, frozen=True, kw_only=True):
    """A taint that the claim accepts."""

    key: Annotated[str, Meta(min_length=1, max_length=253, description="The name of the taint.")]
    operator: Annotated[
        TolerationOperator, Meta(description="Equal: only the same value is tolerated. Exists: any value.")
    ] = TolerationOperator.EQUAL
    value: Annotated[str, Meta(max_length=253, description="The taint's value.")] | None = None


class SpreadBy(StrEnum):
    """Whether a claim's machines are spread over racks."""

    RACK = "Rack"
    NONE = "None"


class SpreadSpec(Spec, frozen=True, kw_only=True):
    """How the machines of the claim are spread."""

    by: Annotated[
        SpreadBy,
        Meta(
            description=(
                "Rack: the claim gets machines from the racks in which the project has the fewest machines of "
                "this size. None: racks do not count."
            )
        ),
    ] = SpreadBy.RACK
    labels: Annotated[
        dict[str, str],
        Meta(
            description=(
                "Labels of the claim, for example `app: web`. Claims of the project with an equal label get "
                "machines in different racks, as far as possible."
            )
        ),
    ] = msgspec.field(default_factory=dict)


class ClaimConsole(StrEnum):
    """What the keys of a claim may do on the consoles of its machines."""

    WRITE = "Write"
    WATCH = "Watch"
    NONE = "None"


class ClaimNetwork(Spec, frozen=True, kw_only=True):
    """A network in which each machine has an address of each family."""

    network: Annotated[str, reference_field("Network", "The Network in which each machine gets addresses.")]
    addresses: Annotated[
        tuple[Address, ...],
        Meta(
            description=(
                "One address for each slot, in the order of the slots. For a family (IPv4 or IPv6) without "
                "addresses here, each machine gets the lowest free address."
            )
        ),
    ] = ()


class MachineClaimSpec(Spec, frozen=True, kw_only=True):
    """A number of machines for a project, with an operating system and addresses."""

    description: Annotated[Text, Meta(description="What the machines are for.")] | None = None
    project: Annotated[str, reference_field("Project", "The Project that gets the machines.")]
    partitions: Annotated[
        tuple[Annotated[str, reference_field("Partition", "A Partition from which the claim gets machines.")], ...],
        Meta(min_length=1, description="The Partitions from which the claim gets machines, in order of preference."),
    ]
    size: (
        Annotated[str, reference_field("Size", "The claim gets only machines of this Size. The default is all sizes.")]
        | None
    ) = None
    selector: Annotated[
        dict[str, str],
        Meta(description="The claim gets only machines with these labels. The labels of their Size count too."),
    ] = msgspec.field(default_factory=dict)
    machines: Annotated[
        tuple[Annotated[str, reference_field("Machine", "A Machine that the claim may have.")], ...],
        Meta(
            description="The claim gets only these machines; all other rules still apply. A machine of the claim "
            "that is not named is released and replaced. The default is all machines."
        ),
    ] = ()
    without: Annotated[
        tuple[Annotated[str, reference_field("Machine", "A Machine that the claim must not have.")], ...],
        Meta(
            description="Machines that the claim must not have. A machine of the claim that is named here is released "
            "and replaced."
        ),
    ] = ()
    count: Annotated[
        int, Meta(ge=0, le=1000, description="The number of machines. A lower number releases the highest slots.")
    ] = 1
    partial: Annotated[
        bool,
        Meta(
            description=(
                "true: the claim accepts fewer machines than `count`. false: the claim gets all machines or none."
            )
        ),
    ] = False
    image: Annotated[
        str,
        Meta(
            pattern=REFERENCE_PATTERN,
            max_length=253,
            description=(
                "The name of the Image. `debian-12` means the newest supported Image of debian 12; a machine "
                "keeps the Image that it got. A change reinstalls every machine of the claim."
            ),
            examples=["debian-12"],
        ),
    ]
    networks: Annotated[
        tuple[ClaimNetwork, ...],
        Meta(description="Networks in which each machine gets addresses. The default is none."),
    ] = ()
    hostname: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9{]([a-z0-9.{}-]*[a-z0-9}])?$",
            description=(
                "The host name of each machine. `{slot}` is replaced by the slot: the number of the machine "
                "within the claim, "
                "from 0. Host names must be unique within the project."
            ),
        ),
    ] = "{claim}-{slot}"
    ssh_keys: Annotated[tuple[SshKey, ...], Meta(description="Public SSH keys that may log in to the machines.")] = ()
    console: Annotated[
        ClaimConsole,
        Meta(
            description=(
                "What the keys in `sshKeys` may do on the serial consoles of the claim's machines: Write (read and "
                "type), Watch (read) or None. They may do it until the release of the machine begins."
            )
        ),
    ] = ClaimConsole.WRITE
    user_data: (
        Annotated[
            str, Meta(max_length=65536, description="cloud-init user data for the machines, or an Ignition config.")
        ]
        | None
    ) = None
    spread: Annotated[SpreadSpec, Meta(description="How the machines are spread over racks.")] = SpreadSpec()
    tolerations: Annotated[
        tuple[Toleration, ...],
        Meta(description="Taints that the claim tolerates. The default is none: only machines without taints."),
    ] = ()
    request: (
        Annotated[
            str,
            Meta(max_length=253, description=("Any text. To reinstall every machine of the claim, change the text.")),
        ]
        | None
    ) = None
    renamed_from: RenamedFrom | None = None

    @property
    def former(self) -> tuple[str, ...]:
        """The names that it had before."""
        return names_of(self.renamed_from)


class ClaimState(msgspec.Struct, frozen=True):
    """What is seen of a claim outside: nothing. Whose a machine is, is remembered of the machine."""


class ClaimedMachine(msgspec.Struct, frozen=True, order=True):
    """A machine that is a claim's, and in which slot. `leaving`: it is being released."""

    slot: int
    machine: str
    project: str | None = None
    releasing: bool = False


class OfClaim(msgspec.Struct, frozen=True):
    """What an address that a claim implies is for: a slot's address of a family (4 or 6) in a network."""

    claim: str
    slot: int
    network: str
    family: int

    @property
    def name(self) -> str:
        """The name of the IPAddress. A person's document cannot have it: names have no colon."""
        return f"{self.claim}:{self.slot}:{self.network}:{self.family}"

    def __str__(self) -> str:
        return f"MachineClaim/{self.claim}, slot {self.slot}"


_IMPLIED = re.compile(r"(?P<claim>[^:]+):(?P<slot>[0-9]+):(?P<network>[^:]+):(?P<family>[46])")


def of_claim(key: ResourceKey) -> OfClaim | None:
    """What the address is for, when a claim implies it; None for a declared address, and for other kinds."""
    found = _IMPLIED.fullmatch(key.name) if key.kind == "IPAddress" else None
    return OfClaim(found["claim"], int(found["slot"]), found["network"], int(found["family"])) if found else None


def implied_address(key: ResourceKey) -> Implied | None:
    """The claim whose address it is; None for a declared address, and for other kinds."""
    found = of_claim(key)
    return None if found is None else Implied(ResourceKey("MachineClaim", found.claim), str(found))


def display_key(key: ResourceKey) -> str:
    """The key as people see it: of an address that a claim implies, the claim with slot, network and family."""
    meant = of_claim(key)
    return str(key) if meant is None else f"{key} ({meant})"


def claim_of(desired: DesiredState, lifecycle: LifecycleFacts) -> Resource[MachineClaimSpec] | None:
    """The claim that has the machine, as declared now; None if unclaimed, and when the claim is gone from git."""
    key = claim_key(lifecycle)
    return desired.resources.get(key) if key is not None else None


def claim_key(lifecycle: LifecycleFacts) -> ResourceKey | None:
    """The claim whose machine it is, declared or not; None for a machine of no claim."""
    return ResourceKey("MachineClaim", lifecycle.claim) if lifecycle.claim is not None else None


def slot_addresses(desired: DesiredState, lifecycle: LifecycleFacts) -> list[ResourceKey]:
    """The addresses that its claim implies for the machine, in the order of the claim's networks. A machine that keeps
    a slot beyond the claim's count has those that each other slot has, as far as they are held."""
    claim = claim_of(desired, lifecycle)
    if claim is None:
        return []
    order = {one.network: index for index, one in enumerate(claim.spec.networks)}
    slot = lifecycle.slot or 0
    like = slot if slot < claim.spec.count else 0
    by_slot = desired.derived("addresses by slot", _by_slot).get((claim.key.name, like), [])
    meant = sorted((order.get(one.network, 0), key, one) for key, one in by_slot)
    return [ResourceKey(key.kind, msgspec.structs.replace(one, slot=slot).name) for _, key, one in meant]


def _by_slot(desired: DesiredState) -> dict[tuple[str, int], list[tuple[ResourceKey, OfClaim]]]:
    found: dict[tuple[str, int], list[tuple[ResourceKey, OfClaim]]] = {}
    for key in desired.resources:
        if (meant := of_claim(key)) is not None:
            found.setdefault((meant.claim, meant.slot), []).append((key, meant))
    return found


def all_holders(remembered: Mapping[ResourceKey, ResourceFacts]) -> dict[str, tuple[ClaimedMachine, ...]]:
    """The machines of every claim that has any, in order of slot."""
    return {claim: _in_order(held) for claim, held in grouped(remembered, claim_of_facts).items()}


def holders_of(claim: str, remembered: Mapping[ResourceKey, ResourceFacts]) -> tuple[ClaimedMachine, ...]:
    """The machines of one claim, in order of slot."""
    return _in_order(grouped(remembered, claim_of_facts).get(claim, {}))


def has_machines(claim: ResourceKey, remembered: Mapping[ResourceKey, ResourceFacts]) -> bool:
    """Whether this is a claim, declared or not, that has a machine."""
    return claim.kind == "MachineClaim" and claim.name in grouped(remembered, claim_of_facts)


def machines_of_claim(claim: str, view: KindView) -> tuple[ClaimedMachine, ...]:
    """The machines of one claim, in order of slot."""
    by_claim = view.once("facts by claim", lambda: grouped(view.remembered, claim_of_facts))
    return _in_order(by_claim.get(claim, {}))


def _in_order(held: Mapping[ResourceKey, ResourceFacts]) -> tuple[ClaimedMachine, ...]:
    machines = ((key, as_machine_facts(facts)) for key, facts in held.items())
    return tuple(sorted(_claimed_machine(key, facts) for key, facts in machines))


def _claimed_machine(key: ResourceKey, facts: MachineFacts) -> ClaimedMachine:
    lifecycle = facts.lifecycle
    return ClaimedMachine(lifecycle.slot or 0, key.name, facts.project, lifecycle.releasing_at is not None)


def surplus(spec: MachineClaimSpec, held: Iterable[ClaimedMachine]) -> tuple[ClaimedMachine, ...]:
    """Those to be released, in order of slot: which the claim is not to have, or does not name where it names its
    machines. And those that are too many without them."""
    live = [one for one in held if not one.releasing]
    return tuple(sorted({*(one for one in live if unwanted(spec, one.machine)), *too_many(spec, live)}))


def returning(claim: str, held: Iterable[ClaimedMachine], desired: DesiredState) -> list[ClaimedMachine]:
    """Those of the claim's machines that are being released, or are to be: git does not ask for them any more."""
    declared = desired.resources.get(ResourceKey("MachineClaim", claim))
    if declared is None:
        return list(held)
    held = list(held)
    return [*(one for one in held if one.releasing), *surplus(declared.spec, held)]


def unwanted(spec: MachineClaimSpec, machine: str) -> bool:
    """Whether the claim's document says that this machine is not to be its own."""
    return machine in spec.without or (bool(spec.machines) and machine not in spec.machines)


def too_many(spec: MachineClaimSpec, held: Iterable[ClaimedMachine]) -> tuple[ClaimedMachine, ...]:
    """Those of the machines that it may have which go for their number alone: the highest slots. A machine stays in
    its slot as long as there are not more than `count`, though the slot's number be beyond it."""
    wanted = sorted(one for one in held if not one.releasing and not unwanted(spec, one.machine))
    return tuple(wanted[spec.count :])


def lacking(count: int, held: Iterable[ClaimedMachine]) -> tuple[int, ...]:
    """The slots that are to be filled: the lowest without a machine, or with one that is being released."""
    there = {one.slot for one in held if not one.releasing}
    open_ = (slot for slot in range(count + len(there)) if slot not in there)
    return tuple(islice(open_, max(0, count - len(there))))


def tolerates(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Whether one of them takes the taint; no value and an empty one are the same, as in Kubernetes."""
    return any(
        one.key == taint.key and (one.operator is TolerationOperator.EXISTS or (one.value or "") == (taint.value or ""))
        for one in tolerations
    )


def host_name(hostname: str, claim: str, slot: int, machine: str = "") -> str:
    """The name that `spec.hostname` comes to for a slot."""
    values = {"claim": claim, "slot": str(slot), "machine": machine}
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), hostname)


def host_names(claim: Resource[MachineClaimSpec]) -> Iterator[str]:
    """The names of its machines, by slot."""
    return (host_name(claim.spec.hostname, claim.key.name, slot) for slot in range(claim.spec.count))
