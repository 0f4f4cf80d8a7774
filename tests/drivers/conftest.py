"""Fixtures for what speaks to BMCs: trust, a driver, and a server that behaves until it is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.base import Bmc
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import Pki, RedfishServer, endpoint, service


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def driver() -> Iterator[RedfishDriver]:
    opened = RedfishDriver()
    yield opened
    opened.close()


@pytest.fixture
def server(pki: Pki) -> Iterator[RedfishServer]:
    with RedfishServer(pki.context, service()) as running:
        yield running


@pytest.fixture
def bmc(driver: RedfishDriver, server: RedfishServer, pki: Pki) -> Bmc:
    return driver.open(endpoint(server, pki.tls))
