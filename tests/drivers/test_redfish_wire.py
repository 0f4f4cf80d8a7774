"""The wire to a BMC: trust before secrets, an end to every wait, and broken bytes as Unreachable, never a traceback."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from drivers.base import Bmc, DriverError, Endpoint, Rejected, ResetType, Tls, Unreachable
from drivers.bmc.redfish import redfish
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.redfish.wire import redfish_http
from tests.drivers.bmc_servers import (
    DROP,
    LOGIN,
    RESET,
    ROOT,
    SYSTEM,
    Answer,
    Pki,
    RedfishServer,
    Request,
    endpoint,
    reply,
    service,
    system,
)

WHOLE = json.dumps(system()).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def hasty() -> Iterator[RedfishDriver]:
    driver = RedfishDriver(seconds=0.3)
    yield driver
    driver.close()


# -- broken answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(200, WHOLE + b'{"error": {}}'), id="two documents, F44"),
        pytest.param(reply(200, WHOLE[:-9]), id="truncated JSON, F46"),
        pytest.param(reply(200, b"[]"), id="a list"),
        pytest.param(reply(200, b"null"), id="null"),
        pytest.param(reply(200, b"[" * 100_000), id="nested without end"),
        pytest.param(reply(200, b"\xff\xfe{"), id="not UTF-8"),
        pytest.param(reply(200, b""), id="an empty body"),
        pytest.param(reply(204), id="no content"),
        pytest.param(reply(504, b"<html>Gateway Timeout</html>"), id="504 in HTML, F48"),
        pytest.param(reply(200, b"<html>Welcome</html>"), id="a login page"),
        pytest.param(Answer([HEAD + b"Content-Length: 9999\r\n\r\n" + WHOLE], close=True), id="fewer bytes than said"),
        pytest.param(Answer([HEAD + b"Content-Length: -1\r\n\r\n"], close=True), id="a negative length"),
        pytest.param(
            Answer([HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"], close=True), id="broken chunks"
        ),
        pytest.param(
            Answer([HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}"], close=True), id="chunks without an end"
        ),
        pytest.param(Answer([b"SSH-2.0-dropbear\r\n"], close=True), id="not HTTP"),
        pytest.param(Answer([b"\r\n\r\n\r\n"], close=True), id="empty lines"),
        pytest.param(Answer([b"HTTP/1.1 " + b"9" * 100_000 + b"\r\n\r\n"], close=True), id="a long status line"),
        pytest.param(Answer([HEAD + b"X: y\r\n" * 1000 + b"\r\n"], close=True), id="very many headers"),
        pytest.param(reply(200, b"not gzip", "Content-Encoding: gzip"), id="gzip that is none"),
        pytest.param(reply(200, gzip.compress(WHOLE)[:-9], "Content-Encoding: gzip"), id="truncated gzip"),
        pytest.param(DROP, id="nothing"),
    ],
)
def test_an_answer_that_makes_no_sense_is_unreachable(bmc: Bmc, server: RedfishServer, answer: Answer) -> None:
    server.misbehave("GET", SYSTEM, answer, times=None)
    with pytest.raises(Unreachable) as raised:
        bmc.read()
    assert server.address in str(raised.value)


@pytest.mark.parametrize("path", [f"{ROOT}/", f"{ROOT}/Systems"])
@pytest.mark.parametrize("document", [b"", b"[]", b'{"Systems": 1, "Members": 1, "Links": 1}', b'{"Members": [1]}'])
def test_a_service_that_makes_no_sense_is_unreachable(
    bmc: Bmc, server: RedfishServer, path: str, document: bytes
) -> None:
    server.misbehave("GET", path, reply(200, document), times=None)
    with pytest.raises(Unreachable):
        bmc.read()


def test_after_a_broken_answer_the_next_look_is_fresh(bmc: Bmc, server: RedfishServer) -> None:
    server.misbehave("GET", SYSTEM, Answer([HEAD + b"Content-Length: 9999\r\n\r\n{"], close=True))
    with pytest.raises(Unreachable):
        bmc.read()
    assert bmc.read().power == "On"


@pytest.mark.parametrize(
    "stray", [reply(204), reply(408), Answer([b"\r\n"])], ids=["an answer too many", "a farewell", "an empty line"]
)
def test_bytes_that_answer_nothing_are_not_taken_for_the_next_answer(
    bmc: Bmc, server: RedfishServer, stray: Answer
) -> None:
    was_read, is_there = threading.Event(), threading.Event()

    def chunks() -> Iterator[bytes]:
        yield from reply(200, system()).chunks
        was_read.wait()
        yield from stray.chunks
        is_there.set()

    server.misbehave("GET", SYSTEM, lambda _: Answer(chunks()))
    bmc.read()
    was_read.set()
    is_there.wait()
    assert bmc.read().power == "On"
    bmc.reset(ResetType.ON)
    assert server.count("POST", RESET) == 1


def test_a_session_ticket_is_not_taken_for_the_end_of_the_connection(server: RedfishServer, pki: Pki) -> None:
    """TLS 1.3 sends tickets after the handshake, unasked."""
    wire = redfish_http.RedfishConnection(redfish_http.parse_bmc_address(server.address, pki.tls), pki.tls)
    sock = wire._connect()
    with selectors.DefaultSelector() as tickets:
        tickets.register(sock, selectors.EVENT_READ)
        assert tickets.select(timeout=10)
    wire.send("POST", RESET, {})
    wire.close()
    assert server.connections == 1


def test_of_a_name_s_numbers_only_those_are_connected_to_that_may_be(server: RedfishServer, pki: Pki) -> None:
    asked: list[str] = []

    def connects(number: str) -> None:
        asked.append(number)
        if number != "127.0.0.1":
            raise Rejected(f"{number}: not there")

    address = redfish_http.parse_bmc_address(server.address, pki.tls)
    wire = redfish_http.RedfishConnection(address, pki.tls, connects=connects)
    assert wire.peer().address == "127.0.0.1"
    wire.close()
    assert "127.0.0.1" in asked


def test_where_no_number_may_be_connected_to_nothing_is(server: RedfishServer, pki: Pki) -> None:
    def connects(number: str) -> None:
        raise Rejected(f"{number}: not there")

    wire = redfish_http.RedfishConnection(
        redfish_http.parse_bmc_address(server.address, pki.tls), pki.tls, connects=connects
    )
    with pytest.raises(Rejected, match="not there"):
        wire.send("GET", "/redfish/v1/", {})
    assert server.connections == 0


def test_a_chunked_answer_is_read_whole(bmc: Bmc, server: RedfishServer) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(WHOLE[at : at + 7]), WHOLE[at : at + 7]) for at in range(0, len(WHOLE), 7))
    server.misbehave("GET", SYSTEM, Answer([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n"]))
    assert bmc.read().power == "On"
    assert bmc.read().power == "On"
    assert server.connections == 1


def test_compression_is_not_offered(bmc: Bmc, server: RedfishServer) -> None:
    """F26: with it, some BMCs give ETags that they do not match later."""
    bmc.read()
    assert {one.headers["accept-encoding"] for one in server.requests} == {"identity"}


def test_a_bmc_that_gives_compressed_answers_only_is_asked_for_them(bmc: Bmc, server: RedfishServer) -> None:
    """F41."""

    def answer(request: Request) -> Answer:
        if request.headers["accept-encoding"] != "gzip":
            return reply(406)
        return reply(200, gzip.compress(WHOLE), "Content-Encoding: gzip")

    server.misbehave("GET", SYSTEM, answer, times=None)
    assert bmc.read().power == "On"


# -- bounds ------------------------------------------------------------------------------------------------------------


def _forever(server: RedfishServer, chunk: bytes, pause: float) -> Iterator[bytes]:
    while not server.ended.wait(pause):
        yield chunk


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        pytest.param(b"", b" ", id="of the status line"),
        pytest.param(HEAD, b"X: y\r\n", id="of headers"),
        pytest.param(HEAD + b"Content-Length: 100000\r\n\r\n", b" ", id="of the body"),
        pytest.param(HEAD + b"\r\n", b" ", id="of a body without a length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="of chunks"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="of promises"),
    ],
)
def test_a_bmc_that_drips_bytes_holds_nobody(
    hasty: RedfishDriver, server: RedfishServer, pki: Pki, head: bytes, chunk: bytes
) -> None:
    bmc = hasty.open(endpoint(server, pki.tls))
    bmc.read()
    server.misbehave("GET", SYSTEM, lambda _: Answer(_drip(server, head, chunk), close=True))
    with pytest.raises(Unreachable):
        bmc.read()
    assert bmc.read().power == "On"


def _drip(server: RedfishServer, head: bytes, chunk: bytes) -> Iterator[bytes]:
    yield head
    yield from _forever(server, chunk, 0.02)


def test_a_bmc_that_never_answers_holds_nobody(hasty: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    bmc = hasty.open(endpoint(server, pki.tls))
    server.misbehave("GET", SYSTEM, lambda _: Answer(_forever(server, b"", 60), close=True), times=None)
    with pytest.raises(Unreachable, match="no answer within"):
        bmc.read()


@pytest.mark.parametrize(
    ("hangs_at", "seconds"),
    [
        pytest.param(f"{ROOT}/", "0.3", id="the first answer"),
        pytest.param(SYSTEM, "0.6", id="a system that was never read, of a BMC that just answered"),
    ],
)
def test_the_message_says_how_long_was_waited_and_what_gives_more(
    hasty: RedfishDriver, server: RedfishServer, pki: Pki, hangs_at: str, seconds: str
) -> None:
    """bb-Ricardo/check_redfish#40, ansible/ansible#54130."""
    server.misbehave("GET", hangs_at, lambda _: Answer(_forever(server, b"", 60), close=True), times=None)
    with pytest.raises(Unreachable, match=rf"no answer within {seconds} s; for a slow BMC raise bmc\.timeoutSeconds"):
        hasty.open(endpoint(server, pki.tls)).read()


def test_a_system_that_answered_soon_is_given_up_soon(hasty: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    bmc = hasty.open(endpoint(server, pki.tls))
    bmc.read()
    server.misbehave("GET", SYSTEM, lambda _: Answer(_forever(server, b"", 60), close=True), times=None)
    with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
        bmc.read()


def test_a_system_that_is_slower_than_its_bmc_s_first_answer_is_read(
    hasty: RedfishDriver, server: RedfishServer, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bb-Ricardo/check_redfish#40."""
    monkeypatch.setattr(redfish, "TIMES_FIRST", 100.0)
    server.misbehave("GET", SYSTEM, lambda _: _late(0.6), times=None)
    assert hasty.open(endpoint(server, pki.tls)).read().power == "On"


def test_a_system_that_is_known_to_be_slow_keeps_its_time(
    hasty: RedfishDriver, server: RedfishServer, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redfish, "TIMES_FIRST", 100.0)
    monkeypatch.setattr(redfish, "_SOON", 0.1)
    server.misbehave("GET", SYSTEM, lambda _: _late(0.6), times=None)
    bmc = hasty.open(endpoint(server, pki.tls))
    assert [bmc.read().power for _ in range(3)] == ["On", "On", "On"]


def _late(seconds: float) -> Answer:
    threading.Event().wait(seconds)
    return reply(200, system())


def test_a_slow_bmc_is_given_the_time_that_its_document_says(
    hasty: RedfishDriver, server: RedfishServer, pki: Pki
) -> None:
    late = threading.Event()

    def slow(_: Request) -> Answer:
        late.wait(0.8)
        return reply(200, system())

    server.misbehave("GET", SYSTEM, slow, times=None)
    patient = msgspec.structs.replace(endpoint(server, pki.tls), timeout=30.0)
    assert hasty.open(patient).read().power == "On"


def test_a_reset_that_is_never_answered_arrives_once(hasty: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    bmc = hasty.open(endpoint(server, pki.tls))
    server.misbehave("POST", RESET, lambda _: Answer(_forever(server, b"", 60), close=True), times=None)
    with pytest.raises(Unreachable, match="no answer within") as raised:
        bmc.reset(ResetType.ON)
    assert raised.value.maybe_sent
    assert server.count("POST", RESET) == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_a_huge_answer_is_given_up(
    bmc: Bmc, server: RedfishServer, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    monkeypatch.setattr(redfish_http, "_MAX_BODY", 1 << 16)
    body = b" " * (1 << 20)
    answer = reply(200, gzip.compress(body), "Content-Encoding: gzip") if compressed else reply(200, body, close=True)
    server.misbehave("GET", SYSTEM, answer, times=None)
    with pytest.raises(Unreachable, match="more than"):
        bmc.read()


@pytest.mark.parametrize("accepts", [True, False], ids=["silent after the connection", "backlog full"])
def test_a_black_hole_holds_nobody(hasty: RedfishDriver, accepts: bool) -> None:
    with contextlib.ExitStack() as open_sockets:
        hole = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=5 if accepts else 0))
        if not accepts:
            for _ in range(3):
                filler = open_sockets.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(hole.getsockname())
        at = Endpoint("redfish", f"https://127.0.0.1:{hole.getsockname()[1]}", None, Tls(insecure=True))
        with pytest.raises(Unreachable, match="no answer within"):
            hasty.open(at).read()


def test_a_refused_port_is_unreachable(driver: RedfishDriver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        driver.open(Endpoint("redfish", f"127.0.0.1:{port}", None, Tls(insecure=True))).read()


def test_a_name_that_does_not_resolve_is_unreachable(driver: RedfishDriver) -> None:
    with pytest.raises(Unreachable, match=r"no-such-bmc\.invalid"):
        driver.open(Endpoint("redfish", "no-such-bmc.invalid")).read()


# -- trust -------------------------------------------------------------------------------------------------------------


def _fingerprint(pki: Pki) -> str:
    return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(pki.leaf_pem)).hexdigest()


def test_a_pinned_certificate_is_trusted(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> None:
    assert driver.open(endpoint(server, Tls(fingerprint=_fingerprint(pki)))).read().power == "On"


def test_trust_may_be_given_up(driver: RedfishDriver, server: RedfishServer) -> None:
    assert driver.open(endpoint(server, Tls(insecure=True))).read().power == "On"


@pytest.mark.parametrize("wrong", ["pin", "authority", "no authority", "name"])
def test_nothing_is_sent_to_a_bmc_that_is_not_trusted(
    driver: RedfishDriver, server: RedfishServer, pki: Pki, tmp_path: Path, wrong: str
) -> None:
    tls = {
        "pin": Tls(fingerprint="sha256:" + "0" * 64),
        "authority": Pki(tmp_path).tls,
        "no authority": Tls(),
        "name": pki.tls,
    }[wrong]
    # The certificate is not good for this address of the same machine.
    address = server.address.replace("127.0.0.1", "127.0.0.1" if wrong != "name" else "127.1")
    with pytest.raises(Unreachable, match="certificate") as raised:
        driver.open(Endpoint("redfish", address, None, tls, lambda _: LOGIN)).read()
    assert _fingerprint(pki) in str(raised.value)
    assert not server.requests


def test_a_ca_file_that_was_replaced_is_read_again(
    driver: RedfishDriver, server: RedfishServer, pki: Pki, tmp_path: Path
) -> None:
    ca_file = Pki(tmp_path).ca_file
    bmc = driver.open(endpoint(server, Tls(ca_file=str(ca_file))))
    with pytest.raises(Unreachable, match="certificate"):
        bmc.read()
    ca_file.write_bytes(pki.ca_file.read_bytes())
    assert bmc.read().power == "On"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "PEM"), (b"garbage", "PEM"), (b"-----BEGIN CERTIFICATE-----\nx\n", "PEM")],
    ids=["missing", "empty", "garbage", "broken"],
)
def test_an_unusable_ca_file_is_named(
    driver: RedfishDriver, server: RedfishServer, tmp_path: Path, content: bytes | None, said: str
) -> None:
    ca_file = tmp_path / "authority.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with pytest.raises(Unreachable, match=rf"authority\.pem.*{said}"):
        driver.open(endpoint(server, Tls(ca_file=str(ca_file)))).read()
    assert server.connections == 0


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("bmc-1", "https://bmc-1:443"),
        ("10.0.0.1:8443", "https://10.0.0.1:8443"),
        ("[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://bmc-1/", "https://bmc-1:443"),
        ("[fe80::1%25eth0]", "https://[fe80::1%25eth0]:443"),
        ("https://[fe80::1%eth0]:8443", "https://[fe80::1%25eth0]:8443"),
    ],
)
def test_an_address_may_be_a_host_or_a_url(address: str, url: str) -> None:
    assert redfish_http.parse_bmc_address(address, Tls()).url == url


def test_a_zone_is_written_as_rfc_6874_has_it_and_connected_to_by_name() -> None:
    assert redfish_http.parse_bmc_address("https://[fe80::1%25eth0]:8443", Tls()).host == "fe80::1%eth0"


@pytest.mark.parametrize(
    "address", ["", "https://", "ftp://bmc-1", "bmc-1:http", "bmc-1/redfish/v1", "[::1", "http://bmc-1", "bmc-1:99999"]
)
def test_what_is_no_address_is_rejected(driver: RedfishDriver, address: str) -> None:
    with pytest.raises(Rejected, match=r"bmc\.address"):
        driver.open(Endpoint("redfish", address))


@pytest.mark.parametrize("address", ["https://operator:s3cret@bmc-1", "operator:s3cret@bmc-1", "http://x:s3cret@bmc-1"])
def test_a_password_in_an_address_is_refused_and_not_shown(driver: RedfishDriver, address: str) -> None:
    with pytest.raises(DriverError) as raised:
        driver.open(Endpoint("redfish", address))
    assert "s3cret" not in str(raised.value)


def test_plain_http_is_spoken_where_it_was_allowed(driver: RedfishDriver) -> None:
    with RedfishServer(None, service()) as server:
        at = Endpoint("redfish", server.address, None, Tls(insecure=True), lambda _: LOGIN)
        assert driver.open(at).read().power == "On"


def test_a_flood_of_interim_answers_is_given_up_at_once(bmc: Bmc, server: RedfishServer) -> None:
    """It kept a processor busy until the request's time was over."""
    server.misbehave("GET", SYSTEM, Answer([b"HTTP/1.1 100 Continue\r\n\r\n" * 1000], close=True))
    with pytest.raises(Unreachable, match="not HTTP"):
        bmc.read()
    server.misbehave("GET", SYSTEM, Answer([b"HTTP/1.1 100 Continue\r\n\r\n", *reply(200, WHOLE).chunks]))
    assert bmc.read().power == "On"


def test_a_body_in_pieces_without_end_is_given_up(bmc: Bmc, server: RedfishServer) -> None:
    pieces = b"1\r\n \r\n" * (redfish_http._MAX_READS + 1)
    server.misbehave("GET", SYSTEM, Answer([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", pieces], close=True))
    with pytest.raises(Unreachable, match="pieces"):
        bmc.read()
