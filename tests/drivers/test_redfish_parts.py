"""What of a BMC can be read is used, and what cannot be is unknown: one system of several, one page, ActionInfo."""

from __future__ import annotations

import itertools

import pytest

from drivers.base import ListedSystems, PowerState, Rejected, ResetType, Unreachable
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import (
    DROP,
    RESET,
    ROOT,
    SYSTEM,
    Answer,
    Document,
    Pki,
    RedfishServer,
    Request,
    endpoint,
    extended,
    reply,
    service,
    system,
)
from tests.drivers.test_redfish_documents import INFO, by_info, read, two


@pytest.mark.parametrize("answer", [reply(503, extended("No HMC")), reply(500), reply(403), reply(200, b"{"), DROP])
@pytest.mark.parametrize("number", ["1", "node-7"])
def test_a_system_that_cannot_be_read_hides_no_other(
    driver: RedfishDriver, pki: Pki, number: str, answer: Answer
) -> None:
    """dsx-ai-factory/infra-controller#5418, #6412: the baseboard of a DGX H100 that is off answers 503."""
    with RedfishServer(pki.context, {**two(), SYSTEM: system(Id=number)}) as server:
        server.misbehave("GET", f"{ROOT}/Systems/HGX", answer, times=None)
        assert driver.open(endpoint(server, pki.tls, number)).read().power is PowerState.ON


def test_no_other_id_is_advised_while_a_system_cannot_be_read(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, two()) as server:
        server.misbehave("GET", f"{ROOT}/Systems/HGX", reply(503, extended("No HMC")), times=None)
        with pytest.raises(
            Unreachable, match=r"a part of the list of systems could not be read: GET .*HTTP 503: No HMC"
        ) as raised:
            driver.open(endpoint(server, pki.tls, "node-7")).read()
    assert "systemId" not in str(raised.value)


def test_a_system_that_is_where_redfish_has_it_is_read_without_the_list(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service()) as server:
        assert driver.open(endpoint(server, pki.tls, "1")).read().power is PowerState.ON
        assert (server.count("GET", f"{ROOT}/Systems"), server.count("GET", SYSTEM)) == (0, 1)


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(reply(404), id="nothing"),
        pytest.param(reply(403), id="nothing for this account"),
        pytest.param(reply(400, extended("No such system")), id="a refusal"),
        pytest.param(reply(500), id="a failure"),
        pytest.param(reply(200, system(Id="2", **{"@odata.id": f"{ROOT}/Systems/2"})), id="another system"),
        pytest.param(reply(200, {}), id="a system without a name"),
        pytest.param(Answer([b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"]), id="a page to log in"),
    ],
)
def test_a_system_that_is_elsewhere_is_found_by_the_list(driver: RedfishDriver, pki: Pki, there: Answer) -> None:
    elsewhere = f"{ROOT}/Nodes/1"
    documents = {
        **service(),
        f"{ROOT}/Systems": {"Members": [{"@odata.id": elsewhere}]},
        elsewhere: system(**{"@odata.id": elsewhere}, Model="elsewhere"),
    }
    with RedfishServer(pki.context, documents) as server:
        server.misbehave("GET", SYSTEM, there, times=None)
        bmc = driver.open(endpoint(server, pki.tls, "1"))
        assert bmc.read().model == "elsewhere"
        asked = server.count("GET", SYSTEM)
        assert [bmc.read().model for _ in range(3)] == ["elsewhere"] * 3
        assert server.count("GET", SYSTEM) == asked  # It is looked for there once.


@pytest.mark.parametrize("odd", ["../Chassis/1", "a b", "1/", "1?x=y", "."])
def test_an_id_that_would_lead_elsewhere_is_looked_for_in_the_list_alone(
    driver: RedfishDriver, pki: Pki, odd: str
) -> None:
    with RedfishServer(pki.context, service()) as server:
        with pytest.raises(Rejected, match=r"set bmc\.systemId to one of: 1"):
            driver.open(endpoint(server, pki.tls, odd)).read()
        assert server.count("GET", f"{ROOT}/Systems") == 1


def paged(*links: object, name: str = "Members@odata.nextLink") -> dict[str, Document]:
    """Two systems on two pages, the second of which is behind these links in turn."""
    documents = two()
    first, second = documents[f"{ROOT}/Systems"]["Members"]
    pages = {f"{ROOT}/Systems": {"Members": [first]}, f"{ROOT}/Systems?$skip=1": {"Members": [second]}}
    return {
        **documents,
        **{path: {**page, name: one} for (path, page), one in zip(pages.items(), links, strict=True)},
    }


@pytest.mark.parametrize(
    "link",
    [
        f"{ROOT}/Systems?$skip=1",
        f"https://bmc.example{ROOT}/Systems?$skip=1",
        {"@odata.id": f"{ROOT}/Systems?$skip=1"},
        "?$skip=1",
        "Systems?$skip=1",
    ],
)
@pytest.mark.parametrize("last", [None, "", f"{ROOT}/Systems"])
@pytest.mark.parametrize("name", ["Members@odata.nextLink", "@odata.nextLink"])
def test_all_pages_of_the_systems_are_read(
    driver: RedfishDriver, pki: Pki, link: object, last: object, name: str
) -> None:
    with RedfishServer(pki.context, paged(link, last, name=name)) as server:
        assert driver.open(endpoint(server, pki.tls, "1")).read().model == "3500RX"
        assert driver.systems(endpoint(server, pki.tls)) == ListedSystems(("1", "HGX"))
        with pytest.raises(Rejected, match=r"several systems; set bmc\.systemId"):
            driver.open(endpoint(server, pki.tls)).read()


def test_a_page_that_cannot_be_read_hides_no_system_of_the_others(driver: RedfishDriver, pki: Pki) -> None:
    page = f"{ROOT}/Systems?$skip=1"
    with RedfishServer(pki.context, paged(page, None)) as server:
        server.misbehave("GET", page, reply(500, extended("later")), times=None)
        for known in ("HGX", "1"):  # Each is where Redfish has it, whatever the list says.
            driver.open(endpoint(server, pki.tls, known)).read()
        listed = driver.systems(endpoint(server, pki.tls))
        assert listed.ids == ("HGX",)
        assert "HTTP 500: later" in str(listed.unread)
        for number in (None, "2"):
            with pytest.raises(Unreachable, match="HTTP 500: later") as raised:
                driver.open(endpoint(server, pki.tls, number)).read()
            assert "systemId" not in str(raised.value)


def test_a_link_to_a_page_that_is_no_link_hides_no_system_of_the_others(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, paged(7, None)) as server:
        listed = driver.systems(endpoint(server, pki.tls))
        assert listed.ids == ("HGX",)
        assert "a page is not valid Redfish" in str(listed.unread)


def test_pages_without_end_are_given_up(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service()) as server:
        numbers = itertools.count(1)

        def more(_: Request) -> Answer:
            return reply(200, {"Members": [], "Members@odata.nextLink": f"{ROOT}/Systems?$skip={next(numbers)}"})

        server.misbehave("GET", f"{ROOT}/Systems", more, times=None)
        for number in range(1, 100):
            server.misbehave("GET", f"{ROOT}/Systems?$skip={number}", more, times=None)
        with pytest.raises(Unreachable, match="more than 50 pages"):
            driver.open(endpoint(server, pki.tls)).read()


# -- errors in the place of what was asked for -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [f"{ROOT}/Systems", SYSTEM])
@pytest.mark.parametrize("fresh", [True, False])
def test_an_error_that_is_called_a_success_is_an_error(driver: RedfishDriver, pki: Pki, path: str, fresh: bool) -> None:
    """ibm-openbmc/bmcweb#246, #306: an internal error with HTTP 200, while the BMC starts."""
    with RedfishServer(pki.context, service()) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        if not fresh and path == SYSTEM:
            bmc.read()
        server.misbehave("GET", path, reply(200, extended("Internal", "Base.1.8.InternalError")), times=2)
        for _ in range(2):
            with pytest.raises(Unreachable, match="HTTP 200 and an error: Internal"):
                bmc.read()
        assert bmc.read().power is PowerState.ON


def test_an_error_beside_the_name_of_a_resource_alone_is_an_error(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, service()) as server:
        named = {
            "@odata.id": SYSTEM,
            "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
            "Id": "1",
            "Name": "System",
        }
        server.misbehave("GET", SYSTEM, reply(200, {**named, **extended("Internal")}))
        with pytest.raises(Unreachable, match="HTTP 200 and an error: Internal"):
            driver.open(endpoint(server, pki.tls)).read()


def test_a_resource_may_hold_something_called_error(driver: RedfishDriver, pki: Pki) -> None:
    assert read(driver, pki, error={"code": "None"}).power is PowerState.ON


@pytest.mark.parametrize("answer", [reply(500), reply(503), reply(404), reply(403), reply(200, b"{"), DROP])
def test_action_info_that_cannot_be_read_stops_no_look_and_no_write(
    driver: RedfishDriver, pki: Pki, answer: Answer
) -> None:
    with RedfishServer(pki.context, by_info([])) as server:
        server.misbehave("GET", INFO, answer, times=None)
        bmc = driver.open(endpoint(server, pki.tls))
        states = [bmc.read() for _ in range(5)]
        assert [(one.power, one.allowed_resets) for one in states] == [(PowerState.ON, None)] * 5
        bmc.reset(ResetType.FORCE_OFF)
        assert server.count("POST", RESET) == 1
        assert server.count("GET", INFO) <= 2 * 3


def test_action_info_that_was_busy_once_is_read_another_time(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, by_info([{"Name": "ResetType", "AllowableValues": ["On"]}])) as server:
        server.misbehave("GET", INFO, reply(503))
        bmc = driver.open(endpoint(server, pki.tls))
        assert bmc.read().allowed_resets is None
        server.documents[SYSTEM] = {**server.documents[SYSTEM], "SKU": "other"}
        assert bmc.read().allowed_resets == (ResetType.ON,)
