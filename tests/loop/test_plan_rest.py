"""What the daemon counts every few seconds leaves out what is known to be as declared, and misses nothing by it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.base import IndicatorLED, PowerState
from drivers.bmc.fake.fake_faults import READS, Fault, FaultKind
from tests.loop.world import World, declare, machine

NAMES = ("a", "b", "c")
POWER = st.sampled_from(["On", "Off", None])
DECLARED = st.fixed_dictionaries(dict.fromkeys(NAMES, POWER), optional={"d": POWER})


def of(power: str | None) -> dict[str, Any]:
    return {} if power is None else {"power": power}


class Move(msgspec.Struct, frozen=True):
    """Something that happens, and for how many seconds the daemon goes on afterwards."""

    seconds: float
    what: str
    declared: dict[str, str | None]
    on: str


MOVES = st.lists(
    st.builds(
        Move,
        st.sampled_from([0.0, 1.0, 30.0, 70.0, 200.0]),
        st.sampled_from(["commit", "power", "light", "silence", "nothing"]),
        DECLARED,
        st.sampled_from(NAMES),
    ),
    min_size=1,
    max_size=6,
)


def carry_out(world: World, move: Move, number: int) -> None:
    bmc = world.bmc(move.on)
    if move.what == "commit":
        documents = [machine(name, **of(power)) for name, power in sorted(move.declared.items())]
        world.commit(declare(*documents, revision=f"{number:040x}"))
    elif move.what == "power":
        power = PowerState.OFF if bmc.state.power is PowerState.ON else PowerState.ON
        bmc.state = msgspec.structs.replace(bmc.state, power=power)
    elif move.what == "light":
        bmc.state = msgspec.structs.replace(bmc.state, indicator=IndicatorLED.LIT)
    elif move.what == "silence":
        bmc.faults.add(Fault(FaultKind.UNREACHABLE, READS, 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DECLARED, MOVES)
def test_it_finds_each_change_and_each_unknown_of_the_whole_plan(
    first: dict[str, str | None], moves: list[Move]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), on_after=7.0, off_after=3.0)
        world.commit(declare(*(machine(name, **of(power)) for name, power in sorted(first.items()))))
        for number, move in enumerate(moves):
            carry_out(world, move, number)
            world.run(move.seconds)
            rest, whole = world.engine.plan_rest(), world.engine.plan()
            assert (rest.changes, rest.unknown) == (whole.changes, whole.unknown)
        world.store.close()


def test_a_fleet_at_rest_is_left_out_until_something_changes(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in NAMES:
        world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, power=PowerState.ON)
    world.commit(declare(*(machine(name, power="On") for name in NAMES)))
    world.run(300)
    assert world.engine.plan_rest().scope.observed == 0
    world.bmc("a").state = msgspec.structs.replace(world.bmc("a").state, indicator=IndicatorLED.LIT)
    world.run(70)
    world.commit(declare(*(machine(name, power="On") for name in NAMES), revision="b" * 40))
    assert world.engine.plan_rest().scope.observed == len(NAMES)
    world.store.close()
