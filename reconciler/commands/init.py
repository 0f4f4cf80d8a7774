"""`groundstate init`: a repository to begin with. Writes only what is not there yet."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from reconciler.commands.terminal import fail
from reconciler.desired.git.new_repository import begin_repository, is_in_repository
from reconciler.desired.git.plumbing import SourceError

SCHEMAS = ".schemas"


@click.command("init", short_help="Begin a repository of desired state.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
def init_command(directory: Path) -> None:
    """Write a small desired state, schemas for the editor, a CI workflow, a pre-commit hook and a settings file.

    Existing files are not changed.

    \b
    Examples:
      groundstate init fleet && cd fleet && groundstate validate --work-tree
    """
    template = files("reconciler.commands") / "template"
    wanted = dict(_walk(template))
    wanted |= {f"{SCHEMAS}/{item.name}": item.read_text("utf-8") for item in (files("schemas") / "v1").iterdir()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for relative, text in sorted(wanted.items()):
            _write(directory / relative, text, shown=not relative.startswith(SCHEMAS))
        if not is_in_repository(directory):
            begin_repository(directory)
            click.echo(f"began a git repository in {directory}")
    except (OSError, SourceError) as error:
        fail(f"{directory}: cannot be set up: {error}")
    click.echo("\nNext: edit machines/, then")
    click.echo("  groundstate validate --work-tree\n  git add . && git commit\n  groundstate plan")


def _walk(folder: object, prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for item in folder.iterdir():  # type: ignore[attr-defined]  # importlib's Traversable
        name = f"{prefix}{item.name}"
        if item.is_dir():
            found += _walk(item, f"{name}/")
        elif not name.endswith((".pyc", "__init__.py")):
            # Files that begin with a dot travel without it, as packaging tools leave those out.
            found.append((name.replace("dot_", "."), item.read_text("utf-8")))
    return found


def _write(path: Path, text: str, *, shown: bool) -> None:
    if path.exists():
        if shown:
            click.echo(f"kept     {path}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if shown:
        click.echo(f"wrote    {path}")
