"""Virtual drives as BMCs show them: which one is taken, and what is sent."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.base import Bmc, Rejected, Unsupported
from tests.drivers.bmc_servers import ROOT, SYSTEM, Pki, RedfishServer, extended, reply, system

URL = "http://10.77.0.1:9809/agent.iso"
OTHER = "http://rescue.example/rescue.iso"
MANAGER = f"{ROOT}/Managers/1"


def drive(path: str, **fields: Any) -> dict[str, Any]:
    """A drive as most BMCs show it; a field given as ... is left out."""
    actions = {f"#VirtualMedia.{name}": {"target": f"{path}/Actions/{name}"} for name in ("InsertMedia", "EjectMedia")}
    document = {
        "@odata.id": path,
        "Id": path.rpartition("/")[2],
        "MediaTypes": ["CD", "DVD"],
        "Inserted": False,
        "Image": None,
        "ConnectedVia": "NotConnected",
        "Actions": actions,
        **fields,
    }
    return {name: value for name, value in document.items() if value is not ...}


def holding(url: str) -> dict[str, Any]:
    return {"Inserted": True, "Image": url, "ConnectedVia": "URI"}


def offer(server: RedfishServer, *drives: dict[str, Any], by: str = SYSTEM) -> None:
    """Let the system, or its manager, have these drives."""
    link = {"@odata.id": f"{by}/VirtualMedia"}
    if by == SYSTEM:
        server.documents[SYSTEM] = system(VirtualMedia=link)
    else:
        server.documents[by] = {"@odata.id": by, "VirtualMedia": link}
    server.documents[link["@odata.id"]] = {"Members": [{"@odata.id": one["@odata.id"]} for one in drives]}
    server.documents |= {one["@odata.id"]: one for one in drives}


CD, USB = f"{SYSTEM}/VirtualMedia/2", f"{SYSTEM}/VirtualMedia/1"
SEEN: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "nothing": ([drive(CD)], ()),
    "an image": ([drive(CD, **holding(URL))], (URL,)),
    "Image is the text None (Gigabyte)": ([drive(CD, Inserted=..., ConnectedVia=..., Image="None")], ()),
    "Image stays and is not connected (community.general#7470)": ([drive(CD, Image=URL, Inserted=True)], ()),
    "no Inserted": ([drive(CD, Image=URL, Inserted=..., ConnectedVia="URI")], (URL,)),
    "an operator's console": ([drive(CD, Inserted=True, Image="", ConnectedVia="Applet")], ("Applet",)),
    "a stick is no disc": ([drive(USB, MediaTypes=["USBStick"], **holding(OTHER)), drive(CD)], ()),
    "no MediaTypes": ([drive(CD, MediaTypes=..., **holding(URL))], (URL,)),
}


@pytest.mark.parametrize(("drives", "expected"), SEEN.values(), ids=SEEN)
def test_what_is_in_the_drives(
    bmc: Bmc, server: RedfishServer, drives: list[dict[str, Any]], expected: tuple[str, ...]
) -> None:
    offer(server, *drives)
    assert bmc.read(media=True).media == expected
    assert bmc.read().media is None


def test_a_look_without_media_costs_no_request_more(bmc: Bmc, server: RedfishServer) -> None:
    offer(server, drive(CD))
    bmc.read()
    before = server.count("GET")
    bmc.read()
    assert server.count("GET") == before + 1


WAYS: dict[str, list[str]] = {"a manager that the system names": [MANAGER], "the BMC's only manager": []}


@pytest.mark.parametrize("named", WAYS.values(), ids=WAYS)
def test_drives_of_the_manager_serve_as_well(bmc: Bmc, server: RedfishServer, named: list[str]) -> None:
    path = f"{MANAGER}/VirtualMedia/CD"
    offer(server, drive(path), by=MANAGER)
    server.documents[SYSTEM] = system(Links={"ManagedBy": [{"@odata.id": one} for one in named]})
    server.documents[f"{ROOT}/Managers"] = {"Members": [{"@odata.id": MANAGER}]}
    bmc.insert_media(URL)
    assert [one.json() for one in server.seen("POST", f"{path}/Actions/InsertMedia")] == [{"Image": URL}]


def test_an_image_goes_in_by_one_post_of_its_url(bmc: Bmc, server: RedfishServer) -> None:
    offer(server, drive(USB, MediaTypes=["USBStick"]), drive(CD))
    bmc.insert_media(URL)
    assert [one.json() for one in server.seen("POST", f"{CD}/Actions/InsertMedia")] == [{"Image": URL}]
    assert not server.seen("PATCH")


def test_a_drive_without_the_action_is_written_to(bmc: Bmc, server: RedfishServer) -> None:
    """Lenovo XCC; its RDOC drives take no URL (lenovo/python-redfish-lenovo#21)."""
    slots = (f"{SYSTEM}/VirtualMedia/{name}" for name in ("EXT1", "RDOC1"))
    offer(server, *(drive(path, Actions=...) for path in slots))
    bmc.insert_media(URL)
    [sent] = server.seen("PATCH")
    assert sent.path.endswith("/EXT1")
    assert sent.json() == {"Image": URL, "Inserted": True, "WriteProtected": True}


def test_a_free_drive_is_taken_and_others_images_are_left_in(bmc: Bmc, server: RedfishServer) -> None:
    offer(server, drive(USB, **holding(OTHER)), drive(CD))
    bmc.insert_media(URL)
    assert server.count("POST", f"{CD}/Actions/InsertMedia") == 1


def test_without_a_free_drive_nothing_is_sent_and_its_content_is_named(bmc: Bmc, server: RedfishServer) -> None:
    offer(server, drive(CD, **holding(OTHER)))
    with pytest.raises(Rejected, match=r"rescue\.iso"):
        bmc.insert_media(URL)
    assert server.count("POST", f"{CD}/Actions/InsertMedia") == 0


def test_a_bmc_without_drives_is_said_to_have_none(bmc: Bmc, server: RedfishServer) -> None:
    server.documents[f"{ROOT}/Managers"] = {"Members": []}
    with pytest.raises(Unsupported, match="no virtual drive"):
        bmc.insert_media(URL)
    assert bmc.read(media=True).media == ()


def test_what_a_refusal_misses_is_sent_with_the_second_request(bmc: Bmc, server: RedfishServer) -> None:
    """Cisco C845A, Nokia."""
    offer(server, drive(CD))
    target = f"{CD}/Actions/InsertMedia"
    message = "The action InsertMedia requires the parameter TransferProtocolType to be present"
    server.misbehave("POST", target, reply(400, extended(message, "Base.1.8.ActionParameterMissing")))
    bmc.insert_media(URL)
    assert server.seen("POST", target)[-1].json() == {"Image": URL, "TransferProtocolType": "HTTP"}
    assert server.count("POST", target) == 2


def test_a_plain_refusal_is_not_asked_again(bmc: Bmc, server: RedfishServer) -> None:
    offer(server, drive(CD))
    server.misbehave("POST", f"{CD}/Actions/InsertMedia", reply(400, extended("No")), times=None)
    with pytest.raises(Rejected):
        bmc.insert_media(URL)
    assert server.count("POST", f"{CD}/Actions/InsertMedia") == 1


def test_an_image_is_taken_out_of_the_drive_that_has_it(bmc: Bmc, server: RedfishServer) -> None:
    """With a body, which HPE wants."""
    offer(server, drive(USB, **holding(OTHER)), drive(CD, **holding(URL)))
    bmc.eject_media(URL)
    assert [one.json() for one in server.seen("POST", f"{CD}/Actions/EjectMedia")] == [{}]
    assert server.count("POST", f"{USB}/Actions/EjectMedia") == 0


def test_what_is_in_no_drive_is_out(bmc: Bmc, server: RedfishServer, pki: Pki) -> None:
    offer(server, drive(CD))
    bmc.eject_media(URL)
    assert server.count("POST", f"{CD}/Actions/EjectMedia") == 0


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_system_whose_drives_cannot_be_read_is_read_all_the_same(
    bmc: Bmc, server: RedfishServer, status: int
) -> None:
    offer(server, drive(CD))
    server.misbehave("GET", CD, reply(status, extended("No")), times=None)
    server.misbehave("GET", f"{SYSTEM}/VirtualMedia", reply(status, extended("No")), times=None)
    state = bmc.read(media=True)
    assert (state.power, state.media) == ("On", None)
