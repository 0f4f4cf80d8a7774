"""The fleet of `groundstate demo`: simulated BMCs, the example's repository, a daemon, and what people do to them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconciler import runtime
from reconciler.desired.git.branches.new_repository import begin_with_commit
from reconciler.desired.git.plumbing import SourceError
from reconciler.model.event import Event
from reconciler.model.resource import DesiredState
from reconciler.onboarding.discovery import machines_among
from reconciler.operations.operation_error import OperationError
from reconciler.store import Store

if TYPE_CHECKING:
    from drivers.bmc.emulator import EmulatorFleet

PATIENCE = 90.0
POWER_SECONDS = (1, 4)
"""That a simulated machine takes to power on or off: enough to see that it takes any."""
CREDENTIAL = "GROUNDSTATE_DEMO_BMC"
LOGIN = "fra1"
"""Its name in the example fleet."""
_ROOT = Path(__file__).resolve().parents[3]


class DemoFailed(OperationError):
    """The demo did not show what it should; `why` says what instead."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the demo failed: {why}")


class DemoFleet(msgspec.Struct, frozen=True):
    """Where the demo plays: a repository, a store, and an environment for the commands."""

    home: Path
    repository: Path
    environment: dict[str, str]

    @property
    def store(self) -> Path:
        """The store beside the repository."""
        return self.home / "state.db"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.home / "daemon.log"

    def run(self, command: list[str], expected: int, *, quiet: bool = False, color: bool = False) -> None:
        """Run a command as a person would. Raises DemoFailed when it leaves with another code than `expected`."""
        environment = self.environment | ({"FORCE_COLOR": "1"} if color else {})
        stdout = subprocess.DEVNULL if quiet else None
        code = subprocess.run(command, cwd=self.repository, env=environment, stdout=stdout, check=False).returncode
        if code != expected:
            raise DemoFailed(f"`{' '.join(command[-2:])}` ended with exit code {code}, not {expected}")

    def power_off_by_hand(self, name: str) -> None:
        """What a person with a browser would do: a ForceOff that groundstate knows nothing of."""
        code = "import sys; from drivers.bmc.emulator import power_off_by_hand; power_off_by_hand(*sys.argv[1:])"
        address, system_id = self.system_of(name)
        command = [sys.executable, "-c", code, address, system_id, str(self.home / "bmcs")]
        subprocess.run(command, cwd=_ROOT, env=self.environment, check=True)

    def system_of(self, name: str) -> tuple[str, str]:
        """The address of a machine's BMC, and the id of its system there."""
        found = _sound(self.repository, "the repository has errors")
        bmc = next(one for one in machines_among(found.resources.values()) if one.key.name == name).spec.bmc
        return bmc.address, bmc.system_id

    def mistype_power(self) -> None:
        """A typo in the first machine of a file, not committed yet."""
        file = self.repository / "racks" / "r1.yaml"
        file.write_text(file.read_text("utf-8").replace("power: On", "power: Onn", 1), "utf-8")


class DemoLedger:
    """Reads on in the ledger of the demo's daemon."""

    def __init__(self, fleet: DemoFleet, daemon: subprocess.Popen[bytes]) -> None:
        self._fleet, self._daemon, self._seen = fleet, daemon, 0

    def until(self, reason: str, name: str | None = None) -> Iterator[Event]:
        """Each event of the daemon once, the last one with this reason (of this resource). Raises DemoFailed."""
        store = Store.open(f"sqlite:///{self._fleet.store}")
        deadline = runtime.monotonic() + PATIENCE
        try:
            while runtime.monotonic() < deadline:
                if self._daemon.poll() is not None:
                    raise DemoFailed(f"the daemon ended: {self._fleet.log.read_text()[-2000:]}")
                for entry in store.follow(self._seen):
                    self._seen, event = entry.seq, entry.event
                    if event.by is None or "(run)" in event.by:
                        yield event
                    if event.reason == reason and (name is None or (event.key and event.key.name == name)):
                        return
                runtime.sleep(0.2)
        finally:
            store.close()
        raise DemoFailed(f"the event {reason} did not happen within {PATIENCE:.0f} s")


@contextmanager
def demo_fleet(home: Path, environment: Mapping[str, str]) -> Iterator[DemoFleet]:
    """Start the BMCs, and write the example fleet with their real ports as a git repository. Raises OperationError."""
    try:
        from drivers.bmc.emulator import EmulatorError, EmulatorFleet
    except ImportError as error:
        raise OperationError(
            "the demo's simulated BMCs are not installed; run: pip install 'groundstate[demo]'"
        ) from error
    example = _ROOT / "desired-state"
    systems = _systems(example)
    try:
        with EmulatorFleet(home / "bmcs", list(systems.values()), POWER_SECONDS, equipped=True) as bmcs:
            repository = home / "fleet"
            addresses = dict(zip(systems, bmcs.addresses, strict=False))
            _copy(example, repository, addresses, bmcs.ca_file)
            _commit_all(repository)
            yield DemoFleet(home, repository, dict(_environment(home, repository, bmcs, environment)))
    except (EmulatorError, SourceError) as error:
        raise DemoFailed(str(error)) from error


@contextmanager
def demo_daemon(fleet: DemoFleet) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon on the fleet, which ends with the block."""
    command = command_line(["run", "--resync", "2", "--listen", "127.0.0.1:0", "--log-format", "json"])
    with fleet.log.open("wb") as log:
        daemon = subprocess.Popen(
            command, cwd=fleet.home, env=fleet.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield daemon
        finally:
            daemon.terminate()
            try:
                daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def command_line(arguments: list[str]) -> list[str]:
    """`groundstate` with these arguments, whether or not it is installed."""
    return [sys.executable, str(_ROOT / "cli.py"), *arguments]


def _copy(example: Path, repository: Path, addresses: Mapping[str, str], ca_file: Path) -> None:
    shutil.copytree(example, repository)
    for file in repository.rglob("*.yaml"):
        text = file.read_text("utf-8")
        for declared, real in addresses.items():
            text = text.replace(f"{declared}\n", f"{real}\n")
        file.write_text(text.replace("bmc-ca.pem", str(ca_file)), "utf-8")


def _commit_all(repository: Path) -> None:
    declared = sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file())
    begin_with_commit(repository, declared, "Declare the fleet", "Ada", "ada@fleet.example")


def _environment(
    home: Path, repository: Path, bmcs: EmulatorFleet, environment: Mapping[str, str]
) -> Mapping[str, str]:
    return {
        **environment,
        "GROUNDSTATE_REPO": str(repository),
        "GROUNDSTATE_STORE": str(home / "state.db"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "GROUNDSTATE_CONFIG": str(_settings(home, bmcs.ca_file)),
        f"{CREDENTIAL}_USERNAME": bmcs.username,
        f"{CREDENTIAL}_PASSWORD": bmcs.password,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@fleet.example",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@fleet.example",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }


def _settings(home: Path, ca_file: Path) -> Path:
    """What the documents may use of this host: one login, for BMCs on this host alone."""
    file = home / "config.toml"
    file.write_text(
        f"ca_files = [{json.dumps(str(ca_file))}]\n"
        f'credentials.{LOGIN} = {{env = "{CREDENTIAL}", networks = ["127.0.0.0/8"]}}\n',
        "utf-8",
    )
    return file


def _systems(example: Path) -> dict[str, list[str]]:
    """The BMC addresses of the example fleet, each with its systems' ids."""
    hint = "the example fleet has errors; run: groundstate validate --work-tree --repo desired-state"
    found: dict[str, list[str]] = {}
    for machine in machines_among(_sound(example, hint, work_tree=True).resources.values()):
        found.setdefault(machine.spec.bmc.address, []).append(machine.spec.bmc.system_id)
    return found


def _sound(repository: Path, hint: str, *, work_tree: bool = False) -> DesiredState:
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state

    state = load_state(open_source(str(repository), work_tree=work_tree).snapshot()).state
    if state is None:
        raise DemoFailed(hint)
    return state
