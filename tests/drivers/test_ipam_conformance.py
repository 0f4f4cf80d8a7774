"""Our own IPAMs pass the suite that outside ones are given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from drivers.base import Ipam
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.testing.ipam_conformance import IPAM_FEATURES, IpamConformance
from reconciler.store import Store
from tests.drivers.netbox_fixture import netbox, recorded


@contextmanager
def embedded(url: str) -> Iterator[Ipam]:
    """The embedded one, in an empty database."""
    store = Store.open(url)
    yield EmbeddedIpam(store.engine)
    store.close()


class TestEmbeddedInSqlite(IpamConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Ipam]:
        return embedded(request.getfixturevalue("empty_sqlite_url"))


class TestEmbeddedInPostgresql(IpamConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Ipam]:
        return embedded(request.getfixturevalue("empty_postgresql_url"))


class TestNetBox(IpamConformance):
    has = IPAM_FEATURES - {"empty", "whole"}

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Ipam]:
        return netbox(request)


class TestNetBoxAsRecorded(IpamConformance):
    has = TestNetBox.has

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Ipam]:
        return recorded(request)
