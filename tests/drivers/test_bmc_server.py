"""Simulated BMCs over HTTPS: how answers and faults are sent, and the API of the simulator."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from drivers.base import Bmc, IndicatorLED, PowerState, ResetType, Unreachable
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.simulator.bmc_messages import RedfishRequest, RedfishResponse
from drivers.bmc.simulator.bmc_profile import built_in_profile
from drivers.bmc.simulator.fleet.bmc_server import ListenAddress
from drivers.bmc.simulator.fleet.http_wire import MalformedRequest, read_request, response_bytes
from drivers.bmc.simulator.simulated_system import PowerLag
from tests.drivers.served_bmcs import ServedBmcs, served

SYSTEM = "/redfish/v1/Systems/1"


@pytest.fixture(scope="module")
def bmcs() -> Iterator[ServedBmcs]:
    profile = msgspec.structs.replace(built_in_profile("generic"), lag=PowerLag())
    with served(profile, 3) as running:
        yield running


@pytest.fixture
def driver(bmcs: ServedBmcs) -> Iterator[RedfishDriver]:
    opened = RedfishDriver(seconds=0.5)
    yield opened
    bmcs.fleet.remove_rule()
    opened.close()


@pytest.fixture
def bmc(bmcs: ServedBmcs, driver: RedfishDriver) -> Bmc:
    found = driver.open(bmcs.endpoint())
    found.read()
    return found


def order(bmcs: ServedBmcs, **rule: Any) -> None:
    assert bmcs.control("POST", "/rules", rule)[0] == 201


def test_bmcs_are_told_apart_by_their_addresses(bmcs: ServedBmcs, driver: RedfishDriver) -> None:
    states = [driver.open(bmcs.endpoint(number)).read() for number in range(3)]
    assert len({state.uuid for state in states}) == 3


def test_an_address_of_no_bmc_is_not_served(bmcs: ServedBmcs, driver: RedfishDriver) -> None:
    with pytest.raises(Unreachable):
        driver.open(bmcs.endpoint(3)).read()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"do": "drop"}, "no answer within"),
        ({"do": "latency", "seconds": 30}, "no answer within"),
        ({"do": "reset"}, "closed the connection|reset"),
        ({"do": "truncate", "bytes": 20}, "ended|closed the connection"),
        ({"do": "replace", "document": "<html>"}, "not JSON|web page"),
        ({"do": "reboot-bmc", "seconds": 0.1, "times": 1}, "closed the connection"),
    ],
    ids=lambda one: one["do"] if isinstance(one, dict) else "",
)
def test_a_fault_is_met_by_the_driver_as_a_real_one(
    bmcs: ServedBmcs, bmc: Bmc, rule: dict[str, Any], words: str
) -> None:
    order(bmcs, match={"path": "/redfish/v1/Systems/*"}, **rule)
    with pytest.raises(Unreachable, match=words):
        bmc.read()
    bmcs.fleet.bmcs[0] = msgspec.structs.replace(bmcs.fleet.bmcs[0], away_until=0.0)


def test_a_reply_can_be_lost_after_the_write_was_done(bmcs: ServedBmcs, bmc: Bmc) -> None:
    order(bmcs, match={"method": "POST"}, do="reset", carriesOut=True, times=1)
    with pytest.raises(Unreachable) as caught:
        bmc.reset(ResetType.ON)
    assert caught.value.maybe_sent
    assert bmc.read().power is PowerState.ON


def test_rules_are_added_listed_and_removed(bmcs: ServedBmcs) -> None:
    status, added = bmcs.control("POST", "/rules", [{"do": "drop", "match": {"machine": "m9"}}, {"fault": "F55"}])
    assert (status, len(added["ids"])) == (201, 3)
    shown = bmcs.control("GET", "/rules")[1]["rules"]
    assert [one["id"] for one in shown] == added["ids"]
    assert shown[0]["match"] == {"machine": "m9"}
    assert [bmcs.control("DELETE", f"/rules/{added['ids'][0]}")[0] for _ in range(2)] == [204, 404]
    assert bmcs.control("DELETE", "/rules")[0] == 204
    assert bmcs.control("GET", "/rules")[1] == {"rules": []}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"do": "explode"}, "Invalid enum value 'explode'"),
        ({"do": "status"}, "needs `status`"),
        ({"fault": "F99"}, "there is no preset F99"),
        ({"match": {"paths": "*"}, "do": "drop"}, "paths"),
        ([{"do": "drop"}, {}], "either `do` or `fault`"),
        ("drop", "Expected"),
    ],
)
def test_a_wrong_rule_is_refused_in_words(bmcs: ServedBmcs, body: Any, words: str) -> None:
    status, answer = bmcs.control("POST", "/rules", body)
    assert (status, bmcs.fleet.rules) == (400, {})
    assert words in answer["error"]


def test_writes_and_counts_are_shown_without_a_login(bmcs: ServedBmcs, bmc: Any) -> None:
    bmc.set_indicator(IndicatorLED.LIT)
    writes = bmcs.control("GET", "/writes")[1]["writes"]
    assert [(one["method"], one["body"]) for one in writes][-1] == ("PATCH", {"IndicatorLED": "Lit"})
    assert "simulated" not in str(writes)
    assert bmcs.control("GET", "/counts")[1][f"PATCH {SYSTEM}"] >= 1


def test_what_is_no_request_is_answered_with_400(bmcs: ServedBmcs) -> None:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.77.0.1", bmcs.listen.port), 5) as plain,
        context.wrap_socket(plain) as connection,
    ):
        connection.sendall(b"hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("text", "first", "third", "most"),
    [
        ("127.0.0.1:8001", "https://127.0.0.1:8001", "https://127.0.0.1:8003", 57535),
        ("[::1]:8001", "https://[::1]:8001", "https://[::1]:8003", 57535),
        ("127.1.0.0/16:8443", "https://127.1.0.1:8443", "https://127.1.0.3:8443", 65534),
    ],
)
def test_an_address_says_where_each_bmc_is(text: str, first: str, third: str, most: int) -> None:
    listen = ListenAddress.parse(text)
    assert (listen.url(0), listen.url(2), listen.most) == (first, third, most)


@pytest.mark.parametrize("text", ["", "8001", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "10.0.0.0/8:443", "x/8:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|127.0.0.0/8|IPv4|Expected|bits"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("buffer", "found"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}", None),
        (b"GET /a HTTP/1.1\r\nX-Y: z\r\n\r\nGET", (RedfishRequest("GET", "/a", {"x-y": "z"}), 27)),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET",
            (RedfishRequest("POST", "/", {"content-length": "2"}, b"{}"), 40),
        ),
    ],
)
def test_a_request_is_read_when_it_is_whole(buffer: bytes, found: object) -> None:
    assert read_request(buffer) == found


@pytest.mark.parametrize(
    "buffer",
    [
        b"hello\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"x" * 100_000,
    ],
    ids=range(6),
)
def test_what_is_no_request_is_refused(buffer: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_request(buffer)


def test_an_answer_can_be_cut_short() -> None:
    whole = response_bytes(RedfishResponse(200, b"0123456789"))
    assert response_bytes(RedfishResponse(200, b"0123456789"), 4) == whole[:-6]
    assert b"Content-Length: 10\r\n" in whole
