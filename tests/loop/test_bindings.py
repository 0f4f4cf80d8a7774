"""Machines become a project's, keep what they have, and are let go again; nothing is sent for any of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconciler.model.resource import ResourceKey
from tests.loop.world import World, declare, machine

ROOT = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}


def catalogue(quota: int, *versions: str) -> list[tuple[str, str, dict[str, Any]]]:
    image = {"os": "debian", "classification": "supported", "root": ROOT}
    return [
        ("Partition", "lab", {}),
        ("Tenant", "acme", {}),
        ("Project", "shop", {"tenant": "acme", "quotas": {"machines": quota}}),
        ("Project", "ware", {"tenant": "acme"}),
        *(("Image", f"debian-{version}", {**image, "version": version}) for version in versions),
    ]


def held(world: World, name: str) -> tuple[str | None, str | None]:
    facts = world.machines()[ResourceKey("Machine", name)]
    return facts.project, facts.image


def test_a_binding_is_written_down_and_survives_a_restart_and_a_newer_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit(declare(*catalogue(1, "12.0.1"), machine("m1", project="shop", image="debian-12")))
    world.run(10)
    assert held(world, "m1") == ("shop", "debian-12.0.1")
    assert world.reasons("m1") == ["Bound", "ImagePinned"]
    world.restart()
    both = catalogue(0, "12.0.1", "12.0.2")
    world.commit(declare(*both, machine("m1", project="shop", image="debian-12"), revision="b" * 40))
    world.run(100)
    assert held(world, "m1") == ("shop", "debian-12.0.1")
    assert not world.engine.plan().changes


def test_beyond_the_quota_one_waits_until_another_is_let_go(tmp_path: Path) -> None:
    world = World(tmp_path)
    m1, m2 = machine("m1", project="shop"), machine("m2", project="shop")
    world.commit(declare(*catalogue(1), m1, m2))
    world.run(100)
    assert (held(world, "m1")[0], held(world, "m2")[0]) == ("shop", None)
    assert world.reasons("m2") == ["Held"]
    world.commit(declare(*catalogue(1), machine("m1"), m2, revision="b" * 40))
    world.run(100)
    assert (held(world, "m1")[0], held(world, "m2")[0]) == (None, "shop")


def test_a_machine_goes_to_another_project_by_way_of_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    pinned = catalogue(1, "12.0.1")
    for number, (project, image, expected) in enumerate(
        [
            ("shop", "debian-12", ("shop", "debian-12.0.1")),
            ("ware", "debian-12", ("shop", "debian-12.0.1")),
            (None, None, (None, None)),
            ("ware", None, ("ware", None)),
        ]
    ):
        spec = {name: value for name, value in (("project", project), ("image", image)) if value is not None}
        world.commit(declare(*pinned, machine("m1", **spec), revision=f"{number}" * 40))
        world.run(100)
        assert held(world, "m1") == expected


def test_each_event_is_recorded_with_the_project_that_had_the_machine_then(tmp_path: Path) -> None:
    """A sink of the second tenant must not get the events of the first one, not even when it is late or replays."""
    world = World(tmp_path)
    for number, project in enumerate(["shop", None, "ware"]):
        spec = {"project": project} if project is not None else {}
        world.commit(declare(*catalogue(1), machine("m1", **spec), revision=f"{number}" * 40))
        world.run(100)
    recorded = [one.event for one in world.store.follow(0) if one.event.key == ResourceKey("Machine", "m1")]
    assert [(one.reason, one.project) for one in recorded] == [
        ("Bound", "shop"),
        ("Unbound", "shop"),
        ("Bound", "ware"),
    ]
    assert all(one.labels == {} for one in recorded)
