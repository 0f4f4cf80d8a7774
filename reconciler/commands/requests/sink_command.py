"""`groundstate sink`: test an event sink, and send events once more."""

from __future__ import annotations

from typing import Any

import click

from reconciler.commands.completion import complete_name
from reconciler.commands.options import option, where_from, where_options
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.kinds import DELIVERED_TO
from reconciler.model.counting import count
from reconciler.operations.requests.event_sinks import replay_events, send_test_event
from reconciler.views.render.words import clean

_NAME = click.argument("name", metavar="NAME", shell_complete=complete_name(*DELIVERED_TO))


@click.group("sink", short_help="Test an event sink, or send it events once more.")
def sink_group() -> None:
    """Test an EventSink, or send it events once more. `groundstate get sinks` shows how far each sink is.

    \b
    Examples:
      groundstate sink test ops
      groundstate sink replay ops --after 2h
    """


@sink_group.command("test", short_help="Send one test event to a sink.")
@_NAME
@where_options
def test_command(name: str, **values: Any) -> None:
    """Send one event of the reason Test to the sink, from this computer, with the secrets of its settings file.

    The ledger is not changed, and no filter of the document applies. This command reads the secret or the login
    on this computer, and not where the daemon runs.

    Exit codes: 0 the sink took the event, 1 it did not; the message says why.

    \b
    Examples:
      groundstate sink test ops
    """
    with exit_in_words():
        sent = send_test_event(where_from(values), name)
    say_notes(sent.notes)
    click.echo(clean(f"{sent.name}: {sent.url} took the test event {sent.id} in {sent.seconds:.2f} s"))


@sink_group.command("replay", short_help="Send events once more to a sink.")
@_NAME
@option(
    "--after",
    required=True,
    metavar="SEQ|TIME",
    help="Send everything after this event or time: a number, 2h, 2026-01-31, or a commit.",
)
@where_options
def replay_command(name: str, after: str, **values: Any) -> None:
    """Have the daemon send the events after a number or a time once more, in the order of the ledger.

    Events keep their ids, so a receiver can leave out those that it has. A replay never skips an event: a number that
    the sink has not reached yet is refused. A failing sink is tried at once. The ledger records the request.

    Exit codes: 0 the events will be sent, 1 refused; the message says why.

    \b
    Examples:
      groundstate sink replay ops --after 48210
      groundstate sink replay ops --after 2h
    """
    with exit_in_words():
        asked = replay_events(where_from(values), name, after)
    say_notes(asked.notes)
    events = f"{asked.name}: {count(asked.events, 'event')} after {asked.after} will be sent"
    if asked.suspended is not None:
        click.echo(clean(f"{events} when the sink is no longer suspended. It is suspended: {asked.suspended}"))
    else:
        click.echo(clean(f"{events}, if the sink wants"))
    if not asked.at_work:
        click.echo("no daemon is running; `groundstate run` sends them", err=True)
