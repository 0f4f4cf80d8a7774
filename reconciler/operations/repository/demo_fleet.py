"""The fleet of `groundstate demo`: simulated BMCs, the example's repository, a daemon, and what people do to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import PowerState
from drivers.bmc.simulator.fleet.simulated_fleet import machine_name
from reconciler import runtime
from reconciler.desired.git.branches.new_repository import begin_with_commit
from reconciler.desired.git.plumbing import SourceError
from reconciler.model.event import Event
from reconciler.onboarding.discovery import machines_among
from reconciler.operations.operation_error import OperationError
from reconciler.operations.simulation.bmc_sim import BmcSim, BmcSimOptions, bmcs_in_thread
from reconciler.store import Store

PATIENCE = 90.0
POWER_SECONDS = 1
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
    """Where the demo plays: simulated BMCs, a repository, a store, and an environment for the commands. `addresses`:
    of the BMCs, by the name of the machine and in the order of the simulation."""

    home: Path
    repository: Path
    environment: dict[str, str]
    bmcs: BmcSim
    addresses: dict[str, str]

    @property
    def store(self) -> Path:
        """The store beside the repository."""
        return self.home / "state.db"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.home / "daemon.log"

    def run(self, command: list[str], expected: int, *, color: bool = False, hides: str = "") -> None:
        """Run a command as a person would. `hides`: the name of a stream that is shown only if the command fails.
        Raises DemoFailed when it leaves with another code than `expected`."""
        environment = self.environment | ({"FORCE_COLOR": "1"} if color else {})
        hidden: Any = {hides: subprocess.PIPE} if hides else {}
        done = subprocess.run(command, cwd=self.repository, env=environment, check=False, text=True, **hidden)
        if done.returncode != expected:
            said = "".join(f"\n{text}" for text in (done.stdout, done.stderr) if text)
            raise DemoFailed(f"`{' '.join(command[-2:])}` ended with exit code {done.returncode}, not {expected}{said}")

    def power_off_by_hand(self, name: str) -> None:
        """What a person at the machine's power button would do, without groundstate."""
        with self.bmcs.fleet.lock:
            self.bmcs.fleet.switch_by_hand(self._number(name), PowerState.OFF)

    def sim_name_of(self, name: str) -> str:
        """What the simulation calls the machine, in its rules."""
        return machine_name(self._number(name))

    def _number(self, name: str) -> int:
        return list(self.addresses).index(name)

    def mistype_power(self) -> None:
        """A typo in the first machine of a file, not committed yet."""
        file = self.repository / "racks" / "r1.yaml"
        file.write_text(file.read_text("utf-8").replace("power: On", "power: Onn", 1), "utf-8")


class DemoLedger:
    """Reads on in the ledger of the demo's daemon."""

    def __init__(self, fleet: DemoFleet, daemon: subprocess.Popen[bytes]) -> None:
        self._fleet, self._daemon, self._seen = fleet, daemon, 0

    def until(self, reasons: Collection[str], name: str | None = None) -> Iterator[Event]:
        """Each event of the daemon about this resource (None: the fleet) once, until there was one of each reason.
        Raises DemoFailed."""
        left = set(reasons)
        store = Store.open(f"sqlite:///{self._fleet.store}")
        deadline = runtime.monotonic() + PATIENCE
        try:
            while runtime.monotonic() < deadline:
                if self._daemon.poll() is not None:
                    raise DemoFailed(f"the daemon ended: {self._fleet.log.read_text()[-2000:]}")
                for entry in store.follow(self._seen):
                    self._seen, event = entry.seq, entry.event
                    if (event.key and event.key.name) != name or not (event.by is None or "(run)" in event.by):
                        continue
                    yield event
                    left.discard(event.reason)
                    if not left:
                        return
                runtime.sleep(0.1)
        finally:
            store.close()
        raise DemoFailed(f"the event {' and '.join(sorted(left))} did not happen within {PATIENCE:.0f} s")


@contextmanager
def demo_fleet(home: Path, environment: Mapping[str, str]) -> Iterator[DemoFleet]:
    """Start the BMCs, and write the example fleet with their real ports as a git repository. Raises OperationError."""
    example = _ROOT / "desired-state"
    declared = _declared_addresses(example)
    with bmcs_in_thread(BmcSimOptions(len(declared), power_seconds=POWER_SECONDS)) as bmcs:
        repository = home / "fleet"
        addresses = {name: bmcs.listen.url(number) for number, name in enumerate(declared)}
        _copy(example, repository, {declared[name]: real for name, real in addresses.items()}, bmcs.fingerprint)
        try:
            _commit_all(repository)
        except SourceError as error:
            raise DemoFailed(str(error)) from error
        yield DemoFleet(home, repository, dict(_environment(home, repository, bmcs, environment)), bmcs, addresses)


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


def _copy(example: Path, repository: Path, addresses: Mapping[str, str], fingerprint: str) -> None:
    """The example with the addresses of this run, and the certificate of the BMCs pinned."""
    shutil.copytree(example, repository)
    for file in repository.rglob("*.yaml"):
        text = file.read_text("utf-8")
        for declared, real in addresses.items():
            text = text.replace(f"{declared}\n", f"{real}\n")
        file.write_text(text.replace("caFile: bmc-ca.pem", f'fingerprint: "{fingerprint}"'), "utf-8")


def _commit_all(repository: Path) -> None:
    declared = sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file())
    begin_with_commit(repository, declared, "Declare the fleet", "Ada", "ada@fleet.example")


def _environment(home: Path, repository: Path, bmcs: BmcSim, environment: Mapping[str, str]) -> Mapping[str, str]:
    return {
        **environment,
        "GROUNDSTATE_REPO": str(repository),
        "GROUNDSTATE_STORE": str(home / "state.db"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "GROUNDSTATE_CONFIG": str(_settings(home)),
        f"{CREDENTIAL}_USERNAME": bmcs.login.username,
        f"{CREDENTIAL}_PASSWORD": bmcs.login.password,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@fleet.example",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@fleet.example",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }


def _settings(home: Path) -> Path:
    """What the documents may use of this host: one login, for BMCs on this host alone."""
    file = home / "config.toml"
    file.write_text(f'credentials.{LOGIN} = {{env = "{CREDENTIAL}", networks = ["127.0.0.0/8"]}}\n', "utf-8")
    return file


def _declared_addresses(example: Path) -> dict[str, str]:
    """The address of each machine's BMC in the example fleet."""
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state

    state = load_state(open_source(str(example), work_tree=True).snapshot()).state
    if state is None:
        raise DemoFailed("the example fleet has errors; run: groundstate validate --work-tree --repo desired-state")
    return {one.key.name: one.spec.bmc.address for one in machines_among(state.resources.values())}
