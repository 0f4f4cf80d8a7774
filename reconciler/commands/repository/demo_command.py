"""`groundstate demo`: the whole of it on simulated BMCs, with the very commands that a person would type."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from reconciler import runtime
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, on_terminal
from reconciler.operations.repository.demo_fleet import (
    CREDENTIAL,
    POWER_SECONDS,
    DemoFleet,
    DemoLedger,
    command_line,
    demo_daemon,
    demo_fleet,
)

VICTIM = "r1-03"
RESET_PATH = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"


@click.command("demo", short_help="Run groundstate on a simulated fleet.")
@click.option("--keep", is_flag=True, help="Leave fleet and daemon running until Ctrl-C.")
def demo_command(keep: bool) -> None:
    """Show plan, apply, drift, inventory and a refused commit on eight simulated machines, in less than a minute.

    The demo starts simulated BMCs with Redfish over HTTPS on this host, makes a git repository from the example fleet,
    and leaves nothing behind. `groundstate bmc-sim` starts such BMCs alone.

    \b
    Examples:
      groundstate demo
      groundstate demo --keep
    """
    home = Path(tempfile.mkdtemp(prefix="groundstate-demo-"))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    begun = runtime.monotonic()
    click.echo("Starting simulated BMCs ...", err=True)
    try:
        with exit_in_words(), demo_fleet(home, os.environ) as stage:
            _walk(stage, keep=keep, begun=begun)
    except KeyboardInterrupt:
        click.echo("\nstopped; nothing is left behind")
        raise click.exceptions.Exit(EXIT_ERROR if not keep else 0) from None
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _walk(stage: DemoFleet, *, keep: bool, begun: float) -> None:
    _title("1. A fleet in git: eight machines with simulated BMCs, six networks, four addresses")
    _show(stage, ["git", "--no-pager", "log", "--oneline"], 0)
    _title("2. What would groundstate do to the machines? A plan sends nothing")
    _groundstate(stage, ["plan", "machines"], 2)
    _title(
        "3. Apply the whole plan. Each action is sent once and confirmed by an observation; "
        f"a simulated machine takes {POWER_SECONDS} s"
    )
    _groundstate(stage, ["apply", "--yes", "--quiet"], 0, hides="" if on_terminal(sys.stderr) else "stderr")
    _groundstate(stage, ["get", "machines"], 0)
    _groundstate(stage, ["ipam", "tree"], 0)
    with demo_daemon(stage) as daemon:
        ledger = DemoLedger(stage, daemon)
        _title("4. The daemon keeps the fleet matching git, and reads the inventory of each machine")
        _follow(ledger, "RevisionApplied")
        click.secho(f"(A person powers {VICTIM} off at the power button.)", bold=True)
        stage.power_off_by_hand(VICTIM)
        _follow(ledger, "DriftDetected", "ActionConfirmed", "InventoryTaken", name=VICTIM)
        _groundstate(stage, ["inventory", VICTIM], 0)
        _title("5. A typo is committed. The daemon refuses it and keeps the last good state")
        stage.mistype_power()
        _show(stage, ["git", "commit", "--quiet", "--all", "--message=Tidy-up"], 0)
        _follow(ledger, "RevisionRefused")
        _groundstate(stage, ["validate"], 1)
        _show(stage, ["git", "revert", "--no-edit", "HEAD"], 0, hides="stdout")
        _follow(ledger, "RevisionApplied")
        _title(f"Done in {runtime.monotonic() - begun:.0f} s. Plan, apply, drift repaired, bad commit refused")
        if keep:
            _play(stage, daemon)


def _follow(ledger: DemoLedger, *reasons: str, name: str | None = None) -> None:
    for event in ledger.until(reasons, name):
        click.echo(f"  {event.at:%H:%M:%S}  {event.key or 'fleet'}  {event.reason}: {event.message}")


def _play(stage: DemoFleet, daemon: subprocess.Popen[bytes]) -> None:
    click.echo("\nFleet and daemon run on until Ctrl-C. In another terminal:\n")
    where = [f"GROUNDSTATE_{name}" for name in ("REPO", "STORE", "CONFIG")]
    for name in (*where, f"{CREDENTIAL}_USERNAME", f"{CREDENTIAL}_PASSWORD"):
        click.echo(f"  export {name}={stage.environment[name]}")
    if shutil.which("groundstate") is None:
        click.echo(f"  alias groundstate={Path(sys.executable).with_name('groundstate')}")
    click.echo("\n  groundstate get machines\n  groundstate events --watch")
    click.echo(f"  $EDITOR {stage.repository}/racks/r1.yaml    and git commit")
    click.echo(
        f"\nThe BMCs misbehave on order (docs/bmc-sim.md). Have {VICTIM} refuse three power-ons, and power it off:\n"
    )
    rule = f'{{"fault": "F02", "match": {{"machine": "{stage.sim_name_of(VICTIM)}"}}}}'
    address, login = stage.addresses[VICTIM], f'"${CREDENTIAL}_USERNAME:${CREDENTIAL}_PASSWORD"'
    click.echo(f"  curl -k {address}/rules -d '{rule}'")
    click.echo(f'  curl -k -u {login} {address}{RESET_PATH} -d \'{{"ResetType": "ForceOff"}}\'')
    daemon.wait()


def _title(text: str) -> None:
    click.echo()
    click.secho(text, fg="cyan", bold=True)


def _groundstate(stage: DemoFleet, arguments: list[str], expected: int, *, hides: str = "") -> None:
    click.secho(f"$ groundstate {' '.join(arguments)}", bold=True)
    stage.run(command_line(arguments), expected, color=on_terminal(sys.stdout), hides=hides)


def _show(stage: DemoFleet, command: list[str], expected: int, *, hides: str = "") -> None:
    click.secho(f"$ {' '.join(command)}", bold=True)
    stage.run(command, expected, color=on_terminal(sys.stdout), hides=hides)
