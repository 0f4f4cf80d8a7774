"""The kinds of resources; the table KINDS has all that other folders need to know of a kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.base import SwitchState, SystemState, Unsupported
from reconciler.kinds.catalogue import aggregate, image, partition, reservation, size
from reconciler.kinds.catalogue.tenancy import ProjectSpec, TenantSpec
from reconciler.kinds.claim import claim_check
from reconciler.kinds.claim import spec as claim
from reconciler.kinds.claim.claim_columns import CLAIM_COLUMNS
from reconciler.kinds.claim.claim_fact_rules import ClaimFactRules
from reconciler.kinds.claim.renamed_from import olds_of, renamed_addresses, renamed_claims
from reconciler.kinds.claim.rules import ClaimRules, machines_given_up
from reconciler.kinds.common.access.access_rules import Access
from reconciler.kinds.common.column import spec_column
from reconciler.kinds.common.fact_rules import Occasion, Recorded
from reconciler.kinds.common.kind import BMC, IPAM, SWITCH, Implied, Kind
from reconciler.kinds.guard.check import check_guard
from reconciler.kinds.guard.guard_columns import GUARD_COLUMNS
from reconciler.kinds.guard.guard_fact_rules import GuardFactRules
from reconciler.kinds.guard.rules import GuardRules
from reconciler.kinds.guard.spec import GuardSpec
from reconciler.kinds.ipam import ipaddress, network, pool
from reconciler.kinds.ipam.allocation.allocation_order import ALLOCATION_TURNS
from reconciler.kinds.ipam.allocation.occupancy import is_held, leaks
from reconciler.kinds.ipam.allocation.rename_advice import advise_on_renames
from reconciler.kinds.ipam.ipam_columns import ADDRESS_COLUMNS, NETWORK_COLUMNS, NUMBER_COLUMNS, POOL_COLUMNS
from reconciler.kinds.ipam.ipam_fact_rules import AddressFactRules, IpamFactRules
from reconciler.kinds.ipam.ipam_metrics import NETWORK_ADDRESSES, POOL_NUMBERS
from reconciler.kinds.ipam.network_check import check_network
from reconciler.kinds.ipam.rules.ipaddress_rules import IPAddressRules
from reconciler.kinds.ipam.rules.network_rules import NetworkRules
from reconciler.kinds.ipam.rules.pool_rules import NumberRules, PoolRules
from reconciler.kinds.machine import spec as machine
from reconciler.kinds.machine.availability import machine_unavailable, machine_under_way
from reconciler.kinds.machine.claimed_machines import admit_claimed
from reconciler.kinds.machine.image_use import admit_images, advise_on_images
from reconciler.kinds.machine.lifecycle.machine_metrics import MACHINE_PHASES
from reconciler.kinds.machine.lifecycle.shown_phases import claim_shown, machine_shown
from reconciler.kinds.machine.lifecycle.system_identity import uuid_of
from reconciler.kinds.machine.machine_access import MACHINE_ACCESS
from reconciler.kinds.machine.machine_adoption import MACHINE_ADOPTION
from reconciler.kinds.machine.machine_columns import MACHINE_COLUMNS
from reconciler.kinds.machine.machine_conditions import machine_conditions
from reconciler.kinds.machine.rules.machine_fact_rules import MachineFactRules
from reconciler.kinds.machine.rules.machine_rules import MachineRules
from reconciler.kinds.sink.sink_check import check_sink
from reconciler.kinds.sink.sink_columns import SINK_COLUMNS, sink_conditions
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.kinds.switch import spec as switch
from reconciler.kinds.switch.cabling import machine_cabling, switch_cabling
from reconciler.kinds.switch.port_guards import LONGEST_AGE
from reconciler.kinds.switch.shown.port_outline import OUTLINED, port_outline
from reconciler.kinds.switch.shown.switch_columns import SWITCH_COLUMNS, switch_conditions
from reconciler.kinds.switch.switch_access import SWITCH_ACCESS
from reconciler.kinds.switch.switch_check import check_switch
from reconciler.kinds.switch.switch_facts import SwitchFactRules, machines_cut_off
from reconciler.kinds.switch.switch_rules import SwitchRules
from reconciler.model.actions.action import Action
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Tenant", "tenants", (), "A customer or department that owns projects.", TenantSpec),
        Kind(
            "Project",
            "projects",
            ("proj",),
            "A project of one tenant: owners, machines, addresses and quotas.",
            ProjectSpec,
            columns=(spec_column("tenant", "TENANT"),),
        ),
        Kind(
            "Partition",
            "partitions",
            ("part",),
            "A place with machines (such as a data centre), and the common settings of these machines.",
            partition.PartitionSpec,
            check=partition.check_partition,
            columns=(spec_column("place", "PLACE"),),
        ),
        Kind("Size", "sizes", (), "A class of machines, by their hardware.", size.SizeSpec, check=size.check_size),
        Kind(
            "Aggregate",
            "aggregates",
            ("agg",),
            "Numbers that groundstate computes from the inventory of each machine, for columns and selectors.",
            aggregate.AggregateSpec,
            check=aggregate.check_aggregate,
        ),
        Kind(
            "SizeReservation",
            "sizereservations",
            ("reservation", "reservations"),
            "Machines of a size that are reserved for a project.",
            reservation.SizeReservationSpec,
            check=reservation.check_reservation,
        ),
        Kind(
            "Image",
            "images",
            ("img",),
            "An operating system that can be written to a machine.",
            image.ImageSpec,
            check=image.check_image,
            columns=image.IMAGE_COLUMNS,
            admit=admit_images,
            advise=advise_on_images,
        ),
        Kind(
            "Pool",
            "pools",
            (),
            "Numbers that are allocated one by one: VRF ids, ASNs.",
            pool.PoolSpec,
            check=pool.check_pool,
            rules=PoolRules(),
            observed_type=pool.PoolState,
            backend=IPAM,
            absent=pool.PoolState(),
            columns=POOL_COLUMNS,
            believed=pool.PoolState.without_count,
            fact_rules=IpamFactRules(),
            levels=POOL_NUMBERS,
        ),
        Kind(
            "Network",
            "networks",
            ("net", "nets"),
            "One or more IP prefixes, from which addresses are allocated.",
            network.NetworkSpec,
            check=check_network,
            rules=NetworkRules(),
            observed_type=network.NetworkState,
            backend=IPAM,
            absent=network.NetworkState(),
            columns=NETWORK_COLUMNS,
            kept=network.NetworkState.without_usage,
            levels=NETWORK_ADDRESSES,
            is_held=is_held,
            leaks=leaks,
            fact_rules=IpamFactRules(),
            turns=ALLOCATION_TURNS,
        ),
        Kind(
            "IPAddress",
            "ipaddresses",
            ("ip", "ips"),
            "One IP address that is allocated from a Network.",
            ipaddress.IPAddressSpec,
            check=ipaddress.check_ipaddress,
            rules=IPAddressRules(),
            observed_type=ipaddress.AddressState,
            backend=IPAM,
            absent=ipaddress.AddressState(),
            columns=ADDRESS_COLUMNS,
            is_held=is_held,
            leaks=leaks,
            fact_rules=AddressFactRules(),
            former_names=olds_of,
            renamed=renamed_addresses,
            implied=claim.implied_address,
            advise=advise_on_renames,
            turns=ALLOCATION_TURNS,
        ),
        Kind(
            "Number",
            "numbers",
            ("num",),
            "One number that is allocated from a Pool.",
            pool.NumberSpec,
            rules=NumberRules(),
            observed_type=pool.NumberState,
            backend=IPAM,
            absent=pool.NumberState.of(None),
            columns=NUMBER_COLUMNS,
            is_held=is_held,
            leaks=leaks,
            fact_rules=IpamFactRules(),
            turns=ALLOCATION_TURNS,
        ),
        Kind(
            "Machine",
            "machines",
            ("m",),
            "A machine and its BMC: power, boot override, indicator LED, lifecycle.",
            machine.MachineSpec,
            check=machine.check_machine,
            rules=MachineRules(),
            observed_type=SystemState,
            backend=BMC,
            made=False,
            endpoint=machine.system_of_spec,
            lock=machine.bmc_of_spec,
            lock_name="BMC",
            endpoint_field="spec.bmc",
            refusal_is_final=True,
            in_fleet=True,
            joins=True,
            inventoried=True,
            size_of=machine.declared_size,
            columns=MACHINE_COLUMNS,
            shown=machine_shown,
            access=MACHINE_ACCESS,
            conditions=machine_conditions,
            fact_rules=MachineFactRules(),
            paused=machine.is_paused,
            adoption=MACHINE_ADOPTION,
            unavailable=machine_unavailable,
            uuid=uuid_of,
            under_way=machine_under_way,
            admit=admit_claimed,
            follows=switch.switches_at,
            compared=machine_cabling,
            counted=(MACHINE_PHASES,),
        ),
        Kind(
            "Switch",
            "switches",
            ("sw",),
            "A switch, and the machines that are cabled to its ports.",
            switch.SwitchSpec,
            check=check_switch,
            rules=SwitchRules(),
            observed_type=SwitchState,
            backend=SWITCH,
            made=False,
            endpoint=switch.switch_address,
            lock=switch.switch_address,
            lock_name="switch",
            endpoint_field="spec.address",
            refusal_is_final=True,
            access=SWITCH_ACCESS,
            columns=SWITCH_COLUMNS,
            conditions=switch_conditions,
            fact_rules=SwitchFactRules(),
            paused=switch.switch_paused,
            gives_up=machines_cut_off,
            follows=switch.machines_at,
            longest_resync=LONGEST_AGE.total_seconds() / 2,
            compared=switch_cabling,
            outline=port_outline,
            outlined=OUTLINED,
        ),
        Kind(
            "MachineClaim",
            "machineclaims",
            ("claim", "claims"),
            "A number of machines for a project: chosen, installed, and wiped after use.",
            claim.MachineClaimSpec,
            check=claim_check.check_claim,
            rules=ClaimRules(),
            observed_type=claim.ClaimState,
            absent=claim.ClaimState(),
            columns=CLAIM_COLUMNS,
            shown=claim_shown,
            renamed=renamed_claims,
            placed=True,
            joins=True,
            fact_rules=ClaimFactRules(),
            gives_up=machines_given_up,
        ),
        Kind(
            "Guard",
            "guards",
            (),
            "A rule for changes: which are allowed, when, and how many at once.",
            GuardSpec,
            check=check_guard,
            rules=GuardRules(),
            fact_rules=GuardFactRules(),
            is_guard=True,
            columns=GUARD_COLUMNS,
        ),
        Kind(
            "EventSink",
            "eventsinks",
            ("sink", "sinks"),
            "A receiver of events: an HTTP receiver (webhook), or a stream of NATS JetStream.",
            EventSinkSpec,
            check=check_sink,
            columns=SINK_COLUMNS,
            delivery_conditions=sink_conditions,
        ),
    )
}
"""In the order in which things depend on each other."""

RECONCILED = tuple(name for name, kind in KINDS.items() if kind.rules is not None)
PLACED = tuple(name for name, kind in KINDS.items() if kind.placed)
"""The kinds that get resources of another kind."""
FLEET = tuple(name for name, kind in KINDS.items() if kind.in_fleet)
"""The kinds that guards count."""
BUDGETED = tuple(name for name, kind in KINDS.items() if kind.in_fleet or kind.endpoint is not None)
"""The kinds that the budget of a guard counts: the fleet, and others with endpoints if the guard names them."""
INVENTORIED = tuple(name for name, kind in KINDS.items() if kind.inventoried)
"""The kinds whose parts are read and kept."""
SIZED = tuple(name for name, kind in KINDS.items() if kind.inventoried and kind.size_of is not None)
"""The kinds of which each resource has a Size by its inventory."""
PLACEABLE = tuple(name for name, kind in KINDS.items() if kind.fact_rules.takes_slots)
"""The kinds whose resources placement gives to others."""
RESTARTED = tuple(name for name, kind in KINDS.items() if kind.fact_rules.takes_restarts)
"""The kinds of which a person can ask for a restart."""
DELIVERED_TO = tuple(name for name, kind in KINDS.items() if kind.delivery_conditions is not None)
"""The kinds whose resources are sent events."""
ADOPTED = tuple(name for name, kind in KINDS.items() if kind.adoption is not None)
"""The kinds of which some are only observed, until they are adopted."""


def access_to(resource: Resource[Any], desired: DesiredState) -> Access:
    """How its endpoint is reached. Raises Unsupported for a kind whose endpoints have no driver of the documents."""
    rules = KINDS[resource.key.kind].access
    if rules is None:
        raise Unsupported(
            f"internal error: {resource.key} was sent to a driver, but this kind has no BMC or other endpoint; "
            "report this bug"
        )
    return rules.access_of(resource.spec, desired)


def is_made(key: ResourceKey) -> bool:
    """Whether groundstate makes it, as an address, instead of finding it, as a machine; so is what is not known."""
    return key.kind not in KINDS or KINDS[key.kind].made


_NOTHING = {name: kind.facts() for name, kind in KINDS.items() if kind.facts is not None}


def longest_resync(key: ResourceKey) -> float | None:
    """The longest time between two observations of the resource, in seconds; None: this is left to the settings."""
    return KINDS[key.kind].longest_resync if key.kind in KINDS else None


def remembered_of(facts: Mapping[ResourceKey, ResourceFacts], key: ResourceKey) -> ResourceFacts:
    """What is remembered of one resource, as its kind's own facts; empty ones where nothing is."""
    found = facts.get(key)
    return found if found is not None else nothing_remembered(key)


def nothing_remembered(key: ResourceKey) -> ResourceFacts:
    """The facts of a resource of which nothing is remembered, as its kind's own."""
    return _NOTHING.get(key.kind, NO_FACTS)


def record_action(action: Action, facts: Mapping[ResourceKey, ResourceFacts], occasion: Occasion) -> Recorded:
    """What is remembered when an action is done that is done by writing it down."""
    return KINDS[action.key.kind].fact_rules.record(action, facts, occasion)


def shown_key(key: ResourceKey) -> str:
    """The key as people see it: of what another resource implies, with what it is for."""
    meant = implied(key)
    return str(key) if meant is None else f"{key} ({meant.words})"


def implied(key: ResourceKey) -> Implied | None:
    """What implies the resource; None for one that has a document of its own."""
    return KINDS[key.kind].implied(key) if key.kind in KINDS else None


def find_kind(word: str) -> Kind | None:
    """The kind that a person means: by name, plural or short name, in any case."""
    wanted = word.lower()
    for kind in KINDS.values():
        if wanted in (kind.name.lower(), kind.plural, *kind.short):
            return kind
    return None
