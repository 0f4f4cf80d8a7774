"""A BMC is told from other hosts without a login, and nothing secret goes to what is not trusted."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from drivers.base import AuthenticationFailed, BmcFinder, Credential, Rejected, Tls, Unreachable
from drivers.bmc.redfish import redfish_probe
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import DROP, ROOT, Answer, Pki, RedfishServer, endpoint, extended, reply, service

SECONDS = 2.0
ANY = Tls(insecure=True)


def address(server: RedfishServer) -> str:
    return endpoint(server, ANY).address


def test_the_redfish_driver_can_look_for_bmcs(driver: RedfishDriver) -> None:
    assert isinstance(driver, BmcFinder)


def test_a_bmc_that_says_so_is_found_without_a_login(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    found = driver.probe(address(server), pki.tls, SECONDS)
    assert found is not None
    assert (found.address, found.sure, found.trusted) == (address(server), True, True)
    assert [one for one in server.requests if "Authorization" in one.headers or one.method != "GET"] == []


@pytest.mark.parametrize(
    ("trust", "trusted"),
    [("ca", True), ("pin", True), ("insecure", True), ("system", False), ("another pin", False)],
)
def test_the_certificate_is_told_and_whether_the_trust_holds_for_it(
    driver: RedfishDriver, server: RedfishServer, pki: Pki, trust: str, trusted: bool
) -> None:
    seen = driver.probe(address(server), ANY, SECONDS)
    assert seen is not None
    ways = {
        "ca": pki.tls,
        "pin": Tls(fingerprint=seen.fingerprint),
        "insecure": ANY,
        "system": Tls(),
        "another pin": Tls(fingerprint="sha256:" + "0" * 64),
    }
    found = driver.probe(address(server), ways[trust], SECONDS)
    assert found is not None
    assert (found.trusted, found.fingerprint) == (trusted, seen.fingerprint)


@pytest.mark.parametrize(
    ("answer", "sure"),
    [
        (reply(401, extended("log in")), False),
        (reply(404, {"error": {"code": 404, "message": "no"}}), None),
        (reply(406), None),
        (reply(200, b"<html></html>"), None),
        (reply(200, {"hello": "world"}), None),
        (reply(200, {"@odata.type": "#ServiceRoot.v1_0_0.ServiceRoot"}), True),
    ],
)
def test_another_host_is_none_and_one_that_wants_a_login_first_may_be(
    driver: RedfishDriver, server: RedfishServer, answer: Any, sure: bool | None
) -> None:
    server.misbehave("GET", ROOT, answer, times=None)
    server.misbehave("GET", f"{ROOT}/", answer, times=None)
    found = driver.probe(address(server), ANY, SECONDS)
    assert (None if found is None else found.sure) is sure


def test_where_nobody_listens_there_is_nothing(driver: RedfishDriver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert driver.probe(f"127.0.0.1:{free.getsockname()[1]}", ANY, SECONDS) is None


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_host_that_cannot_answer_now_is_said_to_be_there(
    driver: RedfishDriver, server: RedfishServer, status: int
) -> None:
    """A BMC that starts (xcat2/xcat-core#3310)."""
    server.misbehave("GET", f"{ROOT}/", reply(status), times=None)
    with pytest.raises(Unreachable, match=f"HTTP {status}"):
        driver.probe(address(server), ANY, SECONDS)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(403), id="403 without a word"),
        pytest.param(reply(400, extended("no")), id="400"),
        pytest.param(reply(404, extended("no")), id="404"),
        pytest.param(reply(200, extended("starting")), id="an error that is called a success"),
        pytest.param(reply(200, b'{"@odata.id": "/redf'), id="half an answer"),
    ],
)
def test_a_host_that_speaks_redfish_and_shows_no_root_is_said_to_be_there(
    driver: RedfishDriver, server: RedfishServer, answer: Answer
) -> None:
    for path in (ROOT, f"{ROOT}/"):
        server.misbehave("GET", path, answer, times=None)
    with pytest.raises(Unreachable, match="GET /redfish/v1/"):
        driver.probe(address(server), ANY, SECONDS)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(reply(404), id="without its slash alone"),
        pytest.param(reply(301, None, f"Location: {ROOT}"), id="moved"),
        pytest.param(
            lambda one: reply(406 if one.headers["accept-encoding"] == "identity" else 200, service()[ROOT]),
            id="compressed alone",
        ),
    ],
)
def test_a_root_is_found_where_a_login_would_find_it(driver: RedfishDriver, server: RedfishServer, odd: Any) -> None:
    server.misbehave("GET", f"{ROOT}/", odd, times=None)
    found = driver.probe(address(server), ANY, SECONDS)
    assert found is not None
    assert found.sure


def test_a_bmc_that_wants_a_certificate_of_its_client_is_said_to_be_there(driver: RedfishDriver) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    with RedfishServer(context, service()) as server, pytest.raises(Unreachable, match="a TLS handshake failed"):
        driver.probe(address(server), ANY, SECONDS)


def test_what_speaks_no_tls_is_none(driver: RedfishDriver) -> None:
    with RedfishServer(None, service()) as server:
        assert driver.probe(f"127.0.0.1:{server.port}", ANY, SECONDS) is None


def test_a_host_that_ends_the_connection_is_said_to_be_there(driver: RedfishDriver, server: RedfishServer) -> None:
    server.misbehave("GET", f"{ROOT}/", DROP, times=None)
    with pytest.raises(Unreachable, match="closed the connection"):
        driver.probe(address(server), ANY, SECONDS)


def test_a_host_that_answers_no_request_is_said_to_be_there(
    driver: RedfishDriver, server: RedfishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bb-Ricardo/check_redfish#40: some take 30 s for the root alone."""

    def silent() -> Iterator[bytes]:
        server.ended.wait()
        yield b""

    monkeypatch.setattr(redfish_probe, "REQUEST_SECONDS", 0.3)
    server.misbehave("GET", f"{ROOT}/", lambda _: Answer(silent(), close=True), times=None)
    with pytest.raises(Unreachable, match=r"GET /redfish/v1/ got no answer within 0\.3 s"):
        driver.probe(address(server), ANY, 0.3)


def test_what_answers_no_handshake_is_said_to_be_there(driver: RedfishDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """stmcginnis/gofish#53: iDRACs of four years take long for it."""
    monkeypatch.setattr(redfish_probe, "REQUEST_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as plain,
        pytest.raises(Unreachable, match=r"a TLS handshake got no answer within 0\.2 s"),
    ):
        driver.probe(f"127.0.0.1:{plain.getsockname()[1]}", ANY, 0.2)


@pytest.mark.parametrize("text", ["http://127.0.0.1", "user@127.0.0.1", "https://"])
def test_a_malformed_address_is_refused(driver: RedfishDriver, text: str) -> None:
    with pytest.raises(Rejected):
        driver.probe(text, ANY, SECONDS)


def test_the_systems_of_a_bmc_are_listed(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    ids = driver.systems(endpoint(server, pki.tls)).ids
    assert [driver.open(endpoint(server, pki.tls, one)).read().power is not None for one in ids] == [True]
    assert server.count("POST") == 1


def test_a_refused_login_is_one_try(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    wrong = endpoint(server, pki.tls, login=Credential("operator", "wrong"))
    with pytest.raises(AuthenticationFailed):
        driver.systems(wrong)
    assert server.count("POST") == 1
