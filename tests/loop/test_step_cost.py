"""A step asks for what it needs, and does not go through the facts of a whole fleet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState
from reconciler.model.facts import IndexedFacts
from reconciler.model.resource import ResourceKey
from tests.loop.world import World, declare, machine

IMAGE: dict[str, Any] = {
    "os": "debian",
    "version": "12.0.20260101",
    "root": {"url": "https://images.example/root", "checksum": "sha256:" + "0" * 64},
    "classification": "supported",
}
CLAIM: dict[str, Any] = {"project": "shop", "count": 2, "size": "c1", "image": "debian-12", "partitions": ["p"]}


def noted(name: str, calls: list[str]) -> Callable[..., Any]:
    """The method of a dict, which says that it was called."""
    method = getattr(dict, name)

    def call(*args: Any) -> Any:
        calls.append(name)
        return method(*args)

    return call


@pytest.mark.parametrize("key", [ResourceKey("Machine", "a"), ResourceKey("MachineClaim", "web")])
def test_a_step_goes_through_no_fleet(tmp_path: Path, key: ResourceKey, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    for name in "ab":
        world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, power=PowerState.ON)
    documents = [machine(name, power="On") for name in "ab"]
    world.commit(declare(*documents, ("Image", "debian-12.0.20260101", IMAGE), ("MachineClaim", "web", CLAIM)))
    world.run(200)
    world.engine.reconcile(key)  # The groups and the survey are worked out by now.
    calls: list[str] = []
    for name in ("items", "values", "keys", "__iter__", "copy"):
        monkeypatch.setattr(IndexedFacts, name, noted(name, calls), raising=False)
    world.engine.reconcile(key)
    assert calls == []
    monkeypatch.undo()
    world.store.close()
