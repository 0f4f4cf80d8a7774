"""`groundstate init`: a repository to begin with. Writes only what is not there yet."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.commands.terminal import exit_in_words
from reconciler.operations.repository.init_repository import init_repository


@click.command("init", short_help="Begin a repository of desired state.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
def init_command(directory: Path) -> None:
    """Create a repository: a small desired state, schemas for the editor, a CI workflow, a pre-commit hook and a
    settings file.

    Existing files are not changed, except the schemas. After an upgrade, run `groundstate init` again to renew the
    schemas.

    \b
    Examples:
      groundstate init fleet && cd fleet && groundstate validate --work-tree
    """
    with exit_in_words():
        made = init_repository(directory)
    for path in sorted((*made.written, *made.kept)):
        click.echo(f"{'kept ' if path in made.kept else 'wrote'}    {path}")
    state = "wrote" if made.renewed else "kept "
    click.echo(f"{state}    {made.schemas}/ (JSON Schemas for the editor, of this version)")
    if made.began:
        click.echo(f"began a git repository in {directory}")
    click.echo("\nNext: edit machines/, then")
    click.echo("  groundstate validate --work-tree\n  git add . && git commit\n  groundstate plan")
