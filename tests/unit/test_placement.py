"""Which machines claims get, and why not the others."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import PowerState, ResetType, SystemState
from reconciler.kinds.catalogue.image import choose_image
from reconciler.kinds.catalogue.size import Constraint, ConstraintType, SizeSpec
from reconciler.kinds.catalogue.tenancy import ProjectSpec, TenantQuotas, TenantSpec
from reconciler.kinds.claim.spec import (
    ClaimState,
    MachineClaimSpec,
    SpreadBy,
    SpreadSpec,
    Toleration,
    TolerationOperator,
)
from reconciler.kinds.common.field_types.fields import Quotas, Taint
from reconciler.kinds.common.machine_facts import (
    NO_MACHINE_FACTS,
    BootRequest,
    LifecycleFacts,
    MachineFacts,
    all_machine_facts,
)
from reconciler.kinds.machine.spec import LifecycleSpec, Mode, Pause
from reconciler.model.actions.action_base import Disruption
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.actions.record_actions import Claim
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.plans.plan import HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose
from reconciler.placement.available import Available
from reconciler.placement.filters import CODES, PlacementFleet, Wanted, why_not
from reconciler.placement.machine_tally import MachineTally
from reconciler.placement.place import place_all
from reconciler.placement.placement_result import Placement, Placements
from reconciler.placement.reservations import Stock, shelf
from tests.unit.planning_worlds import (
    NOW,
    World,
    carried_out,
    desired,
    image,
    machine,
    planned,
    reserved,
    resource,
    seen,
    unreachable,
    worlds,
)

OFF = SystemState(power=PowerState.OFF)
MANAGED = LifecycleSpec(mode=Mode.MANAGED)
READY = MachineFacts(lifecycle=LifecycleFacts(inspected_at=NOW))
RANGES = tuple(Constraint(type=ConstraintType(name), min=1, max=8) for name in ("cores", "memory"))
CATALOGUE = (
    resource("Tenant", "acme", TenantSpec()),
    resource("Project", "shop", ProjectSpec(tenant="acme")),
    resource("Project", "ware", ProjectSpec(tenant="acme")),
    resource("Size", "c1", SizeSpec(constraints=RANGES, images={"debian": ">= 12"})),
    resource("Size", "old", SizeSpec(constraints=RANGES, images={"debian": "< 12"})),
    image("debian-12.0.1", classification="supported"),
)


def box(name: str, **spec: Any) -> Resource[Any]:
    return machine(name, **{"size": "c1", "lifecycle": MANAGED, **spec})


def claim(name: str = "web", **spec: Any) -> Resource[MachineClaimSpec]:
    given = {"project": "shop", "partitions": ("p",), "size": "c1", "image": "debian-12", **spec}
    return resource("MachineClaim", name, MachineClaimSpec(**given))


def of(claim: str, slot: int, project: str = "shop", *, leaving: bool = False) -> ResourceFacts:
    lifecycle = LifecycleFacts(
        inspected_at=NOW, claim=claim, slot=slot, claimed_at=NOW, releasing_at=NOW if leaving else None
    )
    return MachineFacts(project=project, lifecycle=lifecycle)


def world(*resources: Resource[Any], facts: Mapping[str, ResourceFacts] | None = None) -> World:
    """Every machine is off and inspected, but for what `facts` say of some."""
    state = desired(*CATALOGUE, *resources)
    machines = [one.key for one in state.of_kind("Machine")]
    remembered = {key: (facts or {}).get(key.name, READY) for key in machines}
    return World(state, {key: seen(key, OFF) for key in machines}, Facts(remembered, {}))


def placed(this: World) -> Placements:
    claims = [one.key.name for one in this.desired.of_kind("MachineClaim")]
    return place_all(this.desired, this.observed, this.facts, NOW, explain=claims)


def names(found: Placement) -> dict[int, str]:
    return {one.slot: one.machine for one in found.chosen}


def web(*resources: Resource[Any], facts: Mapping[str, ResourceFacts] | None = None) -> Placement:
    return placed(world(*resources, facts=facts))["web"]


# -- why not -----------------------------------------------------------------------------------------------------------

M = ResourceKey("Machine", "m1")
ON = seen(M, SystemState(power=PowerState.ON))
FLIGHT = InFlight("1-1", M, PowerOn(key=M, reset_type=ResetType.ON), NOW, NOW, "ada", "commit")


class Case(msgspec.Struct, kw_only=True):
    """A machine that would do but for one thing."""

    spec: dict[str, Any] = {}
    claim: dict[str, Any] = {}
    facts: ResourceFacts = READY
    look: Observation | None = seen(M, OFF)
    flying: bool = False
    said: str


def life(**facts: Any) -> ResourceFacts:
    return MachineFacts(lifecycle=LifecycleFacts(**{"inspected_at": NOW, **facts}))


CASES = {
    "partition": Case(spec={}, claim={"partitions": ("q",), "machines": ("m1",)}, said="in partition p"),
    "without": Case(claim={"without": ("m1",)}, said="excluded by spec.without"),
    "unmanaged": Case(spec={"lifecycle": LifecycleSpec(mode=Mode.OBSERVE)}, said="lifecycle.mode is not Managed"),
    "size": Case(spec={"size": None}, said="size unknown"),
    "labels": Case(claim={"selector": {"role": "web"}}, said="no label role"),
    "image": Case(
        spec={"size": "old"}, claim={"size": "old"}, said=("size old allows debian < 12, but not debian-12.0.1")
    ),
    "claimed": Case(facts=of("db", 2, leaving=True), said="MachineClaim/db, slot 2, being released"),
    "project": Case(facts=msgspec.structs.replace(READY, project="ware"), said="belongs to project ware"),
    "suspend": Case(spec={"suspend": Pause(reason="sold")}, said="suspend: sold"),
    "maintenance": Case(spec={"maintenance": Pause(reason="fan")}, said="maintenance: fan"),
    "cordon": Case(spec={"cordon": Pause(reason="to go")}, said="cordon: to go"),
    "taint": Case(spec={"taints": (Taint(key="gpu", value="a100"),)}, said="taint gpu=a100"),
    "uninspected": Case(facts=NO_MACHINE_FACTS, said="not inspected yet"),
    "trouble": Case(
        facts=life(failure=LifecycleFailure(LifecycleFailureReason.AGENT_SILENT, "nothing came", NOW)),
        said="AgentSilent: nothing came",
    ),
    "order": Case(facts=life(boot_request=BootRequest("1-1", Purpose.WIPE, NOW)), said="has a boot request to wipe"),
    "in-flight": Case(flying=True, said="power-on is in flight"),
    "unseen": Case(look=unreachable(M), said="Unreachable: connection refused"),
    "on": Case(look=ON, said="power is On"),
    "health": Case(
        look=seen(M, SystemState(power=PowerState.OFF, health="Critical")), said="BMC reports health Critical"
    ),
}


def judged(case: Case, *, named: bool = False) -> Placement:
    given = {**case.claim, **({"machines": ("m1",)} if named else {})}
    state = desired(*CATALOGUE, box("m1", **case.spec), claim(**given))
    observed = {M: case.look} if case.look is not None else {}
    return place_all(
        state, observed, Facts({M: case.facts}, {M: FLIGHT} if case.flying else {}), NOW, explain=("web",)
    )["web"]


def test_there_is_a_case_for_every_reason() -> None:
    assert CASES.keys() == CODES.keys()


@pytest.mark.parametrize("named", [False, True], ids=["any", "by name"])
@pytest.mark.parametrize("code", CASES)
def test_one_thing_keeps_a_machine_away_even_if_it_is_asked_for_by_name(code: str, named: bool) -> None:
    found = judged(CASES[code], named=named)
    [candidate] = found.candidates
    assert [reason.code for reason in candidate.reasons] == [code]
    assert CASES[code].said in candidate.reasons[0].message
    assert not found.chosen
    [hold] = found.holds
    assert (hold.kind, hold.by) == (HoldKind.GUARD, "placement")
    assert f"1 {CODES[code][0]}" in hold.reason


def test_a_machine_that_nobody_has_looked_at_is_not_given_away() -> None:
    found = judged(Case(look=None, said=""))
    assert [reason.message for reason in found.candidates[0].reasons] == ["not observed yet"]


def test_without_any_of_it_the_machine_is_given() -> None:
    assert names(judged(Case(said=""))) == {0: "m1"}


@pytest.mark.parametrize(
    ("toleration", "taken"),
    [
        (Toleration(key="gpu", value="a100"), True),
        (Toleration(key="gpu", operator=TolerationOperator.EXISTS), True),
        (Toleration(key="gpu", value="h100"), False),
        (Toleration(key="gpu"), False),
        (Toleration(key="burn-in", value="a100"), False),
    ],
)
def test_a_toleration_takes_a_taint_of_its_key_and_value(toleration: Toleration, taken: bool) -> None:
    tainted = box("m1", taints=(Taint(key="gpu", value="a100"),))
    assert bool(web(tainted, claim(tolerations=(toleration,))).chosen) is taken


def test_the_labels_of_a_size_and_those_of_the_inventory_count() -> None:
    size = msgspec.structs.replace(CATALOGUE[3], labels={"class": "small"})
    known = {"m1": msgspec.structs.replace(READY, labels={"groundstate/size": "c1", "aggregate/disks": "2"})}
    asked = claim(size=None, selector={"class": "small", "aggregate/disks": "2"})
    assert names(web(size, box("m1", size=None), asked, facts=known)) == {0: "m1"}


def test_no_document_gives_a_machine_the_size_of_its_inventory() -> None:
    labelled = msgspec.structs.replace(box("m1", size=None), labels={"groundstate/size": "c1"})
    assert names(web(labelled, claim(size="c1"))) == {}


# -- how many ----------------------------------------------------------------------------------------------------------


def boxes(*wanted: str, **spec: Any) -> list[Resource[Any]]:
    return [box(name, **spec) for name in wanted]


def test_all_or_nothing_unless_partial() -> None:
    two = boxes("m1", "m2")
    assert names(web(*two, claim(count=3))) == {}
    assert names(web(*two, claim(count=3, partial=True))) == {0: "m1", 1: "m2"}


def test_the_lowest_free_slots_are_filled() -> None:
    facts = {"m1": of("web", 1), "m2": of("web", 3)}
    assert names(web(*boxes("m1", "m2", "m3", "m4"), claim(count=4), facts=facts)) == {0: "m3", 2: "m4"}


def test_a_slot_is_not_filled_while_a_machine_is_on_its_way_out_of_it() -> None:
    fleet, facts = boxes("m1", "m2", "m3"), {"m1": of("web", 0, leaving=True)}
    found = web(*fleet, claim(count=2), facts=facts)
    assert not found.chosen
    assert [(hold.kind, hold.by) for hold in found.holds] == [(HoldKind.BLOCKED, "release")]
    assert names(web(*fleet, claim(count=2, partial=True), facts=facts)) == {1: "m2"}


def test_of_two_claims_the_first_by_name_comes_first_and_one_that_gets_nothing_takes_nothing() -> None:
    fleet = boxes("m1", "m2")
    found = placed(world(*fleet, claim("b", count=1), claim("a", count=2)))
    assert (names(found["a"]), names(found["b"])) == ({0: "m1", 1: "m2"}, {})
    assert [reason.message for reason in found["b"].candidates[0].reasons] == [
        "another claim, which is placed first, gets the machine"
    ]
    found = placed(world(*fleet, claim("b", count=1), claim("a", count=3)))
    assert (names(found["a"]), names(found["b"])) == ({}, {0: "m1"})


def test_machines_that_wait_to_be_bound_by_name_come_before_claims() -> None:
    quota = resource("Project", "shop", ProjectSpec(tenant="acme", quotas=Quotas(machines=1)))
    found = web(*boxes("m1"), quota, machine("z9", project="shop"), claim(count=1))
    assert not found.chosen
    assert [hold.by for hold in found.holds] == ["quota"]


def test_a_quota_counts_what_is_on_its_way_back() -> None:
    quota = resource("Project", "shop", ProjectSpec(tenant="acme", quotas=Quotas(machines=1)))
    found = web(*boxes("m1", "m2"), quota, claim(), facts={"m1": of("gone", 0, leaving=True)})
    said = "project shop has 1 machine (m1); the limit is 1 (spec.quotas.machines, shop.yaml:1)"
    assert [hold.reason for hold in found.holds] == [f"{said}; 1 more machine is requested"]


@pytest.mark.parametrize(("free", "given"), [(5, 0), (6, 1)])
def test_what_is_kept_back_for_others_is_not_given(free: int, given: int) -> None:
    """The strict rule: red reserves 5 and has none; blue reserves 1 and has 10; green has no reservation."""
    blue = {f"b{n}": of("blue", n, "blue") for n in range(10)}
    fleet = [*boxes(*blue), *boxes(*(f"m{n}" for n in range(free)))]
    kept = [reserved("red", 5), reserved("blue", 1)]
    assert len(web(*fleet, *kept, claim(), facts=blue).chosen) == given


def test_a_claim_takes_of_its_own_reservation() -> None:
    assert len(web(*boxes("m1", "m2"), reserved("shop", 2), reserved("ware", 1), claim(count=2)).chosen) == 2


def test_a_tainted_machine_that_is_tolerated_takes_nothing_from_a_reservation() -> None:
    tainted = box("m2", taints=(Taint(key="gpu"),))
    kept = web(box("m1"), tainted, reserved("ware", 1), claim(tolerations=(Toleration(key="gpu"),)))
    assert names(kept) == {0: "m2"}


# -- which -------------------------------------------------------------------------------------------------------------


def test_partitions_are_tried_in_the_order_given() -> None:
    there = msgspec.structs.replace(box("m2"), spec=msgspec.structs.replace(box("m2").spec, partition="q"))
    fleet = [*boxes("m1", "m3"), there]
    assert names(web(*fleet, claim(count=3, partitions=("q", "p")))) == {0: "m2", 1: "m1", 2: "m3"}


def racked(**racks: str) -> list[Resource[Any]]:
    return [box(name, rack=rack) for name, rack in racks.items()]


def test_machines_come_from_the_racks_in_which_the_project_has_the_fewest() -> None:
    fleet = racked(a1="a", a2="a", a3="a", b1="b", c1="c", c2="c")
    facts = {"a1": of("db", 0), "c1": of("other", 0, "ware")}
    found = web(*fleet, claim(count=4), facts=facts)
    assert list(names(found).values()) == ["b1", "c2", "a2", "a3"]
    assert found.chosen[0].rule == "rack b, one of 3 racks: 0 machines of project shop; first by name in that rack"


def test_spread_labels_are_stronger_than_the_project() -> None:
    """P is rack b, T is rack a: there is none in both, and the labels win."""
    fleet = racked(a1="a", a2="a", a3="a", b1="b", b2="b")
    facts = {"a1": of("x", 0), "a2": of("x", 1), "b1": of("db", 0)}
    db = claim("db", spread=SpreadSpec(labels={"app": "db"}))
    assert names(web(*fleet, db, claim(spread=SpreadSpec(labels={"app": "db"})), facts=facts)) == {0: "a3"}
    assert names(web(*fleet, db, claim(), facts=facts)) == {0: "b2"}


def test_without_spread_the_name_decides() -> None:
    fleet = racked(a1="a", a2="a", b1="b")
    assert list(names(web(*fleet, claim(count=2, spread=SpreadSpec(by=SpreadBy.NONE)))).values()) == ["a1", "a2"]


def test_machines_asked_for_by_name_are_the_only_ones_looked_at() -> None:
    found = web(*boxes("m1", "m2", "m3"), claim(size=None, machines=("m3", "m2"), count=1))
    assert names(found) == {0: "m2"}
    assert [one.machine for one in found.candidates] == ["m3", "m2"]


# -- always ------------------------------------------------------------------------------------------------------------


@st.composite
def crowded(draw: st.DrawFn) -> World:
    """Many claims and machines that would do, and limits that bite."""
    limit = st.sampled_from([None, 2, 4, 6])
    people = [
        resource("Tenant", "acme", TenantSpec(quotas=TenantQuotas(machines=draw(limit)))),
        *(
            resource("Project", name, ProjectSpec(tenant="acme", quotas=Quotas(machines=draw(limit))))
            for name in ("shop", "ware")
        ),
        *(reserved(name, amount) for name in ("shop", "ware") if (amount := draw(st.integers(0, 3)))),
    ]
    claims = [
        claim(
            name,
            project=draw(st.sampled_from(["shop", "ware"])),
            count=draw(st.integers(0, 5)),
            partial=draw(st.booleans()),
            size=draw(st.sampled_from(["c1", None])),
            tolerations=draw(st.sampled_from([(), (Toleration(key="t"),)])),
            spread=draw(st.sampled_from([SpreadSpec(), SpreadSpec(labels={"a": "b"}), SpreadSpec(by=SpreadBy.NONE)])),
        )
        for name in draw(st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, min_size=1))
    ]
    fleet = [
        box(
            f"m{n:02d}",
            rack=draw(st.sampled_from([None, "r1", "r2"])),
            size=draw(st.sampled_from(["c1", "c1", None])),
            taints=draw(st.sampled_from([(), (), (Taint(key="t"),)])),
        )
        for n in range(draw(st.integers(0, 12)))
    ]
    direct = [machine(f"x{n}", size="c1", project="shop") for n in range(draw(st.integers(0, 2)))]
    slots = draw(st.permutations([(name, slot) for name in ("a", "b", "z") for slot in range(4)]))
    facts = {}
    for one, (name, slot) in zip(fleet, slots, strict=False):
        if draw(st.integers(0, 3)) == 0:
            facts[one.key.name] = of(name, slot, draw(st.sampled_from(["shop", "ware"])), leaving=draw(st.booleans()))
    bound = {one.key.name: NO_MACHINE_FACTS for one in direct}
    this = world(*people, *claims, *fleet, *direct, facts={**facts, **bound})
    looks = {one.key: seen(one.key, ClaimState()) for one in claims}
    return msgspec.structs.replace(this, observed={**this.observed, **looks})


def _given(found: Placements) -> list[str]:
    return [one.machine for placement in found.values() for one in placement.chosen]


@settings(max_examples=200)
@given(worlds() | crowded())
def test_no_machine_is_chosen_twice_nor_one_with_a_reason_against_it(this: World) -> None:
    found = placed(this)
    assert max(Counter(_given(found)).values(), default=0) <= 1
    for placement in found.values():
        reasons = {one.machine: one.reasons for one in placement.candidates}
        assert all(not reasons[one.machine] for one in placement.chosen)
        slots = [one.slot for one in placement.chosen]
        assert set(slots) <= set(placement.lacks)
        assert len(set(slots)) == len(slots)
        spec = this.desired.resources[ResourceKey("MachineClaim", placement.claim)].spec
        assert spec.partial or len(slots) in (0, len(placement.lacks))
        assert bool(placement.chosen) != bool(placement.holds) or not placement.lacks


@given(worlds() | crowded(), st.integers(0, 2**32))
def test_the_order_of_things_does_not_matter(this: World, seed: int) -> None:
    order = random.Random(seed)

    def shuffled(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
        return dict(order.sample(list(mapping.items()), len(mapping)))

    state = DesiredState(this.desired.revision, shuffled(this.desired.resources))
    other = World(state, shuffled(this.observed), Facts(shuffled(this.facts.resources), {}))
    assert placed(other) == placed(this)


@settings(max_examples=200)
@given(worlds() | crowded())
def test_claims_one_by_one_get_what_all_get_together_and_never_more_than_a_quota(this: World) -> None:
    before = _machines_of(this)
    together = {c.key: c.actions for c in planned(this).changes if c.goes and isinstance(c.actions[0], Claim)}
    for key, actions in together.items():
        again = {c.key: c.actions for c in planned(this).changes}
        assert again[key] == actions
        this = carried_out(actions[0], this)
    has = _machines_of(this)
    for project in this.desired.of_kind("Project"):
        name = project.key.name
        quotas = [project.spec.quotas, this.desired.resources[ResourceKey("Tenant", "acme")].spec.project_quotas]
        most = next((one.machines for one in quotas if one is not None and one.machines is not None), None)
        assert most is None or has[name] <= max(most, before[name])
    tenant = this.desired.resources.get(ResourceKey("Tenant", "acme"))
    whole = tenant.spec.quotas if tenant is not None else None
    if isinstance(whole, TenantQuotas) and whole.machines is not None:
        assert sum(has.values()) <= max(whole.machines, sum(before.values()))


@given(worlds() | crowded())
def test_the_short_way_to_find_machines_agrees_with_the_reasons_that_are_told(this: World) -> None:
    fleet = PlacementFleet(this.desired, this.observed, this.facts)
    chosen = choose_image("debian-12", this.desired, NOW)
    for one in this.desired.of_kind("MachineClaim"):
        wanted = Wanted(one.spec, chosen if isinstance(chosen, Resource) else None)
        found = {name for names in Available(MachineTally(fleet)).matching(wanted).values() for name in names}
        machines = this.desired.of_kind("Machine")
        assert found == {machine.key.name for machine in machines if not why_not(machine, wanted, fleet)}


@given(worlds() | crowded())
def test_the_reasons_counted_by_class_are_the_first_of_each_machine(this: World) -> None:
    fleet = PlacementFleet(this.desired, this.observed, this.facts)
    machines = this.desired.of_kind("Machine")
    for one in this.desired.of_kind("MachineClaim"):
        wanted = Wanted(one.spec)
        there = [machine for machine in machines if machine.spec.partition in one.spec.partitions]
        firsts = Counter(next((r.code for r in why_not(machine, wanted, fleet)), None) for machine in there[1:])
        if not one.spec.machines:
            assert +MachineTally(fleet).why_not(wanted, but=there[:1]) == firsts


@given(worlds() | crowded())
def test_a_tally_that_was_brought_up_to_date_is_like_a_new_one(this: World) -> None:
    tally = MachineTally(PlacementFleet(this.desired, {}, Facts({}, {})))
    tally.refresh(this.observed, this.facts)
    new = MachineTally(PlacementFleet(this.desired, this.observed, this.facts))
    assert tally.free() == new.free()
    for one in this.desired.of_kind("MachineClaim"):
        assert +tally.why_not(Wanted(one.spec)) == +new.why_not(Wanted(one.spec))


@settings(max_examples=300)
@given(crowded())
def test_what_was_kept_back_before_is_kept_back_after(this: World) -> None:
    """As long as there is enough for all reservations, there is enough after every claim."""
    for change in planned(this).changes:
        before = shelf(("c1", "p"), this.desired, this.observed, this.facts).stock
        if change.goes and isinstance(change.actions[0], Claim):
            this = carried_out(change.actions[0], this)
            after = shelf(("c1", "p"), this.desired, this.observed, this.facts).stock
            assert after.free < 0 or before.free < _open(before) or after.free >= _open(after)


def _open(stock: Stock) -> int:
    return sum(map(stock.open, stock.reserved))


@given(crowded())
def test_a_claim_that_went_through_asks_for_nothing_more(this: World) -> None:
    for change in planned(this).changes:
        if change.goes and change.key.kind == "MachineClaim":
            this = carried_out(change.actions[0], this)
            rest = {one.key: one for one in planned(this).changes}.get(change.key)
            partial = this.desired.resources[change.key].spec.partial if change.source else False
            assert rest is None or rest.held_by or partial or change.disruption is not Disruption.NONE


def _machines_of(this: World) -> Counter[str]:
    """What counts: claimed machines, and those that are declared to be a project's and bound."""
    found: Counter[str] = Counter()
    for key, one in all_machine_facts(this.facts.resources).items():
        if one.project is None:
            continue
        declared = this.desired.resources.get(key)
        if one.lifecycle.claim is not None:
            found[one.project] += 1
        elif declared is not None and declared.spec.project is not None:
            found[declared.spec.project] += 1
    return found
