"""kill -9 at every step: a look always comes before the next send, nothing is sent twice, no address is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.store import Store
from tests.loop.world import World, declare, machine

WRITES = ("write", "put_observations")
SENDS = ("reset", "set_boot", "set_indicator", "insert_media", "eject_media")
IPAM = ("put_network", "acquire", "release", "drop_network")
POOLS = ("put_pool", "acquire_number", "release_number", "drop_pool")


class Killed(BaseException):
    """The process is gone; nothing catches it."""


class Reaper:
    """Counts the calls that change something, and kills the process before or after the chosen one."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.calls = at, after, 0
        self.looked: set[str] = set()
        self.blind: list[str] = []

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            mine = self.calls == self.at
            if mine and not self.after:
                raise Killed
            result = call(*arguments, **named)
            if mine:
                raise Killed
            return result

        return counted


def arm(world: World, reaper: Reaper) -> None:
    for name in WRITES:
        setattr(world.store, name, reaper.wrap(getattr(world.store, name)))
    for name in IPAM:
        setattr(world.ipam, name, reaper.wrap(getattr(world.ipam, name)))
    for name in POOLS:
        setattr(world.pools, name, reaper.wrap(getattr(world.pools, name)))
    opened = world.fleet.open

    def open_watched(endpoint: Any) -> Any:
        bmc = opened(endpoint)
        read = bmc.read

        def looking(*, media: bool = False) -> Any:
            reaper.looked.add(endpoint.address)
            return read(media=media)

        def sending(call: Callable[..., Any]) -> Callable[..., Any]:
            def sent(*arguments: Any) -> Any:
                if endpoint.address not in reaper.looked:
                    reaper.blind.append(endpoint.address)
                reaper.looked.discard(endpoint.address)
                return call(*arguments)

            return reaper.wrap(sent)

        bmc.read = looking  # type: ignore[method-assign]  # the fake, watched
        for name in SENDS:
            setattr(bmc, name, sending(getattr(bmc, name)))
        return bmc

    world.fleet.open = open_watched  # type: ignore[method-assign]  # the fake, watched


def desired() -> DesiredState:
    return declare(
        machine("m1", power="On", boot={"target": "Pxe", "enabled": "Continuous"}),
        machine("m2", power="Off", indicatorLED="Lit"),
        ("Network", "n", {"prefixes": [{"cidr": "10.0.0.0/29"}]}),
        ("Pool", "vrfs", {"ranges": ["7-9"]}),
        ("Network", "s", {"type": "Super", "prefixes": [{"cidr": "10.1.0.0/24"}], "childPrefixLength": {"IPv4": 26}}),
        ("Network", "c", {"parent": "s", "project": "p", "vrf": {"pool": "vrfs"}}),
        ("IPAddress", "a", {"network": "n"}),
        ("IPAddress", "b", {"network": "n", "address": "10.0.0.1"}),
    )


def start(path: Path) -> World:
    world = World(path, on_after=11.0, off_after=6.0)
    world.bmc("m2").state = _on(world)
    return world


def _on(world: World) -> Any:
    return msgspec.structs.replace(world.bmc("m2").state, power=PowerState.ON)


def check(world: World, reaper: Reaper) -> None:
    assert reaper.blind == [], "sent without a look since the last send"
    kinds = [(write.address, type(write.value).__name__) for write in world.fleet.writes]
    assert len(kinds) == len(set(kinds)) == 4, "each action reached its BMC exactly once"
    held = sorted((one.owner, one.address) for one in world.ipam.list())
    assert [address for _, address in held] in (["10.0.0.2", "10.0.0.1"], ["10.0.0.3", "10.0.0.1"])
    assert [prefix.cidr for prefix in world.ipam.networks()["c"].prefixes] == ["10.1.0.0/26"]
    assert [(one.owner, one.number) for one in world.pools.numbers()] == [("Network/c", 7)]
    assert world.ipam.check() == []
    assert not world.engine.plan().changes
    assert world.store.in_flight() == {}
    assert world.crashes == []


def live(world: World) -> None:
    world.commit(desired())
    world.run(1200)


def count_calls(path: Path) -> int:
    world, reaper = start(path), Reaper(0, after=False)
    arm(world, reaper)
    live(world)
    check(world, reaper)
    return reaper.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write(tmp_path: Path, after: bool) -> None:
    (tmp_path / "count").mkdir()
    calls = count_calls(tmp_path / "count")
    assert calls > 20
    for at in range(1, calls + 1):
        path = tmp_path / f"{at}"
        path.mkdir()
        world, reaper = start(path), Reaper(at, after=after)
        arm(world, reaper)
        with pytest.raises(Killed):
            live(world)
        # What the dead process had looked at is forgotten with it.
        reaper.looked.clear()
        reaper.at = 0
        world.desired = desired()
        world.restart()
        world.run(1200)
        check(world, reaper)


@pytest.mark.parametrize(("after", "left"), [(60.0, 0), (-60.0, 1)], ids=["a later look", "an earlier look"])
def test_the_looks_of_a_plan_settle_what_took_effect_meanwhile(tmp_path: Path, after: float, left: int) -> None:
    declared = declare(machine("m1", power="On"))
    world = start(tmp_path)
    world.commit(declared)
    world.loop.turn()
    world.desired = None
    world.restart()
    taken_at = world.now() + timedelta(seconds=after)
    world.at += 60
    world.engine.put_in_force(declared)
    world.engine.use_observations([Observation(ResourceKey("Machine", "m1"), taken_at, world.bmc("m1").state)])
    assert len(world.store.in_flight()) == left
    assert world.reasons("m1") == ["ActionSent", "ActionConfirmed"][: 2 - left]


def test_a_fenced_instance_sends_nothing(tmp_path: Path) -> None:
    world = start(tmp_path)
    other = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    world.commit(desired())
    with other.instance("run"):
        world.run(60)
    assert world.fleet.writes == []
    assert {type(error).__name__ for error in world.crashes} == {"Fenced"}
    other.close()
