"""A claim, or an address, under a new name that says its old one: all that was its own goes on as the new one's.

hashicorp/terraform#18347, #33540, #27229: to git a rename is a removal and an addition. Terraform's `moved` says which
was meant; here `spec.renamedFrom` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.base import PowerState
from reconciler.kinds.common.machine_facts import Written
from reconciler.kinds.common.renamed_facts import former
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.model.actions.record_actions import Unclaim
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Done
from reconciler.model.plans.plan import CauseKind, Change
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.connections import Connections, Drivers
from reconciler.observed.ipam_backend import IpamBackend
from reconciler.observed.poller import Poller
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.planning.guards.fleet_survey import survey
from reconciler.planning.planner import plan
from reconciler.planning.universe import universe
from tests.loop.test_claims import WEB, addresses, fleet, inspected, renamed, whose
from tests.loop.world import World, declare

WWW = ResourceKey("MachineClaim", "www")
FRONT = ("Network", "front", {"prefixes": [{"cidr": "10.0.0.0/24"}]})


def claims(world: World) -> dict[str, str | None]:
    """Machine -> claim, of the claimed ones."""
    return {key.name: one.lifecycle.claim for key, one in world.machines().items() if one.lifecycle.claim is not None}


def given_out(world: World) -> dict[str, str]:
    """Owner -> address."""
    return {one.owner: one.address for one in world.ipam.list()}


def sent(world: World, *names: str) -> list[str]:
    """The actions that went out, of these words."""
    said = [event.message for event in world.events if event.reason == "ActionSent"]
    return [message for message in said if message.startswith(names)]


def planned(world: World) -> dict[ResourceKey, Change]:
    """What `groundstate plan` would show."""
    assert world.desired is not None
    drivers = Drivers(lambda _name: world.fleet, lambda _reference: None, world.ipam, world.pools)  # type: ignore[arg-type, return-value]
    poller = Poller(Connections(drivers, Path()), world.now)
    keys = universe(world.desired, Facts(world.facts(), {}))
    seen = {one.key: one for one in poller.observe_all(keys, world.desired, concurrency=1)}
    facts = Facts(with_changes(world.facts(), carried_over(world.desired, world.facts(), world.now())), {})
    found = plan(world.desired, seen, facts, world.now(), world.standing)
    return {change.key: change for change in found.changes}


def words(world: World) -> list[str]:
    """The actions of that, of all but machines."""
    changes = planned(world).items()
    return [action.name for key, change in changes if key.kind != "Machine" for action in change.actions]


def placed(tmp_path: Path, count: int = 2) -> tuple[World, DesiredState]:
    """A world in which `web` has machines, on which its image was written."""
    world = inspected(tmp_path, "m1", "m2", "m3", "m4")
    first = fleet(count, "m1", "m2", "m3", "m4")
    world.commit(first)
    world.run(60)
    facts = world.machines()
    for name in whose(world):
        key = ResourceKey("Machine", name)
        written = Written("debian-12.0.1", "sha256:" + "0" * 64, "web", world.now())
        lifecycle = msgspec.structs.replace(facts[key].lifecycle, written=written, phoned_home_at=world.now())
        world.store.put_facts({key: msgspec.structs.replace(facts[key], image="debian-12.0.1", lifecycle=lifecycle)})
        world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, power=PowerState.ON)
    world.restart()
    world.run(60)
    world.events.clear()
    return world, first


class TestClaims:
    """The claim's machines, their slots, what is on them, and their addresses."""

    @pytest.mark.parametrize("changed", [{}, {"image": "debian-12.0.1"}, {"hostname": "web-{slot}"}])
    def test_everything_goes_on_under_the_new_name_and_nothing_is_wiped_or_given_back(
        self, tmp_path: Path, changed: dict[str, Any]
    ) -> None:
        world, first = placed(tmp_path)
        slots, held = whose(world), given_out(world)
        before = len(world.events)
        world.commit(renamed(first, "www", "b", renamed_from="web", **changed))
        world.run(120)
        assert whose(world) == slots
        assert claims(world) == {"m1": "www", "m2": "www"}
        assert given_out(world) == {owner.replace("/web:", "/www:"): address for owner, address in held.items()}
        assert all(
            one.lifecycle.written is None or one.lifecycle.written.claim == "www" for one in world.machines().values()
        )
        assert WEB not in world.facts()
        assert not [
            one for one in world.events[before:] if one.reason in ("Releasing", "BootRequested", "DriftDetected")
        ]
        assert not sent(world, "power-off", "release")
        assert not planned(world)
        assert "IPAddress/web:0:front:4" not in addresses(world)
        assert world.ipam.check() == []

    def test_the_plan_says_it_and_the_ledger_says_because_of_what(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        world.commit(renamed(first, "www", "b", renamed_from="web"))
        changes = planned(world)
        assert WEB not in changes
        assert [action.name for action in changes[WWW].actions] == ["rename"]
        assert changes[WWW].goes
        slot = ResourceKey("IPAddress", "www:0:front:4")
        assert [action.name for action in changes[slot].actions] == ["transfer"]
        world.run(60)
        told = next(event for event in world.events if event.reason == "Renamed" and event.key == WWW)
        assert "renamed from MachineClaim/web; keeps m1, m2" in told.message
        assert "because of" in told.message
        assert "Renamed" in world.reasons("m1")

    def test_what_gets_another_name_does_not_count_as_released(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        world.commit(renamed(first, "www", "b", renamed_from="web"))
        held = IpamBackend(world.ipam, world.pools, world.now).holdings()
        seen = {key: Observation(key, world.now(), value) for key, value in held.items()}
        assert world.desired is not None
        fleet_seen = survey(world.desired, seen, Facts(world.facts(), {}))
        assert (fleet_seen.releasing, fleet_seen.returning) == (0, 0)

    def test_it_may_stand_there_for_good_and_a_restart_changes_nothing(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        state = renamed(first, "www", "b", renamed_from="web")
        world.commit(state)
        world.run(60)
        before, held, many = world.facts(), given_out(world), len(world.events)
        world.restart()
        world.run(900)
        assert world.facts().keys() == before.keys()
        assert given_out(world) == held
        assert not [event for event in world.events[many:] if event.reason in ("Renamed", "ActionSent")]

    @pytest.mark.parametrize("names", [("www", "site"), ("www",)])
    @pytest.mark.parametrize("between", [0.0, 60.0])
    def test_a_chain_of_names_comes_to_the_last_however_far_each_got(
        self, tmp_path: Path, names: tuple[str, ...], between: float
    ) -> None:
        world, first = placed(tmp_path)
        held = given_out(world)
        world.commit(renamed(first, "www", "b", renamed_from="web"))
        world.run(between)
        world.commit(renamed(first, "site", "c", renamed_from=names))
        world.run(120)
        assert set(claims(world).values()) == {"site"}
        assert given_out(world) == {owner.replace("/web:", "/site:"): address for owner, address in held.items()}
        assert not planned(world)

    def test_one_that_was_skipped_is_followed_by_the_list(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        held = given_out(world)
        world.commit(renamed(first, "site", "c", renamed_from=("web", "www")))
        world.run(120)
        assert set(claims(world).values()) == {"site"}
        assert given_out(world) == {owner.replace("/web:", "/site:"): address for owner, address in held.items()}

    def test_it_is_the_way_through_the_hold(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        held = given_out(world)
        world.commit(renamed(first, "www", "b"))
        world.run(300)
        hold = planned(world)[WEB].held_by[0]
        assert "set spec.renamedFrom: web in MachineClaim/www" in hold.hint
        world.commit(renamed(first, "www", "c", renamed_from="web"))
        world.run(120)
        assert claims(world) == {"m1": "www", "m2": "www"}
        assert set(given_out(world).values()) == set(held.values())
        assert not planned(world)

    def test_the_old_name_again_by_a_revert_is_held_until_it_is_said(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        held = given_out(world)
        world.commit(renamed(first, "www", "b", renamed_from="web"))
        world.run(60)
        world.commit(first)
        world.run(300)
        assert claims(world) == {"m1": "www", "m2": "www"}
        assert set(given_out(world).values()) == set(held.values())
        world.commit(renamed(first, "web", "c", renamed_from="www"))
        world.run(120)
        assert given_out(world) == held
        assert claims(world) == {"m1": "web", "m2": "web"}
        assert not planned(world)

    def test_fewer_and_more_machines_along_with_it(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        world.commit(renamed(first, "www", "b", renamed_from="web", count=3))
        assert [a.name for a in planned(world)[WWW].actions] == ["rename", "claim"]
        world.run(120)
        assert whose(world) == {"m1": 0, "m2": 1, "m3": 2}
        world.commit(renamed(first, "web", "c", renamed_from="www", count=1))
        going = [a for c in planned(world).values() for a in c.actions if isinstance(a, Unclaim)]
        assert [a.machines for a in going] == [("m2", "m3")]
        world.run(60)
        assert claims(world)["m1"] == "web"
        assert "Releasing" not in world.reasons("m1")

    def test_a_machine_on_its_way_back_goes_on_its_way(self, tmp_path: Path) -> None:
        world, _ = placed(tmp_path)
        fewer = fleet(1, "m1", "m2", "m3", "m4")
        world.commit(fewer)
        world.run(60)
        assert world.machines()[ResourceKey("Machine", "m2")].lifecycle.releasing_at is not None
        world.commit(renamed(fewer, "www", "b", renamed_from="web"))
        world.run(60)
        lifecycle = world.machines()[ResourceKey("Machine", "m2")].lifecycle
        assert (lifecycle.claim, lifecycle.releasing_at is not None) == ("www", True)
        assert given_out(world)["IPAddress/www:1:front:4"] == "10.0.0.2", "it may still answer to it"

    def test_another_project_gets_no_machine_by_it(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path)
        held = given_out(world)
        more = declare(("Project", "blog", {"tenant": "acme"}))
        state = renamed(first, "www", "b", renamed_from="web", project="blog")
        world.commit(DesiredState(state.revision, {**state.resources, **more.resources}))
        world.run(300)
        assert claims(world) == {"m1": "web", "m2": "web"}
        assert given_out(world) == held
        assert not former(world.facts()[ResourceKey("IPAddress", "www:0:front:4")])
        assert {change.cause.kind for change in planned(world).values()} == {CauseKind.COMMIT}
        holds = {c.key: c.held_by[0] for c in planned(world).values() if c.held_by}
        assert holds[WEB].by == holds[WWW].by == "renamed"
        assert "project shop" in holds[WWW].reason

    def test_one_with_machines_of_its_own_does_not_take_those_of_another(self, tmp_path: Path) -> None:
        world, first = placed(tmp_path, 1)
        both = renamed(first, "www", "b", networks=())
        world.commit(with_both(first, both))
        world.run(60)
        before = claims(world)
        assert set(before.values()) == {"web", "www"}
        world.commit(renamed(first, "www", "c", renamed_from="web", networks=()))
        world.run(300)
        assert claims(world) == before
        assert "Releasing" not in [event.reason for event in world.events]

    def test_a_name_of_which_nothing_is_known_does_no_harm_and_is_told(self, tmp_path: Path) -> None:
        world = inspected(tmp_path, "m1", "m2")
        state = renamed(fleet(1, "m1", "m2"), "www", "b", renamed_from="wbe")
        world.commit(state)
        assert [one.code for one in world.engine.plan().diagnostics] == ["renamed-from-unknown"]
        world.run(60)
        assert claims(world) == {"m1": "www"}
        assert not world.engine.plan().diagnostics


def with_both(one: DesiredState, other: DesiredState) -> DesiredState:
    """What either declares."""
    return DesiredState(other.revision, {**one.resources, **other.resources})


class TestAddresses:
    """A static address keeps its number under a new name, with what was taken by name and what was not."""

    @pytest.mark.parametrize("kind", ["Static", "Ephemeral"])
    @pytest.mark.parametrize("named", [True, False])
    def test_the_address_stays_as_it_is(self, tmp_path: Path, kind: str, named: bool) -> None:
        world = World(tmp_path)
        spec = {"network": "front", "type": kind, **({"address": "10.0.0.80"} if named else {})}
        world.commit(declare(FRONT, ("IPAddress", "www", spec)))
        world.run(30)
        before = given_out(world)["IPAddress/www"]
        world.commit(declare(FRONT, ("IPAddress", "web", {**spec, "renamedFrom": "www"}), revision="b" * 40))
        assert words(world) == ["transfer"]
        world.run(60)
        assert given_out(world) == {"IPAddress/web": before}
        assert not sent(world, "release")
        assert not planned(world)

    def test_one_that_is_remembered_no_more_and_is_held_still_is_found(self, tmp_path: Path) -> None:
        """hetznercloud/terraform-provider-hcloud#1223: what an orphan has, somebody can have on purpose."""
        world = World(tmp_path)
        spec = {"network": "front", "type": "Static", "address": "10.0.0.80"}
        world.commit(declare(FRONT, ("IPAddress", "www", spec)))
        world.run(30)
        world.commit(declare(FRONT, revision="b" * 40))
        world.run(60)
        assert given_out(world) == {"IPAddress/www": "10.0.0.80"}
        world.commit(declare(FRONT, ("IPAddress", "web", {**spec, "renamedFrom": "www"}), revision="c" * 40))
        world.restart()
        world.run(60)
        assert given_out(world) == {"IPAddress/web": "10.0.0.80"}

    def test_another_address_along_with_it_is_taken_after_it(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.commit(declare(FRONT, ("IPAddress", "www", {"network": "front", "address": "10.0.0.80"})))
        world.run(30)
        spec = {"network": "front", "address": "10.0.0.81", "renamedFrom": "www"}
        world.commit(declare(FRONT, ("IPAddress", "web", spec), revision="b" * 40))
        assert words(world) == ["transfer", "release", "acquire"]
        world.run(60)
        assert given_out(world) == {"IPAddress/web": "10.0.0.81"}

    def test_a_look_at_the_old_name_from_before_does_not_hold_it_up(self, tmp_path: Path) -> None:
        """As `apply` has it: all was looked at once, and the old name is not looked at again."""
        world = World(tmp_path)
        world.commit(declare(FRONT, ("IPAddress", "www", {"network": "front"})))
        world.run(30)
        web = ("IPAddress", "web", {"network": "front", "renamedFrom": "www"})
        world.commit(declare(FRONT, web, revision="b" * 40))
        key, old = ResourceKey("IPAddress", "web"), ResourceKey("IPAddress", "www")
        seen = Observation(old, world.now(), AddressState("front", "10.0.0.1"))
        for _ in range(4):
            world.engine.use_observations([seen])
            outcome = world.engine.reconcile(key)
        assert outcome == Done()
        assert given_out(world) == {"IPAddress/web": "10.0.0.1"}

    def test_two_addresses_do_not_become_one(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        here = ("IPAddress", "web", {"network": "front", "address": "10.0.0.5"})
        world.commit(declare(FRONT, here, ("IPAddress", "www", {"network": "front", "address": "10.0.0.80"})))
        world.run(30)
        held = given_out(world)
        spec = {**here[2], "renamedFrom": "www"}
        world.commit(declare(FRONT, ("IPAddress", "web", spec), revision="b" * 40))
        world.run(60)
        assert given_out(world) == held
        assert [c.held_by[0].by for c in planned(world).values()] == ["renamed"]

    def test_a_name_that_is_used_anew_is_its_own(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.commit(declare(FRONT, ("IPAddress", "www", {"network": "front"})))
        world.run(30)
        web = ("IPAddress", "web", {"network": "front"})
        world.commit(declare(FRONT, ("IPAddress", "web", {**web[2], "renamedFrom": "www"}), revision="b" * 40))
        world.run(30)
        world.commit(declare(FRONT, web, ("IPAddress", "www", {"network": "front"}), revision="c" * 40))
        world.run(30)
        assert given_out(world) == {"IPAddress/web": "10.0.0.1", "IPAddress/www": "10.0.0.2"}
        world.commit(declare(FRONT, web, revision="d" * 40))
        world.run(30)
        assert given_out(world) == {"IPAddress/web": "10.0.0.1"}


class Killed(BaseException):
    """The process ends here."""


def kill(world: World, moment: int) -> None:
    """The process ends before (even moments) or after (odd ones) the n-th write to the store or the IPAM."""
    count = itertools.count()

    def cut(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        at = 2 * next(count)
        if at == moment:
            raise Killed
        done = call(*arguments, **named)
        if at + 1 == moment:
            raise Killed
        return done

    for owner, name in (
        (world.store, "write"),
        (world.ipam, "transfer"),
    ):
        setattr(owner, name, partial(cut, getattr(owner, name)))


@pytest.mark.parametrize("moment", range(28))
def test_a_kill_between_any_two_steps_loses_nothing(tmp_path: Path, moment: int) -> None:
    world, first = placed(tmp_path)
    slots, held = whose(world), given_out(world)
    kill(world, moment)
    with suppress(Killed):
        world.commit(renamed(first, "www", "b", renamed_from="web"))
        world.run(60)
    world.desired = renamed(first, "www", "b", renamed_from="web")
    world.restart()
    world.run(900)
    assert whose(world) == slots
    assert set(claims(world).values()) == {"www"}
    assert given_out(world) == {owner.replace("/web:", "/www:"): address for owner, address in held.items()}
    assert not sent(world, "release", "power")
    assert not planned(world)


NAMES = st.sampled_from(["web", "www", "site", "zoo"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(NAMES, st.integers(1, 3), st.sampled_from([0.0, 0.3, 2.0, 60.0]), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_however_often_it_is_renamed_no_machine_and_no_address_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, float, bool]]
) -> None:
    """Whatever name follows whatever other, however soon, and with restarts between: nothing is released or wiped but
    what goes for the count alone, and no machine is in another slot than it was."""
    world, first = placed(tmp_path_factory.mktemp("renames"), 1)
    machine, address = next(iter(whose(world))), next(iter(given_out(world).values()))
    name = "web"
    for number, (new, count, seconds, restart) in enumerate(steps):
        former = {"renamed_from": name} if new != name else {}
        world.commit(renamed(first, new, f"{number + 1:x}", count=count, **former))
        world.run(seconds)
        if restart:
            world.restart()
        name = new
    world.run(300)
    assert claims(world)[machine] == name
    assert whose(world)[machine] == 0
    assert given_out(world)[f"IPAddress/{name}:0:front:4"] == address
    assert "Releasing" not in [event.reason for event in world.events if event.key == ResourceKey("Machine", machine)]
    assert not [
        m
        for m in sent(world, "release")
        if address in m.split(" because")[0].replace("(", " ").replace(")", " ").split()
    ]
