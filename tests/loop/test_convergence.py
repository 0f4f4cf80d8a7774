"""Whatever is declared, wherever the fleet stands and whatever goes wrong on the way: the plan ends empty, and then
nothing more is sent."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    IndicatorLED,
    PowerState,
    ResetType,
    SystemState,
)
from drivers.bmc.fake.fake_faults import READS, WRITES, Fault, FaultKind
from reconciler.model.actions.bmc_actions import SetBoot
from reconciler.model.event import Event, EventReason
from reconciler.model.outcome import Done
from reconciler.model.plans.override import Override
from tests.loop.world import World, declare, keys, machine

FOR_EVER = datetime(2999, 1, 1, tzinfo=UTC)
PASSING = (FaultKind.UNREACHABLE, FaultKind.BUSY, FaultKind.REPLY_LOST, FaultKind.REQUEST_LOST)

boots = st.one_of(
    st.none(),
    st.fixed_dictionaries({"enabled": st.just("Disabled")}),
    st.fixed_dictionaries(
        {"enabled": st.sampled_from(["Once", "Continuous"]), "target": st.sampled_from(["Pxe", "Hdd"])},
        optional={"mode": st.sampled_from(["UEFI", "Legacy"])},
    ),
)
specs = st.builds(
    lambda power, led, boot: {
        name: value for name, value in (("power", power), ("indicatorLED", led), ("boot", boot)) if value is not None
    },
    st.sampled_from([None, "On", "Off"]),
    st.sampled_from([None, "Lit", "Blinking", "Off"]),
    boots,
)
states = st.builds(
    lambda power, led, target, enabled, mode: SystemState(
        power=power, indicator=led, boot=BootOverride(target, enabled, mode), allowed_resets=None
    ),
    st.sampled_from([PowerState.ON, PowerState.OFF]),
    st.sampled_from(list(IndicatorLED)),
    st.sampled_from([BootTarget.NONE, BootTarget.PXE, BootTarget.HDD]),
    st.sampled_from(list(BootEnabled)),
    st.sampled_from(list(BootMode)),
)
faults = st.lists(
    st.builds(Fault, st.sampled_from(PASSING), st.sampled_from([READS, WRITES]), st.integers(1, 2)), max_size=2
)
fleets = st.lists(st.tuples(specs, states, faults), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fleets)
def test_every_fleet_converges_and_stays(fleet: list[tuple[dict[str, Any], SystemState, list[Fault]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), on_after=7.0, off_after=3.0)
        names = [f"m{number}" for number in range(len(fleet))]
        for name, (_, state, ordered) in zip(names, fleet, strict=True):
            bmc = world.bmc(name)
            bmc.state = msgspec.structs.replace(state, allowed_boot_targets=None)
            for fault in ordered:
                bmc.faults.add(fault)
        everyone = Override("o", "first-sight", "try it", "ada", world.now(), FOR_EVER, ("machines",))
        world.standing = msgspec.structs.replace(world.standing, overrides=(everyone,))
        world.commit(declare(*(machine(name, **spec) for name, (spec, _, _) in zip(names, fleet, strict=True))))
        world.run(7200)
        undone = [
            change
            for change in world.engine.plan().changes
            if not _waits_for_a_person(change) and not _never_got_through(change, world)
        ]
        assert undone == []
        sent = len(world.fleet.writes)
        world.run(7200)
        assert len(world.fleet.writes) == sent
        settled = [world.outcomes[key] for key in keys(names) if key not in _keys_of(world)]
        assert all(isinstance(outcome, Done) for outcome in settled)
        assert world.crashes == []
        world.store.close()


def _waits_for_a_person(change: Any) -> bool:
    """An order for one boot that may be lost, or may have been carried out before, is not given on a guess."""
    return any(
        hold.by == "first-sight" or SetBoot.doubt in hold.reason for hold in change.held_by if hold.path == "spec.boot"
    )


def _never_got_through(change: Any, world: World) -> bool:
    """A shutdown that had no answer twice, or was refused until its deadline, comes to `escalate`, which is Never."""
    if not any(hold.path == "spec.power" and "was ignored" in hold.reason for hold in change.held_by):
        return False
    failed = [write.fault for write in world.bmc(change.key.name).writes if write.value is ResetType.GRACEFUL_SHUTDOWN]
    attempts = [event for event in world.events if event.key == change.key and _sends_a_shutdown(event)]
    return None not in failed and (failed.count(FaultKind.REQUEST_LOST) >= 2 or len(attempts) >= 4)


def _sends_a_shutdown(event: Event) -> bool:
    return event.reason is EventReason.ACTION_SENT and ResetType.GRACEFUL_SHUTDOWN in event.about


def _keys_of(world: World) -> set[Any]:
    return {change.key for change in world.engine.plan().changes}
