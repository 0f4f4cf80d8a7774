"""Resources on stdout, in each format of `get`."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from drivers.base import clean, printable_lines
from reconciler.commands.options import TEMPLATES
from reconciler.commands.printing import dump, print_table
from reconciler.commands.terminal import say_notes
from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.common.machine_inventory import AGGREGATE
from reconciler.operations.reports.resource_views import ResourceList
from reconciler.runtime import now
from reconciler.views.columns import columns
from reconciler.views.render.json_path import parse_custom_columns, render_json_path
from reconciler.views.render.words import override_words, pause_words
from reconciler.views.resource_document import document_list, resource_document

_CUSTOM, _JSON_PATH = TEMPLATES


class ResourcePrinter:
    """Prints a list once, or what changes of it. Raises BadPath for a template that cannot be used."""

    def __init__(self, output: str, *, headers: bool = True, labels: bool = False) -> None:
        self._output, self._headers, self._labels = output, headers, labels
        self._kinds: set[str] = set()
        self._widths: dict[str, list[int]] = {}
        self._custom = parse_custom_columns(output.removeprefix(_CUSTOM)) if output.startswith(_CUSTOM) else []
        if output.startswith(_JSON_PATH):
            render_json_path(output.removeprefix(_JSON_PATH), {})

    def print(self, listing: ResourceList) -> None:
        """All of it."""
        say_notes(listing.notes)
        if self._output not in ("json", "yaml") and not self._output.startswith(_JSON_PATH):
            self._print_rows(listing.views)
            return
        documents = [resource_document(view) for view in listing.views]
        whole = documents[0] if listing.single and documents else document_list(documents)
        if self._output.startswith(_JSON_PATH):
            self._print_template(whole)
        else:
            click.echo(dump(whole, self._output))

    def print_changed(self, listing: ResourceList) -> None:
        """The same of what changed, document by document, and the headings once."""
        say_notes(listing.notes)
        for document in map(resource_document, listing.views) if self._output in ("json", "yaml") else ():
            click.echo(_line(document) if self._output == "json" else f"---\n{dump(document, self._output)}")
        if self._output.startswith(_JSON_PATH):
            for view in listing.views:
                click.echo(
                    printable_lines(render_json_path(self._output.removeprefix(_JSON_PATH), resource_document(view)))
                )
        elif self._output not in ("json", "yaml") and listing.views:
            self._print_rows(listing.views)
            self._headers = False
        sys.stdout.flush()

    def _print_template(self, document: dict[str, Any]) -> None:
        text = printable_lines(render_json_path(self._output.removeprefix(_JSON_PATH), document))
        click.echo(text.rstrip("\n"))

    def _print_rows(self, views: list[ResourceView]) -> None:
        if self._output == "name":
            for view in views:
                click.echo(view.key)
        elif not views:
            click.echo("No resources found.", err=True)
        elif self._custom:
            rows = [[one.cell(document) for one in self._custom] for document in map(resource_document, views)]
            self._print_table("", [one.title for one in self._custom], rows, narrow=False)
        else:
            self._print_tables(views, wide=self._output == "wide")

    def _print_tables(self, views: list[ResourceView], *, wide: bool) -> None:
        """A table for each kind."""
        for one in dict.fromkeys(one for view in views for one in view.overrides):
            click.echo(clean(f"note: {override_words(one)}"), err=True)
        for pause in dict.fromkeys(one for view in views for one in view.pauses):
            click.echo(clean(f"note: paused: {pause_words(pause)}"), err=True)
        at = now()
        self._kinds |= {view.key.kind for view in views}
        for index, kind in enumerate(dict.fromkeys(view.key.kind for view in views)):
            if index and self._headers:
                click.echo()
            named = {name for view in views for name in view.derived if name.startswith(AGGREGATE)}
            shown = columns(
                kind,
                wide=wide,
                aggregates=sorted(name.removeprefix(AGGREGATE) for name in named),
                labels=self._labels,
                among_others=len(self._kinds) > 1,
            )
            rows = [[column.cell(view, at) for column in shown] for view in views if view.key.kind == kind]
            self._print_table(kind, [column.title for column in shown], rows, narrow=not wide)

    def _print_table(self, kind: str, titles: list[str], rows: list[list[str]], *, narrow: bool) -> None:
        """Columns are as wide as those of the first table of the kind, at least."""
        first = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        least = self._widths.setdefault(kind, first)
        print_table(
            titles,
            rows,
            narrow=narrow,
            headers=self._headers,
            least=least if least is not first and len(least) == len(titles) else (),
        )


def _line(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document).decode()
