"""What generic code makes of the example kind; run by its test in a tree that has it."""

# mypy: ignore-errors

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from drivers.base import Unreachable
from reconciler.kinds import KINDS
from reconciler.kinds.common.column import ResourceView
from reconciler.model.facts import Applied, Facts, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.plan import CauseKind, Verb
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.observed.backend import observation_of
from reconciler.observed.connections import Connections, Drivers
from reconciler.observed.poller import Poller
from reconciler.planning.carry_over import carried_over
from reconciler.planning.planner import plan
from reconciler.planning.standing import Standing
from reconciler.views.columns import columns
from reconciler.views.conditions import conditions, status_word

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KIND = KINDS["Switch"]
KEY, DEAD = ResourceKey("Switch", "leaf1"), ResourceKey("Switch", "leaf2")
STATE = KIND.observed_type({"swp1": False, "swp2": True})


class Switches:
    """The backend: leaf1 answers, leaf2 does not."""

    def observe(self, key, desired, facts):
        if key == DEAD:
            raise Unreachable("no answer")
        return STATE

    def observe_all(self, keys, desired, facts, concurrency):
        return (observation_of(key, lambda key=key: self.observe(key, desired, facts), lambda: NOW) for key in keys)

    def holdings(self):
        return {}

    def send(self, action, desired):
        raise AssertionError("nothing is sent")

    def task(self, handle, key, desired):
        raise AssertionError("nothing was sent")


def switch(key):
    ports = [{"name": name} for name in ("swp1", "swp2", "swp9")]
    spec = msgspec.convert({"partition": "lab", "address": key.name, "ports": ports}, KIND.spec_type)
    return Resource(key, spec, {}, {}, Source("a.yaml"))


desired = DesiredState(Revision("a" * 40, "main", "fleet"), {key: switch(key) for key in (KEY, DEAD)})
poller = Poller(Connections(Drivers(None, None, None, None, {"switch": Switches()}), Path()), lambda: NOW)
seen = {one.key: one for one in poller.observe_all(desired.resources, desired)}
facts = {KEY: ResourceFacts(applied=Applied({"spec.ports.swp1": True}, "a", NOW))}
planned = plan(desired, seen, Facts(facts, {}), NOW, Standing())

assert seen[KEY].value == STATE, "observed"
assert [(one.key, one.reason) for one in planned.unknown] == [(DEAD, "Unreachable")], "unknown by itself"
(change,) = planned.changes
assert change.verb is Verb.UPDATE, "found, not made"
assert {one.path: one.cause for one in change.differences} == {
    "spec.ports.swp1": CauseKind.DRIFT,
    "spec.ports.swp9": CauseKind.COMMIT,
}, "drifts by port"
assert [(hold.path, hold.by) for hold in change.held_by] == [("spec.ports.swp9", "port")], "held by port"
assert planned.scope.machines == 0, "no machine"

states = conditions(KEY, desired, seen, Facts(facts, {}), NOW, change)
view = ResourceView(KEY, desired.resources[KEY], seen[KEY], status_word(states), states)
assert [one.title for one in columns("Switch", wide=False)] == ["NAME", "UP", "STATUS", "SEEN"]
assert [one.cell(view, NOW) for one in columns("Switch", wide=False)][:2] == ["leaf1", "1"], "shown"

kept = carried_over(desired, {}, NOW)
assert kept[KEY].place == "leaf1", "remembered with its endpoint"
empty = DesiredState(desired.revision, {})
(gone,) = plan(empty, {}, Facts({KEY: kept[KEY]}, {}), NOW, Standing()).changes
assert gone.verb is Verb.FORGET, "forgotten without being observed"
assert plan(empty, {KEY: Observation(KEY, NOW, STATE)}, Facts({}, {}), NOW, Standing()).changes == (), "no leak"
assert [str(key) for key in KIND.depends_on(desired.resources[KEY])] == ["Partition/lab"]
sys.stdout.write("as any kind")
