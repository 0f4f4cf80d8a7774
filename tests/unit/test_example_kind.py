"""A kind is added by its own module and one line in KINDS: generic code needs no other change."""

from __future__ import annotations

import os
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

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
        assert (
            "the kind Bridge cannot be observed or changed: no installed package provides a backend named bridge"
        ) in (done.stderr)
        assert "bridge as an entry point of the group groundstate.backends" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_package_brings_the_backend_of_a_kind_by_entry_point(tmp_path: Path) -> None:
    """The kind has an inventory too, and no size: it is planned as it is."""
    make_tree(tmp_path)
    make_fleet(tmp_path / "fleet")
    kind = tmp_path / "reconciler" / "kinds" / "bridge.py"
    kind.write_text(
        kind.read_text("utf-8").replace("    in_fleet=True,\n", "    in_fleet=True,\n    inventoried=True,\n")
    )
    install_backend(tmp_path, "bridge", "bridge_backend:BridgeBackend")
    done = run(tmp_path, "cli.py", "plan", "--repo", "fleet", "--store", "state.db")
    assert "set-value spec.ports[swp1] to true" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def make_tree(tmp_path: Path, kind: str = "bridge") -> None:
    """groundstate with the kind."""
    for room in ("reconciler", "drivers", "docs", "schemas"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cli.py", tmp_path / "cli.py")
    shutil.copy(EXAMPLE / f"{kind}.py", tmp_path / "reconciler" / "kinds" / f"{kind}.py")
    table = tmp_path / "reconciler" / "kinds" / "__init__.py"
    text = table.read_text("utf-8").replace("    for kind in (\n", f"    for kind in (\n        {kind.upper()},\n", 1)
    table.write_text(
        text.replace("KINDS: dict", f"from reconciler.kinds.{kind} import {kind.upper()}\n\nKINDS: dict", 1), "utf-8"
    )
    for module in ("reconciler.desired.manifest.schemas", "docs.generate"):  # As `./dev generate` does.
        made = run(tmp_path, "-m", module)
        assert made.returncode == 0, made.stderr


def install_backend(tree: Path, name: str, loads: str) -> None:
    """The package that brings the backend, as pip would install it."""
    shutil.copy(EXAMPLE / f"{name}_backend.py", tree)
    package = tree / f"{name}-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (package / "entry_points.txt").write_text(f"[groundstate.backends]\n{name} = {loads}\n", "utf-8")


BRIDGES = """\
apiVersion: groundstate/v1
kind: Partition
metadata: {name: lab}
spec: {}
---
apiVersion: groundstate/v1
kind: Bridge
metadata: {name: leaf1}
spec: {partition: lab, address: leaf1.lab, ports: [{name: swp1}]}
"""


def make_fleet(repository: Path, documents: str = BRIDGES) -> None:
    """A repository with these documents."""
    repository.mkdir()
    subprocess.run(["git", "init", "-qb", "main"], cwd=repository, check=True)
    commit(repository, documents)


def commit(repository: Path, documents: str) -> None:
    """The documents are all that there is."""
    (repository / "lab.yaml").write_text(documents, "utf-8")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (("add", "."), (*identity, "commit", "-qm", "A change")):
        subprocess.run(["git", *command], cwd=repository, check=True)


class Strips(socketserver.ThreadingTCPServer):
    """Two PDUs behind one line protocol. Outlet o3 of both is locked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.outlets = {"o1": False, "o2": True, "o3": False}
        super().__init__(("127.0.0.1", 0), Strip)


class Strip(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Strips)
        command, *names = self.rfile.readline().decode().split()
        if command == "status":
            answer = " ".join(f"{name}={'on' if on else 'off'}" for name, on in server.outlets.items())
        elif command == "modules":
            answer = "psu1 psu2"
        else:
            answer = "error: locked" if names == ["o3"] else "ok"
            server.outlets |= {name: command == "on" for name in names if name != "o3"}
        self.wfile.write(f"{answer}\n".encode())


@pytest.fixture
def strips() -> Iterator[Strips]:
    with Strips() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_kind_of_a_package_lives_beside_machines_of_the_same_name(tmp_path: Path, strips: Strips) -> None:
    """Its inventory is its own, and plan, status and guards say its own plural."""
    make_tree(tmp_path, "pdu")
    install_backend(tmp_path, "pdu", "pdu_backend:PduBackend")
    repository = tmp_path / "fleet"
    address = f"127.0.0.1:{strips.server_address[1]}"
    outlets = "[{name: o1}, {name: o2}, {name: o3}, {name: o9}]"
    make_fleet(repository, PDUS.format(address=address, outlets=outlets))

    def groundstate(*command: str) -> str:
        done = run(tmp_path, "cli.py", *command, "--repo", "fleet", "--store", "state.db")
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    planned = groundstate("plan")
    assert "of 1 pdu and 1 machine" in planned
    assert "the PDU has no such outlet" in planned
    applied = groundstate("apply", "--yes")
    assert strips.outlets == {"o1": True, "o2": True, "o3": False}
    assert "set-value (spec.outlets[o3] true) was refused: error: locked" in applied
    assert "Pdu/r1-a   2      Stalled" in groundstate("get", "pdus,machines")
    assert "can mean Pdu/r1-a and Machine/r1-a; write KIND/NAME" in groundstate("inventory", "r1-a")
    assert "disks        psu1" in groundstate("inventory", "pdu/r1-a", "--refresh")
    machine = groundstate("inventory", "machine/r1-a", "--refresh")
    assert "psu1" not in machine
    assert "disks        psu1" in groundstate("inventory", "pdu/r1-a"), "that of the machine does not replace it"
    status = groundstate("status")
    assert "0 pdus are down because of groundstate" in status
    assert "0 machines are down because of groundstate" in status
    strips.outlets["o2"] = False
    assert "spec.outlets[o2]: false -> true" in groundstate("plan", "pdu/r1-a")
    commit(repository, PDUS.format(address=address, outlets=outlets).replace("name: r1-a}", "name: r1-b}", 1))
    assert "1 of 2 pdus were removed from git at once" in groundstate("plan")
    groundstate("apply", "--yes", "--max-removed", "1")
    assert "Forgotten" in groundstate("events", "pdu/r1-a"), "the ledger is read after the document is gone"
    assert "no Pdu is named 'r1-a'" in groundstate("get", "pdu/r1-a")
    assert "psu1" not in groundstate("inventory", "pdu/r1-b")


PDUS = """\
apiVersion: groundstate/v1
kind: Partition
metadata: {{name: lab}}
spec: {{}}
---
apiVersion: groundstate/v1
kind: Pdu
metadata: {{name: r1-a}}
spec: {{partition: lab, rack: r1, address: "{address}", outlets: {outlets}}}
---
apiVersion: groundstate/v1
kind: Machine
metadata: {{name: r1-a}}
spec: {{partition: lab, rack: r1, bmc: {{driver: fake, address: one}}, power: "On"}}
"""


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the tree, and import from it alone."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(tree)}, cwd=tree, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
