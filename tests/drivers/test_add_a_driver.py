"""The page "Add a driver" is true: the driver that it shows is found, passes the suite, and is configured by documents.

The driver's code, its entry point, its document and its test are taken from docs/architecture.md as they stand there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.base import PowerState, Rejected, ResetType, Unsupported
from drivers.registry import Registry, options_of
from reconciler.desired.load import load_state
from reconciler.kinds.common.access.access_rules import Access
from reconciler.kinds.machine.spec import access
from reconciler.model.diagnostic import Severity
from reconciler.model.resource import ResourceKey
from reconciler.observed.connections import Connections, Drivers
from tests.drivers.strip_simulator import Strip
from tests.unit.desired_worlds import MemorySnapshot

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
SECTION = PAGE[PAGE.index("## Add a driver") : PAGE.index("## Add an action")]
PARTITION = "apiVersion: groundstate/v1\nkind: Partition\nmetadata: {name: lab}\nspec: {}\n"
SIMULATED = """
from contextlib import contextmanager
from drivers.base import Endpoint
from drivers.testing.bmc_conformance import BmcSubject
from my_package.strip import StripDriver, StripOptions
from tests.drivers.strip_simulator import Strip

@contextmanager
def strip_on_loopback():
    with Strip() as strip:
        yield strip.address

"""

IPAM = """
from contextlib import contextmanager
from drivers.ipam.embedded.embedded import EmbeddedIpam
from reconciler.store import Store

@contextmanager
def opened(directory):
    store = Store.open(f"sqlite:///{directory}/ipam.db")
    yield EmbeddedIpam(store.engine)
    store.close()
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, as an installer would leave it."""
    driver, suite, subject, ipam_suite = blocks("python")
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "strip.py").write_text(driver)
    (folder / "simulated.py").write_text(SIMULATED + subject)
    (folder / "ipam.py").write_text(IPAM)
    (tmp_path / "test_strip.py").write_text(suite)
    (tmp_path / "test_my_ipam.py").write_text(ipam_suite)
    metadata = tmp_path / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    group, points = next(iter(tomllib.loads(blocks("toml")[0])["project"]["entry-points"].items()))
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def test_the_driver_of_the_page_passes_the_suite_that_is_shipped(package: Path) -> None:
    env = {**os.environ, "PYTHONPATH": f"{package}:{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "test_strip.py"]
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 8


def test_the_ipam_of_the_page_is_run_through_its_suite(package: Path) -> None:
    env = {**os.environ, "PYTHONPATH": f"{package}:{ROOT}"}
    chosen = ["test_my_ipam.py", "-k", "acquire or usage"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", *chosen]
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    counted = re.search(r"(\d+) passed, (\d+) skipped", done.stdout)
    assert counted is not None, done.stdout
    assert int(counted[1]) >= 20
    assert int(counted[2]) == 2, "the tests of the feature that it lacks"


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        (
            "if reset_type not in COMMANDS:",
            "if reset_type not in {*ResetType}:",
            "test_a_reset_type_that_is_not_listed_is_unsupported",
        ),
        ("self._connects(ip)", "pass", "test_an_address_that_is_refused_is_not_connected_to"),
        (
            "class StripOptions(DriverOptions)",
            "import msgspec\n\n\nclass StripOptions(msgspec.Struct)",
            "test_the_options_are_a_struct_that_documents_are_checked_against",
        ),
        (
            "allowed_resets=tuple(COMMANDS)",
            'allowed_resets=("On", "ForceOff")',
            "test_what_is_read_has_the_types_of_its_struct",
        ),
        ("self._closed.set()", "pass", "test_a_closed_driver_is_unreachable_and_may_be_closed_again"),
        ("return Accepted()", "return None", "test_every_write_returns_that_it_was_accepted"),
        ('raise Unreachable(f"{self._address}: {error}"', "raise", "test_a_bmc_that_is_not_there_raises"),
    ],
)
def test_a_driver_that_breaks_a_promise_fails_the_suite(package: Path, right: str, wrong: str, test: str) -> None:
    """The suite can fail."""
    module = package / "my_package" / "strip.py"
    code = module.read_text()
    assert right in code
    lines = (line if right not in line else _broken(line, right, wrong) for line in code.splitlines(keepends=True))
    module.write_text("".join(lines).replace("COMMANDS[reset_type]", 'COMMANDS.get(reset_type, "off")'))
    env = {**os.environ, "PYTHONPATH": f"{package}:{ROOT}"}
    chosen = ["test_strip.py", "-k", test]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", *chosen]
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert f"FAILED test_strip.py::TestStrip::{test}" in done.stdout


def _broken(line: str, right: str, wrong: str) -> str:
    """The line with the promise broken; of `raise`, nothing is left behind it."""
    return line.replace(right, wrong) if wrong != "raise" else f"{line.partition(right)[0]}raise\n"


@pytest.mark.usefixtures("package")
def test_a_document_reaches_the_driver_with_its_options() -> None:
    loaded = load_state(MemorySnapshot({"lab.yaml": PARTITION, "lab-07.yaml": blocks("yaml")[0]}))
    machine = loaded.raise_for_errors().resources[ResourceKey("Machine", "lab-07")]
    with Strip() as strip:
        way = access(machine.spec, None)
        assert (way.driver, way.options) == ("strip", {"outlet": 7})
        bmc = connections().bmc(machine.key, moved(way, strip.address))
        assert bmc.read(media=True).power is PowerState.OFF
        bmc.reset(ResetType.ON)
        assert bmc.read().power is PowerState.ON
        assert strip.on == {7}
        with pytest.raises(Unsupported, match="driver strip does not support virtual media"):
            bmc.insert_media("https://images.example/agent.iso")
        with pytest.raises(Unsupported, match="driver strip does not support inventory"):
            bmc.inventory()


def moved(access: Access, address: str) -> Access:
    return Access(access.driver, address, access.system_id, access.tls, access.credential_ref, access.options)


def connections() -> Connections:
    registry = Registry()
    return Connections(Drivers(registry.bmc, registry.secret, None, None), Path("/"))  # type: ignore[arg-type]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("options", "place", "code", "words"),
    [
        ("{outlet: 7, cipherSuite: 3}", "3}", "unknown-field", "unknown field 'cipherSuite'"),
        ("{outlet: 70}", "70}", "out-of-range", "more than 48"),
        ("{outlet: seven}", "seven", "wrong-type", "must be a whole number"),
        ("{timeoutSeconds: 1.5}", "options", "missing-field", "outlet is missing"),
    ],
)
def test_what_does_not_fit_the_driver_is_refused_at_its_line_and_column(
    options: str, place: str, code: str, words: str
) -> None:
    document = blocks("yaml")[0].replace("{outlet: 7}", options)
    (found,) = load_state(MemorySnapshot({"lab.yaml": PARTITION, "lab-07.yaml": document})).diagnostics
    assert found.source is not None
    assert (found.source.file, found.source.line, found.code, found.severity) == (
        "lab-07.yaml", 6, code, Severity.ERROR
    )  # fmt: skip
    assert words in found.summary
    assert found.source.column == document.splitlines()[5].index(place) + 1


@pytest.mark.usefixtures("package")
def test_everything_that_is_wrong_is_said_at_once() -> None:
    document = blocks("yaml")[0].replace("{outlet: 7}", "{outlet: 70, timeoutSeconds: 0, cipherSuite: 3}")
    found = load_state(MemorySnapshot({"lab.yaml": PARTITION, "lab-07.yaml": document})).diagnostics
    assert sorted(one.code for one in found) == ["out-of-range", "out-of-range", "unknown-field"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("partition", "machine", "effective"),
    [
        ("{driver: strip, options: {timeoutSeconds: 1}}", "{outlet: 7}", {"outlet": 7, "timeoutSeconds": 1}),
        ("{driver: strip, options: {outlet: 1, timeoutSeconds: 1}}", "{outlet: 7}", {"outlet": 7, "timeoutSeconds": 1}),
        ("{driver: redfish}", "{outlet: 7}", {"outlet": 7}),
    ],
)
def test_a_machine_adds_to_the_options_of_its_partition_s_driver(
    partition: str, machine: str, effective: dict[str, int]
) -> None:
    files = {
        "lab.yaml": PARTITION.replace("spec: {}", f"spec: {{bmc: {partition}}}"),
        "lab-07.yaml": blocks("yaml")[0].replace("{outlet: 7}", machine),
    }
    state = load_state(MemorySnapshot(files)).raise_for_errors()
    defaults = state.resources[ResourceKey("Partition", "lab")].spec.bmc
    assert access(state.resources[ResourceKey("Machine", "lab-07")].spec, defaults).options == effective


def test_options_of_a_driver_without_any_are_refused() -> None:
    document = blocks("yaml")[0].replace("driver: strip", "driver: fake")
    (found,) = load_state(MemorySnapshot({"lab.yaml": PARTITION, "lab-07.yaml": document})).diagnostics
    assert (found.code, found.severity) == ("unknown-field", Severity.ERROR)
    assert "driver fake has no options" in found.summary


def test_options_of_a_driver_that_is_not_installed_are_a_warning() -> None:
    """A check in CI need not have each driver of the daemon; the daemon refuses to reach the machine."""
    document = blocks("yaml")[0]
    loaded = load_state(MemorySnapshot({"lab.yaml": PARTITION, "lab-07.yaml": document}))
    assert [(one.code, one.severity) for one in loaded.diagnostics] == [("unknown-driver", Severity.WARNING)]
    machine = loaded.raise_for_errors().resources[ResourceKey("Machine", "lab-07")]
    with pytest.raises(Rejected, match="no driver named strip"):
        connections().bmc(machine.key, access(machine.spec, None))


def test_a_misspelled_driver_is_a_warning_without_options_too() -> None:
    """At the word itself, once for all documents that have it."""
    document = blocks("yaml")[0].replace("driver: strip", "driver: redfsh").replace(", options: {outlet: 7}", "")
    other = document.replace("lab-07", "lab-08").replace("4001", "4002")
    (found,) = load_state(MemorySnapshot({"lab.yaml": PARTITION, "7.yaml": document, "8.yaml": other})).diagnostics
    assert (found.code, found.severity) == ("unknown-driver", Severity.WARNING)
    assert found.summary.startswith("spec.bmc.driver: no driver named redfsh; did you mean redfish?")
    assert found.summary.endswith("; 1 other document too")
    assert found.source is not None
    assert (found.source.file, found.source.column) == ("7.yaml", document.splitlines()[5].index("redfsh") + 1)


def test_a_partition_s_driver_that_is_not_installed_is_named_at_the_partition() -> None:
    lab = PARTITION.replace("spec: {}", "spec: {bmc: {driver: strip}}")
    document = blocks("yaml")[0].replace("driver: strip, ", "").replace(", options: {outlet: 7}", "")
    (found,) = load_state(MemorySnapshot({"lab.yaml": lab, "lab-07.yaml": document})).diagnostics
    assert found.source is not None
    assert (found.code, found.source.file) == ("unknown-driver", "lab.yaml")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("inherits", [False, True])
def test_an_option_that_must_be_there_is_missing_where_no_options_are_at_all(inherits: bool) -> None:
    lab = PARTITION.replace("spec: {}", "spec: {bmc: {driver: strip}}") if inherits else PARTITION
    document = blocks("yaml")[0].replace(", options: {outlet: 7}", "")
    document = document.replace("driver: strip, ", "") if inherits else document
    (found,) = load_state(MemorySnapshot({"lab.yaml": lab, "lab-07.yaml": document})).diagnostics
    assert (found.code, found.severity) == ("missing-field", Severity.ERROR)
    assert "outlet is missing" in found.summary
    assert found.source is not None
    assert (found.source.file, found.source.line) == ("lab-07.yaml", 6)


@pytest.mark.parametrize("driver", ["redfish", "fake"])
def test_our_own_drivers_have_no_options(driver: str) -> None:
    assert options_of(driver) is None
