"""Odd ways in which BMCs frame, compress and write an answer: what can be understood is understood."""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import pytest

from drivers.base import (
    Bmc,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    Busy,
    Endpoint,
    IndicatorLED,
    PowerState,
    Rejected,
    ResetType,
    Unreachable,
)
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.redfish.wire import redfish_http
from tests.drivers.bmc_servers import (
    DROP,
    RESET,
    ROOT,
    SESSIONS,
    SYSTEM,
    Answer,
    Pki,
    RedfishServer,
    endpoint,
    extended,
    reply,
    service,
    system,
)

WHOLE = json.dumps(system()).encode()
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(WHOLE)


def chunked(body: bytes, *headers: str) -> Answer:
    """An answer in one chunk."""
    head = "".join(f"{header}\r\n" for header in headers).encode()
    return Answer([OK + head + b"\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"])


def encoded(body: bytes, encoding: str) -> Answer:
    """An answer with this Content-Encoding."""
    return reply(200, body, f"Content-Encoding: {encoding}")


UNDERSTOOD: dict[str, Answer] = {
    "gzip under its older name (RFC 9110, 8.4.1.3)": encoded(gzip.compress(WHOLE), "x-gzip"),
    "gzip that no header names": reply(200, gzip.compress(WHOLE)),
    "plain JSON that is called gzip": encoded(WHOLE, "gzip"),
    "deflate": encoded(zlib.compress(WHOLE), "deflate"),
    "deflate without its format (RFC 9110, 8.4.1.2)": encoded(zlib.compress(WHOLE)[2:-4], "deflate"),
    "plain JSON that is called deflate": encoded(WHOLE, "deflate"),
    "gzip as a transfer encoding": chunked(gzip.compress(WHOLE), "Transfer-Encoding: gzip, chunked"),
    "an interim answer 102": Answer([b"HTTP/1.1 102 Processing\r\n\r\n" + OK + LENGTH + WHOLE]),
    "an interim answer 103": Answer([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + LENGTH + WHOLE]),
    "lines that end with LF alone (RFC 9112, 2.2)": Answer([(OK + LENGTH).replace(b"\r\n", b"\n") + WHOLE]),
    "an empty line of the answer before": Answer([b"\r\n" + OK + LENGTH + WHOLE]),
    "a byte order mark": reply(200, b"\xef\xbb\xbf" + WHOLE),
    "Latin-1": reply(200, WHOLE.replace(b"Contoso", b"Gro\xdfer")),
    "a backslash that begins no escape": reply(200, WHOLE.replace(b"Contoso", rb"C:\Contoso")),
}


@pytest.mark.parametrize("how", UNDERSTOOD)
def test_an_answer_is_understood_however_it_is_wrapped(bmc: Bmc, server: RedfishServer, how: str) -> None:
    server.misbehave("GET", SYSTEM, UNDERSTOOD[how], times=None)
    assert bmc.read().power is PowerState.ON
    assert bmc.read().serial == "437XR1138R2"


NOT_UNDERSTOOD: dict[str, tuple[Answer, str]] = {
    "chunks that break off": (
        Answer([OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(WHOLE) + WHOLE[:40]], close=True),
        "closed the connection before the answer was complete",
    ),
    "deflate that is none": (encoded(b"\xff\xff\xff", "deflate"), "deflate"),
    "gzip that breaks off": (reply(200, gzip.compress(WHOLE)[:-9]), "ended early"),
    "another protocol from here on": (Answer([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], close=True), "101"),
}


@pytest.mark.parametrize("how", NOT_UNDERSTOOD)
def test_what_cannot_be_understood_is_named(bmc: Bmc, server: RedfishServer, how: str) -> None:
    answer, words = NOT_UNDERSTOOD[how]
    server.misbehave("GET", SYSTEM, answer, times=None)
    with pytest.raises(Unreachable, match=words):
        bmc.read()


@pytest.mark.parametrize("status", [300, 304])
def test_a_redirect_that_leads_nowhere_names_no_place(bmc: Bmc, server: RedfishServer, status: int) -> None:
    server.misbehave("GET", SYSTEM, reply(status), times=None)
    with pytest.raises(Rejected, match="redirects the request, but does not say where"):
        bmc.read()


def test_a_bmc_that_compresses_everything_is_written_to_once(bmc: Bmc, server: RedfishServer) -> None:
    """Redfish-Mockup-Creator#56, of all resources: a write is not the one to find that out with."""
    server.misbehave("GET", f"{ROOT}/", reply(406))
    bmc.reset(ResetType.ON)
    encodings = [one.headers["accept-encoding"] for one in server.requests]
    assert (encodings[0], {*encodings[1:]}) == ("identity", {"gzip"})
    assert server.count("POST", RESET) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_look_follows_every_redirect_to_the_same_path(bmc: Bmc, server: RedfishServer, status: int) -> None:
    server.misbehave("GET", SYSTEM, reply(status, None, f"Location: {SYSTEM}/"), times=None)
    assert bmc.read().power is PowerState.ON


def test_a_service_root_that_is_there_without_its_slash_alone_is_read(bmc: Bmc, server: RedfishServer) -> None:
    """DSP0266, 6.5.3, has both."""
    server.misbehave("GET", f"{ROOT}/", reply(404), times=None)
    assert bmc.read().power is PowerState.ON


@pytest.mark.parametrize("written", ["On", "ON", "on", " On "])
def test_a_power_state_is_read_in_whatever_letters(driver: RedfishDriver, pki: Pki, written: str) -> None:
    with RedfishServer(pki.context, service(PowerState=written)) as server:
        assert driver.open(endpoint(server, pki.tls)).read().power is PowerState.ON


def test_a_bmc_that_takes_no_if_match_is_written_to_without(bmc: Bmc, server: RedfishServer) -> None:
    """Nothing was done, so that the next PATCH follows a look, and goes out without the ETag."""
    server.misbehave("GET", SYSTEM, reply(200, system(), 'ETag: "1"'), times=None)
    server.misbehave("PATCH", SYSTEM, reply(400, extended("The header If-Match is not supported")))
    with pytest.raises(Busy):
        bmc.set_indicator(IndicatorLED.LIT)
    bmc.set_indicator(IndicatorLED.LIT)
    assert [one.headers.get("if-match") for one in server.seen("PATCH")] == ['"1"', None]


def test_a_list_of_boot_targets_of_which_none_is_known_forbids_none(driver: RedfishDriver, pki: Pki) -> None:
    boot = {**system()["Boot"], "BootSourceOverrideTarget@Redfish.AllowableValues": ["none", "pxe"]}
    with RedfishServer(pki.context, service(Boot=boot)) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        assert bmc.read().allowed_boot_targets is None
        bmc.set_boot(BootOverride(BootTarget.PXE, BootEnabled.ONCE))
        assert server.count("PATCH", SYSTEM) == 1


def test_a_list_of_resets_of_which_none_is_known_forbids_none(driver: RedfishDriver, pki: Pki) -> None:
    action = {"target": RESET, "ResetType@Redfish.AllowableValues": ["on", "forceoff"]}
    with RedfishServer(pki.context, service(Actions={"#ComputerSystem.Reset": action})) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        assert bmc.read().allowed_resets is None
        bmc.reset(ResetType.ON)
        assert server.seen("POST", RESET)[0].json() == {"ResetType": "On"}


def test_a_login_on_a_connection_that_the_bmc_closed_is_sent_again_on_a_new_one(
    bmc: Bmc, server: RedfishServer
) -> None:
    """DMTF/python-redfish-library#64: a BMC closes each connection after its answer, and does not say so."""
    server.misbehave("POST", SESSIONS, DROP)
    assert bmc.read().power is PowerState.ON
    assert server.count("POST", SESSIONS) == 2


def test_a_bmc_that_closed_a_connection_under_a_write_gets_a_new_one_for_each_write(
    bmc: Bmc, server: RedfishServer
) -> None:
    bmc.read()
    server.misbehave("POST", RESET, DROP)
    with pytest.raises(Unreachable) as raised:
        bmc.reset(ResetType.ON)
    assert raised.value.maybe_sent
    assert server.count("POST", RESET) == 1
    bmc.read()
    opened = server.connections
    bmc.reset(ResetType.ON)
    assert (server.connections, server.count("POST", RESET)) == (opened + 1, 2)


@pytest.mark.parametrize("written", ["{%s}", "urn:uuid:%s", "UUID:%s", "%s"])
def test_a_uuid_is_read_in_whatever_form(driver: RedfishDriver, pki: Pki, written: str) -> None:
    """The machine itself reports its UUID in the plain form, by which it is known when it starts from the network."""
    known = "38947555-7742-3448-3784-823347823834"
    for spelled in (known, known.upper(), known.replace("-", "")):
        with RedfishServer(pki.context, service(UUID=written % spelled)) as server:
            found = driver.open(endpoint(server, pki.tls)).read().uuid
        assert found is not None
        assert found.lower() == known


def test_an_override_is_read_in_whatever_letters(driver: RedfishDriver, pki: Pki) -> None:
    boot = {
        "BootSourceOverrideTarget": "PXE",
        "BootSourceOverrideEnabled": "once",
        "BootSourceOverrideMode": "legacy",
    }
    with RedfishServer(pki.context, service(Boot=boot)) as server:
        found = driver.open(endpoint(server, pki.tls)).read().boot
    assert found == BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.LEGACY)


def test_a_host_that_takes_no_connection_is_reported_with_the_time_for_a_connection(
    driver: RedfishDriver, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redfish_http, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        where = Endpoint("redfish", f"https://127.0.0.1:{full.getsockname()[1]}", None, pki.tls, None)
        with pytest.raises(Unreachable, match=r"no connection: no answer within 0\.2 s"):
            driver.open(where).read()
        for one in waiting:
            one.close()
