"""Worlds for property tests: what is declared, seen and remembered, and what a perfect fleet makes of actions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import msgspec
from hypothesis import strategies as st

from drivers.base import (
    About,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    ErrorReason,
    IndicatorLED,
    IntegerRange,
    IpamNetwork,
    Number,
    Pool,
    PowerState,
    Prefix,
    ResetType,
    SystemState,
)
from reconciler.kinds import nothing_remembered, record_action, remembered_of
from reconciler.kinds.catalogue.image import Classification, ImageSpec
from reconciler.kinds.catalogue.reservation import SizeReservationSpec
from reconciler.kinds.catalogue.size import Constraint, ConstraintType, SizeSpec
from reconciler.kinds.catalogue.tenancy import ProjectSpec, TenantQuotas, TenantSpec
from reconciler.kinds.claim.spec import ClaimState, MachineClaimSpec, SpreadBy, SpreadSpec, Toleration
from reconciler.kinds.common.fact_rules import Occasion
from reconciler.kinds.common.field_types.bmc_access import BmcSpec
from reconciler.kinds.common.field_types.fields import DeletionPolicy, Family, Quotas, Taint
from reconciler.kinds.common.machine_facts import (
    BootRequest,
    LifecycleFacts,
    all_machine_facts,
    as_machine_facts,
    machine_facts,
)
from reconciler.kinds.ipam.ipaddress import AddressState, AddressType, IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, NetworkType, PrefixLength, PrefixSpec, VrfSpec
from reconciler.kinds.ipam.pool import NumberSpec, NumberState, PoolSpec, PoolState
from reconciler.kinds.machine.lifecycle.virtual_media import media_inserting
from reconciler.kinds.machine.rules.machine_rules import ordered_boot
from reconciler.kinds.machine.spec import (
    BootSpec,
    Escalate,
    LifecycleSpec,
    MachineSpec,
    Mode,
    Pause,
    ShutdownSpec,
    once_order,
)
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget, SetValue
from reconciler.model.actions.bmc_actions import EjectMedia, InsertMedia, PowerOff, PowerOn, SetBoot, SetIndicator
from reconciler.model.actions.ipam_actions import (
    Acquire,
    AcquireNumber,
    AcquireVrf,
    DescribeAddress,
    DropNetwork,
    DropPool,
    PutNetwork,
    PutPool,
    Release,
    ReleaseNumber,
    ReleaseVrf,
    Transfer,
)
from reconciler.model.actions.record_actions import (
    AcceptSystem,
    Bind,
    Claim,
    Free,
    PinImage,
    RecordAction,
    RecordLifecycle,
    Rename,
    RequestBoot,
    RetireGuard,
    Unclaim,
)
from reconciler.model.facts import Applied, Facts, Failure, ResourceFacts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.outcome import ActionFailure
from reconciler.model.plans.plan import Plan, PlanScope
from reconciler.model.resource import Commit, DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.model.values.boot_purpose import Purpose
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan, with_commits

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COMMIT = Commit("3f2a91c0de1122334455667788990011aabbccdd", "Ada", NOW - timedelta(hours=1), "Boot from disk")
REVISION = Revision(COMMIT.sha, "main", "git@git.example:fleet.git", COMMIT)
LIMITS = GuardLimits()
NOTHING = Plan(revision=REVISION, planned_at=NOW, observed_at=None, scope=PlanScope(0, 0, {}, {}), changes=())


class World(msgspec.Struct, frozen=True):
    """The arguments of the plan function."""

    desired: DesiredState
    observed: dict[ResourceKey, Observation]
    facts: Facts


def desired(*resources: Resource[Any]) -> DesiredState:
    return DesiredState(REVISION, {resource.key: resource for resource in resources})


def resource(kind: str, name: str, spec: Any) -> Resource[Any]:
    return Resource(ResourceKey(kind, name), spec, {}, {}, Source(f"{name}.yaml"))


def machine(name: str, **spec: Any) -> Resource[MachineSpec]:
    return resource("Machine", name, MachineSpec(partition="p", bmc=BmcSpec(address=f"{name}.bmc"), **spec))


def seen(key: ResourceKey, value: Any) -> Observation:
    return Observation(key, NOW - timedelta(seconds=12), value)


def unreachable(key: ResourceKey) -> Observation:
    return Observation(key, NOW, error=ReadError(ErrorReason.UNREACHABLE, "connection refused"))


def planned(world: World, limits: GuardLimits = LIMITS) -> Plan:
    return plan(world.desired, world.observed, world.facts, NOW, Standing(limits, "10.0.0.1"))


# -- what can be declared and seen ---------------------------------------------------------------------------------

boots = st.one_of(
    st.builds(
        BootSpec,
        target=st.sampled_from([BootTarget.PXE, BootTarget.HDD]),
        enabled=st.sampled_from([BootEnabled.ONCE, BootEnabled.CONTINUOUS]),
        mode=st.sampled_from([None, "UEFI", "Legacy"]),
    ),
    st.just(BootSpec(enabled=BootEnabled.DISABLED)),
)
machine_specs = st.builds(
    MachineSpec,
    partition=st.just("p"),
    bmc=st.just(BmcSpec(address="bmc")),
    power=st.sampled_from([None, "On", "Off"]),
    boot=st.none() | boots,
    indicator_led=st.sampled_from([None, "Lit", "Off"]),
    shutdown=st.sampled_from([ShutdownSpec(), ShutdownSpec(escalate=Escalate.FORCE)]),
    maintenance=st.sampled_from([None, None, None, Pause(reason="fan swap")]),
    suspend=st.sampled_from([None, None, None, Pause(reason="vendor")]),
    project=st.sampled_from([None, None, "shop", "ware"]),
    image=st.sampled_from([None, "debian-12", "debian-12.0.1", "debian-11"]),
    size=st.sampled_from([None, "c1"]),
    taints=st.sampled_from([(), (), (Taint(key="burn-in"),)]),
)
managed_specs = st.builds(
    MachineSpec,
    partition=st.sampled_from(["p", "p", "q"]),
    rack=st.sampled_from([None, "r1", "r2", "r3"]),
    bmc=st.just(BmcSpec(address="bmc")),
    size=st.sampled_from([None, "c1", "c1"]),
    lifecycle=st.sampled_from([LifecycleSpec(mode=Mode.MANAGED)] * 3 + [LifecycleSpec(mode=Mode.OBSERVE)]),
    cordon=st.sampled_from([None, None, None, Pause(reason="to be sold")]),
    taints=st.sampled_from([(), (), (), (Taint(key="burn-in"),)]),
)
overrides = st.builds(
    BootOverride,
    target=st.sampled_from([BootTarget.NONE, BootTarget.PXE]),
    enabled=st.sampled_from(list(BootEnabled)),
    mode=st.sampled_from([None, BootMode.UEFI, BootMode.LEGACY]),
)
systems = st.builds(
    SystemState,
    power=st.sampled_from([PowerState.ON, PowerState.OFF, PowerState.ON, PowerState.POWERING_OFF, None]),
    boot=st.none() | overrides,
    indicator=st.sampled_from([None, IndicatorLED.OFF, IndicatorLED.LIT]),
    allowed_resets=st.sampled_from([None, (ResetType.ON, ResetType.FORCE_OFF), (ResetType.GRACEFUL_SHUTDOWN,)]),
    allowed_boot_targets=st.sampled_from([None, (BootTarget.HDD, BootTarget.NONE)]),
)
network_specs = st.builds(
    NetworkSpec,
    prefixes=st.sampled_from(
        [(PrefixSpec(cidr="10.0.0.0/24", gateway="10.0.0.1"),), (PrefixSpec(cidr="10.1.0.0/24"),)]
    ),
    type=st.sampled_from([NetworkType.PRIVATE, NetworkType.SHARED, NetworkType.EXTERNAL]),
    vrf=st.sampled_from([None, VrfSpec(pool="vrfs"), VrfSpec(pool="vrfs", number=7), VrfSpec(network="net1")]),
) | st.sampled_from(
    [
        NetworkSpec(
            type=NetworkType.SUPER,
            prefixes=(PrefixSpec(cidr="10.1.0.0/16"),),
            child_prefix_length=PrefixLength(ipv4=24),
        ),
        NetworkSpec(parent="net1", project="shop"),
        NetworkSpec(parent="net1", project="shop", prefix_length=PrefixLength(ipv4=26)),
    ]
)
networks = st.builds(
    NetworkState,
    st.sampled_from(
        [
            None,
            IpamNetwork((Prefix("10.1.0.0/24"),)),
            IpamNetwork((Prefix("10.1.0.0/24"),), shared=True),
            IpamNetwork((Prefix("10.1.0.0/16"),), container=True),
            IpamNetwork((Prefix("10.1.4.0/24"),), parent="net1", project="shop"),
        ]
    ),
    st.sampled_from([None, Number("Network/net1", "vrfs", 7)]),
)
address_specs = st.builds(
    IPAddressSpec,
    network=st.sampled_from(["net1", "net2"]),
    address=st.sampled_from([None, "10.1.0.9"]),
    family=st.none(),
    type=st.sampled_from(AddressType),
    machine=st.sampled_from([None, "r00-00", "no-such"]),
) | st.just(IPAddressSpec(network="net1", family=Family.IPV4))
addresses = st.sampled_from(
    [
        AddressState(),
        AddressState("net1", "10.1.0.7", About(ephemeral=True)),
        AddressState("net1", "10.1.0.7"),
        AddressState("net2", "10.1.0.9", About(project="shop")),
    ]
)
pool_specs = st.builds(PoolSpec, ranges=st.sampled_from([("1-9",), ("1-4", "6")]))
pools = st.builds(PoolState, st.sampled_from([None, Pool((IntegerRange(1, 9),), 1), Pool((IntegerRange(1, 9),), 9)]))
number_specs = st.builds(NumberSpec, pool=st.just("vrfs"), number=st.sampled_from([None, 3]))
numbers = st.sampled_from([NumberState(), NumberState("vrfs", 3, True), NumberState("asns", 5)])

claim_specs = st.builds(
    MachineClaimSpec,
    project=st.sampled_from(["shop", "ware"]),
    partitions=st.sampled_from([("p",), ("p", "q"), ("q", "p")]),
    size=st.sampled_from(["c1", "c1", None]),
    count=st.integers(0, 5),
    partial=st.booleans(),
    image=st.sampled_from(["debian-12", "debian-12.0.1", "debian-11"]),
    spread=st.sampled_from([SpreadSpec(), SpreadSpec(by=SpreadBy.NONE), SpreadSpec(labels={"role": "web"})]),
    tolerations=st.sampled_from([(), (Toleration(key="burn-in"),)]),
)

KINDS = {
    "MachineClaim": (claim_specs, st.just(ClaimState()), ["db", "web", "zoo"]),
    "Machine": (machine_specs | managed_specs, systems, [f"r{i // 10:02d}-{i % 10:02d}" for i in range(30)]),
    "Pool": (pool_specs, pools, ["vrfs", "asns"]),
    "Network": (network_specs, networks, ["net1", "net2"]),
    "IPAddress": (address_specs, addresses, ["vip1", "vip2", "vip3"]),
    "Number": (number_specs, numbers, ["n1", "n2"]),
}


@st.composite
def remembered(draw: st.DrawFn, kind: str) -> ResourceFacts:
    path = draw(st.sampled_from(["spec.power", "spec.boot", "spec.indicatorLED", "spec.address", "spec.prefixes"]))
    of_machine = {
        "disrupted_at": draw(st.sampled_from([None, None, NOW - timedelta(minutes=9), NOW - timedelta(days=1)])),
        "shutdown_ignored": draw(st.sampled_from([None, None, NOW - timedelta(minutes=1)])),
        "project": draw(st.sampled_from([None, None, "shop", "ware"])),
        "image": draw(st.sampled_from([None, None, "debian-12.0.1", "debian-11.0.1"])),
    }
    return msgspec.structs.replace(
        nothing_remembered(ResourceKey(kind, "")),
        applied=draw(st.sampled_from([None, Applied({"spec.power": "On", "spec.indicatorLED": "Off"}, "old", NOW)])),
        drift=draw(st.sampled_from([{}, {"spec.power": NOW - timedelta(hours=2)}])),
        failures=draw(
            st.sampled_from([{}, {path: Failure(ActionFailure.REJECTED, "400", NOW, True, 1, "some print")}])
        ),
        deletion_policy=draw(st.sampled_from([None, *DeletionPolicy])),
        **(of_machine if kind == "Machine" else {}),
    )


def image(name: str, **spec: Any) -> Resource[ImageSpec]:
    os, _, version = name.rpartition("-")
    root = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
    return resource("Image", name, msgspec.convert({"os": os, "version": version, "root": root, **spec}, ImageSpec))


def reserved(project: str, amount: int, name: str = "", partition: str = "p") -> Resource[SizeReservationSpec]:
    spec = SizeReservationSpec(size="c1", project=project, amount=amount, partitions=(partition,))
    return resource("SizeReservation", name or project, spec)


limits = st.sampled_from([None, 0, 1, 3])


@st.composite
def catalogues(draw: st.DrawFn) -> list[Resource[Any]]:
    """Who may have how much, and what there is to have."""
    quotas = TenantQuotas(machines=draw(limits), addresses=draw(limits), networks=draw(limits))
    ranges = [Constraint(type=ConstraintType(name), min=1, max=8) for name in ("cores", "memory")]
    return [
        resource("Tenant", "acme", TenantSpec(quotas=quotas, project_quotas=Quotas(machines=draw(limits)))),
        resource("Project", "shop", ProjectSpec(tenant="acme", quotas=Quotas(machines=draw(limits)))),
        resource("Project", "ware", ProjectSpec(tenant="acme")),
        resource(
            "Size", "c1", SizeSpec(constraints=tuple(ranges), images={"debian": draw(st.sampled_from(["*", "11"]))})
        ),
        reserved("ware", draw(st.integers(1, 4))),
        image("debian-12.0.1", classification=draw(st.sampled_from(Classification))),
        image("debian-11.0.1", expires=draw(st.sampled_from(["2026-03-01", "2026-02-28"]))),
    ]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Anything: declared or gone, seen, unreadable or not looked at, remembered or new."""
    resources = {one.key: one for one in draw(catalogues())} if draw(st.booleans()) else {}
    observed, facts = {}, {}
    for kind, (specs, states, names) in KINDS.items():
        for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=12)):
            key = ResourceKey(kind, name)
            known = draw(st.booleans())
            if known:
                facts[key] = draw(remembered(kind))
            if not known or draw(st.booleans()):
                resources[key] = resource(kind, name, draw(specs))
            view = draw(st.sampled_from(["seen", "seen", "seen", "unreadable", "not yet"]))
            if view == "seen":
                observed[key] = seen(key, draw(states))
            elif view == "unreadable":
                observed[key] = unreachable(key)
    return World(DesiredState(REVISION, resources), observed, Facts(draw(lived(facts)), {}))


@st.composite
def lived(draw: st.DrawFn, facts: dict[ResourceKey, ResourceFacts]) -> dict[ResourceKey, ResourceFacts]:
    """The facts, some of the machines inspected, some claims'; no slot has two."""
    slots = iter(draw(st.permutations([(claim, slot) for claim in ("db", "web", "gone") for slot in range(4)])))
    found = dict(facts)
    for key in all_machine_facts(facts):
        match draw(st.sampled_from(["new", "inspected", "inspected", "in order", "claimed", "leaving"])):
            case "inspected":
                lifecycle = LifecycleFacts(inspected_at=NOW)
            case "in order":
                lifecycle = LifecycleFacts(inspected_at=NOW, boot_request=BootRequest("1-1", Purpose.INSPECT, NOW))
            case "claimed" | "leaving" as word:
                claim, slot = next(slots, (None, None))
                leaving = NOW if word == "leaving" and claim else None
                lifecycle = LifecycleFacts(
                    inspected_at=NOW, claim=claim, slot=slot, claimed_at=NOW, releasing_at=leaving
                )
            case _:
                continue
        project = draw(st.sampled_from(["shop", "ware"])) if lifecycle.claim else machine_facts(facts, key).project
        found[key] = msgspec.structs.replace(facts[key], lifecycle=lifecycle, project=project)
    return found


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    world = draw(worlds())
    found = planned(world)
    return with_commits(found, dict.fromkeys(world.desired.resources, COMMIT))


# -- a perfect fleet -------------------------------------------------------------------------------------------------


def carried_out(action: Action, world: World) -> World:
    """The world once a perfect fleet has done the action and it was seen and confirmed."""
    key = action.key
    facts = remembered_of(world.facts.resources, key)
    if isinstance(action, Forget):
        rest = {k: f for k, f in world.facts.resources.items() if k != key}
        return msgspec.structs.replace(world, facts=Facts(rest, {}))
    if isinstance(action, RecordAction):
        noted = record_action(action, world.facts.resources, Occasion(NOW, "1-1"))
        return msgspec.structs.replace(world, facts=Facts({**world.facts.resources, **noted.facts}, {}))
    value, facts = _effect(action, world.observed[key].value, facts, world.desired)
    observed = world.observed | {key: seen(key, value)}
    return World(world.desired, observed, Facts({**world.facts.resources, key: facts}, {}))


def _effect(action: Action, value: Any, facts: ResourceFacts, wanted: DesiredState) -> tuple[Any, ResourceFacts]:
    replace = msgspec.structs.replace
    match action:
        case PowerOn():
            return replace(value, power=PowerState.ON), replace(facts, disrupted_at=None, shutdown_ignored=None)
        case PowerOff():
            return replace(value, power=PowerState.OFF), replace(facts, disrupted_at=NOW)
        case SetIndicator(led=led):
            return replace(value, indicator=led), facts
        case SetBoot(override=override):
            boot = ordered_boot(wanted.resources[action.key], as_machine_facts(facts), value)
            kept = override if override.mode else replace(override, mode=value.boot.mode)
            done = once_order(boot) if boot and override.enabled is BootEnabled.ONCE else None
            return replace(value, boot=kept), replace(facts, once_done=done)
        case InsertMedia(url=url):
            return replace(value, media=(url,)), replace(
                facts, lifecycle=media_inserting(as_machine_facts(facts).lifecycle, url)
            )
        case EjectMedia():
            return replace(value, media=()), facts
        case PutNetwork(network=network, lengths=lengths):
            chosen = tuple(Prefix(f"10.1.200.0/{length}") for _, length in lengths)
            made = replace(network, prefixes=(*network.prefixes, *chosen))
            return replace(value, network=made), facts
        case DropNetwork():
            return replace(value, network=None), facts
        case AcquireVrf(pool=pool, number=number):
            return replace(value, vrf=Number(str(action.key), pool, number or 2)), facts
        case ReleaseVrf():
            return replace(value, vrf=None), facts
        case Acquire(network=within, address=address, about=about):
            return AddressState(within, address or "10.1.0.2", about), facts
        case DescribeAddress(about=about):
            return replace(value, about=about), facts
        case Release():
            return AddressState(), facts
        case Transfer(address=address):
            return AddressState(value.network, address, value.about), facts
        case PutPool(ranges=ranges):
            return PoolState(Pool(ranges)), facts
        case DropPool():
            return PoolState(), facts
        case AcquireNumber(pool=pool, number=number, ephemeral=ephemeral):
            return NumberState(pool, number or 2, ephemeral), facts
        case ReleaseNumber():
            return NumberState(), facts
        case Forget():
            return value, facts
        case (
            Bind()
            | PinImage()
            | Rename()
            | Claim()
            | Unclaim()
            | RequestBoot()
            | RecordLifecycle()
            | AcceptSystem()
            | Free()
            | RetireGuard()
        ):
            raise AssertionError("it is done when it is written down")
        case SetValue():
            raise AssertionError("no kind of these worlds is changed by it")
        case _:
            assert_never(action)
