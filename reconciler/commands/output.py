"""Where `groundstate discover` leaves the documents that it made: stdout, files, or a commit on a branch."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import click

from reconciler.commands.workspace import fail
from reconciler.model.resource import ResourceKey
from reconciler.onboarding.discovery import Proposal
from reconciler.operations.where import Where
from reconciler.views.render.words import clean, count

FOLDER = "machines"


def deliver(proposals: list[Proposal], where: Where, out: str | None, branch: str | None, *, push: bool) -> None:
    """To stdout, into a folder `out`, or on a branch. Exits with words when that cannot be; raises SourceError."""
    from reconciler.desired.manifest.manifests import dump_yaml

    texts = {one.name: dump_yaml(one.document) for one in proposals}
    if branch is not None:
        _commit(texts, where, out, branch, push=push)
    elif out is not None:
        _write(texts, Path(out))
    elif texts:
        click.echo("---\n".join(texts.values()), nl=False)
    if not texts:
        say("nothing new")


def _write(texts: dict[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            path = folder / f"{name}.yaml"
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            say(f"wrote {path}")
    except FileExistsError as error:
        fail(f"{error.filename}: already exists and is not overwritten; move it, or choose another --out")
    except OSError as error:
        fail(f"{folder}: it cannot be written: {error.strerror}")


def _commit(texts: dict[str, str], where: Where, out: str | None, branch: str, *, push: bool) -> None:
    from reconciler.desired.git.commit_branch import branch_exists, commit_on_branch
    from reconciler.desired.git.commit_branch import push as pushed

    repository = Path(where.repo)
    folder = PurePosixPath(where.path) / (out or FOLDER)
    if folder.is_absolute() or ".." in folder.parts:
        fail(f"--out {out}: with --branch it is a folder of the repository")
    files = {str(folder / f"{name}.yaml"): text for name, text in texts.items()}
    if files:
        subject = f"Add {len(files)} found machine{'s' if len(files) > 1 else ''}"
        message = f"{subject}\n\n" + "\n".join(f"- {ResourceKey('Machine', name)}" for name in texts) + "\n"
        commit = commit_on_branch(repository, branch, where.ref, files, message)
        if commit is not None:
            say(f"committed {count(len(files), 'file')} on {branch} as {commit[:10]}")
    if push and branch_exists(repository, branch):
        pushed(repository, branch)
        say(f"pushed {branch} to origin")


def say(text: str) -> None:
    """A line for people, on stderr."""
    # What BMCs and lease files say stands in it.
    click.echo(clean(text), err=True)
