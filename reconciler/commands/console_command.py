"""`groundstate console`: connect to a machine's serial console, and read what was recorded."""

from __future__ import annotations

import codecs
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from reconciler.commands.completion import complete_name
from reconciler.commands.options import where_from, where_options
from reconciler.commands.printing import print_records
from reconciler.commands.terminal import exit_in_words, fail, say_notes, wait_while_read
from reconciler.operations.reports.console_reports import (
    HOST_KEY_ALIAS,
    ConsoleServerPlace,
    LogRequest,
    console_hint_of,
    console_recordings,
    console_server,
    list_consoles,
    read_console_log,
)
from reconciler.operations.where import Where
from reconciler.views.columns import short_age

_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)|[@-_])"
    # C1 control is control in UTF-8 too, and the marks of direction show a line in another order than it has.
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


_SSH_FAILED = 255
"""What ssh ends with when it got no session (ssh(1), EXIT STATUS)."""


class _ConsoleGroup(click.Group):
    """`console r1-01` is `console connect r1-01`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's hook."""
        if args and args[0] not in self.commands:
            args = ["connect", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's hook: options of `connect` may come before the machine."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["connect", *args]
        return super().parse_args(ctx, args)


@click.group("console", cls=_ConsoleGroup, short_help="Connect to a machine's serial console.")
def console_group() -> None:
    """Connect to a machine's serial console, or read what was recorded there.

    \b
    Examples:
      groundstate console r1-01
      groundstate console r1-01 --watch
      groundstate console web.0 --steal
      groundstate console log r1-01 --last-order
    """


@console_group.command("connect", short_help="Connect; `console MACHINE` is the same.")
@click.argument("machine", metavar="MACHINE|CLAIM.SLOT", shell_complete=complete_name("Machine"))
@click.option("--watch", "-w", is_flag=True, help="Only watch, also if no other person types.")
@click.option(
    "--steal", is_flag=True, help="Type in place of another person, and take the line from another BMC session."
)
@click.option("--server", metavar="HOST[:PORT]", help="The console service.  [default: as the daemon reports]")
@click.option("-i", "--identity", metavar="FILE", help="Private key for ssh.  [default: ssh's own choice]")
@where_options
def connect_command(
    machine: str, watch: bool, steal: bool, server: str | None, identity: str | None, **values: Any
) -> None:
    """Connect to the serial console of a machine, through ssh. Your key is one of the machine's claim, or of an admin.

    ssh is run without an escape character of its own, and with the host key that the daemon wrote down. After Enter,
    `~?` shows what else can be done.

    \b
    Examples:
      groundstate console r1-01
      groundstate console web.0 --watch
      groundstate console r1-01 --steal -i ~/.ssh/id_console
    """
    if watch and steal:
        raise click.UsageError("--watch and --steal exclude each other")
    where = where_from(values)
    with exit_in_words():
        place = console_server(where, server)
    if shutil.which("ssh") is None:
        fail("ssh is not installed; install OpenSSH's client")
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known_hosts"
        known.write_text(f"{HOST_KEY_ALIAS} {place.host_key}\n")
        mode = "watch" if watch else "steal" if steal else "type"
        code = subprocess.run(ssh_command(place, machine, mode, known, identity), check=False).returncode
    if code == _SSH_FAILED:
        _say_hint(where, machine)
    sys.exit(code)


def _say_hint(where: Where, machine: str) -> None:
    """The service gives one answer to an unknown machine and to a wrong key; who can read the store may know more."""
    with exit_in_words():
        hint = console_hint_of(where, machine)
    if hint:
        click.echo(f"note: {machine}: {hint}; spec.console of the machine or its partition says what is used", err=True)


def ssh_command(place: ConsoleServerPlace, machine: str, mode: str, known: Path, identity: str | None) -> list[str]:
    """The command line of OpenSSH's client."""
    settings = {
        "HostKeyAlias": HOST_KEY_ALIAS,
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PreferredAuthentications": "publickey",
        "ServerAliveInterval": "30",
        "SetEnv": f"GROUNDSTATE_CONSOLE={mode}",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    own = ["-i", identity, "-o", "IdentitiesOnly=yes"] if identity is not None else []
    return ["ssh", "-e", "none", *options, *own, "-p", str(place.port), "-l", machine, "--", place.host]


@console_group.command("log", short_help="Show the recording of a console.")
@click.argument("machine", shell_complete=complete_name("Machine"))
@click.option("--recording", metavar="NAME", help="The recording to show.  [default: the newest; --list shows all]")
@click.option("--last-order", is_flag=True, help="Begin where the last boot request of the agent began.")
@click.option("--follow", "-f", is_flag=True, help="Keep running and show what is added.")
@click.option("--raw", is_flag=True, help="Print the bytes as they came, terminal control included.")
@click.option("--list", "listing", is_flag=True, help="List the recordings of the machine.")
@where_options
def log_command(
    machine: str, recording: str | None, last_order: bool, follow: bool, raw: bool, listing: bool, **values: Any
) -> None:
    """Show what was recorded of a machine's console, on the host of the daemon.

    Each claim has a recording of its own. Without --raw, terminal control is left out.

    \b
    Examples:
      groundstate console log r1-01 --last-order
      groundstate console log r1-01 -f
      groundstate console log r1-01 --list
    """
    where = where_from(values)
    with exit_in_words():
        if listing:
            for one in console_recordings(where, machine):
                click.echo(f"{one.name}  {_size(one.begin + one.size)}  {_age(one.last)}")
            return
        request = LogRequest(machine, recording, last_order)
        said = read_console_log(where, request, _waited if follow else None)
        for data in said if raw else without_control(said):
            click.echo(data, nl=False)
            sys.stdout.flush()


def without_control(said: Iterable[bytes]) -> Iterator[str]:
    """The text without what steers a terminal, wherever the bytes are cut."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for data in said:
        yield _CONTROL.sub("", decoder.decode(data))


def _waited(seconds: float) -> bool:
    wait_while_read(seconds)
    return True


@console_group.command("hostkey", short_help="Print the host key as a line of known_hosts.")
@click.option("--server", metavar="HOST[:PORT]", help="The console service.  [default: as the daemon reports]")
@where_options
def hostkey_command(server: str | None, **values: Any) -> None:
    """Print the host key of the console service, for known_hosts.

    \b
    Examples:
      groundstate console hostkey --server consoles.example:2022 >> ~/.ssh/known_hosts
    """
    with exit_in_words():
        click.echo(console_server(where_from(values), server).known_hosts)


_TITLES = ["NAME", "DRIVER", "LINE", "SINCE", "TENANCY", "WRITER", "CONNECTED", "RECORDED"]
_OFFERED = "OFFERED BY BMC"
"""A column of the wide table."""


def show_consoles(where: Where, output: str, *, headers: bool = True) -> None:
    """A table, or the consoles as JSON or YAML."""
    found = list_consoles(where)
    say_notes(found.notes)
    records = []
    for one in found.consoles:
        form = {
            "name": one.machine,
            "driver": one.driver,
            "line": one.line,
            "since": one.since.isoformat(),
            "tenancy": one.tenancy,
            "writer": one.writer or None,
            "connected": one.watchers,
            "recordedBytes": one.recorded,
            "offeredByBmc": found.offers.get(one.machine) or None,
        }
        line = one.line if one.line in ("open", "closed") else "lost"
        row = [
            one.machine,
            one.driver,
            line,
            short_age(one.since, found.at),
            one.tenancy,
            one.writer or "-",
            str(one.watchers),
            _size(one.recorded),
        ]
        row += [found.offers.get(one.machine) or "-"] if output == "wide" else []
        records.append((form, row))
    titles = [*_TITLES, _OFFERED] if output == "wide" else _TITLES
    print_records(titles, records, "Console", output, headers=headers)


def _size(number: int) -> str:
    for unit, shift in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if number >= 1 << shift:
            return f"{number / (1 << shift):.1f}{unit}"
    return str(number)


def _age(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"
