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


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_a_daemon_that_decides_goes_by_the_clock_of_the_database(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path, ahead: float
) -> None:
    """Else a maintenance window would open early, and a pause would end early, for good."""
    clock = HostClock(tmp_path)
    with shared_fleet(desk, empty_postgresql_url, machines=4) as fleet:
        fleet.declare("Off")
        with fleet.daemon("host-a", env=clock.environment) as first:
            first.logged("Started")
            paused = desk.run("pause", "machine/m00001", "--for", "30m", "--reason", "disk")
            assert paused.code == 0, paused.err
            with fleet.daemon("host-b"):
                fleet.until_attended("host-b")
                clock.set(ahead)
                fleet.declare("On")
                others = dict.fromkeys(fleet.machines.keys() - {"m00001"}, 1)
                until(lambda: fleet.resets() == others, "all but the paused one", lambda: str(fleet.resets()))
                clock.set(0)
                assert "paused" in desk.run("plan").out
                assert fleet.resets() == others


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
