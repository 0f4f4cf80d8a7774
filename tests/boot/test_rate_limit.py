"""How much of a flood gets through."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest

from reconciler.services.boot.rate_limit import (
    MAX_EVENTS,
    QUIET,
    REMEMBERED,
    EventLimit,
    PacedLog,
    RateLimit,
    client_network,
)
from reconciler.services.log import logger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_first_of_a_kind_and_address_is_told_and_the_rest_counted() -> None:
    gate = EventLimit()
    assert [gate.passes("a", "10.0.0.1", NOW) for _ in range(4)] == [0, None, None, None]
    assert gate.passes("b", "10.0.0.1", NOW) == 0
    assert gate.passes("a", "10.0.0.2", NOW) == 3
    assert gate.passes("a", "10.0.0.1", NOW + QUIET) == 0


def test_a_flood_from_everywhere_leaves_few() -> None:
    gate = EventLimit()
    told = [gate.passes("a", f"10.{n >> 8}.{n & 255}.1", NOW) for n in range(10 * REMEMBERED)]
    assert sum(one is not None for one in told) == MAX_EVENTS
    assert gate.passes("a", "10.0.0.1", NOW + QUIET) == 10 * REMEMBERED - MAX_EVENTS


def test_a_pace_is_each_address_s_own() -> None:
    pace = RateLimit(2, timedelta(minutes=1))
    assert [pace.allows("10.0.0.1", NOW) for _ in range(3)] == [True, True, False]
    assert pace.allows("10.0.0.2", NOW)
    assert pace.allows("10.0.0.1", NOW + timedelta(minutes=1))


def test_a_log_has_so_many_lines_a_minute_of_each_client_and_in_all() -> None:
    stream, moment = StringIO(), [NOW]
    log = PacedLog(logger(stream, json=True), lambda: moment[0], each=3, total=5)
    for _ in range(100):
        log.bind(listener="http").info("Request", client="10.0.0.1")
        log.debug("ConnectionRefused", client="10.0.0.2")
    assert stream.getvalue().count("\n") == 5
    moment[0] = NOW + timedelta(minutes=1)
    log.info("Request", client="10.0.0.3")
    assert json.loads(stream.getvalue().splitlines()[-1])["left_out"] == 195


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_ipv6_address_is_as_good_as_another_of_its_network(address: str, place: str) -> None:
    assert client_network(address) == place
