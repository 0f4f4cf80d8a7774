"""The wheel alone, in an environment of its own: schemas, migrations, template and example travel with it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.desk import ROOT, Desk, Done, network


class Installed(NamedTuple):
    """The wheel, and the environment that it is installed in."""

    wheel: Path
    bin: Path

    def run(self, desk: Desk, *arguments: str) -> Done:
        """Run the installed command at the desk, far from the sources."""
        # Only the dependencies come from here: what is named by .pth files, as this checkout is, does not count.
        environment = desk.environment | {"PYTHONPATH": sysconfig.get_path("purelib")}
        done = subprocess.run(
            [str(self.bin / "groundstate"), *arguments],
            cwd=desk.repo,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return desk.checked(Done(done.returncode, done.stdout, done.stderr))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build it and install it; no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    bin_folder = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(bin_folder / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return Installed(wheel, bin_folder)


def test_it_is_typed(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        assert {"reconciler/py.typed", "drivers/py.typed"} <= set(wheel.namelist())


@pytest.mark.parametrize(
    "name", ["prometheus/rules.yml", "systemd/groundstate.service", "container/Dockerfile", "discovery/agent"]
)
def test_what_an_operator_deploys_is_beside_it(installed: Installed, name: str) -> None:
    shared = installed.bin.parent / "share" / "groundstate" / "deploy"
    assert (shared / name).read_bytes() == (ROOT / "deploy" / name).read_bytes()


def test_it_makes_the_image_of_the_agent_without_a_clone(installed: Installed, desk: Desk) -> None:
    desk.environment["PATH"] = "/nowhere"  # So that no package is fetched.
    done = installed.run(desk, "boot", "image", "--out", "image")
    assert (done.code, done.err.partition(":")[0]) == (1, "error")
    assert "the discovery image cannot be built" in done.err


def test_it_holds_the_suites_for_those_who_write_drivers(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        shipped = {name.rpartition("/")[2] for name in wheel.namelist() if name.startswith("drivers/testing/")}
    assert shipped == {path.name for path in (ROOT / "drivers" / "testing").glob("*.py")}
    assert {f"{suite}_conformance.py" for suite in ("bmc", "ipam", "pools", "secret")} <= shipped


def test_it_holds_the_program_and_nothing_of_its_workshop(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {
        "cli.py",
        "desired-state",
        "drivers",
        "reconciler",
        "schemas",
    }


def test_it_runs_from_where_it_is_installed(installed: Installed, desk: Desk) -> None:
    code = "import reconciler, drivers, cli, schemas; print(reconciler.__path__[0], drivers.__path__[0], cli.__file__)"
    environment = desk.environment | {"PYTHONPATH": sysconfig.get_path("purelib")}
    command = [str(installed.bin / "python"), "-c", code]
    said = subprocess.run(command, cwd=desk.repo, env=environment, capture_output=True, text=True, check=True).stdout
    assert all(place.startswith(str(installed.bin.parent)) for place in said.split())


def test_its_example_is_sound(installed: Installed, desk: Desk) -> None:
    [example] = installed.bin.parent.glob("lib/python*/site-packages/desired-state")
    done = installed.run(desk, "validate", "--work-tree", "--repo", str(example))
    assert done.code == 0, done
    assert done.out.startswith("Valid: ")


def test_it_has_its_schemas(installed: Installed, desk: Desk) -> None:
    assert installed.run(desk, "schema", "machine").json["title"] == "Machine"
    assert "Continuous" in installed.run(desk, "explain", "machine.spec.boot.enabled").out


def test_it_begins_a_repository(installed: Installed, desk: Desk) -> None:
    assert installed.run(desk, "init", ".").code == 0
    assert (desk.repo / ".github" / "workflows" / "groundstate.yaml").is_file()
    assert installed.run(desk, "validate", "--work-tree").code == 0


def test_it_makes_a_store_and_works_with_it(installed: Installed, desk: Desk) -> None:
    desk.commit(lab=[network()])
    assert installed.run(desk, "apply", "--yes").code == 0
    assert [event.reason for event in desk.events()] == ["ActionSent", "ActionConfirmed"]
    assert installed.run(desk, "plan").code == 0


def test_it_knows_its_version(installed: Installed, desk: Desk) -> None:
    version = installed.wheel.name.split("-")[1]
    assert installed.run(desk, "version").out.splitlines()[0] == f"groundstate {version}"
