"""What operators deploy names only what exists: the systemd unit and the Dockerfile."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cli import main
from tests.e2e.desk import ROOT

UNIT = (ROOT / "deploy" / "systemd" / "groundstate.service").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy" / "container" / "Dockerfile").read_text("utf-8")
HOW_TO = (ROOT / "docs" / "how-to.md").read_text("utf-8")


def test_the_unit_starts_a_command_that_exists() -> None:
    [start] = re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)
    program, command = start.split()
    assert main.get_command(main.make_context("groundstate", [], resilient_parsing=True), command) is not None
    assert f"{Path(program).parent.parent}/share/groundstate/deploy/systemd/groundstate.service" in HOW_TO


def test_the_unit_has_the_settings_file_of_the_how_to() -> None:
    [settings] = re.findall(r"^Environment=GROUNDSTATE_CONFIG=(.+)$", UNIT, re.MULTILINE)
    assert f"`{settings}`" in HOW_TO


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "groundstate.service"
    # systemd looks for the program too, which is not installed here.
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT, flags=re.MULTILINE), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "groundstate.service" in line]
    assert said == []


def test_the_image_starts_the_daemon_by_the_name_of_the_wheel_and_of_its_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    entry, command = (json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (.+)$", DOCKERFILE, re.MULTILINE))
    assert entry[0] in project["scripts"]
    assert main.get_command(main.make_context("groundstate", [], resilient_parsing=True), command[0]) is not None
    assert f"/wheel/{project['name']}-*.whl" in DOCKERFILE
