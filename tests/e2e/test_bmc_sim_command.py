"""`groundstate bmc-sim` as a newcomer types it: BMCs, a repository for them, a plan, and rules from a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.served_bmcs import free_port

ROOT = Path(__file__).parents[2]
GROUNDSTATE = [sys.executable, str(ROOT / "cli.py")]


@contextmanager
def simulated(*arguments: str) -> Iterator[list[str]]:
    """The command while it runs, and what it printed."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*GROUNDSTATE, "bmc-sim", *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            while line := process.stdout.readline():
                said.append(line.rstrip())
                if line.startswith("Ctrl-C"):
                    break
            yield said
        finally:
            process.terminate()
            assert process.wait(30) == 143


def ended(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*GROUNDSTATE, "bmc-sim", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def shell(environment: Path, command: str) -> subprocess.CompletedProcess[str]:
    """A command of groundstate in a shell that has read the file."""
    line = f'. "{environment}" && exec "{sys.executable}" "{ROOT / "cli.py"}" {command}'
    home = {"PATH": os.environ["PATH"], "HOME": str(environment.parent), "PYTHONPATH": str(ROOT)}
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, env=home)


def test_a_newcomer_plans_and_applies_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "sim"
    options = ("--machines", "3", "--listen", f"127.88.0.0/24:{free_port()}", "--power-seconds", "0.2")
    with simulated(*options, "--write-fleet", str(folder)) as said:
        assert re.match(r"3 BMCs of the profile generic at https://127\.88\.0\.1:\d+ to https://127\.88\.0\.3", said[0])
        plan = shell(folder / "env", "plan")
        assert plan.returncode == 2, plan.stderr
        assert "Plan: 0 create, 3 update, 0 delete" in plan.stdout
        applied = shell(folder / "env", "apply --yes")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert shell(folder / "env", "plan").returncode == 0


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- fault: F47\n  match: {machine: m00001}\n- do: latency\n  seconds: 2\n")
    with simulated("--listen", f"127.0.0.1:{free_port()}", "--rules", str(rules)) as said:
        assert said[0].startswith("1 BMC of the profile generic")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("rules:\n- do: explode\n", "2:7", "cannot be 'explode'"),
        ("rules:\n- do: status\n", "2:3", "needs `status`"),
        ("rules:\n- fault: F99\n", "2:10", "there is no preset F99"),
        ("rules:\n- do: drop\n  time: 3\n", "3:3", "unknown field"),
        ("rules: [\n", "2:1", ""),
        ("- do: drop\n", "1:1", "mapping"),
    ],
)
def test_an_error_in_the_file_is_shown_with_its_place(tmp_path: Path, text: str, place: str, words: str) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(text)
    code, said = ended("--rules", str(rules))
    assert code == 1
    assert f"rules.yaml:{place}:" in said
    assert words in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--profile", "elsewhere"), "there is no such profile and no such folder"),
        (("--listen", "nowhere"), "is no HOST:PORT"),
        (("--listen", "127.1.0.0/30:8443", "--machines", "9"), "has room for 2 BMCs"),
        (("--rules", "elsewhere.yaml"), "cannot be read"),
        (("--profile", str(ROOT / "docs")), "is not a recorded Redfish tree"),
    ],
)
def test_a_wrong_option_is_refused_in_words(arguments: tuple[Any, ...], words: str) -> None:
    code, said = ended(*arguments)
    assert code == 1
    assert words in said


def test_a_folder_that_is_in_use_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    code, said = ended("--write-fleet", str(tmp_path))
    assert (code, [one.name for one in tmp_path.iterdir()]) == (1, ["mine"])
    assert "is not empty" in said
