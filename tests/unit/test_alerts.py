"""The alerts that are shipped: promtool's own tests of them, and what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from reconciler.planning.override_scope import OVERRIDABLE

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text("utf-8"))["groups"][0]["rules"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize("command", [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]])
def test_promtool_finds_each_alert_fire_when_it_should(command: list[str]) -> None:
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_says_what_happened_and_how_to_proceed() -> None:
    assert [rule["alert"] for rule in RULES if {*rule["annotations"]} != {"summary", "description"}] == []


def test_the_guards_and_commands_that_alerts_name_exist() -> None:
    said = " ".join(rule["annotations"]["description"] for rule in RULES)
    named = set(re.findall(r"guard `([a-z-]+)`", said))
    assert named <= {str(one) for one in OVERRIDABLE}


def test_each_alert_is_shown_to_fire_and_to_stay_quiet() -> None:
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts
