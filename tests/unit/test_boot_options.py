"""Where the boot service listens."""

from __future__ import annotations

import socket
import sys

import pytest

from reconciler.operations.serving.serve_boot import BootOptions, listen_address, listen_at

EVERYWHERE = "0.0.0.0"


@pytest.mark.parametrize(
    ("address", "listens"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.1", EVERYWHERE),
        ("boot.example", EVERYWHERE),
        ("localhost", EVERYWHERE),
        ("", EVERYWHERE),
    ],
    ids=["of this host", "of another", "a name", "a name of this host", "nothing"],
)
def test_it_listens_on_the_address_that_machines_are_told_where_that_is_this_host_s(address: str, listens: str) -> None:
    assert listen_at(address) == listens


@pytest.mark.skipif(not socket.has_ipv6 or sys.platform != "linux", reason="there is no IPv6 here")
def test_an_ipv6_address_may_stand_in_brackets() -> None:
    assert listen_at("[::1]") in ("::1", EVERYWHERE)


@pytest.mark.parametrize(
    ("given", "listens"), [(None, "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", EVERYWHERE)]
)
def test_what_is_said_goes_before_what_follows_from_the_address(given: str | None, listens: str) -> None:
    assert listen_address(BootOptions(address="127.0.0.1", listen=given)) == listens
