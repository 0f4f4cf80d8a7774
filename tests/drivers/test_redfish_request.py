"""What is sent to a BMC is one request, whatever it and its documents name."""

from __future__ import annotations

import http.client
import io

import pytest

from drivers.base import Tls
from drivers.bmc.redfish.wire.redfish_http import parse_bmc_address, request_bytes


class Written(io.BytesIO):
    """A socket that keeps what http.client sends."""

    def sendall(self, data: bytes) -> None:
        self.write(data)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        pytest.param("GET", None, id="a look"),
        pytest.param("POST", b'{"ResetType": "On"}', id="a write"),
        pytest.param("POST", None, id="a write without a body"),
        pytest.param("PATCH", b"{}", id="a change"),
        pytest.param("DELETE", None, id="a deletion"),
    ],
)
@pytest.mark.parametrize(
    "address",
    ["10.0.0.7", "10.0.0.7:8443", "http://10.0.0.7", "[2001:db8::7]", "[2001:db8::7]:8443", "b\u00fc.example"],
)
def test_it_is_the_request_that_http_client_would_send(method: str, body: bytes | None, address: str) -> None:
    where = parse_bmc_address(address, Tls(insecure=True))
    made = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = made(where.host, where.port)
    connection.sock = written = Written()
    headers = {"Accept-Encoding": "identity", "X-Auth-Token": "abc"}
    connection.request(method, "/redfish/v1/?a=b", body, headers)
    ours = request_bytes(method, "/redfish/v1/?a=b", {"Host": where.named, **headers}, body)
    assert [sorted(ours.splitlines()), ours.split(b"\r\n\r\n")[1]] == [
        sorted(written.getvalue().splitlines()),
        written.getvalue().split(b"\r\n\r\n")[1],
    ]


def test_the_zone_of_an_address_stays_on_this_machine() -> None:
    assert parse_bmc_address("[fe80::1%25eth0]", Tls()).named == "[fe80::1]"


@pytest.mark.parametrize("path", ["/a b", "/a\r\nHost: b", "/a\tb", "/\u00fc", "/a\x7f"])
def test_a_path_that_would_be_read_as_more_than_a_path_is_not_sent(path: str) -> None:
    with pytest.raises(ValueError, match="the path of the request contains a space"):
        request_bytes("GET", path, {}, None)


def test_a_header_that_would_be_read_as_two_is_not_sent() -> None:
    with pytest.raises(ValueError, match="line break"):
        request_bytes("GET", "/", {"X-Auth-Token": "a\r\nHost: b"}, None)
