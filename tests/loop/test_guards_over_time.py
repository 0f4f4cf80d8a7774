"""Whatever the fleet and its guards: the daemon sends what the plan shows as going, and no budget is ever exceeded.

kubernetes/kubernetes#108124 and openshift/machine-config-operator#662: budgets that hold at one moment are exceeded
over time, when what was taken down is forgotten, or counted late.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import PowerState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.planning.guards.guard_limits import GuardLimits
from tests.loop.world import ALL, World, declare, machine

RACKS, EACH = ("r1", "r2", "r3"), 3
NAMES = [f"{rack}-{number}" for rack in RACKS for number in range(EACH)]

budgets = st.builds(
    lambda limit, per, within, pacing: {
        "budget": {"maxDisrupted": limit, "within": f"{within}m", **per, **({"pacing": pacing} if pacing else {})}
    },
    st.sampled_from([0, 1, 2, "34%", "67%"]),
    st.sampled_from([{}, {"per": "rack"}, {"per": "partition"}]),
    st.sampled_from([10, 60]),
    st.sampled_from([None, None, "5m"]),
)
windows = st.sampled_from(
    [
        {"windows": {"allow": [{"from": "00:00", "to": "00:20"}]}},
        {"windows": {"allow": [{"from": "00:30", "to": "04:00"}]}},
        {"windows": {"deny": [{"from": "00:00", "to": "00:40"}]}},
    ]
)
matches = st.sampled_from([{}, {"match": {"names": ["r1-*"]}}, {"match": {"kinds": ["Machine"], "names": ["*-0"]}}])
levels = st.sampled_from(["Mandatory", "Absolute"])
guards = st.lists(
    st.builds(
        lambda rule, match, level: {**rule, **match, "level": level}, st.one_of(budgets, windows), matches, levels
    ),
    max_size=2,
)
limits = st.sampled_from([ALL, msgspec.structs.replace(ALL, max_disrupted=FleetShare(count=2))])


def documents(off: set[str], rules: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    machines = [machine(name, rack=name[:2], power="Off" if name in off else "On") for name in NAMES]
    return [*machines, *(("Guard", f"g{number}", rule) for number, rule in enumerate(rules))]


def allowed(limit: int | str, size: int) -> int:
    return limit if isinstance(limit, int) else max(1, int(size * float(limit.rstrip("%")) / 100))


def group(rule: dict[str, Any], name: str) -> str | None:
    """The group of a machine, worked out apart from the code under test; None: the guard does not match it."""
    (pattern,) = rule.get("match", {}).get("names", ["*"])
    if not {"*": True, "r1-*": name.startswith("r1-"), "*-0": name.endswith("-0")}[pattern]:
        return None
    return name[:2] if rule["budget"].get("per") == "rack" else "all"


def check_budget(rule: dict[str, Any], sent: dict[str, float]) -> None:
    budget = rule["budget"]
    within, pacing = float(budget["within"][:-1]) * 60, 300.0 if "pacing" in budget else 0.0
    for one in {group(rule, name) for name in NAMES} - {None}:
        members = [name for name in NAMES if group(rule, name) == one]
        times = sorted(sent[name] for name in members if name in sent)
        most = allowed(budget["maxDisrupted"], len(members))
        for at in times:
            assert sum(at - within < other <= at for other in times) <= most, (rule, sent)
        assert all(later - earlier >= pacing for earlier, later in pairwise(times)), (rule, sent)


@settings(max_examples=25, deadline=None)
@given(guards, limits, st.sets(st.sampled_from(NAMES), min_size=1), st.booleans())
def test_the_daemon_does_what_the_plan_shows_and_keeps_all_budgets(
    rules: list[dict[str, Any]], most: GuardLimits, off: set[str], restarts: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), most, off_after=5.0)
        for name in NAMES:
            world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, power=PowerState.ON)
        world.commit(declare(*documents(set(), rules)))
        world.run(60)
        world.desired = declare(*documents(off, rules), revision="b" * 40)
        world.commit(world.desired)
        shown = {one.key.name for one in world.engine.plan().changes if one.goes}
        began, sent = world.at, dict[str, float]()
        paced = any("pacing" in rule.get("budget", {}) for rule in rules)
        for step in range(24):
            world.run(300)
            if restarts and step == 3:
                world.restart()
            for write in world.fleet.writes:
                sent.setdefault(write.address.removeprefix("fake-"), write.at)
            if step == 0:
                first = {name for name, at in sent.items() if at - began < 240}
                assert first == shown or paced, (rules, off)
        world.store.close()
    for rule in rules:
        if "budget" in rule:
            check_budget(rule, sent)
    if most.max_disrupted.count == 2:
        check_budget({"budget": {"maxDisrupted": 2, "within": "60m"}}, sent)
