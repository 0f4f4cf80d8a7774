"""By which inventory a machine is held against the sizes: what is kept, what its BMC says now, or a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Inventory, Processor
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, document, machine, partition

SYSTEM = "5a1f0000-0000-4000-8000-0000000000e1"
SMALL = Inventory((Processor("X", 8),), 1 << 36, (), ())


@pytest.fixture(scope="module")
def bmc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorFleet]:
    with EmulatorFleet(tmp_path_factory.mktemp("bmc") / "bmcs", [[SYSTEM]]) as fleet:
        yield fleet


@pytest.fixture
def rack(desk: Desk, bmc: EmulatorFleet) -> Desk:
    """A desk with one machine, and a size for eight cores."""
    desk.environment |= {"RACK_USERNAME": bmc.username, "RACK_PASSWORD": bmc.password}
    desk.allow("rack", "RACK", bmc.ca_file)
    desk.secrets.add(bmc.password)
    constraints: list[dict[str, Any]] = [
        {"type": "cores", "min": 8, "max": 8},
        {"type": "memory", "min": "64Gi", "max": "64Gi"},
    ]
    way = partition(credentialRef={"name": "rack"}, tls={"caFile": str(bmc.ca_file)})
    desk.commit(all=[way, document("Size", "small", constraints=constraints), machine("m1", bmc.addresses[0])])
    return desk


def keep(desk: Desk, origin: Origin, inventory: Inventory, age: timedelta) -> None:
    store = Store.open(f"sqlite:///{desk.store}")
    store.inventories.put(ResourceKey("Machine", "m1"), origin, inventory, datetime.now(UTC) - age)
    store.close()


def asked(bmc: EmulatorFleet) -> int:
    logs: list[Path] = sorted(Path(bmc.ca_file).parent.glob("bmc-*.log"))
    assert logs
    return sum(path.read_text("utf-8", "replace").count("/redfish/v1/Systems") for path in logs)


def test_what_is_kept_is_used_and_the_bmc_is_not_asked(rack: Desk, bmc: EmulatorFleet) -> None:
    keep(rack, Origin.IN_BAND, SMALL, timedelta(days=3))
    before = asked(bmc)
    done = rack.run("explain-size", "m1")
    assert (done.code, "Machine/m1 is of size small" in done.out) == (0, True)
    assert "by what the agent reported 3d ago" in done.out
    form = rack.run("explain-size", "m1", "-o", "json").json
    assert (form["source"], list(form["taken_at"])) == ("kept", ["in-band"])
    assert asked(bmc) == before


def test_without_anything_kept_the_bmc_is_asked_and_nothing_is_kept(rack: Desk, bmc: EmulatorFleet) -> None:
    before = asked(bmc)
    done = rack.run("explain-size", "m1")
    assert "by what the BMC reports now; no inventory is stored" in done.out
    assert asked(bmc) > before
    assert rack.run("explain-size", "m1", "-o", "json").json["source"] == "bmc"


def test_a_refresh_asks_the_bmc_and_keeps_what_it_says(rack: Desk, bmc: EmulatorFleet) -> None:
    keep(rack, Origin.IN_BAND, SMALL, timedelta(days=3))
    before = asked(bmc)
    out = rack.run("explain-size", "m1", "--refresh").out
    assert re.search(r"^by what the agent reported 3d ago and what the BMC reported \d+s ago$", out, re.MULTILINE)
    assert asked(bmc) > before
    assert rack.told("InventoryTaken", "m1")


def test_a_file_is_judged_instead_and_named(rack: Desk) -> None:
    file = rack.folder / "what-if.yaml"
    file.write_text("{processors: [{model: X, cores: 8}], memory: 68719476736}")
    done = rack.run("explain-size", "m1", "--inventory", str(file))
    assert (done.code, f"by {file}" in done.out) == (0, True)
    assert rack.run("explain-size", "m1", "--inventory", str(file), "--refresh").code == 1
