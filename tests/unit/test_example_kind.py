"""A kind is added by its own module and one line in KINDS: generic code needs no other change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "example_kind"


def test_a_kind_of_its_own_module_is_reconciled_drifts_is_held_and_fails_by_port_is_shown_and_forgotten(
    tmp_path: Path,
) -> None:
    make_tree(tmp_path)
    done = run(tmp_path, str(EXAMPLE / "scenario.py"))
    assert done.stdout == "as any kind", done.stderr


def test_a_kind_without_its_backend_ends_each_command_that_needs_it_in_words(tmp_path: Path) -> None:
    make_tree(tmp_path)
    make_fleet(tmp_path / "fleet")
    for command in (("plan",), ("apply", "--yes"), ("run",)):
        done = run(tmp_path, "cli.py", *command, "--repo", "fleet", "--store", "state.db")
        assert done.returncode == 1, done.stderr
        assert "the kind Switch cannot be observed or changed: no package registers a backend named switch" in (
            done.stderr
        )
        assert "entry point switch in the group groundstate.backends" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_package_brings_the_backend_of_a_kind_by_entry_point(tmp_path: Path) -> None:
    """The kind has an inventory too, and no size: it is planned as it is."""
    make_tree(tmp_path)
    make_fleet(tmp_path / "fleet")
    kind = tmp_path / "reconciler" / "kinds" / "switch.py"
    kind.write_text(
        kind.read_text("utf-8").replace("    in_fleet=True,\n", "    in_fleet=True,\n    inventoried=True,\n")
    )
    shutil.copy(EXAMPLE / "switch_backend.py", tmp_path)
    package = tmp_path / "switches-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: switches\nVersion: 1.0\n", "utf-8")
    (package / "entry_points.txt").write_text(
        "[groundstate.backends]\nswitch = switch_backend:SwitchBackend\n", "utf-8"
    )
    done = run(tmp_path, "cli.py", "plan", "--repo", "fleet", "--store", "state.db")
    assert "set-value spec.ports[swp1] to true" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def make_tree(tmp_path: Path) -> None:
    """groundstate with the kind."""
    for room in ("reconciler", "drivers", "docs", "schemas"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cli.py", tmp_path / "cli.py")
    shutil.copy(EXAMPLE / "switch.py", tmp_path / "reconciler" / "kinds" / "switch.py")
    table = tmp_path / "reconciler" / "kinds" / "__init__.py"
    text = table.read_text("utf-8").replace("    for kind in (\n", "    for kind in (\n        SWITCH,\n", 1)
    table.write_text(
        text.replace("KINDS: dict", "from reconciler.kinds.switch import SWITCH\n\nKINDS: dict", 1), "utf-8"
    )
    for module in ("reconciler.desired.manifest.schemas", "docs.generate"):  # As `./dev generate` does.
        made = run(tmp_path, "-m", module)
        assert made.returncode == 0, made.stderr


def make_fleet(repository: Path) -> None:
    """A repository that declares a switch."""
    repository.mkdir()
    (repository / "lab.yaml").write_text(
        """\
apiVersion: groundstate/v1
kind: Partition
metadata: {name: lab}
spec: {}
---
apiVersion: groundstate/v1
kind: Switch
metadata: {name: leaf1}
spec: {partition: lab, address: leaf1.lab, ports: [{name: swp1}]}
""",
        "utf-8",
    )
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (("init", "-qb", "main"), ("add", "."), (*identity, "commit", "-qm", "Begin")):
        subprocess.run(["git", *command], cwd=repository, check=True)


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the tree, and import from it alone."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(tree)}, cwd=tree, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
