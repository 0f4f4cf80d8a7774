"""Fleets with guards: machines in racks, of which some are to go off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.guard.spec import GuardSpec
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.plans.plan import Change, HoldKind, Plan
from reconciler.model.resource import Resource, ResourceKey, Source
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from tests.unit.planning_worlds import NOW, World, desired, resource, seen

ALL = FleetShare(percent=100.0)
OPEN = GuardLimits(
    allow_empty=True,
    max_disrupted=ALL,
    max_disrupted_per_rack=ALL,
    max_removed=ALL,
    max_unreachable=ALL,
    max_released=ALL,
)


def guard(name: str, **spec: Any) -> Resource[GuardSpec]:
    """A guard with the spec as a document has it."""
    return resource("Guard", name, msgspec.convert(spec, GuardSpec))


def racked(name: str, power: str = "On", labels: dict[str, str] | None = None, **spec: Any) -> Resource[MachineSpec]:
    """A machine whose rack is what stands before the dash."""
    bmc = {"address": f"{name}.bmc"}
    typed = msgspec.convert(
        {"partition": "p", "rack": name.split("-")[0], "bmc": bmc, "power": power, **spec}, MachineSpec
    )
    return Resource(ResourceKey("Machine", name), typed, labels or {}, {}, Source(f"{name}.yaml"))


def key(name: str) -> ResourceKey:
    return ResourceKey("Machine", name)


def fleet(*resources: Resource[Any], facts: Mapping[ResourceKey, ResourceFacts] | None = None) -> World:
    """All machines run, whatever is declared, and are known."""
    machines = [one for one in resources if one.key.kind == "Machine"]
    looks = {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in machines}
    state = desired(*resources)
    known: dict[ResourceKey, ResourceFacts] = {one.key: MachineFacts() for one in machines}
    known |= dict(facts or {})
    return World(state, looks, Facts(with_changes(known, carried_over(state, known, NOW)), {}))


def planned_at(world: World, now: datetime = NOW, standing: Standing = Standing(OPEN, "10.0.0.1"), **more: Any) -> Plan:  # noqa: B008
    """The plan at a time."""
    return plan(world.desired, world.observed, world.facts, now, standing, **more)


def going(found: Plan) -> list[str]:
    """The names of the machines that go."""
    return [change.key.name for change in found.changes if change.goes and change.key.kind == "Machine"]


def holders(found: Plan, name: str) -> list[str]:
    """What holds the machine."""
    return [hold.by for hold in change_of(found, name).held_by if hold.kind is HoldKind.GUARD]


def change_of(found: Plan, name: str) -> Change:
    return next(change for change in found.changes if change.key == key(name))
