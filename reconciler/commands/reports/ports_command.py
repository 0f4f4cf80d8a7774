"""`groundstate ports`: the ports of switches, what is cabled to them, and in which network they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
import msgspec

from reconciler.commands.completion import complete_name
from reconciler.commands.options import headers_option, option, output_option, where_from, where_options
from reconciler.commands.printing import dump, print_table
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.kinds.switch.port_table import PortRow
from reconciler.operations.reports.port_report import report_ports
from reconciler.runtime import now
from reconciler.views.render.words import age_words

_TITLES = ["SWITCH", "PORT", "MACHINE", "CLAIM", "ADMIN", "LINK", "NETWORK", "MUST BE IN", "CABLED", "BGP", "SINCE"]


@click.command("ports", short_help="Show the ports of switches, and in which network each is.")
@click.argument("switches", metavar="[SWITCH]...", nargs=-1, shell_complete=complete_name("Switch"))
@where_options
@headers_option
@output_option("table", "json", "yaml", default="table")
@option("--machine", metavar="NAME", help="Only the ports of this machine.")
def ports_command(switches: tuple[str, ...], machine: str | None, no_headers: bool, output: str, **values: Any) -> None:
    """Show the ports that Switch documents list, from the latest observations in the store. No switch is contacted.

    NETWORK is the VRF or VLAN in which the port is, and MUST BE IN the one that follows from the machine's lifecycle.
    CABLED compares the declared cabling with what LLDP reports. SINCE belongs to the state of the BGP session.

    \b
    Examples:
      groundstate ports
      groundstate ports leaf01
      groundstate ports --machine r1-01
      groundstate ports -o json
    """
    with exit_in_words():
        report = report_ports(where_from(values), switches, machine)
    say_notes(report.notes)
    if output in ("json", "yaml"):
        click.echo(dump(msgspec.to_builtins(report.rows), output))
        return
    at = now()
    print_table(_TITLES, [_cells(row, at) for row in report.rows], narrow=True, headers=not no_headers)


def _cells(row: PortRow, at: datetime) -> list[str]:
    cells = (row.switch, row.port, row.machine, row.claim, row.admin, row.link, row.network, row.must_be_in)
    since = age_words(at - row.bgp_since) if row.bgp_since is not None else None
    return [cell or "-" for cell in (*cells, row.cabled if row.machine else None, row.bgp, since)]
