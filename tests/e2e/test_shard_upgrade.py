"""Daemons that share a fleet are upgraded one after the other, while it is worked on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.e2e.desk import ROOT, Desk, until
from tests.e2e.shared_fleet import shared_fleet
from tests.e2e.test_shards import deciding_and_attending, each, until_writes

AT_START = """
from reconciler.model.values import program_version
program_version.program_version = lambda: "99.0"
"""


def test_old_and_new_daemons_side_by_side_send_each_write_once(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path
) -> None:
    """The deciding daemon gives shards to daemons of its own version alone, and keeps those that have none."""
    (tmp_path / "sitecustomize.py").write_text(AT_START, "utf-8")
    newer = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with (
            deciding_and_attending(fleet, "host-b") as (first, second),
            fleet.daemon("host-c", env=newer) as third,
            fleet.daemon("host-d", env=newer),
        ):
            third.logged("StandingBy")
            fleet.declare("On")
            until_writes(fleet, 3)
            fleet.until_attended("host-b")
            assert second.end(signal.SIGTERM).code == 0
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            fleet.declare("Off")
            until_writes(fleet, len(fleet.machines) + 3)
            assert first.end(signal.SIGTERM).code == 0
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)
            versions = {one["version"] for one in desk.run("get", "daemons", "-o", "json").json["items"]}
            assert versions == {"99.0"}
            until(lambda: len(fleet.owners().keys() - {None}) == 1, "a newer one that attends for the other")
