"""docs/faults.md is what a run with each fault shows, and what the page shows is safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import faults
from drivers.bmc.simulator.fleet.fault_presets import PRESETS, FaultPreset

BY_LOOP = [preset for preset in PRESETS.values() if preset.id not in faults.BESIDE]


@pytest.mark.timeout(240)
def test_the_page_of_faults_is_that_of_a_run(tmp_path: Path) -> None:
    assert faults.PAGE.read_text("utf-8") == faults.page(tmp_path), "run: python -m docs.faults"


@pytest.mark.parametrize("preset", BY_LOOP, ids=lambda one: one.id)
def test_whatever_the_fault_a_bmc_gets_few_writes_and_no_power_off_that_is_not_declared(
    preset: FaultPreset, tmp_path: Path
) -> None:
    run = faults.FaultRun(preset, tmp_path)
    resets = [one.body["ResetType"] for one in run.fleet.writes if one.method == "POST"]
    assert len(run.fleet.writes) <= 12
    if run.declared.get("power") != "Off":
        assert set(resets) <= {"On"}
