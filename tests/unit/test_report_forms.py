"""What reports say to programs: functions of operations over values, so that every interface says the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from drivers.base import Inventory, Nic
from reconciler.kinds.common.machine_inventory import Kept, Origin, StoredInventory
from reconciler.model.plans.fleet_count import FleetCount
from reconciler.model.resource import ResourceKey
from reconciler.operations.reports.fleet_status import FleetStatus, RevisionStatus, status_form
from reconciler.operations.reports.guard_explanation import GuardExplanation, guard_form
from reconciler.operations.reports.inventory_report import InventoryReport, inventory_form
from reconciler.operations.reports.size_report import SizeReport, size_form
from reconciler.views.render.tables.sizes import Basis

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
M = ResourceKey("Machine", "m1")
NO_REVISION = RevisionStatus(None, None, None, None)


def sent(form: dict[str, Any]) -> Any:
    """What comes out of it on the other side; whatever JSON has no value for is a TypeError."""
    return json.loads(json.dumps(form))


def status(fleet: FleetCount | None) -> Any:
    return sent(status_form(FleetStatus(AT, None, False, NO_REVISION, fleet, (), (), 2, notes=("a note",))))


def test_the_counts_of_a_status_stand_beside_the_rest() -> None:
    form = status(FleetCount({"Machine": {"Ready": 3}}, {"mass-change": 1}, ()))
    assert (form["statuses"], form["held"], form["budgets"]) == ({"Machine": {"Ready": 3}}, {"mass-change": 1}, [])
    assert (form["in_flight"], form["healthy"]) == (2, False)
    assert not {"fleet", "notes"} & set(form)


def test_a_fleet_that_is_not_counted_has_unknown_counts_and_not_none() -> None:
    form = status(None)
    assert (form["statuses"], form["held"], form["budgets"]) == (None, None, None)


def inventory() -> Any:
    nics = (Nic("ib0", "24:8a:07:03:00:a1:b2:c3"), Nic("vm0", "52:54:00:00:00:01"))
    kept = StoredInventory(out_of_band=Kept(Origin.OUT_OF_BAND, Inventory(nics=nics), AT, AT))
    return sent(inventory_form(InventoryReport(M, AT, kept, {Origin.OUT_OF_BAND: ()}, (), None, {})))


def test_an_inventory_names_the_vendor_of_each_interface_where_it_is_known() -> None:
    form = inventory()
    assert [(form["kind"], form["name"])] == [("Machine", "m1")]
    ((source),) = form["sources"].values()
    assert [one["vendor"] for one in source["value"]["nics"]] == ["Mellanox Technologies, Inc.", None]
    assert source["changes"] == []
    assert "size" not in form, "Sizes are not for every kind"


def size() -> Any:
    return sent(size_form(SizeReport(M, AT, "small", Basis(Inventory(), file="what-if.yaml"), ())))


def test_a_report_on_sizes_says_by_which_inventory() -> None:
    form = size()
    assert (form["machine"], form["declared"], form["source"], form["sizes"]) == ("m1", "small", "file", [])


def guard() -> Any:
    return sent(guard_form(GuardExplanation(M, AT, None, ())))


def test_an_explanation_of_guards_is_of_a_resource_or_of_a_guard() -> None:
    form = guard()
    assert (form["resource"], form["guards"], form["held"], form["budgets"]) == ("Machine/m1", [], False, [])
    assert "guard" not in form
