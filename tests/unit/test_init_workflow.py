"""The workflow that `groundstate init` writes must not hand a pull request what its runner holds."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

TEXT = (files("reconciler.operations") / "template/dot_github/workflows/groundstate.yaml").read_text("utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
PLAN, VALIDATE = WORKFLOW["jobs"]["plan"], WORKFLOW["jobs"]["validate"]


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_no_job_is_given_secrets() -> None:
    """Secrets by name would go to whatever a branch of the repository makes of this file."""
    assert "secrets." not in TEXT
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_it_runs_as_the_pull_request_s_own_event() -> None:
    """pull_request_target hands the base repository's secrets and token to a fork's content."""
    assert list(WORKFLOW[True]) == ["pull_request"]  # YAML 1.1 reads `on` as true.


def test_what_reaches_bmcs_runs_for_no_fork_and_after_a_reviewer() -> None:
    assert PLAN["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert PLAN["environment"] == "groundstate-plan"


def test_the_settings_lie_outside_of_the_checkout() -> None:
    assert PLAN["env"]["GROUNDSTATE_CONFIG"].startswith("/etc/")


@pytest.mark.parametrize("job", WORKFLOW["jobs"].values(), ids=WORKFLOW["jobs"])
def test_the_checkout_keeps_no_token(job: dict[str, Any]) -> None:
    [checkout] = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False


def test_groundstate_is_installed_by_url_and_hash_alone() -> None:
    """A bare name can be registered by anybody on the index."""
    installs = [line.strip() for line in commands(VALIDATE).splitlines() if "pip install" in line and "#" in line]
    assert installs == ['pip install "groundstate @ $URL#sha256=$SHA256"']
    assert "pip install groundstate" not in TEXT


def test_nothing_that_an_author_writes_is_put_into_a_command() -> None:
    """An expression in `run` is pasted into the shell's text."""
    assert "${{" not in commands(VALIDATE) + commands(PLAN)
