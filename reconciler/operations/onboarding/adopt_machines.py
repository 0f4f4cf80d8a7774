"""Taking over what was only observed, by an edit of the documents in the work tree and of nothing else in them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from reconciler.kinds import ADOPTED, KINDS, find_kind
from reconciler.kinds.common.adoption import Adoption
from reconciler.kinds.selectors import filter_words
from reconciler.model.resource import ResourceKey
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.prospect import ObservedSoFar, PlanRequest, Prospect, plan_in, unwatched
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.standing import CommandLimits


class AdoptRequest(msgspec.Struct, frozen=True):
    """Which resources, by KIND/NAME or bare names, or by labels. `dry_run`: nothing is written."""

    targets: tuple[str, ...] = ()
    selector: str = ""
    dry_run: bool = False


class FileEdit(msgspec.Struct, frozen=True):
    """A file of the repository before the edit, and after the edit, also if nothing is written."""

    file: str
    before: bytes
    after: bytes


class AdoptResult(msgspec.Struct, frozen=True):
    """How many were meant, which are adopted now (or would be), by which edits, and why the others are not."""

    meant: int
    adopted: tuple[ResourceKey, ...]
    edits: tuple[FileEdit, ...]
    refused: dict[ResourceKey, str]
    notes: tuple[str, ...] = ()


def adopt_machines(
    where: Where, asked: CommandLimits, request: AdoptRequest, observed: ObservedSoFar = unwatched
) -> AdoptResult:
    """Observe each, and edit the documents of those that are as declared. Raises OperationError."""
    if not Path(where.repo).is_dir():
        raise OperationError(f"{where.repo} is not a directory; adopt edits the files of a local work tree")
    with Workspace(msgspec.structs.replace(where, work_tree=True)) as at:
        targets = tuple(map(_target, request.targets)) or tuple(KINDS[kind].plural for kind in ADOPTED)
        prospect = plan_in(at, asked, PlanRequest(targets, request.selector), observed)
        keys = sorted(key for key in prospect.keys if key.kind in ADOPTED)
        if not keys:
            listed = KINDS[ADOPTED[0]].plural
            why = (
                f"no machine matches {filter_words(request.targets, request.selector)}; "
                f"`groundstate get {listed}` lists the machines"
            )
            raise OperationError(why, FailureReason.NOT_FOUND)
        reasons = {key: _refusal(key, prospect) for key in keys}
        refused = {key: reason for key, reason in reasons.items() if reason is not None}
        edits, adopted = _edit([key for key in keys if key not in refused], prospect, refused, dry_run=request.dry_run)
        return AdoptResult(len(keys), adopted, edits, refused, at.notes)


def _target(word: str) -> str:
    """A bare name is of what can be adopted."""
    return word if "/" in word or find_kind(word) is not None else f"{ADOPTED[0].lower()}/{word}"


def _adoption(key: ResourceKey) -> Adoption:
    adoption = KINDS[key.kind].adoption
    assert adoption is not None  # noqa: S101  ADOPTED has no others
    return adoption


def _refusal(key: ResourceKey, prospect: Prospect) -> str | None:
    """Why the machine must not be adopted; None: it can be adopted."""
    resource, adoption = prospect.desired.resources.get(key), _adoption(key)
    if resource is None:
        return "not declared"
    if (why := adoption.spec_refusal(resource.spec)) is not None:
        return why
    unknown = next((one for one in prospect.plan.unknown if one.key == key), None)
    if unknown is not None:
        return f"the machine cannot be read: {unknown.reason}: {unknown.message}"
    seen = next((one.value for one in prospect.observations if one.key == key), None)
    if (why := adoption.observed_refusal(seen)) is not None:
        return why
    change = next((one for one in prospect.plan.changes if one.key == key), None)
    if change is not None:
        paths = ", ".join(difference.path for difference in change.differences) or change.verb
        return (
            f"the machine differs from its document: {paths}; correct the document; `groundstate plan {key}` "
            "shows the difference"
        )
    return None


def _edit(
    keys: list[ResourceKey], prospect: Prospect, refused: dict[ResourceKey, str], *, dry_run: bool
) -> tuple[tuple[FileEdit, ...], tuple[ResourceKey, ...]]:
    """Edit each file once, with all that it declares; what cannot be edited joins `refused`."""
    by_file: dict[str, list[ResourceKey]] = {}
    for key in keys:
        by_file.setdefault(prospect.desired.resources[key].source.file, []).append(key)
    edits: list[FileEdit] = []
    adopted: list[ResourceKey] = []
    for file, inside in by_file.items():
        try:
            edit, done = _edit_file(file, inside, prospect, refused, dry_run=dry_run)
        except OSError as error:
            refused |= dict.fromkeys(inside, f"{file} cannot be written: {error.strerror}")
            continue
        edits.append(edit)
        adopted += done
    return tuple(edits), tuple(adopted)


def _edit_file(
    file: str, keys: list[ResourceKey], prospect: Prospect, refused: dict[ResourceKey, str], *, dry_run: bool
) -> tuple[FileEdit, list[ResourceKey]]:
    from reconciler.desired.manifest.edit import CannotEdit, replace_file, set_value

    path = Path(prospect.desired.revision.repository) / file
    before = data = path.read_bytes()
    done = []
    for key in keys:
        line, change = prospect.desired.resources[key].source.line, _adoption(key)
        try:
            # The change keeps every line where it is.
            data = set_value(file, data, key, line, change.path, change.observed, change.managed)
            done.append(key)
        except CannotEdit as error:
            refused[key] = str(error)
    if data != before and not dry_run:
        replace_file(path, data)
    return FileEdit(file, before, data), done
