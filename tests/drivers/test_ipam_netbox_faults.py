"""What the NetBox driver makes of a NetBox that does not answer as it should: unknown is never taken for gone."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from drivers.base import (
    AuthenticationFailed,
    Busy,
    Conflict,
    DriverError,
    Exhausted,
    IpamNetwork,
    Prefix,
    Unreachable,
    Unreadable,
)
from drivers.ipam.netbox.netbox import NetboxIpam
from drivers.ipam.netbox.netbox_records import FIELDS, OBJECT_TYPES
from drivers.ipam.netbox.netbox_wire import NetboxConnection

TOKEN = "very-secret-token"
TAG = {"id": 1, "name": "groundstate", "slug": "groundstate"}


class Reply(msgspec.Struct):
    """An answer; `lost`: it is done and the connection closed instead; `drip`: seconds before each byte."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    lost: bool = False
    drip: float = 0
    short: int = 0


def page(*found: dict[str, Any], count: int | None = None) -> Reply:
    return Reply(body={"count": len(found) if count is None else count, "next": None, "results": list(found)})


def address(owner: str, number: int, **more: Any) -> dict[str, Any]:
    fields = {"groundstate_owner": f"groundstate:{owner}", "groundstate_network": "lan", "groundstate_data": None}
    return {"id": number, "address": f"10.0.0.{number}/24", "tags": [TAG], "custom_fields": fields, **more}


PREFIX = {
    "id": 7,
    "prefix": "10.0.0.0/24",
    "status": {"value": "active"},
    "tags": [TAG],
    "custom_fields": {
        "groundstate_owner": "groundstate:lan 10.0.0.0/24",
        "groundstate_network": "lan",
        "groundstate_data": {"position": 0, "cidr": "10.0.0.0/24"},
    },
}


class Netbox:
    """A server that answers as the test says: the first route whose beginning the request has. A list is used up."""

    def __init__(self, *routes: tuple[str, Reply | list[Reply]]) -> None:
        custom = [
            {"id": at, "name": name, "object_types": list(OBJECT_TYPES), "filter_logic": {"value": "exact"}, **one}
            for at, (name, one) in enumerate(FIELDS.items(), 1)
        ]
        self.routes = [
            *routes,
            ("GET /api/extras/custom-fields/", page(*custom)),
            ("GET /api/extras/tags/", page(TAG)),
            ("GET /api/ipam/ip-ranges/", page()),
            ("GET /api/ipam/prefixes/", page(PREFIX)),
            ("GET /api/ipam/ip-addresses/", page()),
        ]
        self.seen: list[str] = []
        self.bodies: list[Any] = []
        self.headers: list[str | None] = []

    def answer(self, line: str) -> Reply:
        self.seen.append(line)
        for start, reply in self.routes:
            if line.startswith(start):
                if isinstance(reply, list):
                    return reply.pop(0) if len(reply) > 1 else reply[0]
                return reply
        return Reply(404, {"detail": "Not found."})

    @property
    def writes(self) -> list[str]:
        return [line for line in self.seen if not line.startswith("GET")]


@contextmanager
def serving(
    netbox: Netbox, seconds: float = 5, tls: ssl.SSLContext | None = None, ca_file: str | None = None
) -> Iterator[NetboxIpam]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            netbox.bodies.append(json.loads(body) if body else None)
            netbox.headers.append(self.headers.get("Authorization"))
            reply = netbox.answer(f"{self.command} {self.path}")
            if reply.lost:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            content = b"" if reply.body is None else content
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + reply.short))
            self.end_headers()
            for byte in [content[n : n + 1] for n in range(len(content))] if reply.drip else [content]:
                time.sleep(reply.drip)
                try:
                    self.wfile.write(byte)
                    self.wfile.flush()
                except OSError:
                    return
            self.close_connection = bool(reply.short)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    ipam = NetboxIpam(url, lambda: TOKEN, ca_file=ca_file, seconds=seconds)
    try:
        yield ipam
    finally:
        ipam.close()
        server.shutdown()
        thread.join()
        server.server_close()


READS: list[tuple[str, Callable[[NetboxIpam], object]]] = [
    ("list", lambda ipam: ipam.list()),
    ("networks", lambda ipam: ipam.networks()),
    ("network", lambda ipam: ipam.network("lan")),
    ("holding", lambda ipam: ipam.holding("a")),
    ("usage", lambda ipam: ipam.usage()),
    ("check", lambda ipam: ipam.check()),
]
HTML = Reply(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
BROKEN = [
    ("500", Reply(500, {"detail": "oops"})),
    ("502-html", Reply(502, b"<html>bad gateway</html>")),
    ("html", HTML),
    ("404-html", Reply(404, b"<html>nginx</html>")),
    ("redirect", Reply(302, b"", {"Location": "http://127.0.0.1:1/login"})),
    ("lost", Reply(lost=True)),
    ("truncated", Reply(body={"count": 0, "results": []}, short=10)),
    ("no-list", Reply(body={"hello": "world"})),
    ("no-ids", Reply(body={"count": 1, "results": ["x"]})),
]


@pytest.mark.parametrize("read", [one for _, one in READS], ids=[name for name, _ in READS])
@pytest.mark.parametrize("reply", [one for _, one in BROKEN], ids=[name for name, _ in BROKEN])
def test_a_read_that_fails_is_unknown(reply: Reply, read: Callable[[NetboxIpam], object]) -> None:
    with serving(Netbox(("GET", reply))) as ipam, pytest.raises(Unreachable) as failed:
        read(ipam)
    assert not failed.value.maybe_sent
    assert TOKEN not in str(failed.value)


def test_a_netbox_that_is_down_is_unknown_and_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ipam = NetboxIpam(f"http://127.0.0.1:{unused.getsockname()[1]}", lambda: TOKEN)
        with pytest.raises(Unreachable, match="no connection") as failed:
            ipam.acquire("lan", "a")
    assert not failed.value.maybe_sent


def test_one_that_drips_is_given_up_in_time() -> None:
    started = time.monotonic()
    slow = Reply(body={"count": 0, "results": []}, drip=0.2)
    with serving(Netbox(("GET", slow)), seconds=0.5) as ipam, pytest.raises(Unreachable, match="no answer in time"):
        ipam.list()
    assert time.monotonic() - started < 3


def test_one_that_drips_its_headers_is_given_up_in_time() -> None:
    """A socket's own timeout begins anew with each byte: a NetBox, or what answers in its place, could hold a thread
    for as long as it likes (psf/requests#2856)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = threading.Event()

        def drip() -> None:
            peer, _ = listener.accept()
            with peer, suppress(OSError):
                peer.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not gone.wait(0.1):
                    peer.sendall(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        wire = NetboxConnection(f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: TOKEN, seconds=0.5)
        with pytest.raises(Unreachable, match="no answer in time"):
            wire.one("ipam/prefixes/1/")
        gone.set()
        dripping.join()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_no_proxy_of_the_environment_gets_the_token(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Plain http to a tunnel that ends on this host is allowed, and would be sent to the proxy as it is."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with serving(Netbox(("GET /api/ipam/ip-addresses/", [page()]))) as ipam:
            assert ipam.list() == []
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_second_page_that_fails_leaves_nothing_of_the_first() -> None:
    first = page(*(address(f"o{number}", number) for number in range(1, 4)), count=5)
    netbox = Netbox(("GET /api/ipam/ip-addresses/", [first, Reply(503, {"detail": "later"})]))
    with serving(netbox) as ipam, pytest.raises(Unreachable):
        ipam.list()
    assert "id__gt=3" in netbox.seen[-1]


def test_pages_go_on_after_the_last_id_so_that_a_deletion_hides_nothing() -> None:
    first = page(*(address(f"o{number}", number) for number in (1, 2, 9)), count=5)
    second = page(*(address(f"o{number}", number) for number in (12, 13)))
    with serving(Netbox(("GET /api/ipam/ip-addresses/", [first, second]))) as ipam:
        assert [one.owner for one in ipam.list()] == ["o1", "o12", "o13", "o2", "o9"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(401, {"detail": "Authentication credentials were not provided."}), "refused the token"),
        (Reply(403, {"detail": "Invalid token"}), "refused the token"),
        (Reply(403, {"detail": "You do not have permission to perform this action."}), "grant the permission"),
    ],
)
def test_who_may_not_is_told_what_to_do(reply: Reply, message: str) -> None:
    with serving(Netbox(("GET", reply))) as ipam, pytest.raises(AuthenticationFailed, match=message) as failed:
        ipam.list()
    assert TOKEN not in str(failed.value)


def test_a_token_that_may_not_set_up_is_told_what_an_administrator_has_to_make() -> None:
    denied = Reply(403, {"detail": "You do not have permission to perform this action."})
    netbox = Netbox(("GET /api/extras/custom-fields/", page()), ("POST /api/extras/custom-fields/", denied))
    with serving(netbox) as ipam, pytest.raises(AuthenticationFailed) as failed:
        ipam.set_up()
    for word in ("groundstate_owner", "groundstate_network", "groundstate_data", "unique", "tag", "ipam.ipaddress"):
        assert word in str(failed.value)


def test_a_custom_field_that_is_not_unique_is_refused() -> None:
    field = {"id": 1, "name": "groundstate_owner", "object_types": list(OBJECT_TYPES), "type": "text", "unique": False}
    with (
        serving(Netbox(("GET /api/extras/custom-fields/", page(field)))) as ipam,
        pytest.raises(Conflict, match="differs from what groundstate needs"),
    ):
        ipam.acquire("lan", "a")


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("-1", None)])
def test_too_many_requests_is_busy(header: str | None, seconds: float | None) -> None:
    reply = Reply(429, {"detail": "throttled"}, {"Retry-After": header} if header else {})
    with serving(Netbox(("GET", reply))) as ipam, pytest.raises(Busy) as failed:
        ipam.list()
    assert failed.value.retry_after == seconds


AVAILABLE = "POST /api/ipam/prefixes/7/available-ips/"


@pytest.mark.parametrize(
    "reply",
    [Reply(500, {"detail": "oops"}), Reply(504, b"<html>"), HTML, Reply(lost=True), Reply(201, [], short=3)],
    ids=["500", "504", "html", "lost", "truncated"],
)
def test_a_write_without_an_answer_may_have_arrived(reply: Reply) -> None:
    netbox = Netbox((AVAILABLE, reply))
    with serving(netbox) as ipam, pytest.raises(Unreachable) as failed:
        ipam.acquire("lan", "a")
    assert failed.value.maybe_sent
    assert netbox.writes == [AVAILABLE]


def test_after_a_lost_answer_the_next_acquire_finds_what_was_given() -> None:
    found = [page(), page(address("a", 5))]
    netbox = Netbox(("GET /api/ipam/ip-addresses/", found), (AVAILABLE, Reply(lost=True)))
    with serving(netbox) as ipam:
        with pytest.raises(Unreachable):
            ipam.acquire("lan", "a")
        assert ipam.acquire("lan", "a") == "10.0.0.5"
    assert netbox.writes == [AVAILABLE]


def test_a_refused_write_is_looked_at_once_more() -> None:
    refused = Reply(400, {"custom_fields": ["Custom field 'groundstate_owner' must have a unique value."]})
    netbox = Netbox(("GET /api/ipam/ip-addresses/", [page(), page(address("a", 5))]), (AVAILABLE, refused))
    with serving(netbox) as ipam:
        assert ipam.acquire("lan", "a") == "10.0.0.5"


def test_too_little_left_is_exhausted() -> None:
    full = Reply(409, {"detail": "Insufficient resources are available to satisfy the request"})
    with serving(Netbox((AVAILABLE, full))) as ipam, pytest.raises(Exhausted, match="all 254 of its prefixes"):
        ipam.acquire("lan", "a")


def test_an_address_that_a_reserved_range_should_have_kept_back_is_given_back() -> None:
    data = {"position": 0, "cidr": "10.0.0.0/24", "reserved": ["10.0.0.5"]}
    prefix = PREFIX | {"custom_fields": {**PREFIX["custom_fields"], "groundstate_data": data}}  # type: ignore[dict-item]
    netbox = Netbox(
        ("GET /api/ipam/prefixes/", page(prefix)),
        (AVAILABLE, Reply(201, [address("a", 5)])),
        ("DELETE /api/ipam/ip-addresses/", Reply(204)),
    )
    with serving(netbox) as ipam, pytest.raises(Conflict, match=r"10\.0\.0\.5 .*reserved"):
        ipam.acquire("lan", "a")
    assert netbox.bodies[-1] == [{"id": 5}]


def test_another_who_changes_it_meanwhile_is_busy_and_nothing_is_lost() -> None:
    one = address("a", 5)
    netbox = Netbox(
        ("GET /api/ipam/ip-addresses/5/", Reply(body=one, headers={"ETag": 'W/"1"'})),
        ("GET /api/ipam/ip-addresses/", page(one)),
        ("DELETE /api/ipam/ip-addresses/5/", Reply(412, {"detail": "changed"})),
    )
    with serving(netbox) as ipam, pytest.raises(Busy):
        ipam.release("a")


def test_a_release_whose_object_went_meanwhile_is_done() -> None:
    netbox = Netbox(
        ("GET /api/ipam/ip-addresses/5/", Reply(404, {"detail": "No."})),
        ("GET /api/ipam/ip-addresses/", page(address("a", 5))),
    )
    with serving(netbox) as ipam:
        ipam.release("a")


@pytest.mark.parametrize("about", ["tags", "custom_fields"])
def test_what_is_only_half_marked_is_never_deleted(about: str) -> None:
    half = {**address("a", 5), "tags": []} if about == "tags" else {**address("a", 5), "custom_fields": {}}
    netbox = Netbox(("GET /api/ipam/ip-addresses/", page(half)))
    with serving(netbox) as ipam:
        ipam.release("a")
        assert ipam.list() == []
    assert netbox.writes == []


def test_a_tag_that_was_deleted_is_not_taken_for_nothing_held() -> None:
    no_tag = Reply(400, {"tag": ["Select a valid choice. groundstate is not one of the available choices."]})
    lost = {**address("a", 5), "tags": []}
    netbox = Netbox(
        ("GET /api/ipam/ip-addresses/?tag", no_tag),
        ("GET /api/ipam/ip-addresses/", page(lost)),
        ("GET /api/ipam/prefixes/", page()),
    )
    with serving(netbox) as ipam, pytest.raises(DriverError, match="NetBox has no tag groundstate any more"):
        ipam.list()


def test_a_fleet_that_never_wrote_has_nothing() -> None:
    no_tag = Reply(400, {"tag": ["Select a valid choice. groundstate is not one of the available choices."]})
    netbox = Netbox(("GET /api/ipam/ip-addresses/?tag", no_tag), ("GET /api/ipam/prefixes/", page()))
    with serving(netbox) as ipam:
        assert ipam.list() == []
    assert netbox.writes == []


def test_the_token_goes_out_as_netbox_wants_it() -> None:
    netbox = Netbox()
    with serving(netbox) as ipam:
        ipam.list()
    assert netbox.headers == [f"Token {TOKEN}"]


@pytest.mark.usefixtures("_netrc")
def test_a_login_in_netrc_does_not_take_the_token_s_place() -> None:
    netbox = Netbox()
    with serving(netbox) as ipam:
        ipam.list()
    assert netbox.headers == [f"Token {TOKEN}"]


@pytest.fixture
def _netrc(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_a_network_that_overlaps_one_made_meanwhile_is_taken_back() -> None:
    other = PREFIX | {"id": 99, "prefix": "10.1.0.0/16"}
    other["custom_fields"] = {"groundstate_owner": "groundstate:x", "groundstate_network": "x", "groundstate_data": {}}
    netbox = Netbox(
        ("GET /api/ipam/prefixes/?tag=groundstate&contains", page(other)),
        ("GET /api/ipam/prefixes/", page()),
        ("POST /api/ipam/prefixes/", Reply(201, [{**PREFIX, "id": 100}])),
        ("DELETE /api/ipam/prefixes/", Reply(204)),
    )
    with serving(netbox) as ipam, pytest.raises(Busy, match=r"x acquired 10\.1\.0\.0/16 at the same time"):
        ipam.put_network("lan", IpamNetwork((Prefix("10.1.2.0/24"),)))
    assert netbox.bodies[-1] == [{"id": 100}]


class TestTls:
    """Certificates are verified, always: by the system's CAs, or by those of a file in their place."""

    @pytest.fixture
    def ca(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def ca_file(self, ca: trustme.CA, tmp_path: Path) -> str:
        path = tmp_path / "ca.pem"
        ca.cert_pem.write_to_path(str(path))
        return str(path)

    def context(self, ca: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name).configure_cert(context)
        return context

    def test_by_the_ca_of_a_file(self, ca: trustme.CA, ca_file: str) -> None:
        with serving(Netbox(), tls=self.context(ca), ca_file=ca_file) as ipam:
            assert ipam.list() == []

    def test_an_unknown_ca_is_refused_and_gets_no_token(self, ca: trustme.CA) -> None:
        netbox = Netbox()
        with (
            serving(netbox, tls=self.context(ca)) as ipam,
            pytest.raises(Unreachable, match="--ipam-ca-file") as failed,
        ):
            ipam.list()
        assert netbox.headers == []
        assert not failed.value.maybe_sent

    def test_so_is_another_host_s_certificate(self, ca: trustme.CA, ca_file: str) -> None:
        netbox = Netbox()
        with (
            serving(netbox, tls=self.context(ca, "netbox.example.org"), ca_file=ca_file) as ipam,
            pytest.raises(Unreachable, match="not trusted"),
        ):
            ipam.list()
        assert netbox.headers == []

    def test_a_ca_of_requests_environment_is_not_taken(
        self, ca: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
        with serving(Netbox(), tls=self.context(ca)) as ipam, pytest.raises(Unreachable, match="not trusted"):
            ipam.list()

    def test_a_write_that_met_a_bad_certificate_was_not_sent(self, ca: trustme.CA) -> None:
        with serving(Netbox(), tls=self.context(ca)) as ipam, pytest.raises(Unreachable) as failed:
            ipam._wire.post("ipam/prefixes/", {})
        assert not failed.value.maybe_sent


# -- records that make no sense ----------------------------------------------------------------------------------------


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


ODD_PREFIXES = {
    "no prefix": without(PREFIX, "prefix"),
    "a prefix that is a number": {**PREFIX, "prefix": 7},
    "a prefix that is none": {**PREFIX, "prefix": "10.0.0.0/99"},
    "a surrogate": {**PREFIX, "prefix": "\ud800"},
    "a VRF without an id": {**PREFIX, "vrf": {"name": "x"}},
    "an infinite VRF": {**PREFIX, "vrf": {"id": float("inf")}},
    "a VRF of many digits": {**PREFIX, "vrf": {"id": 10**300}},
}


@pytest.mark.parametrize("record", ODD_PREFIXES.values(), ids=ODD_PREFIXES.keys())
def test_a_prefix_that_makes_no_sense_is_named_and_not_gone(record: dict[str, Any]) -> None:
    """It ended the daemon's housekeeping, and the daemon with it."""
    with serving(Netbox(("GET /api/ipam/prefixes/", page(record)))) as ipam:
        for view in (ipam.networks, ipam.usage, lambda: ipam.network("lan")):
            with pytest.raises(
                Unreadable, match=r"api/ipam/prefixes/7/ is not valid: .*; correct the object in NetBox"
            ):
                view()


@pytest.mark.parametrize(
    "change",
    [
        {"address": None},
        {"address": "\ud800/24"},
        {"vrf": {"id": "1e999"}},
        {
            "custom_fields": {**address("IPAddress/b", 3)["custom_fields"], "groundstate_data": {"tags": 7}},
            "address": 1,
        },
    ],
)
def test_an_address_that_makes_no_sense_costs_its_owner_alone(change: dict[str, Any]) -> None:
    odd, good = {**address("IPAddress/b", 3), **change}, address("IPAddress/a", 2)
    routes = (
        ("GET /api/ipam/ip-addresses/?cf_groundstate_owner=groundstate%3AIPAddress%2Fa", page(good)),
        ("GET /api/ipam/ip-addresses/?cf_groundstate_owner=groundstate%3AIPAddress%2Fb", page(odd)),
        ("GET /api/ipam/ip-addresses/", page(good, odd)),
    )
    with serving(Netbox(*routes)) as ipam:
        held = ipam.holding("IPAddress/a")
        assert held is not None and held.address == "10.0.0.2"  # noqa: PT018
        with pytest.raises(Unreadable, match="ip-addresses/3/"):
            ipam.holding("IPAddress/b")
        with pytest.raises(Unreadable):
            ipam.list()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"count": 1, "next": None, "results": [{"id": float("nan")}]}, id="no id"),
        pytest.param({"count": "x", "next": None, "results": [PREFIX]}, id="a count that is none"),
        pytest.param({"count": 10**400, "next": None, "results": [PREFIX]}, id="ids in a circle"),
        pytest.param(b'{"results": [' + b"[" * 100_000, id="nested without end"),
    ],
)
def test_a_page_that_makes_no_sense_is_unreachable(body: Any) -> None:
    with serving(Netbox(("GET /api/ipam/prefixes/", Reply(body=body)))) as ipam, pytest.raises(Unreachable):
        ipam.networks()


@pytest.mark.parametrize("times", [60, 500, 3000])
def test_what_one_record_nests_deeply_hides_no_other(times: int) -> None:
    """A JSON custom field, or what a plugin adds, is anybody's; the whole IPAM was unknown because of one."""
    odd = {**PREFIX, "id": 8, "theirs": "DEEP"}
    body = json.dumps({"count": 1, "next": None, "results": [odd]})
    nested = '{"a":' * times + "1" + "}" * times
    with serving(Netbox(("GET /api/ipam/prefixes/", Reply(body=body.replace('"DEEP"', nested).encode())))) as ipam:
        assert list(ipam.networks()) == ["lan"]


def test_people_s_range_that_makes_no_sense_hides_nothing() -> None:
    odd = {"id": 5, "start_address": None, "end_address": "\ud800", "tags": 7}
    with serving(Netbox(("GET /api/ipam/ip-ranges/", page(odd)))) as ipam:
        assert list(ipam.networks()) == ["lan"]


class TestTransfer:
    """One field of one object changes, and only while it is ours."""

    def test_the_owner_alone_is_written_and_again_is_nothing(self) -> None:
        one = address("a", 5)
        netbox = Netbox(
            ("GET /api/ipam/ip-addresses/5/", Reply(body=one, headers={"ETag": 'W/"1"'})),
            ("GET /api/ipam/ip-addresses/", [page(one), page(one), page(address("b", 5))]),
            ("PATCH /api/ipam/ip-addresses/5/", Reply(body=one)),
        )
        with serving(netbox) as ipam:
            ipam.transfer("a", "b")
            ipam.transfer("a", "b")
        assert netbox.writes == ["PATCH /api/ipam/ip-addresses/5/"]
        assert {"custom_fields": {"groundstate_owner": "groundstate:b"}} in netbox.bodies

    def test_one_that_holds_another_gets_nothing(self) -> None:
        netbox = Netbox(("GET /api/ipam/ip-addresses/", page(address("a", 5), address("b", 6))))
        with serving(netbox) as ipam, pytest.raises(Conflict, match="b already holds an address"):
            ipam.transfer("a", "b")
        assert netbox.writes == []

    def test_another_who_changes_it_meanwhile_is_busy(self) -> None:
        one = address("a", 5)
        netbox = Netbox(
            ("GET /api/ipam/ip-addresses/5/", Reply(body=one, headers={"ETag": 'W/"1"'})),
            ("GET /api/ipam/ip-addresses/", page(one)),
            ("PATCH /api/ipam/ip-addresses/5/", Reply(412, {"detail": "changed"})),
        )
        with serving(netbox) as ipam, pytest.raises(Busy):
            ipam.transfer("a", "b")

    @pytest.mark.parametrize("theirs", [{"tags": []}, {"custom_fields": {}}])
    def test_what_is_not_ours_is_never_touched(self, theirs: dict[str, Any]) -> None:
        netbox = Netbox(("GET /api/ipam/ip-addresses/", page({**address("a", 5), **theirs})))
        with serving(netbox) as ipam:
            ipam.transfer("a", "b")
        assert netbox.writes == []
