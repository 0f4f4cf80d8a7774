"""What is in a machine is read part by part; what a BMC does not say is unknown, and never nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import (
    AuthenticationFailed,
    Bmc,
    Disk,
    Endpoint,
    Gpu,
    Inventory,
    MemoryModule,
    Nic,
    Processor,
    Unreachable,
    UnreadPart,
)
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from drivers.bmc.fake.fake_machine import NEW_INVENTORY
from drivers.bmc.redfish.redfish_inventory import read_inventory
from drivers.bmc.redfish.wire.redfish_errors import NotFound
from tests.drivers.bmc_servers import DROP, EXPAND, ROOT, SYSTEM, Answer, Pki, RedfishServer, extended, reply, service
from tests.drivers.test_bmc_any_document import places, values

PARTS = ("Processors", "Memory", "Storage")
CPU = Processor("Xeon", 8, 16)
WHOLE = Inventory(
    (CPU, CPU),
    64 << 30,
    (Disk("Bay0", 960_000_000_000, "PM9A3"),),
    (Gpu("H100"),),
    modules=(MemoryModule("1", 32 << 30), MemoryModule("2", 32 << 30)),
)


def documents() -> dict[str, Any]:
    """A service with a machine that holds WHOLE, and an empty slot of each kind."""
    cpu = {"ProcessorType": "CPU", "Model": "Xeon", "TotalCores": 8, "TotalThreads": 16}
    absent = {"Status": {"State": "Absent"}}
    members: dict[str, dict[str, Any]] = {
        "Processors": {
            "1": cpu,
            "2": {**cpu, "ProcessorType": None},
            "3": {**cpu, **absent},
            "4": {"ProcessorType": "GPU", "Model": "H100"},
        },
        "Memory": {"1": {"CapacityMiB": 32768}, "2": {"CapacityMiB": 32768}, "3": {"CapacityMiB": 32768, **absent}},
        "Storage": {"1": {"Drives": [{"@odata.id": f"{SYSTEM}/Storage/1/Drives/Bay0"}]}},
    }
    found: dict[str, Any] = {**service(**{name: {"@odata.id": f"{SYSTEM}/{name}"} for name in PARTS})}
    for name, listed in members.items():
        found[f"{SYSTEM}/{name}"] = {"Members": [{"@odata.id": f"{SYSTEM}/{name}/{key}"} for key in listed]}
        for key, document in listed.items():
            path = f"{SYSTEM}/{name}/{key}"
            found[path] = {"@odata.id": path, "Id": key, **document}
    found[f"{SYSTEM}/Storage/1/Drives/Bay0"] = {"Id": "Bay0", "CapacityBytes": 960_000_000_000, "Model": "PM9A3"}
    return found


def looked(found: Mapping[str, Any], **bounds: Any) -> Inventory:
    """Read from documents that are there already."""

    def get(path: str) -> dict[str, Any]:
        document = found.get(path)
        if not isinstance(document, dict):
            raise NotFound(path) if document is None else ValueError(path)
        return document

    return read_inventory(found[SYSTEM], get, expands=False, **bounds)


def with_system(**fields: Any) -> dict[str, Any]:
    found = documents()
    return {**found, SYSTEM: {**found[SYSTEM], **fields}}


@pytest.fixture
def server(pki: Pki) -> Iterator[RedfishServer]:
    with RedfishServer(pki.context, documents()) as running:
        yield running


def expanding(server: RedfishServer) -> None:
    features = {"ExpandQuery": {"NoLinks": True, "Levels": True, "MaxLevels": 1}}
    server.documents[ROOT] = {**server.documents[ROOT], "ProtocolFeaturesSupported": features}


def test_a_whole_machine_is_read_in_one_session_on_one_connection(bmc: Bmc, server: RedfishServer) -> None:
    assert bmc.inventory() == WHOLE
    assert (server.count("POST"), server.connections) == (1, 1)


def test_a_bmc_that_does_not_offer_it_is_not_asked_to_expand(bmc: Bmc, server: RedfishServer) -> None:
    bmc.inventory()
    assert not [one for one in server.requests if "$expand" in one.path]


def test_a_bmc_that_offers_it_is_asked_for_a_collection_at_once(bmc: Bmc, server: RedfishServer) -> None:
    expanding(server)
    bmc.read()
    before = len(server.requests)
    assert bmc.inventory() == WHOLE
    assert len(server.requests) - before == len(["system", "drive", *PARTS])


@pytest.mark.parametrize("status", [400, 404, 500, 501])
def test_an_expansion_that_is_refused_is_done_without_and_not_asked_again(
    bmc: Bmc, server: RedfishServer, status: int
) -> None:
    expanding(server)
    server.misbehave("GET", f"{SYSTEM}/Processors{EXPAND}", reply(status, extended("no")), times=None)
    assert bmc.inventory() == WHOLE
    assert len([one for one in server.requests if "$expand" in one.path]) == 1


@pytest.mark.parametrize("status", [403, 404, 500, 503])
@pytest.mark.parametrize(
    ("part", "missing"),
    [("Processors", ("processors", "gpus")), ("Memory", ("memory",)), ("Storage", ("disks",))],
)
def test_a_part_that_is_refused_is_missing_and_the_others_are_read(
    bmc: Bmc, server: RedfishServer, part: str, missing: tuple[str, ...], status: int
) -> None:
    server.misbehave("GET", f"{SYSTEM}/{part}", reply(status, extended("no")), times=None)
    seen = bmc.inventory()
    assert seen.missing == missing
    for name in {"processors", "memory", "disks", "gpus"} - set(missing):
        assert getattr(seen, name) == getattr(WHOLE, name)


@pytest.mark.parametrize("answer", [reply(500), reply(503), reply(403), reply(200, b"{"), DROP])
@pytest.mark.parametrize(
    ("path", "rest", "missing", "part"),
    [
        ("Processors/2", {"processors": (CPU,), "gpus": WHOLE.gpus}, ("processors", "gpus"), "processors"),
        ("Processors/4", {"processors": (CPU, CPU), "gpus": ()}, ("processors", "gpus"), "processors"),
        ("Memory/2", {"memory": 0, "modules": (MemoryModule("1", 32 << 30),)}, ("memory",), "modules"),
        ("Storage/2", {"disks": (*WHOLE.disks, Disk("Bay1", 5))}, ("disks",), "disks"),
        ("Storage/1/Drives/Bay1", {"disks": WHOLE.disks}, ("disks",), "disks"),
        ("EthernetInterfaces/2", {"nics": (Nic("1", "52:54:00:00:00:01"),)}, (), "nics"),
    ],
)
def test_one_part_that_cannot_be_read_is_unknown_and_the_rest_is_used(
    bmc: Bmc,
    server: RedfishServer,
    answer: Answer,
    path: str,
    rest: dict[str, Any],
    missing: tuple[str, ...],
    part: str,
) -> None:
    """An NVDIMM, a drive or a controller that its BMC answers 500 for."""
    drives, interfaces = f"{SYSTEM}/Storage/1/Drives", f"{SYSTEM}/EthernetInterfaces"
    server.documents |= {
        f"{SYSTEM}/Storage": {"Members": [{"@odata.id": f"{SYSTEM}/Storage/{one}"} for one in "12"]},
        f"{SYSTEM}/Storage/2": {"Id": "2", "Drives": []},
        f"{SYSTEM}/Storage/1": {"Drives": [{"@odata.id": f"{drives}/Bay0"}, {"@odata.id": f"{drives}/Bay1"}]},
        f"{drives}/Bay1": {"Id": "Bay1", "CapacityBytes": 5},
        SYSTEM: {**server.documents[SYSTEM], "EthernetInterfaces": {"@odata.id": interfaces}},
        interfaces: {"Members": [{"@odata.id": f"{interfaces}/{one}"} for one in "12"]},
        **{f"{interfaces}/{one}": {"Id": one, "MACAddress": f"52:54:00:00:00:0{one}"} for one in "12"},
    }
    server.misbehave("GET", f"{SYSTEM}/{path}", answer, times=None)
    seen = bmc.inventory()
    assert (seen.missing, seen.unread) == (missing, (UnreadPart(part, path.rpartition("/")[2]),))
    assert {name: getattr(seen, name) for name in rest} == rest
    assert not seen.is_whole(part)


def test_a_page_that_cannot_be_read_is_unknown_and_the_others_are_used() -> None:
    found = documents()
    first, *_ = found[f"{SYSTEM}/Memory"]["Members"]
    found[f"{SYSTEM}/Memory"] = {"Members": [first], "Members@odata.nextLink": f"{SYSTEM}/Memory?$skip=1"}
    seen = looked(found)
    assert (seen.modules, seen.unread) == ((MemoryModule("1", 32 << 30),), (UnreadPart("modules"),))


def test_a_listed_part_that_was_pulled_is_left_out() -> None:
    found = documents()
    del found[f"{SYSTEM}/Memory/2"]
    seen = looked(found)
    assert (seen.memory, seen.missing) == (32 << 30, ())


def test_a_system_that_cannot_be_read_is_an_error(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", SYSTEM, reply(500, extended("no")), times=None)
    with pytest.raises(Unreachable, match="HTTP 500"):
        bmc.inventory()


def test_one_resource_without_an_answer_is_missing(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", f"{SYSTEM}/Storage/1/Drives/Bay0", DROP, times=None)
    assert bmc.inventory().missing == ("disks",)


def test_a_bmc_that_stops_answering_is_unreachable_rather_than_empty(bmc: Bmc, server: RedfishServer) -> None:
    for part in PARTS:
        server.misbehave("GET", f"{SYSTEM}/{part}", DROP, times=None)
    with pytest.raises(Unreachable):
        bmc.inventory()
    assert not server.seen("GET", f"{SYSTEM}/Storage")


def test_a_part_that_refuses_a_login_which_all_others_take_is_missing_alone(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", f"{SYSTEM}/Memory", reply(401, extended("no")), times=None)
    assert bmc.inventory().missing == ("memory",)


def test_a_login_that_is_refused_everywhere_is_an_error(bmc: Bmc, server: RedfishServer) -> None:
    for path in documents():
        server.misbehave("GET", path, reply(401, extended("no")), times=None)
    with pytest.raises(AuthenticationFailed):
        bmc.inventory()


def test_all_pages_of_a_collection_are_read() -> None:
    found = documents()
    first, *others = found[f"{SYSTEM}/Memory"]["Members"]
    found[f"{SYSTEM}/Memory"] = {"Members": [first], "Members@odata.nextLink": f"{SYSTEM}/Memory?$skip=1"}
    found[f"{SYSTEM}/Memory?$skip=1"] = {"Members": others}
    assert looked(found) == WHOLE


def test_pages_that_go_in_a_circle_end() -> None:
    found = documents()
    found[f"{SYSTEM}/Storage"]["Members@odata.nextLink"] = f"{SYSTEM}/Storage"
    assert looked(found) == WHOLE


def test_what_the_requests_do_not_suffice_for_is_missing() -> None:
    assert looked(documents(), requests=5).missing == ("memory", "disks")


def test_what_the_time_does_not_suffice_for_is_missing() -> None:
    assert looked(documents(), seconds=0).missing == ("processors", "memory", "disks", "gpus")


def test_without_processors_their_summary_is_shared_out() -> None:
    summary = {"Count": 2, "Model": "Xeon", "CoreCount": 16, "LogicalProcessorCount": 32}
    seen = looked(with_system(Processors=None, ProcessorSummary=summary))
    assert (seen.processors, seen.missing) == ((CPU, CPU), ("gpus",))


@pytest.mark.parametrize(
    ("gib", "size"),
    [
        (96, 96 << 30),
        (0.5, 1 << 29),
        (0, 0),
        (-1, 0),
        ("96", 96 << 30),
        ("96 GB", 0),
        ("\u00b2", 0),
        ("-1", 0),
        (True, 0),
    ],
)
def test_without_modules_the_summary_of_memory_counts(gib: object, size: int) -> None:
    seen = looked(with_system(Memory=None, MemorySummary={"TotalSystemMemoryGiB": gib}))
    assert (seen.memory, seen.missing) == (size, () if size else ("memory",))


def test_without_drives_the_devices_of_simple_storage_count() -> None:
    found = with_system(Storage=None, SimpleStorage={"@odata.id": f"{SYSTEM}/SimpleStorage"})
    devices = [{"Name": "Bay 1", "CapacityBytes": 8}, {"Name": "Bay 2", "Status": {"State": "Absent"}}]
    found[f"{SYSTEM}/SimpleStorage"] = {"Members": [{"@odata.id": f"{SYSTEM}/SimpleStorage/1"}]}
    found[f"{SYSTEM}/SimpleStorage/1"] = {"Id": "1", "Devices": devices}
    assert looked(found).disks == (Disk("Bay 1", 8),)


def test_a_machine_without_disks_is_known_to_have_none() -> None:
    found = documents()
    found[f"{SYSTEM}/Storage"] = {"Members": []}
    seen = looked(found)
    assert (seen.disks, seen.missing) == ((), ())


def test_a_bmc_that_lists_nothing_at_all_does_not_know() -> None:
    found = documents() | {f"{SYSTEM}/{part}": {"Members": []} for part in PARTS}
    assert looked(found) == Inventory(missing=("processors", "memory", "disks", "gpus"))


def test_a_drive_that_two_controllers_list_is_one() -> None:
    found = documents()
    found[f"{SYSTEM}/Storage"]["Members"].append({"@odata.id": f"{SYSTEM}/Storage/2"})
    found[f"{SYSTEM}/Storage/2"] = found[f"{SYSTEM}/Storage/1"]
    assert looked(found).disks == WHOLE.disks


BAY, ENCLOSURE = f"{SYSTEM}/Storage/1/Drives", f"{ROOT}/Chassis/1/Drives"


@pytest.mark.parametrize(
    ("paths", "first", "second", "count"),
    [
        pytest.param(
            (f"{BAY}/0", f"{ENCLOSURE}/0"), {"SerialNumber": "S1"}, {"SerialNumber": "S1"}, 1, id="two places"
        ),
        pytest.param(
            (f"{BAY}/0", f"{ENCLOSURE}/0"), {"@odata.id": f"{BAY}/0"}, {"@odata.id": f"{BAY}/0"}, 1, id="one name"
        ),
        pytest.param(
            (f"{BAY}/0", f"{ENCLOSURE}/0"), {"SerialNumber": "S1"}, {"SerialNumber": "S2"}, 2, id="two serials"
        ),
        pytest.param((f"{BAY}/0", f"{ENCLOSURE}/0"), {}, {}, 2, id="no serial"),
        pytest.param(
            (f"{BAY}/0", f"{ENCLOSURE}/0"), {"SerialNumber": "N/A"}, {"SerialNumber": "N/A"}, 2, id="placeholder"
        ),
        pytest.param((f"{BAY}/0", f"{BAY}/1"), {"SerialNumber": "S1"}, {"SerialNumber": "S1"}, 2, id="siblings"),
        pytest.param(
            (f"{BAY}/0", f"{ENCLOSURE}/0"),
            {"SerialNumber": "S1", "CapacityBytes": 1},
            {"SerialNumber": "S1", "CapacityBytes": 2},
            2,
            id="two sizes",
        ),
    ],
)
def test_a_drive_that_is_shown_at_two_places_is_one(
    paths: tuple[str, str], first: dict[str, Any], second: dict[str, Any], count: int
) -> None:
    found = documents()
    found[f"{SYSTEM}/Storage/1"] = {"Id": "1", "Drives": [{"@odata.id": path} for path in paths]}
    for path, one in zip(paths, (first, second), strict=True):
        found[path] = {"@odata.id": path, "Id": path.rpartition("/")[2], "CapacityBytes": 960, "Model": "PM9A3", **one}
    assert len(looked(found).disks) == count


def test_all_pages_of_a_list_of_drives_are_read() -> None:
    found = documents()
    more = f"{SYSTEM}/Storage/1?$skip=1"
    found[f"{SYSTEM}/Storage/1"] |= {"Drives@odata.nextLink": more}
    found[more] = {"Drives": [{"@odata.id": f"{ENCLOSURE}/9"}]}
    found[f"{ENCLOSURE}/9"] = {"Id": "Bay9", "CapacityBytes": 5}
    assert {one.name for one in looked(found).disks} == {"Bay0", "Bay9"}
    del found[more]
    found[more] = {"error": {"code": "later"}, "Drives@odata.nextLink": 7}
    seen = looked(found)
    assert seen.missing == ("disks",)
    assert {one.name for one in seen.disks} == {"Bay0"}


@pytest.mark.parametrize("link", ["?$skip=1", "1?$skip=1"])
def test_a_link_to_a_page_may_be_relative(link: str) -> None:
    found = documents()
    storage = f"{SYSTEM}/Storage/1"
    found[storage] |= {"@odata.id": storage, "Drives@odata.nextLink": link}
    found[f"{storage}?$skip=1"] = {"Drives": [{"@odata.id": f"{ENCLOSURE}/9"}]}
    found[f"{ENCLOSURE}/9"] = {"Id": "Bay9", "CapacityBytes": 5}
    assert {one.name for one in looked(found).disks} == {"Bay0", "Bay9"}


def test_a_list_of_drives_may_be_behind_a_link() -> None:
    found = documents()
    drives = f"{SYSTEM}/Storage/1/Drives"
    found[drives] = {"Members": found[f"{SYSTEM}/Storage/1"]["Drives"]}
    found[f"{SYSTEM}/Storage/1"] |= {"Drives": {"@odata.id": drives}}
    assert {one.name for one in looked(found).disks} == {"Bay0"}


@pytest.mark.parametrize("odd", [None, "three", 3, {"count": 3}])
def test_a_list_of_drives_that_is_no_list_is_unknown(odd: object) -> None:
    found = documents()
    found[f"{SYSTEM}/Storage/1"] |= {"Drives": odd}
    assert looked(found).missing == ("disks",)


def test_memory_of_which_one_module_cannot_be_read_is_that_of_the_summary(bmc: Bmc, server: RedfishServer) -> None:
    """An NVDIMM that its BMC answers 500 for: the machine's memory is known all the same."""
    server.documents[SYSTEM] = {**server.documents[SYSTEM], "MemorySummary": {"TotalSystemMemoryGiB": 64}}
    server.misbehave("GET", f"{SYSTEM}/Memory/2", reply(500, extended("later")), times=None)
    seen = bmc.inventory()
    assert (seen.memory, seen.modules, seen.missing) == (64 << 30, (MemoryModule("1", 32 << 30),), ())


@given(st.lists(st.tuples(st.sampled_from(list(places(documents()))), values), max_size=5))
def test_no_value_in_any_place_stops_the_looking(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    found: Any = json.loads(json.dumps(documents()))
    for (path, *inner), value in changes:
        target = found[path] if inner else None
        for name in inner[:-1]:
            target = target.get(name) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[inner[-1]] = value
        elif not inner and path != SYSTEM:
            found[path] = value
    seen = looked(found)
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Inventory) == seen
    assert bool(seen.processors) != ("processors" in seen.missing) or seen.unread_of("processors")
    assert bool(seen.memory) != ("memory" in seen.missing)


@given(st.dictionaries(st.sampled_from([f"{SYSTEM}/{part}" for part in PARTS]), st.dictionaries(st.text(), values)))
def test_a_collection_of_nonsense_hides_no_other_part(nonsense: dict[str, Any]) -> None:
    seen = looked({**documents(), **nonsense})
    assert seen.memory == WHOLE.memory or f"{SYSTEM}/Memory" in nonsense
    assert seen.processors == WHOLE.processors or f"{SYSTEM}/Processors" in nonsense


@given(values)
def test_an_odd_size_is_ignored(size: Any) -> None:
    found = documents()
    found[f"{SYSTEM}/Storage/1/Drives/Bay0"]["CapacityBytes"] = size
    (disk,) = looked(found).disks
    assert disk.size == 0 or disk.size == size > 0


def test_a_fake_machine_holds_what_it_was_given() -> None:
    fleet = FakeFleet(lambda: 0.0)
    bmc = fleet.open(Endpoint("fake", "bmc-1"))
    assert bmc.inventory() == NEW_INVENTORY
    fleet.machine("bmc-1").inventory = WHOLE
    assert bmc.inventory() == WHOLE


def test_a_fault_of_reads_strikes_the_looking_too() -> None:
    fleet = FakeFleet(lambda: 0.0)
    fleet.machine("bmc-1").faults.add(Fault(FaultKind.UNREACHABLE))
    with pytest.raises(Unreachable, match="simulated fault"):
        fleet.open(Endpoint("fake", "bmc-1")).inventory()


def with_nics(*members: dict[str, Any]) -> dict[str, Any]:
    path = f"{SYSTEM}/EthernetInterfaces"
    found = with_system(EthernetInterfaces={"@odata.id": path})
    found[path] = {"Members": [{"@odata.id": f"{path}/{at}"} for at in range(len(members))]}
    return found | {f"{path}/{at}": {"Id": f"NIC.{at}", **one} for at, one in enumerate(members)}


@pytest.mark.parametrize(
    ("document", "mac"),
    [
        ({"MACAddress": "52:54:00:AB:CD:EF"}, "52:54:00:ab:cd:ef"),
        ({"MACAddress": "02:00:00:00:00:01", "PermanentMACAddress": "5254.00ab.cdef"}, "52:54:00:ab:cd:ef"),
        ({"MACAddress": "52-54-00-ab-cd-ef", "PermanentMACAddress": "N/A"}, "52:54:00:ab:cd:ef"),
        ({"MACAddress": "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:A1:B2:C3"}, "24:8a:07:03:00:a1:b2:c3"),
        ({"PermanentMACAddress": "248A:0703:00A1:B2C3"}, "24:8a:07:03:00:a1:b2:c3"),
        ({"MACAddress": "00:00:00:00:00:00"}, None),
        ({"MACAddress": 7}, None),
        ({}, None),
    ],
)
def test_an_interface_has_the_mac_address_of_its_card_or_is_left_out(document: dict[str, Any], mac: str | None) -> None:
    nics = looked(with_nics(document)).nics
    assert nics == (() if mac is None else (Nic("NIC.0", mac),))


def test_interfaces_that_are_not_offered_are_unknown_and_not_none() -> None:
    assert looked(documents()).nics is None


def test_a_module_has_its_serial_number_and_part_number() -> None:
    found = documents()
    path = f"{SYSTEM}/Memory/1"
    found[path] |= {"SerialNumber": "S1", "PartNumber": "M393A4K40EB3", "Id": "A1"}
    modules = looked(found).modules
    assert modules is not None
    assert modules[0] == MemoryModule("A1", 32 << 30, "M393A4K40EB3", "S1")
