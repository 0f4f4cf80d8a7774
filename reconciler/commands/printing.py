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
    from rich.cells import cell_len

    terminal = on_terminal(sys.stdout)
    texts = [[clean(cell) for cell in row] for row in rows]
    shown = [titles, *texts] if headers else texts
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)] or [0] * len(titles)
    widths = [max(pair) for pair in zip(widths, least, strict=True)] if least else widths
    if terminal and narrow:
        widths = _fitting(widths, shutil.get_terminal_size().columns)
    if headers:
        click.echo(click.style(_line(titles, widths), bold=True), color=terminal)
    lines = (_line(row, widths, coloured=terminal) for row in texts)
    if texts:
        click.echo("\n".join(lines), color=terminal)


_GAP = "   "
_LEAST = 4
"""A column is never cut to less than that."""


def _line(cells: Sequence[str], widths: Sequence[int], *, coloured: bool = False) -> str:
    """The cells below their titles. Nothing stands behind the last one: padding would wrap in a narrow window."""
    last = max((index for index, cell in enumerate(cells) if cell), default=-1)
    found = [_cell(cell, width, coloured) for cell, width in zip(cells[: last + 1], widths, strict=False)]
    return _GAP.join(found).rstrip()


def _cell(text: str, width: int, coloured: bool) -> str:
    from rich.cells import cell_len, set_cell_size

    size = cell_len(text)
    shown = text if size <= width else set_cell_size(text, width - 1) + "\u2026"
    colour = _STATUS_COLOUR.get(text) if coloured else None
    return (click.style(shown, fg=colour) if colour else shown) + " " * max(0, width - size)


def _fitting(widths: list[int], room: int) -> list[int]:
    """The widths of columns that fit: the widest are cut first, and names, in the first column, last of all."""
    widths, room = list(widths), room - len(_GAP) * (len(widths) - 1)
    for some in (range(1, len(widths)), range(1)):
        while sum(widths) > room and (index := max(some, key=widths.__getitem__, default=0)) in some:
            if widths[index] <= _LEAST:
                break
            widths[index] -= 1
    return widths


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
    """JSON or YAML of the same data. What JSON has as a text, such as a time or a reason, is a text in YAML too."""
    if output == "json":
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    from reconciler.desired.manifest.manifests import dump_yaml

    return dump_yaml(msgspec.to_builtins(value, str_keys=True)).rstrip("\n")


_STATUS_COLOUR = {"Ready": "green", "Held": "yellow", "Stalled": "red", "Unknown": "magenta", "Reconciling": "cyan"}
