"""`groundstate demo`: the whole of it on simulated BMCs, with the very commands that a person would type."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from reconciler import runtime
from reconciler.commands.terminal import EXIT_ERROR, fail, on_terminal
from reconciler.desired.git.new_repository import begin_with_commit
from reconciler.desired.git.plumbing import SourceError
from reconciler.model.event import Event
from reconciler.store import Store

if TYPE_CHECKING:
    from drivers.bmc.emulator import EmulatorFleet

VICTIM = "r1-03"
PATIENCE = 90.0
_SECONDS = (1, 4)
"""That a simulated machine takes to power on or off: enough to see that it takes any."""
CREDENTIAL = "GROUNDSTATE_DEMO_BMC"
LOGIN = "fra1"
"""Its name in the example fleet."""
_ROOT = Path(__file__).resolve().parents[2]


class DemoFailed(Exception):
    """The demo did not show what it should."""


class _DemoFleet(msgspec.Struct, frozen=True):
    """Where the demo plays: a repository, a store, and an environment for the commands."""

    home: Path
    fleet: Path
    environment: dict[str, str]

    @property
    def store(self) -> Path:
        """The store beside the repository."""
        return self.home / "state.db"


@click.command("demo", short_help="Run groundstate on a simulated fleet.")
@click.option("--keep", is_flag=True, help="Leave fleet and daemon running until Ctrl-C.")
def demo_command(keep: bool) -> None:
    """Show plan, apply, drift and a refused commit on eight simulated machines, in about two minutes.

    The demo starts simulated BMCs with Redfish over HTTPS on this host, makes a git repository from the example fleet,
    and leaves nothing behind.
    """
    try:
        from drivers.bmc.emulator import EmulatorError, EmulatorFleet
    except ImportError:
        fail("the demo's simulated BMCs are not installed; run: pip install 'groundstate[demo]'")
    home = Path(tempfile.mkdtemp(prefix="groundstate-demo-"))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    begun = runtime.monotonic()
    try:
        with _layout(home, EmulatorFleet) as stage:
            _walk(stage, keep=keep, begun=begun)
    except (DemoFailed, EmulatorError, SourceError) as error:
        fail(f"the demo did not go as it should: {error}")
    except KeyboardInterrupt:
        click.echo("\nstopped; nothing is left behind")
        raise click.exceptions.Exit(EXIT_ERROR if not keep else 0) from None
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _walk(stage: _DemoFleet, *, keep: bool, begun: float) -> None:
    _title("1. A fleet in git: eight machines behind four simulated BMCs, six networks, four addresses")
    _show(stage, ["git", "--no-pager", "log", "--oneline"], 0)
    _title("2. What would be done? Nothing is sent by a plan")
    _groundstate(stage, ["plan"], 3)
    _title("3. The store is new: a Once order may have been carried out before. These machines are new too, so say so")
    _groundstate(stage, ["override", "first-sight", "machines", "--for", "15m", "--reason", "new machines"], 0)
    _title(
        f"4. Do it. Each action is sent once and confirmed by looking; a simulated machine takes up to {_SECONDS[1]} s"
    )
    _groundstate(stage, ["apply", "--yes"], 0)
    _groundstate(stage, ["get", "machines"], 0)
    _groundstate(stage, ["ipam", "tree"], 0)
    with _daemon(stage) as daemon:
        _title(f"5. The daemon keeps it so. Somebody powers {VICTIM} off by hand")
        _wait(stage, daemon, "RevisionApplied", None)
        _by_hand(stage)
        for reason in ("DriftDetected", "ActionSent", "ActionConfirmed"):
            _wait(stage, daemon, reason, VICTIM)
        _title("6. A typo is committed. The daemon refuses it and keeps the last good state")
        _slip(stage)
        _wait(stage, daemon, "RevisionRefused", None)
        _groundstate(stage, ["validate"], 1)
        _show(stage, ["git", "revert", "--no-edit", "HEAD"], 0, quiet=True)
        _wait(stage, daemon, "RevisionApplied", None)
        _title(f"Done in {runtime.monotonic() - begun:.0f} s. Plan, apply, drift repaired, bad commit refused")
        if keep:
            _play(stage, daemon)


@contextmanager
def _layout(home: Path, fleet_type: type[EmulatorFleet]) -> Iterator[_DemoFleet]:
    """Start the BMCs, and write the example fleet with their real ports as a git repository."""
    example = _ROOT / "desired-state"
    machines = _systems(example)
    click.echo("Starting simulated BMCs ...", err=True)
    with fleet_type(home / "bmcs", list(machines.values()), _SECONDS) as bmcs:
        repository = home / "fleet"
        shutil.copytree(example, repository)
        for file in repository.rglob("*.yaml"):
            text = file.read_text("utf-8")
            for number, address in enumerate(machines):
                text = text.replace(f"{address}\n", f"{bmcs.addresses[number]}\n")
            file.write_text(text.replace("bmc-ca.pem", str(bmcs.ca_file)), "utf-8")
        environment = os.environ | {
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
        stage = _DemoFleet(home, repository, environment)
        declared = sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file())
        begin_with_commit(repository, declared, "Declare the fleet", "Ada", "ada@fleet.example")
        yield stage


def _settings(home: Path, ca_file: Path) -> Path:
    """What the documents may use of this machine: one login, for BMCs on this machine alone."""
    file = home / "config.toml"
    file.write_text(
        f"ca_files = [{json.dumps(str(ca_file))}]\n"
        f'credentials.{LOGIN} = {{env = "{CREDENTIAL}", networks = ["127.0.0.0/8"]}}\n',
        "utf-8",
    )
    return file


def _systems(example: Path) -> dict[str, list[str]]:
    """The BMC addresses of the example fleet, each with its systems' ids."""
    from reconciler.desired.git.open_source import open_source
    from reconciler.desired.load import load_state

    state = load_state(open_source(str(example), work_tree=True).snapshot()).state
    if state is None:
        raise DemoFailed("the example fleet is not sound; run: groundstate validate --work-tree --repo desired-state")
    found: dict[str, list[str]] = {}
    for machine in state.of_kind("Machine"):
        found.setdefault(machine.spec.bmc.address, []).append(machine.spec.bmc.system_id)
    return found


@contextmanager
def _daemon(stage: _DemoFleet) -> Iterator[subprocess.Popen[bytes]]:
    command = ["run", "--resync", "2", "--listen", "127.0.0.1:0", "--log-format", "json"]
    with (stage.home / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            _argv(command), cwd=stage.home, env=stage.environment, stdout=log, stderr=log, start_new_session=True
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


def _by_hand(stage: _DemoFleet) -> None:
    """What a person with a browser would do: a ForceOff that groundstate knows nothing of."""
    code = "import sys; from drivers.bmc.emulator import power_off_by_hand; power_off_by_hand(*sys.argv[1:])"
    machine = _machine(stage)
    click.secho(f"$ curl -X POST .../Systems/{machine[1][:8]}.../ComputerSystem.Reset -d ForceOff", bold=True)
    subprocess.run([sys.executable, "-c", code, *machine], cwd=_ROOT, env=stage.environment, check=True)


def _machine(stage: _DemoFleet) -> tuple[str, str, str]:
    from reconciler.desired.git.open_source import open_source
    from reconciler.desired.load import load_state

    state = load_state(open_source(str(stage.fleet)).snapshot()).state
    if state is None:
        raise DemoFailed("the repository is not sound")
    bmc = next(one for one in state.of_kind("Machine") if one.key.name == VICTIM).spec.bmc
    return bmc.address, bmc.system_id, str(stage.home / "bmcs")


def _slip(stage: _DemoFleet) -> None:
    file = stage.fleet / "racks" / "r1.yaml"
    file.write_text(file.read_text("utf-8").replace("power: On", "power: Onn", 1), "utf-8")
    _show(stage, ["git", "commit", "--quiet", "--all", "--message=Tidy-up"], 0)


def _wait(stage: _DemoFleet, daemon: subprocess.Popen[bytes], reason: str, name: str | None) -> None:
    """Until the ledger tells it; each event is shown once."""
    seen = int(stage.environment.get("_SEEN", "0"))
    store = Store.open(f"sqlite:///{stage.store}")
    deadline = runtime.monotonic() + PATIENCE
    try:
        while runtime.monotonic() < deadline:
            if daemon.poll() is not None:
                raise DemoFailed(f"the daemon ended: {(stage.home / 'daemon.log').read_text()[-2000:]}")
            for entry in store.events(since_seq=seen):
                seen, event = entry.seq, entry.event
                stage.environment["_SEEN"] = str(seen)
                if event.by is None or "(run)" in event.by:
                    _show_event(event)
                if event.reason == reason and (name is None or (event.key and event.key.name == name)):
                    return
            runtime.sleep(0.2)
    finally:
        store.close()
    raise DemoFailed(f"{reason} did not come within {PATIENCE:.0f} s")


def _show_event(event: Event) -> None:
    click.echo(f"  {event.at:%H:%M:%S}  {event.key or 'fleet'}  {event.reason}: {event.message}")


def _play(stage: _DemoFleet, daemon: subprocess.Popen[bytes]) -> None:
    click.echo("\nFleet and daemon run on until Ctrl-C. In another terminal:\n")
    where = [f"GROUNDSTATE_{name}" for name in ("REPO", "STORE", "CONFIG")]
    for name in (*where, f"{CREDENTIAL}_USERNAME", f"{CREDENTIAL}_PASSWORD"):
        click.echo(f"  export {name}={stage.environment[name]}")
    if shutil.which("groundstate") is None:
        click.echo(f"  alias groundstate={Path(sys.executable).with_name('groundstate')}")
    click.echo("\n  groundstate get machines\n  groundstate events --watch")
    click.echo(f"  $EDITOR {stage.fleet}/racks/r1.yaml    and git commit")
    daemon.wait()


def _title(text: str) -> None:
    click.echo()
    click.secho(text, fg="cyan", bold=True)


def _groundstate(stage: _DemoFleet, arguments: list[str], expected: int) -> None:
    click.secho(f"$ groundstate {' '.join(arguments)}", bold=True)
    _run(stage, _argv(arguments), expected)


def _show(stage: _DemoFleet, command: list[str], expected: int, *, quiet: bool = False) -> None:
    click.secho(f"$ {' '.join(command)}", bold=True)
    _run(stage, command, expected, stdout=subprocess.DEVNULL if quiet else None)


def _run(stage: _DemoFleet, command: list[str], expected: int, stdout: int | None = None) -> None:
    environment = stage.environment | ({"FORCE_COLOR": "1"} if on_terminal(sys.stdout) else {})
    code = subprocess.run(command, cwd=stage.fleet, env=environment, stdout=stdout, check=False).returncode
    if code != expected:
        raise DemoFailed(f"`{' '.join(command[-2:])}` left with {code}, not {expected}")


def _argv(arguments: list[str]) -> list[str]:
    return [sys.executable, str(_ROOT / "cli.py"), *arguments]
