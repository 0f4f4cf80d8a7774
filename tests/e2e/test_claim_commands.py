"""Claims on the command line: what they would get, what there is, and whose what is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Disk, Inventory
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from tests.e2e.desk import Desk, document, network

AT = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
LAB = [
    document("Tenant", "acme"),
    document("Project", "shop", tenant="acme"),
    document("Image", "debian-12.0.1", os="debian", version="12.0.1", classification="supported", root=ROOT),
    document(
        "Size",
        "c1",
        constraints=[{"type": "cores", "min": 1, "max": 8}, {"type": "memory", "min": "1Gi", "max": "8Gi"}],
    ),
]


def claim(count: int, **spec: Any) -> dict[str, Any]:
    asked = {"project": "shop", "partitions": ["lab"], "size": "c1", "count": count, "image": "debian-12", **spec}
    return document("MachineClaim", "web", **asked)


def box(name: str, **spec: Any) -> dict[str, Any]:
    bmc = {"driver": "fake", "address": f"fake-{name}"}
    return document("Machine", name, partition="lab", bmc=bmc, size="c1", lifecycle={"mode": "Managed"}, **spec)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Three machines, two of them inspected, a claim for two with an address each, and all of it applied."""
    desk = Desk(tmp_path_factory.mktemp("original") / "desk")
    desk.commit(
        lab=[
            *LAB,
            document("Partition", "lab"),
            network("front", "10.9.0.0/24"),
            *(box(name, rack="r1") for name in ("m1", "m2", "m3")),
            claim(2, networks=[{"network": "front"}]),
        ]
    )
    desk.run("plan")
    store = Store.open(f"sqlite:///{desk.store}")
    for name in ("m1", "m2"):
        store.put_facts({ResourceKey("Machine", name): MachineFacts(lifecycle=LifecycleFacts(inspected_at=AT))})
    store.close()
    return desk


@pytest.fixture
def lab(original: Desk, tmp_path: Path) -> Desk:
    return original.copy(tmp_path / "desk")


def test_a_claim_is_explained_applied_and_shown_and_the_plan_is_empty_then(lab: Desk) -> None:
    planned = lab.run("plan")
    assert planned.code == 3, "a machine waits for a boot service, which `apply` has not either"
    assert "-> claim m1, m2" in planned.out
    done = lab.run("apply", "--yes")
    assert done.code == 3, done
    assert ("network boot needs a boot service, and none is running") in done.out, (
        "the machines wait for `groundstate run`"
    )
    assert "MachineClaim" not in lab.run("plan").out
    [shown] = lab.run("get", "claims", "-o", "json").json["items"]
    assert shown["status"]["machines"] == [
        {"slot": 0, "machine": "m1", "phase": "Claimed"},
        {"slot": 1, "machine": "m2", "phase": "Claimed"},
    ]
    [row] = lab.run("get", "claims").out.splitlines()[1:]
    assert row.split()[:6] == ["web", "shop", "c1", "2", "2", "0"]
    assert "slot 1  m2  Claimed" in lab.run("describe", "claim/web").out
    assert lab.run("explain-placement", "web").code == 0


def test_machines_that_nobody_looked_at_are_looked_at_when_that_is_asked_for(lab: Desk) -> None:
    unseen = lab.run("explain-placement", "web")
    assert unseen.code == 1
    assert "not observed yet" in unseen.out
    assert lab.run("explain-placement", "web", "--refresh").code == 0
    assert lab.run("capacity", "--refresh", "-o", "json").json[0]["free"] == ["m1", "m2"]


def test_whose_an_implied_address_is_is_said_wherever_it_is_shown(lab: Desk) -> None:
    plan = lab.run("plan").out
    assert "+ IPAddress web:[0-1]:front:4  (2)" in plan
    assert "for MachineClaim/web" in plan
    lab.run("apply", "--yes")
    of_whom = "MachineClaim/web, slot 0"
    for command in (["get", "ips"], ["describe", "ip/web:0:front:4"], ["ipam", "get"], ["events"]):
        assert of_whom in lab.run(*command).out, command


def test_every_candidate_has_its_reasons(lab: Desk) -> None:
    lab.run("apply", "--yes")
    lab.write(more=[document("MachineClaim", "db", project="shop", partitions=["lab"], size="c1", image="debian-12")])
    explained = lab.run("explain-placement", "db", "--work-tree")
    assert explained.code == 1
    assert "1 more machine is needed, 0 available in lab; of 3 in total, 2 are claimed, 1 is not inspected yet" in (
        explained.out
    )
    form = lab.run("explain-placement", "db", "--work-tree", "-o", "json").json
    reasons = {one["machine"]: [reason["code"] for reason in one["reasons"]] for one in form["candidates"]}
    assert reasons == {"m1": ["claimed"], "m2": ["claimed"], "m3": ["uninspected"]}
    assert "did you mean web?" in lab.run("explain-placement", "wbe").err
    assert "does not name exactly one MachineClaim" in lab.run("explain-placement", "machine/m1").err


def test_a_claim_by_what_is_in_machines_is_planned_by_the_sizes_and_numbers_of_its_own_state(lab: Desk) -> None:
    """They are labels that a daemon works out, perhaps for another state, and perhaps there is none."""
    disks = (Disk("/dev/nvme0n1", 10**12), Disk("/dev/nvme1n1", 10**12))
    store = Store.open(f"sqlite:///{lab.store}")
    store.inventories.put(ResourceKey("Machine", "m2"), Origin.OUT_OF_BAND, Inventory(disks=disks), AT)
    store.close()
    number = {"sourcePath": "disks[*]", "targetPath": "drives", "aggregate": "count"}
    lab.commit(
        lab=[
            *LAB,
            document("Partition", "lab"),
            network("front", "10.9.0.0/24"),
            *map(box, ("m1", "m2", "m3")),
            document("Aggregate", "drives", items=[number]),
            claim(1, selector={"aggregate/drives": "2"}),
        ]
    )
    assert "-> claim m2" in lab.run("plan").out
    lab.run("apply", "--yes")
    [placed] = lab.told("Placed", "web")
    assert placed.message.startswith("m2,")
    lab.write(more=[claim(1, selector={"aggregate/drives": "1"}) | {"metadata": {"name": "db"}}])
    explained = lab.run("explain-placement", "db", "--work-tree").out
    assert "label aggregate/drives is 2" in explained


def test_capacity_counts_each_machine_once(lab: Desk) -> None:
    assert lab.run("apply", "--yes").code == 3
    [row] = lab.run("capacity", "-o", "json").json
    assert row == {
        "partition": "lab",
        "size": "c1",
        "total": 3,
        "free": [],
        "claimed": ["m1", "m2"],
        "faulty": [],
        "waiting": ["m3"],
        "releasing": [],
        "reserved": 0,
        "asked": 0,
    }
    titles, numbers = (line.split() for line in lab.run("capacity").out.splitlines())
    shown = dict(zip(titles, numbers, strict=True))
    assert (shown["TOTAL"], shown["CLAIMED"], shown["WAITING"]) == ("3", "2", "1")
    assert lab.run("capacity", "--partition", "mars").code == 1


def test_a_claim_that_goes_gives_back_no_more_than_may_be(lab: Desk) -> None:
    lab.run("apply", "--yes")
    lab.commit(lab=[*LAB, document("Partition", "lab"), network("front", "10.9.0.0/24"), *map(box, ("m1", "m2", "m3"))])
    held = lab.run("plan")
    assert held.code == 3
    assert "held by guard mass-unclaim: 2 of 2 claimed machines" in held.out
    given_back = lab.run("apply", "--yes", "--max-released", "2")
    assert "waits for Machine/m1: Machine/m1 still uses MachineClaim/web, slot 0" in given_back.out
    assert [event.key.name for event in lab.told("Releasing") if event.key] == ["m1", "m2", "web"]
    lab.commit(lab=[*LAB, document("Partition", "lab"), network("front", "10.9.0.0/24"), *map(box, ("m2", "m3"))])
    refused = lab.run("plan")
    assert refused.code == 1
    assert "machine-claimed: Machine/m1 is no longer declared, but is still being released" in refused.err
