"""Which daemons serve machines that boot, and which machines may be started therefore."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.base import PowerState, SystemState
from reconciler.daemon.shards.control_relay import boot_services_of
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.facts import Facts
from reconciler.model.shard import WorkerDaemon
from reconciler.operations.serving.serve_boot import BootOptions, why_not_beside
from reconciler.planning.guards.standing import BootServices, Standing
from tests.unit.guard_worlds import OPEN, key, planned_at, racked
from tests.unit.planning_worlds import World, desired, seen

ANY, NAMED = (
    WorkerDaemon("b/1", boot_address="10.0.0.2"),
    WorkerDaemon("s/1", ("fra2", "fra3"), boot_address="10.0.0.3"),
)
OTHER = WorkerDaemon("t/1", ("fra1", "fra2"), boot_address="10.0.0.4")


@pytest.mark.parametrize(
    ("workers", "found"),
    [
        ((), BootServices()),
        ((WorkerDaemon("a/1"), WorkerDaemon("s/1", ("fra2",))), BootServices()),
        ((ANY,), BootServices("10.0.0.2")),
        ((NAMED,), BootServices(None, ("fra2", "fra3"))),
        ((NAMED, ANY, OTHER), BootServices("10.0.0.2", ("fra1", "fra2", "fra3"))),
        ((WorkerDaemon("b/1", is_leaving=True, boot_address="10.0.0.2"),), BootServices()),
    ],
    ids=["no daemon", "none serves", "one serves all", "one serves its partitions", "several", "one that leaves"],
)
def test_where_other_daemons_serve_machines(workers: tuple[WorkerDaemon, ...], found: BootServices) -> None:
    assert boot_services_of(workers) == found


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (Standing(OPEN, "10.0.0.1"), None),
        (Standing(OPEN, boot_partitions=("p",)), None),
        (Standing(OPEN), "network boot needs a boot service, and none is running"),
        (
            Standing(OPEN, boot_partitions=("fra2", "fra3")),
            "network boot needs a boot service, and only fra2, fra3 have one now",
        ),
    ],
    ids=["all partitions", "this partition", "none", "other partitions"],
)
def test_a_machine_is_started_where_its_partition_is_served(standing: Standing, reason: str | None) -> None:
    one = racked("r1-1", lifecycle={"mode": "Managed"})
    looks = {one.key: seen(one.key, SystemState(power=PowerState.OFF))}
    found = planned_at(World(desired(one), looks, Facts({one.key: MachineFacts()}, {})), standing=standing)
    (change,) = (one for one in found.changes if one.key == key("r1-1"))
    assert [hold.reason for hold in change.held_by] == ([] if reason is None else [reason])


@pytest.mark.parametrize(
    ("options", "can"),
    [
        (BootOptions(), True),
        (BootOptions("127.0.0.1"), True),
        (BootOptions("192.0.2.1"), False),
        (BootOptions("boot.example"), False),
        (BootOptions("192.0.2.1", cert=Path("boot.pem"), key=Path("boot.key")), True),
    ],
    ids=["no boot service", "an address of this host", "of another host", "a name", "one key on all hosts"],
)
def test_a_daemon_that_stands_by_serves_no_machine_that_would_go_on_with_another_host(
    options: BootOptions, *, can: bool
) -> None:
    assert (why_not_beside(options) is None) is can
