"""Tables, JSON and YAML on stdout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from drivers.base import clean
from reconciler.commands.terminal import on_terminal
from reconciler.views.resource_document import document_list


def print_table(
    titles: list[str], rows: list[list[str]], *, narrow: bool, headers: bool = True, least: Sequence[int] = ()
) -> None:
    """A table; `narrow` cuts it to the terminal's width, from its widest columns. `least`: how wide columns are at
    least, so that rows stand below those that were printed before."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = on_terminal(sys.stdout)
    width = shutil.get_terminal_size().columns if terminal and narrow else 100_000
    console = Console(file=sys.stdout, width=width, no_color=not terminal, soft_wrap=False)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold", show_header=headers)
    for index, title in enumerate(titles):
        # Columns that may wrap shrink one after the other, the widest first; their cells are cut and never wrap.
        table.add_column(title, min_width=least[index] if least else None)
    for row in rows:
        table.add_row(
            *(Text(clean(cell), _STATUS_COLOUR.get(cell, ""), no_wrap=True, overflow="ellipsis") for cell in row)
        )
    with console.capture() as printed:
        console.print(table)
    # Padding would wrap in a narrow window, and stays behind in what is pasted elsewhere.
    click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()), color=terminal)


def print_records(
    titles: list[str],
    records: Sequence[tuple[dict[str, Any], list[str]]],
    name: str,
    output: str,
    *,
    headers: bool = True,
) -> None:
    """What the store has of one sort, each as a document and as the cells of its row, the id first. `name`: as in
    `PauseList`."""
    if output in ("json", "yaml"):
        click.echo(dump(document_list([document for document, _ in records], f"{name}List"), output))
    elif output == "name":
        for _, cells in records:
            click.echo(cells[0])
    elif records:
        print_table(titles, [cells for _, cells in records], narrow=output != "wide", headers=headers)
    else:
        click.echo(f"No {name.lower()}s.", err=True)


def dump(value: object, output: str) -> str:
    """JSON or YAML of the same data: what JSON has as a text, such as a time or a reason, is a text in YAML too."""
    if output == "json":
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    from reconciler.desired.manifest.manifests import dump_yaml

    return dump_yaml(msgspec.to_builtins(value, str_keys=True)).rstrip("\n")


_STATUS_COLOUR = {"Ready": "green", "Held": "yellow", "Stalled": "red", "Unknown": "magenta", "Reconciling": "cyan"}
