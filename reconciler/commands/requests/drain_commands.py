"""`groundstate drain` and `uncordon`: a host is freed of the work on the fleet, as for its maintenance."""

from __future__ import annotations

from typing import Any

import click

from reconciler.commands.options import where_from, where_options
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.operations.requests.host_drain import DRAIN_PATIENCE, DrainRequest, drain_host, uncordon_host
from reconciler.views.render.words import clean


@click.command("drain", short_help="Hand the work of a host's daemon to another host.")
@click.argument("host", metavar="HOST")
@click.option("--reason", default="", metavar="WHY", help="The reason, recorded in the ledger.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.0),
    default=DRAIN_PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until another daemon works.",
)
@click.option("--alone", is_flag=True, help="Drain the host even if no daemon of another host can take over.")
@where_options
def drain_command(host: str, reason: str, timeout: float, alone: bool, **values: Any) -> None:
    """Have the daemons of a host leave the work on the fleet to a daemon of another host, until `uncordon`.

    The daemon that works finishes its current steps, and leaves the store. A daemon of another host takes over. The
    daemons of the drained host stand by, also after a restart of the host. To hold the changes of machines, use
    `groundstate pause`.

    Exit codes: 0 another daemon works, or the host had no work; 1 refused, or not done in time; the message says why.

    \b
    Examples:
      groundstate get daemons
      groundstate drain host-a --reason "kernel update"
      groundstate uncordon host-a
    """
    with exit_in_words():
        done = drain_host(where_from(values), DrainRequest(host, reason, timeout, alone), _say_waiting)
    say_notes(done.notes)
    if done.after is not None:
        click.echo(clean(f"{done.after} has taken over after {done.seconds:.1f} s"))
    elif done.before is not None:
        click.echo(clean(f"{done.before} has left the store, and no daemon works on the fleet now"))
    click.echo(clean(str(done.drained)))
    click.echo(clean(f"`groundstate uncordon {host}` lets its daemons work again"), err=True)


@click.command("uncordon", short_help="Let the daemons of a drained host work again.")
@click.argument("host", metavar="HOST")
@where_options
def uncordon_command(host: str, **values: Any) -> None:
    """End the drain of a host. Its daemons stand by, and take over when the daemon that works now ends.

    Exit codes: 0 done, 1 the host is not drained.

    \b
    Examples:
      groundstate uncordon host-a
    """
    with exit_in_words():
        notes = uncordon_host(where_from(values), host)
    say_notes(notes)
    click.echo(clean(f"{host} is not drained any more"))


def _say_waiting(holder: str) -> None:
    click.echo(clean(f"waiting until {holder} has left the store, and another daemon works"), err=True)
