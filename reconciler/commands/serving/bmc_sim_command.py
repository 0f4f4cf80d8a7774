"""`groundstate bmc-sim`: simulated BMCs that misbehave on order."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.commands.terminal import exit_in_words
from reconciler.commands.termination import ended_in_order
from reconciler.model.counting import count
from reconciler.operations.simulation import bmc_sim_fleet
from reconciler.operations.simulation.bmc_sim import BmcSim, BmcSimOptions, prepare_bmcs, serve_bmcs
from reconciler.operations.simulation.bmc_sim_fleet import WrittenFleet


@click.command("bmc-sim", short_help="Serve simulated BMCs that misbehave on order.")
@click.option(
    "--machines", type=click.IntRange(1, 65_000), default=1, show_default=True, metavar="N", help="How many BMCs."
)
@click.option(
    "--profile",
    default="generic",
    show_default=True,
    metavar="NAME|DIR",
    help=(
        "What the BMCs are like: generic, tasks, dell-idrac9, hpe-ilo5, lenovo-xcc, supermicro or openbmc. Or a "
        "folder with a recorded Redfish tree."
    ),
)
@click.option(
    "--listen",
    default="127.0.0.1:8001",
    show_default=True,
    metavar="HOST:PORT|NETWORK:PORT",
    help=(
        "The address of the first BMC; each further BMC has the next port. With a network such as "
        "127.1.0.0/16:8443, each BMC has an address of the network."
    ),
)
@click.option(
    "--rules",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Fault rules that apply from the start, as YAML.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides serial numbers and UUIDs, and which requests a rule with a probability strikes.",
)
@click.option("--user", default="operator", show_default=True, metavar="NAME", help="The user name of the login.")
@click.option(
    "--password",
    envvar="GROUNDSTATE_SIM_PASSWORD",
    metavar="TEXT",
    help="The password of the login.  [default: a new one, which is printed]",
)
@click.option(
    "--latency",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="The time that each answer takes.  [default: that of the profile]",
)
@click.option(
    "--power-seconds",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="The time that a power change takes.  [default: that of the profile]",
)
@click.option(
    "--write-fleet",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a repository that declares the machines, and its settings, into this new folder.",
)
def bmc_sim_command(
    machines: int,
    profile: str,
    listen: str,
    rules: Path | None,
    seed: int,
    user: str,
    password: str | None,
    latency: float | None,
    power_seconds: float | None,
    write_fleet: Path | None,
) -> None:
    """Serve simulated BMCs: Redfish over HTTPS, with faults on order.

    The BMCs have sessions, ETags, Tasks, boot overrides, virtual media and hardware. Their state is in memory, and
    ends with the command. Rules make them misbehave: from a file, or over the API at /rules of each BMC. The
    certificate is new at each start; its fingerprint is printed, and can be pinned in `bmc.tls`.

    \b
    Examples:
      groundstate bmc-sim --machines 8 --write-fleet ~/sim
      groundstate bmc-sim --profile dell-idrac9 --rules faults.yaml
      groundstate bmc-sim --machines 10000 --listen 127.1.0.0/16:8443
      curl -k https://127.0.0.1:8001/rules -d '{"fault": "F47"}'
    """
    options = BmcSimOptions(machines, profile, listen, rules, seed, user, password, latency, power_seconds)
    with exit_in_words(), ended_in_order():
        sim = prepare_bmcs(options)
        written = None if write_fleet is None else bmc_sim_fleet.write_fleet(sim, write_fleet)
        serve_bmcs(sim, lambda: _announce(sim, written, is_new=password is None))


def _announce(sim: BmcSim, written: WrittenFleet | None, *, is_new: bool) -> None:
    many = len(sim.fleet.bmcs)
    last = f" to {sim.listen.url(many - 1)}" if many > 1 else ""
    click.echo(f"{count(many, 'BMC')} of the profile {sim.fleet.profile.name} at {sim.listen.url(0)}{last}")
    click.echo(f"certificate: {sim.fingerprint}")
    click.echo(f"login: {sim.login.username}{f' {sim.login.password}' if is_new else ''}")
    if written is not None:
        click.echo(f"\nThe machines are declared in {written.repository}. In another terminal:\n")
        click.echo(f"  . {written.environment}\n  groundstate plan\n  groundstate apply")
    click.echo("\nCtrl-C ends the BMCs.")
