"""A machine that is somebody's, and of whom the service has forgotten, as after a restore from a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.machine import Machine, Run, needs_programs
from tests.agent.standin import StandIn, serving, tar
from tests.agent.test_installing import digest, partitioned

pytestmark = needs_programs


def told(machine: Machine, image: bytes, work: str, instance: str, *known: str) -> tuple[StandIn, Run]:
    """What the service heard, when it told of these installations; the seed is that of `instance`."""
    standin = StandIn(seed=tar({"meta-data": f'instance-id: "{instance}"\n'}), files={"image": image})
    with serving(standin) as url:
        lines = [f"work {work}", "image debian-12", f"url {url}/image", f"sha256 {digest(image)}", "disk auto"]
        standin.work = ["\n".join([*lines, *(f"known {one}" for one in known)]), "work poweroff"]
        return standin, machine.run(url)


@pytest.fixture(scope="module", params=["gpt", "dos"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, bytes]:
    """A machine on which m1-1 is installed, on one of its two disks, and its image."""
    folder = tmp_path_factory.mktemp("installed")
    machine, image = Machine(folder / "m"), partitioned(folder, request.param)
    machine.disk("sda", 12)
    machine.disk("sdb", 13)
    heard, run = told(machine, image, "install", "m1-1", "m1-1")
    assert heard.heard("written"), run.console
    return machine, image


@pytest.fixture
def installed(original: tuple[Machine, bytes], tmp_path: Path) -> tuple[Machine, bytes, Path]:
    """Such a machine for one test, its image, and its disk with the system."""
    machine, image = original
    copy = machine.copy(tmp_path / "m")
    return copy, image, copy.root / "dev/sda"


@pytest.mark.parametrize("work", ["install", "wipe"])
@pytest.mark.parametrize("known", [["m1-2"], ["m1", "m1-11", "xm1-1"]])
def test_what_the_service_does_not_know_of_is_left_alone(
    installed: tuple[Machine, bytes, Path], work: str, known: list[str]
) -> None:
    machine, image, disk = installed
    before = {path: path.read_bytes() for path in disk.parent.iterdir()}
    heard, _ = told(machine, image, work, "m1-2", *known)
    assert (heard.heard("written"), heard.heard("wiped")) == ([], [])
    [why] = heard.heard("agent-failed")
    assert "on sda is an installation that the service does not know of, m1-1;" in why
    assert "set spec.lifecycle.request of the machine to m1-1;" in why
    assert {path: path.read_bytes() for path in disk.parent.iterdir()} == before


@pytest.mark.parametrize(("work", "fact"), [("install", "written"), ("wipe", "wiped")])
@pytest.mark.parametrize("known", [["m1-2", "m1-1"], []], ids=["known", "a service that does not tell"])
def test_what_it_knows_of_is_overwritten_and_wiped(
    installed: tuple[Machine, bytes, Path], work: str, fact: str, known: list[str]
) -> None:
    machine, image, _ = installed
    heard, run = told(machine, image, work, "m1-2", *known)
    assert len(heard.heard(fact)) == 1, run.console


def test_a_wiped_machine_has_nothing_that_could_be_unknown(installed: tuple[Machine, bytes, Path]) -> None:
    machine, image, _ = installed
    told(machine, image, "wipe", "", "m1-1")
    heard, run = told(machine, image, "install", "m1-2", "m1-2")
    assert len(heard.heard("written")) == 1, run.console
