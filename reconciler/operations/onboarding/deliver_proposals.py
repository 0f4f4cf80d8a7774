"""Where the documents of found machines go: files in a folder, or a commit on a branch; else the caller has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import msgspec

from reconciler.model.counting import count
from reconciler.onboarding.discovery import Proposal, machine_key
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where

FOLDER = "machines"


class Delivery(msgspec.Struct, frozen=True):
    """`branch`: commit them there, in the folder `out` of the repository, and `push` it to origin. `out` alone: into a
    folder on disk. Neither: they are returned alone."""

    out: str | None = None
    branch: str | None = None
    push: bool = False


def deliver_proposals(
    where: Where, proposals: Iterable[Proposal], delivery: Delivery, remark: Callable[[str], None]
) -> dict[str, str]:
    """The documents as YAML by name, once they are where they should go. Raises OperationError and SourceError."""
    from reconciler.desired.manifest.manifests import dump_yaml

    texts = {one.name: dump_yaml(one.document) for one in proposals}
    if delivery.branch is not None:
        _commit(texts, where, delivery, delivery.branch, remark)
    elif delivery.out is not None:
        write_documents(texts, Path(delivery.out), remark)
    if not texts:
        remark("no new machines")
    return texts


def write_documents(texts: dict[str, str], folder: Path, remark: Callable[[str], None]) -> None:
    """A new file for each text. Raises OperationError for a file that exists, which is not overwritten."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            path = folder / f"{name}.yaml"
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            remark(f"wrote {path}")
    except FileExistsError as error:
        raise OperationError(
            f"{error.filename}: the file already exists and is not overwritten; move the file, or choose another --out"
        ) from error
    except OSError as error:
        why = f"{folder}: the folder cannot be written: {error.strerror}"
        raise OperationError(why, FailureReason.UNAVAILABLE) from error


def _commit(
    texts: dict[str, str], where: Where, delivery: Delivery, branch: str, remark: Callable[[str], None]
) -> None:
    from reconciler.desired.git.branches.commit_branch import branch_exists, commit_on_branch, push

    repository = Path(where.repo)
    folder = PurePosixPath(where.path) / (delivery.out or FOLDER)
    if folder.is_absolute() or ".." in folder.parts:
        raise OperationError(f"--out {delivery.out}: with --branch, --out names a folder of the repository")
    files = {str(folder / f"{name}.yaml"): text for name, text in texts.items()}
    if files:
        subject = f"Add {len(files)} found machine{'s' if len(files) > 1 else ''}"
        message = f"{subject}\n\n" + "\n".join(f"- {machine_key(name)}" for name in texts) + "\n"
        commit = commit_on_branch(repository, branch, where.ref, files, message)
        if commit is not None:
            remark(f"committed {count(len(files), 'file')} on {branch} as {commit[:10]}")
    if delivery.push and branch_exists(repository, branch):
        push(repository, branch)
        remark(f"pushed {branch} to origin")
