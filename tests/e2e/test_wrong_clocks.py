"""Daemons that share a fleet, one of them on a host whose clock is wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.desk import ROOT, Desk, until
from tests.e2e.shared_fleet import shared_fleet
from tests.e2e.test_shards import each

AT_START = """
import os
from datetime import timedelta
from reconciler import runtime

class ShiftedRuntime(runtime.Runtime):
    def now(self):
        with open(os.environ["CLOCK_AHEAD"]) as file:
            return super().now() + timedelta(seconds=float(file.read()))

replaced = runtime.replaced(ShiftedRuntime())
replaced.__enter__()
"""


class HostClock:
    """The time of day of a process that is started with `environment`. What only goes forward is right."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ahead"
        code = folder / "at-start"
        code.mkdir()
        (code / "sitecustomize.py").write_text(AT_START, "utf-8")
        self.environment = {"PYTHONPATH": f"{code}{os.pathsep}{ROOT}", "CLOCK_AHEAD": str(self._file)}
        self.set(0)

    def set(self, ahead: float) -> None:
        """It is so many seconds ahead from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead), "utf-8")
        new.replace(self._file)


@pytest.mark.parametrize(("ahead", "words"), [(3600, "3600 s ahead of"), (-3600, "3600 s behind")])
def test_a_daemon_that_decides_sends_nothing_while_its_clock_is_wrong(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path, ahead: float, words: str
) -> None:
    """Else a maintenance window would open early."""
    clock = HostClock(tmp_path)
    with shared_fleet(desk, empty_postgresql_url, machines=4) as fleet:
        fleet.declare("Off")
        with fleet.daemon("host-a", env=clock.environment) as first, fleet.daemon("host-b"):
            first.logged("Started")
            fleet.until_attended("host-b")
            clock.set(ahead)
            fleet.declare("On")
            held = f"the clock of the daemon's host is {words} the clock of the database"
            until(lambda: held in desk.run("events").out, held, lambda: desk.run("events").out)
            assert fleet.resets() == {}
            clock.set(0)
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)


def test_the_clock_of_a_daemon_that_attends_does_not_matter(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path
) -> None:
    clock = HostClock(tmp_path)
    clock.set(3600)
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with fleet.daemon("host-a") as first:
            first.logged("Started")
            with fleet.daemon("host-b", env=clock.environment) as second, fleet.daemon("host-c") as third:
                fleet.until_attended("host-b", "host-c")
                for times, power in enumerate(("On", "Off"), start=1):
                    fleet.declare(power)
                    fleet.until_all(power)
                    assert fleet.resets() == each(fleet, times)
                    clock.set(-3600)
                third.end(signal.SIGKILL)
                fleet.until_attended("host-b")
                fleet.declare("On")
                fleet.until_all("On")
                assert fleet.resets() == each(fleet, 3)
                assert second.end(signal.SIGTERM).code == 0
