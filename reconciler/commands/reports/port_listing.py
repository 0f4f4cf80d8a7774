"""`groundstate get ports`: the ports of switches, what is cabled to them, and in which network they are."""

from __future__ import annotations

from datetime import datetime

import click

from reconciler.commands.printing import print_records
from reconciler.commands.terminal import say_notes
from reconciler.kinds.switch.shown.port_table import PortRow
from reconciler.operations.reports.port_report import report_ports
from reconciler.operations.where import Where
from reconciler.runtime import now
from reconciler.views.camel_case import camel_form
from reconciler.views.columns import short_age

_TITLES = ["SWITCH", "PORT", "MACHINE", "CLAIM", "ADMIN", "LINK", "NETWORK", "MUST BE IN", "CABLED", "BGP", "SINCE"]


def show_ports(where: Where, targets: tuple[str, ...], selector: str, output: str, *, headers: bool = True) -> None:
    """A table, or the rows as JSON or YAML. `targets`: names of switches, or `machine/NAME`."""
    report = report_ports(where, targets, selector)
    say_notes(report.notes)
    if output == "name":
        for row in report.rows:
            click.echo(f"{row.switch}/{row.port}")
        return
    at, is_wide = now(), output == "wide"
    titles = [*_TITLES, "NIC", "LLDP"] if is_wide else _TITLES
    records = [(camel_form(row), [*_cells(row, at), *(_wide_cells(row) if is_wide else ())]) for row in report.rows]
    print_records(titles, records, "Port", output, headers=headers)


def _cells(row: PortRow, at: datetime) -> list[str]:
    cells = (row.switch, row.port, row.machine, row.claim, row.admin, row.link, row.network, row.must_be_in)
    session = (row.cabled if row.machine else None, row.bgp, short_age(row.bgp_since, at))
    return [cell or "-" for cell in (*cells, *session)]


def _wide_cells(row: PortRow) -> list[str]:
    return [row.nic or "-", row.lldp or "-"]
