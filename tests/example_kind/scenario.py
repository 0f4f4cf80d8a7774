"""What generic code makes of the example kind; run by its test in a tree that has it."""

# mypy: ignore-errors

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from drivers.base import ACCEPTED, Rejected, Unreachable
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.kinds import KINDS
from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Done
from reconciler.model.plans.plan import CauseKind, Verb
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.observed.backend import observation_of
from reconciler.observed.connections import Connections, Drivers
from reconciler.planning.access_changes import access_changes
from reconciler.planning.access_changes import access_words as access_moved
from reconciler.planning.affected import affected_keys
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from reconciler.store import Store
from reconciler.views.columns import columns
from reconciler.views.conditions import conditions, status_word
from reconciler.views.render.plans.text import render_text
from reconciler.views.resource_tally import ResourceTally

START = datetime(2026, 1, 1, tzinfo=UTC)
KIND = KINDS["Bridge"]
KEY, DEAD = ResourceKey("Bridge", "leaf1"), ResourceKey("Bridge", "leaf2")


class Clock:
    """Virtual time."""

    at = START

    def now(self):
        self.at += timedelta(seconds=1)
        return self.at


class Bridges:
    """The backend. leaf1 has three ports, of which swp3 cannot be changed; leaf2 does not answer."""

    def __init__(self):
        self.ports = {"swp1": False, "swp2": True, "swp3": False}
        self.sent = []

    def observe(self, key, desired, facts):
        if key == DEAD:
            raise Unreachable("no answer")
        return KIND.observed_type(dict(self.ports))

    def observe_all(self, keys, desired, facts, concurrency):
        return (observation_of(key, lambda key=key: self.observe(key, desired, facts), clock.now) for key in keys)

    def holdings(self):
        return {}

    def send(self, action, desired):
        self.sent.append((action.item, action.value))
        if action.item == "swp3":
            raise Rejected("port is locked")
        self.ports[action.item] = action.value
        return ACCEPTED

    def task(self, handle, key, desired):
        raise AssertionError("it has no Tasks")


def bridge(key):
    ports = [{"name": name} for name in ("swp3", "swp1", "swp2", "swp9")]
    spec = msgspec.convert({"partition": "lab", "address": key.name, "ports": ports}, KIND.spec_type)
    return Resource(key, spec, {}, {}, Source("a.yaml"))


def moved_to(address):
    return msgspec.structs.replace(bridge(KEY), spec=msgspec.structs.replace(bridge(KEY).spec, address=address))


def reconcile(times=12):
    """The last outcome."""
    for _ in range(times):
        outcome = engine.reconcile(KEY)
        clock.at += timedelta(seconds=1)
    return outcome


clock, fabric = Clock(), Bridges()
store = Store.open("sqlite://")
drivers = Drivers(None, None, None, None, {"bridge": fabric})
events = []
with store.instance("run") as epoch:
    limits = GuardLimits(max_removed=FleetShare(count=1), max_unreachable=FleetShare(percent=50))
    context = Context(
        now=clock.now,
        random=lambda: 0.0,
        by="test",
        epoch=epoch,
        standing=lambda: Standing(limits),
        report=events.append,
    )
    engine = Engine(store, Connections(drivers, Path()), Facts({}, {}), context)
    desired = DesiredState(Revision("a" * 40, "main", "fleet"), {key: bridge(key) for key in (KEY, DEAD)})
    engine.put_in_force(desired)

    # It is reconciled. One port is refused, another one is missing, and neither holds up the third.
    outcome = reconcile()
    assert fabric.ports == {"swp1": True, "swp2": True, "swp3": False}, "reconciled"
    assert fabric.sent == [("swp3", True), ("swp1", True)], "each is sent once"
    assert engine.reconcile(DEAD).reason == "Unreachable", "unknown by itself"
    failures = store.facts()[KEY].failures
    assert list(failures) == ["spec.ports[swp3]"], "a port fails by itself"
    assert failures["spec.ports[swp3]"].terminal, "and is not tried again"
    (change,) = engine.plan({KEY}).changes
    assert change.verb is Verb.UPDATE, "found, not made"
    assert {hold.path for hold in change.held_by} == {"spec.ports[swp3]", "spec.ports[swp9]"}, change.held_by
    assert not isinstance(outcome, Done), "what is held is not done"

    # It drifts by port, and the drift is repaired.
    fabric.ports["swp2"] = False
    assert engine.reconcile(KEY) is not None
    drifted = [event.message for event in events if event.reason == "DriftDetected"]
    assert len(drifted) == 1, drifted
    assert drifted[0].startswith("spec.ports[swp2] is "), drifted
    reconcile()
    assert fabric.ports["swp2"], "repaired"

    # It is shown.
    fabric.ports["swp2"] = False
    observed = {KEY: Observation(KEY, clock.now(), fabric.observe(KEY, desired, None))}
    facts = Facts(store.facts(), {})
    planned = plan(desired, observed, facts, clock.now(), Standing(), select={KEY})
    (change,) = planned.changes
    causes = {one.path: one.cause for one in change.differences}
    assert causes["spec.ports[swp2]"] is CauseKind.DRIFT, causes
    text = render_text(planned)
    assert "set-value spec.ports[swp2] to true" in text, text
    states = conditions(KEY, desired, observed, facts, clock.now(), change)
    view = ResourceView(KEY, desired.resources[KEY], observed[KEY], status_word(states), states)
    assert [one.title for one in columns("Bridge", wide=False)] == ["NAME", "UP", "STATUS", "SEEN"]
    assert [one.cell(view, clock.now()) for one in columns("Bridge", wide=False)][:2] == ["leaf1", "1"], "shown"
    assert planned.scope.fleet == {"Bridge": 1}, "counted in the fleet"
    assert store.facts()[KEY].writes > 0, "remembered as its kind says"
    assert store.facts()[KEY].access == {"spec.address": "leaf1"}, "remembered with the way to it"
    assert access_changes(desired, store.facts()) == (), "in force"
    (moved,) = access_changes(DesiredState(desired.revision, {KEY: moved_to("leaf3")}), store.facts())
    assert access_moved(moved) == "spec.address: leaf1 -> leaf3", access_moved(moved)
    counted = ResourceTally().count(engine.world(), planned)
    assert counted, "counted for the metrics"
    assert (KEY in affected_keys(desired, desired, store.facts())) is False, "not concerned by nothing"
    assert store.facts()[KEY].place == "leaf1", "remembered with its endpoint"
    assert [str(key) for key in KIND.depends_on(desired.resources[KEY])] == ["Partition/lab"]

    # It is forgotten, without being observed and without a leak.
    engine.put_in_force(DesiredState(Revision("b" * 40, "main", "fleet"), {DEAD: desired.resources[DEAD]}))
    assert isinstance(reconcile(2), Done)
    assert KEY not in store.facts(), "forgotten"
    empty = DesiredState(desired.revision, {})
    assert plan(empty, observed, Facts({}, {}), clock.now(), Standing()).changes == (), "no leak"
store.close()

# Its schema was generated.
schema = Path("schemas/v1/bridge.json").read_text("utf-8")
assert "Whether it is up." in schema
assert "Bridge" in Path("docs/reference/kinds.md").read_text("utf-8")
sys.stdout.write("as any kind")
