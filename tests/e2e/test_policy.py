"""One policy: what `plan` holds, `get`, `describe`, `apply` and the daemon hold too, whichever guard it is.

Four managed machines were planned as going (exit code 2), and `apply` held all of them for want of a boot service; a
limit in the settings counted in `plan` and not in `get`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from drivers.base import BootEnabled, BootOverride, BootTarget, ErrorReason, PowerState, SystemState
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.daemon.policy_state import PolicyState
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.load import load_state
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import ResourceKey
from reconciler.observed.connections import Connections, Drivers
from reconciler.operations.stored_facts import facts_of, observed_types
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import CommandLimits, DaemonReport
from reconciler.planning.universe import universe
from reconciler.store import Store
from tests.e2e.desk import Desk, machine, partition

NAMES = [f"m{n}" for n in range(20)]
ON = SystemState(power=PowerState.ON)
OFF = SystemState(power=PowerState.OFF, boot=BootOverride(BootTarget.NONE, BootEnabled.DISABLED))
ONCE = {"target": "Pxe", "enabled": "Once"}
TWO = {"GROUNDSTATE_MAX_DISRUPTED": "7"}

Held = set[tuple[str, str]]
"""Resource and guard."""


def now() -> datetime:
    return datetime.now(UTC)


class Case(NamedTuple):
    """A fleet in which a guard holds `held` resources. `known`: are remembered; `blind`: could not be read."""

    guard: str
    held: int
    spec: dict[str, Any]
    declared: list[str] = NAMES
    known: list[str] = NAMES
    blind: Iterable[str] = ()
    environment: dict[str, str] = {}  # noqa: RUF012  never written
    override: str = ""
    daemon: GuardLimits | None = None
    seen: SystemState = ON


CASES = {
    "budget": Case("disruption-budget", 18, {"power": "Off"}),
    "budget in the settings": Case("disruption-budget", 13, {"power": "Off"}, environment=TWO),
    "budget of the daemon": Case(
        "disruption-budget",
        15,
        {"power": "Off"},
        environment=TWO,
        daemon=GuardLimits(max_disrupted=FleetShare(count=5)),
    ),
    "budget overridden for some": Case("disruption-budget", 8, {"power": "Off"}, override="machine/m1*"),
    "removal": Case("mass-removal", 20, {"power": "Off"}, declared=NAMES[:5]),
    "removal in the settings": Case(
        "mass-removal", 0, {"power": "On"}, declared=NAMES[:5], environment={"GROUNDSTATE_MAX_REMOVED": "80%"}
    ),
    "empty": Case("empty-desired-state", 20, {}, declared=[]),
    "empty, overridden": Case("empty-desired-state", 0, {}, declared=[], override="machines"),
    "unreachable": Case("unreachable-fleet", 15, {"power": "Off"}, blind=NAMES[:5]),
    "no boot service": Case("boot-service", 20, {"lifecycle": {"mode": "Managed"}}, seen=OFF),
    "a boot service": Case("boot-service", 0, {"lifecycle": {"mode": "Managed"}}, seen=OFF, daemon=GuardLimits()),
    "no boot service, whatever a row says": Case(
        "boot-service", 20, {"lifecycle": {"mode": "Managed"}}, seen=OFF, override="machines"
    ),
    "a new store": Case("first-sight", 20, {"boot": ONCE}, known=[], seen=OFF),
    "a new store, overridden": Case("first-sight", 0, {"boot": ONCE}, known=[], seen=OFF, override="machines"),
}


def set_up(desk: Desk, case: Case) -> None:
    desk.commit(lab=[partition(), *(machine(name, **case.spec) for name in case.declared)])
    store = Store.open(f"sqlite:///{desk.store}")
    store.put_facts({ResourceKey("Machine", name): MachineFacts(place=f"fake {name}") for name in case.known})
    error = ReadError(ErrorReason.UNREACHABLE, "connection refused")
    blind = set(case.blind)
    store.put_observations(
        Observation(ResourceKey("Machine", name), now(), *((None, error) if name in blind else (case.seen,)))
        for name in NAMES
    )
    if case.override:
        end = now() + timedelta(hours=1)
        store.overrides.add(Override("o1", case.guard, "try it", "ada", now(), end, (case.override,)))
    if case.daemon is not None:
        with store.instance("run") as epoch:
            store.daemon.put(DaemonReport("ada (run)", now(), case.daemon, "10.0.0.1"), epoch, now())
    store.close()


def by_plan(desk: Desk, case: Case) -> Held:
    done = desk.run("plan", "--no-refresh", "-o", "json", env=case.environment)
    held = {
        (change["key"]["name"], hold["by"])
        for change in done.json["changes"]
        for hold in change.get("held_by", ())
        if hold["kind"] == "guard"
    }
    assert (done.code == 3) is bool(held)
    return held


def by_get(desk: Desk, case: Case, *command: str) -> Held:
    rows = desk.run(*(command or ("get", "machines")), "-o", "json", env=case.environment).json["items"]
    return {
        (row["metadata"]["name"], one["message"].partition(":")[0])
        for row in rows
        for one in row["status"]["conditions"]
        if one["type"] == "Ready" and one["reason"] == "Held"
    }


def by_describe(desk: Desk, case: Case) -> Held:
    return by_get(desk, case, "describe", "machines")


def by_engine(desk: Desk, case: Case) -> Held:
    """What `apply` goes by, or the daemon of the case: the same engine, with the policy of the store."""
    store = Store.open(f"sqlite:///{desk.store}")
    limit = case.environment.get("GROUNDSTATE_MAX_DISRUPTED")
    removed = case.environment.get("GROUNDSTATE_MAX_REMOVED")
    limits = GuardLimits(max_disrupted=FleetShare.parse(limit or "10%"), max_removed=FleetShare.parse(removed or "10%"))
    standing = PolicyState(store, CommandLimits(limits), now, store.daemon.get())
    try:
        return _held(_planned(store, desk.repo, standing))
    finally:
        store.close()


def _planned(store: Store, repo: Path, standing: PolicyState) -> Plan:
    desired = load_state(open_source(str(repo)).snapshot()).state
    assert desired is not None
    context = Context(now=now, random=lambda: 0.5, by="test", epoch=1, standing=standing.standing)
    engine = Engine(store, Connections(_no_drivers(), repo), facts_of(store), context)
    engine.put_in_force(desired)
    engine.use_observations(store.observations(observed_types()))
    return engine.plan(set(universe(desired, facts_of(store))))


def _no_drivers() -> Drivers:
    refuse: Any = lambda _: pytest.fail("nothing is to be asked here")  # noqa: E731
    return Drivers(refuse, refuse, None, None)  # type: ignore[arg-type]  # never asked


def _held(found: Plan) -> Held:
    return {
        (change.key.name, hold.by) for change in found.changes for hold in change.held_by if hold.kind.value == "guard"
    }


SEERS: dict[str, Callable[[Desk, Case], Held]] = {
    "get": by_get,
    "describe": by_describe,
    "apply and the daemon": by_engine,
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whoever_plans_holds_the_same(desk: Desk, case: Case) -> None:
    set_up(desk, case)
    planned = by_plan(desk, case)
    assert sum(guard == case.guard for _, guard in planned) == case.held
    found = {name: seer(desk, case) for name, seer in SEERS.items()}
    assert found == dict.fromkeys(SEERS, planned)


def test_machines_that_wait_for_a_boot_service_are_planned_as_held_and_applied_as_held(desk: Desk) -> None:
    """`plan` left with 2 and `apply` with 3 on the same four machines."""
    desk.commit(lab=[partition(), *(machine(name, lifecycle={"mode": "Managed"}) for name in NAMES[:4])])
    planned, done = desk.run("plan"), desk.run("apply", "--yes")
    assert (planned.code, done.code) == (3, 3)
    assert planned.out.count("held by guard boot-service: network boot needs a boot service, and none is running") == 1
    assert done.out.count("boot-service: network boot needs a boot service, and none is running") == 1
    assert done.out.endswith("Nothing was sent.\n")
