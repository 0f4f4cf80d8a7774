"""A desk for each test, and simulated BMCs for all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk
from tests.e2e.simulated_bmcs import Bmcs

SYSTEMS = 12
"""On each of two BMCs: every test takes its own, so that none meets what another one did."""

SECONDS = (2, 4)
"""That a power change takes: it is under way when it is looked at first, and waited for no longer than needed."""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with an empty repository."""
    return Desk(tmp_path / "desk")


@pytest.fixture(scope="session")
def bmcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmcs]:
    """BMCs that speak Redfish over HTTPS."""
    directory = tmp_path_factory.mktemp("emulators") / "bmcs"
    layout = [[f"5a1f0000-0000-4000-{bmc:04x}-{one:012x}" for one in range(SYSTEMS)] for bmc in range(2)]
    with EmulatorFleet(directory, layout, SECONDS) as fleet:
        yield Bmcs(fleet, directory, layout)
