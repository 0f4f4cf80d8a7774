"""The IPAMs that the conformance suite runs over. A driver joins by a line in IPAMS, and a function that opens it.

A test that asks for what a driver may lack is marked `needs`, and skipped for a driver whose line lacks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec
import pytest

from drivers.base import Ipam
from drivers.ipam.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.drivers.netbox_fixture import netbox, recorded

FEATURES = frozenset({"reserved", "namespaces", "order", "usage", "empty", "whole"})
"""What may be lacking: reserved space in a prefix; networks that overlap in two namespaces; prefixes that are taken
from in the order of the network; figures of how full each is; networks without a prefix; and children that are the
whole of a container's prefix."""


class Subject(msgspec.Struct, frozen=True):
    """One IPAM: how it is opened, empty, and what it has of FEATURES."""

    open: Callable[[pytest.FixtureRequest], AbstractContextManager[Ipam]]
    has: frozenset[str] = FEATURES


@contextmanager
def embedded_in_sqlite(request: pytest.FixtureRequest) -> Iterator[Ipam]:
    """The embedded one, in a new file."""
    store = Store.open(request.getfixturevalue("empty_sqlite_url"))
    yield EmbeddedIpam(store.engine)
    store.close()


@contextmanager
def embedded_in_postgresql(request: pytest.FixtureRequest) -> Iterator[Ipam]:
    """The embedded one, in an empty database."""
    store = Store.open(request.getfixturevalue("empty_postgresql_url"))
    yield EmbeddedIpam(store.engine)
    store.close()


OF_NETBOX = FEATURES - {"empty", "whole"}

IPAMS = {
    "embedded-sqlite": Subject(embedded_in_sqlite),
    "embedded-postgresql": Subject(embedded_in_postgresql),
    "netbox": Subject(netbox, OF_NETBOX),
    "netbox-recorded": Subject(recorded, OF_NETBOX),
}


@pytest.fixture(params=IPAMS)
def ipam(request: pytest.FixtureRequest) -> Iterator[Ipam]:
    """Each IPAM, without networks. After the test, its own rules must hold."""
    subject = IPAMS[request.param]
    needed = {feature for mark in request.node.iter_markers("needs") for feature in mark.args}
    assert needed <= FEATURES
    if needed - subject.has:
        pytest.skip(f"{request.param} has no {', '.join(sorted(needed - subject.has))}")
    with subject.open(request) as opened:
        yield opened
        assert opened.check() == []
