"""What a slow, broken or hostile client can do to others: nothing."""

from __future__ import annotations

import http.client
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.services.boot.boot_settings import BootError, BootSettings, ListenerLimits
from reconciler.services.boot.http.listener import Listener, Turns
from reconciler.services.boot.http.server import BootServer
from reconciler.services.log import logger
from reconciler.store import Store
from tests.boot.boot_world import Service, registration

LIMITS = ListenerLimits(threads=2, connections=40, per_address=30, idle=2, receive=1.0, send=1.0, poll=0.02)


@pytest.fixture
def busy(tmp_path: Path, migrated_file: Path) -> Iterator[Service]:
    """A service with two threads and little patience."""
    shutil.copy(migrated_file, tmp_path / "state.db")
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    made = Service(store, tmp_path, LIMITS)
    with made.server:
        yield made
    store.close()


def connected(service: Service, *, https: bool = False) -> socket.socket:
    base = service.server.places.https if https else service.server.places.http
    name, _, port = base.rpartition("//")[2].rpartition(":")
    return socket.create_connection((name, int(port)), timeout=20)


@pytest.mark.parametrize("https", [False, True])
def test_clients_that_say_nothing_take_no_thread(busy: Service, https: bool) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(busy, https=https))
        began = time.monotonic()
        if https:
            assert busy.call("GET", "/agent/v1/work").status == 401
        else:
            assert busy.get("/boot.ipxe").status == 200
        assert time.monotonic() - began < LIMITS.idle


@pytest.mark.parametrize("https", [False, True])
def test_clients_that_stop_in_the_middle_are_cut_off(busy: Service, https: bool) -> None:
    beginning = b"\x16\x03\x01\x02\x00\x01" if https else b"GET /boot.ipxe HT"
    with ExitStack() as stack:
        held = [stack.enter_context(connected(busy, https=https)) for _ in range(2)]
        for one in held:
            one.sendall(beginning)
        if https:
            assert busy.call("GET", "/agent/v1/work").status == 401
        else:
            assert busy.get("/boot.ipxe").status == 200


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(busy: Service) -> None:
    with connected(busy) as slow:
        slow.sendall(b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\nX: ")
        began = time.monotonic()
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            drip(slow, began + 10)
        assert time.monotonic() - began < 8
    busy.until_logged(1, "ConnectionCut")


def drip(slow: socket.socket, end: float) -> None:
    while time.monotonic() < end:
        slow.sendall(b"x")
        time.sleep(0.1)  # the client's pace, not a wait for anything


def test_a_client_that_does_not_read_is_cut_off(busy: Service) -> None:
    path = busy.keep(bytes(30_000_000)).replace("sha256:", "/files/")
    with ExitStack() as stack:
        for _ in range(2):
            one = stack.enter_context(connected(busy))
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert busy.get("/boot.ipxe").status == 200


def test_one_address_has_its_share_of_connections_and_no_more(busy: Service) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.per_address):
            one = stack.enter_context(connected(busy))
        one.sendall(b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(12) == b"HTTP/1.1 200"
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            busy.get("/boot.ipxe")
    # They are closed now, and the share is free again.
    for _ in range(50):
        try:
            assert busy.get("/boot.ipxe").status == 200
            break
        except OSError:
            time.sleep(0.1)
    else:
        pytest.fail("the connections are still counted")


PATIENT = ListenerLimits(threads=4, connections=12, per_address=4, idle=60, receive=60.0, crowded=60.0, poll=0.02)


@pytest.fixture
def patient(tmp_path: Path, migrated_file: Path) -> Iterator[Service]:
    """A service with few threads, which gives everybody a minute."""
    shutil.copy(migrated_file, tmp_path / "state.db")
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    made = Service(store, tmp_path, PATIENT)
    with made.server:
        yield made
    store.close()


@pytest.mark.parametrize("how", ["slow request", "slow handshake", "slow body", "slow reader"])
def test_a_few_addresses_that_hold_all_threads_and_connections_keep_no_newcomer_out(patient: Service, how: str) -> None:
    """48 addresses with 8 connections each held all 384 places for as long as they went on."""
    large = patient.keep(bytes(30_000_000)).replace("sha256:", "/files/")
    said = {
        "slow request": b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\nX: ",
        "slow handshake": b"\x16\x03\x01\x02\x00\x01",
        "slow body": b"POST /phone-home/v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
        "slow reader": f"GET {large} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    }
    base = patient.server.places.https if how == "slow handshake" else patient.server.places.http
    port = int(base.rpartition(":")[2])
    with ExitStack() as stack:
        for _ in range(PATIENT.per_address):
            for last in (11, 12, 13):
                one = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(f"127.0.0.{last}", 0))
                stack.enter_context(one).sendall(said[how])
        for _ in range(3):
            if how == "slow handshake":
                assert _served(lambda: patient.call("GET", "/agent/v1/work").status) == 401
            else:
                assert _served(lambda: patient.get("/boot.ipxe").status) == 200


def _served(ask: Callable[[], int]) -> int:
    """The answer of a service that makes room: firmware and the agent ask again when they are turned away."""
    for _ in range(50):
        with suppress(OSError, http.client.HTTPException):
            if (status := ask()) != 503:
                return status
        time.sleep(0.1)
    return 503


def test_the_next_is_of_the_address_that_has_the_fewest_in_hand() -> None:
    turns = Turns(100)
    for place in ("a", "a", "a", "b", "b", "c"):
        turns.put(Waiting(place))
    assert turns.newcomers() == 3
    assert [turns.get().place for _ in range(4)] == ["a", "b", "c", "a"]
    turns.done("c")
    turns.put(Waiting("c"))
    assert turns.newcomers() == 1
    assert [turns.get().place for _ in range(3)] == ["c", "b", "a"]
    assert turns.in_hand == {"a": 3, "b": 2, "c": 1}


class Waiting(NamedTuple):
    """A connection, as far as its turn goes."""

    place: str


def test_bodies_are_limited(service: Service) -> None:
    token = service.ticket()["gs.token"]
    large = registration(inventory={"x": "y" * 100_000})
    assert service.call("POST", "/agent/v1/facts", token, large).status == 413
    with connected(service) as one:
        one.sendall(b"POST /phone-home/v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        assert one.recv(12) == b"HTTP/1.1 413"
    assert service.call("POST", "/agent/v1/register", token, large).status == 200


def test_a_body_of_unknown_length_is_not_read_and_ends_the_connection(service: Service) -> None:
    with connected(service) as one:
        one.sendall(b"POST /phone-home/v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        received = b""
        while piece := one.recv(4096):
            received += piece
    assert received.startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b'{"order":1}', b"null", b"[" * 5000])
def test_a_body_that_cannot_be_read_is_said_to_be_so(service: Service, raw: bytes) -> None:
    answer = service.call("POST", "/agent/v1/register", service.ticket()["gs.token"], raw=raw)
    assert answer.status == 400
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "request_",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100 + b"\r\n", b"GET http://[ HTTP/1.1\r\n\r\n"],
)
def test_garbage_ends_the_connection_and_nothing_else(service: Service, request_: bytes) -> None:
    with connected(service) as one:
        one.sendall(request_)
        one.shutdown(socket.SHUT_WR)
        received = b""
        while piece := one.recv(4096):
            received += piece
    assert b"Traceback" not in received
    assert service.get("/boot.ipxe").status == 200


def test_plain_http_to_the_https_port_is_no_way_in(service: Service) -> None:
    with connected(service, https=True) as one:
        one.sendall(b"GET /agent/v1/work HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"401" not in one.recv(4096)
    assert service.call("GET", "/agent/v1/work").status == 401


def test_too_long_headers_are_refused(service: Service) -> None:
    assert service.get("/boot.ipxe", X="x" * 20_000).status == 413


def test_another_method_is_refused(service: Service) -> None:
    assert service.get("/boot.ipxe", "DELETE").status == 405


def test_several_requests_on_one_connection(service: Service) -> None:
    connection = service.secure()
    for _ in range(3):
        connection.request("GET", "/agent/v1/work")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (401, b"the request had no token\n")
    connection.close()


def test_each_request_is_one_line_of_the_log_without_tokens(service: Service) -> None:
    token = service.ticket()["gs.token"]
    session = service.register(token).json["session"]
    service.call("GET", "/agent/v1/work", "gs-none")
    # Each is written after its answer was sent, and so perhaps after the next.
    lines = service.until_logged(3)
    assert sorted((line["page"], line["status"], line.get("why")) for line in lines) == [
        ("machine", 200, None),
        ("register", 200, None),
        ("work", 401, "TokenRefused"),
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert token not in service.log.getvalue()
    assert session not in service.log.getvalue()


def test_a_port_that_is_taken_is_said_to_be_so(tmp_path: Path, service: Service) -> None:
    port = int(service.server.places.http.rpartition(":")[2])
    with pytest.raises(BootError, match=rf"cannot listen on 127.0.0.1:{port} \(http\).*choose another port"):
        Listener("http", ("127.0.0.1", port), lambda *_: [], ListenerLimits(), logger(service.log, json=True))


def test_a_service_that_cannot_have_its_second_port_leaves_the_first(tmp_path: Path, service: Service) -> None:
    taken = int(service.server.places.https.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    given = {"address": "127.0.0.1", "listen": "127.0.0.1", "folder": tmp_path / "b", "kernel": "", "initrd": ""}
    broken = BootSettings(**given, http_port=port, https_port=taken)  # type: ignore[arg-type]  # of several types
    log = logger(service.log, json=True)
    with pytest.raises(BootError, match="https"):
        BootServer(broken, service.provisioning, service.store.tokens, service.files, lambda: service.now, log)
    socket.create_server(("127.0.0.1", port)).close()


@pytest.fixture
def full(tmp_path: Path, migrated_file: Path) -> Iterator[Service]:
    """A service whose places are taken by five addresses with eight connections each."""
    shutil.copy(migrated_file, tmp_path / "state.db")
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    made = Service(store, tmp_path, ListenerLimits(threads=2, connections=40, per_address=8, idle=60))
    with made.server:
        yield made
    store.close()


def test_many_addresses_that_hold_every_connection_keep_no_machine_out(full: Service) -> None:
    port = int(full.server.places.http.rpartition(":")[2])
    with ExitStack() as stack:
        for number in range(40):
            source = (f"127.0.0.{100 + number // 8}", 0)
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 20, source_address=source))
        for _ in range(10):
            assert full.get("/boot.ipxe").status == 200
