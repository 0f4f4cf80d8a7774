"""`groundstate validate`, `explain`, `schema`, `version` and `completion`: what needs no fleet."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click
import msgspec

from reconciler.commands.completion import complete_field, complete_kind
from reconciler.commands.options import output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, on_terminal, say_notes
from reconciler.kinds import KINDS, find_kind
from reconciler.operations.repository.validate_state import validate_state


@click.command("validate", short_help="Check the desired state; show every problem.")
@where_options
@output_option("text", "json", "github", "sarif", "junit", default="text")
def validate_command(output: str, **values: Any) -> None:
    """Read every document and show every problem at once, each with its place, its reason and a hint.

    Exit codes: 0 valid, 1 not valid.

    \b
    Examples:
      groundstate validate --work-tree
      groundstate validate --ref my-branch -o github
    """
    from reconciler.desired.report import render_diagnostics

    with exit_in_words():
        found = validate_state(where_from(values))
    say_notes(found.notes)
    text = render_diagnostics(
        output, found.diagnostics, files=found.files, resources=found.resources, color=on_terminal(sys.stdout)
    )
    click.echo(text.rstrip("\n"), color=True)
    raise click.exceptions.Exit(0 if found.sound else EXIT_ERROR)


@click.command("explain", short_help="Explain a kind, or a field of a kind.")
@click.argument("path", metavar="[KIND[.field...]]", required=False, shell_complete=complete_field)
def explain_command(path: str | None) -> None:
    """List the kinds, or describe a kind or one of its fields. The text comes from the schemas that validate documents.

    \b
    Examples:
      groundstate explain
      groundstate explain machine
      groundstate explain machine.spec
      groundstate explain machine.spec.boot.enabled
      groundstate explain machine.status
    """
    from reconciler.operations.reports.explain_field import explain_field

    if path is None:
        width = max(len(name) for name in KINDS)
        for kind in KINDS.values():
            click.echo(f"{kind.name:<{width}}  {kind.summary}")
        return
    try:
        click.echo(explain_field(path))
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None


@click.command("schema", short_help="Print a kind's JSON Schema.")
@click.argument("kind", required=False, shell_complete=complete_kind)
def schema_command(kind: str | None) -> None:
    """Print the JSON Schema (draft-07) of a kind, or of all kinds in one.

    \b
    Examples:
      groundstate schema machine > machine.json
    """
    from reconciler.desired.manifest.schemas import schema_for, schema_for_all

    found = find_kind(kind) if kind else None
    if kind and found is None:
        raise click.UsageError(f"{kind!r} is not a kind; kinds are {', '.join(KINDS)}")
    schema = schema_for(found) if found else schema_for_all()
    click.echo(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode())


@click.command("version", short_help="Print versions.")
@output_option("text", "json", "yaml", default="text")
def version_command(output: str) -> None:
    """Print the versions of groundstate and of its libraries.

    \b
    Examples:
      groundstate version
      groundstate version -o json
    """
    parts = {name: _version(name) for name in ("groundstate", "sushy", "sqlalchemy", "gitpython")}
    parts["python"] = platform.python_version()
    if output != "text":
        click.echo(dump(parts, output))
        return
    click.echo(f"groundstate {parts.pop('groundstate')}")
    for name, number in parts.items():
        click.echo(f"  {name} {number}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown, because groundstate runs from its source tree and is not installed"


@click.command("completion", short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell, to be sourced by that shell.

    \b
    Examples:
      source <(groundstate completion bash)
      groundstate completion fish > ~/.config/fish/completions/groundstate.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101  these three are click's own
    click.echo(completion(root, {}, "groundstate", "_GROUNDSTATE_COMPLETE").source())
