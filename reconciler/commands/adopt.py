"""`groundstate adopt`: take over machines that were only looked at, by an edit of their documents."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from drivers.base import SystemState
from reconciler.commands.options import filter_options, guard_options, guard_options_of, where_from, where_options
from reconciler.commands.plan import shown_plan
from reconciler.commands.workspace import EXIT_ERROR, exit_in_words, fail, on_terminal
from reconciler.kinds.machine.spec import Mode
from reconciler.model.resource import ResourceKey
from reconciler.operations.prospect import PlanRequest, Prospect
from reconciler.planning.selectors import filter_words

MODE = ("spec", "lifecycle", "mode")


@click.command("adopt", short_help="Take over machines that were only observed (lifecycle.mode Observe).")
@filter_options
@click.option("--dry-run", is_flag=True, help="Show the edits, and write nothing.")
@where_options
@guard_options
def adopt_command(targets: tuple[str, ...], selector: str, dry_run: bool, **values: Any) -> None:
    """Change `mode: Observe` to `mode: Managed` in the files of the work tree, and nothing else in them.

    Each machine is observed first. Its BMC must identify the machine, and nothing may differ from the document. A
    machine that does not fit is shown with the reason, and the others are adopted. Commit the files to finish.

    Exit codes: 0 all are adopted, 1 at least one is not adopted.

    \b
    Examples:
      groundstate adopt r12-01 r12-02 --dry-run
      groundstate adopt -l rack=r12
    """
    if not targets and not selector:
        raise click.UsageError("name machines, such as r12-01, or select them with -l")
    asked, where = guard_options_of(values), where_from(values)
    if not Path(where.repo).is_dir():
        fail(f"{where.repo} is no folder; adopt edits files of a work tree")
    where = msgspec.structs.replace(where, work_tree=True)
    wanted = [one if "/" in one or one == "machines" else f"machine/{one}" for one in targets] or ["machines"]
    with exit_in_words():
        prospect = shown_plan(where, asked, PlanRequest(tuple(wanted), selector))
    machines = sorted(key for key in prospect.keys if key.kind == "Machine")
    if not machines:
        fail(
            f"no machine is meant by {filter_words(targets, selector)}; `groundstate get machines` lists what there is"
        )
    whys = {key: why for key in machines if (why := in_the_way(key, prospect)) is not None}
    edited = _edit([key for key in machines if key not in whys], prospect, whys, dry_run=dry_run)
    for key, why in whys.items():
        click.echo(f"{key}: not adopted; {why}", err=True)
    if edited:
        done = "would be adopted" if dry_run else "adopted; commit the change to have them taken over"
        click.echo(f"{len(edited)} of {len(machines)} machines {done}", err=True)
    raise click.exceptions.Exit(EXIT_ERROR if whys else 0)


def in_the_way(key: ResourceKey, prospect: Prospect) -> str | None:
    """Why the machine must not be taken over as it is; None: nothing is."""
    resource = prospect.desired.resources.get(key)
    if resource is None:
        return "not declared"
    lifecycle = resource.spec.lifecycle
    if lifecycle is None:
        return "its document has no lifecycle; write lifecycle: {mode: Managed} into it yourself, if that is meant"
    if lifecycle.mode is not Mode.OBSERVE:
        return f"its mode is {lifecycle.mode} already"
    unknown = next((one for one in prospect.plan.unknown if one.key == key), None)
    if unknown is not None:
        return f"it cannot be read: {unknown.reason}: {unknown.message}"
    seen = next((one.value for one in prospect.observations if one.key == key), None)
    if not isinstance(seen, SystemState) or not (seen.uuid or seen.serial):
        return "its BMC says neither UUID nor serial number, so that the machine could not be told from another"
    change = next((one for one in prospect.plan.changes if one.key == key), None)
    if change is not None:
        paths = ", ".join(difference.path for difference in change.differences) or change.verb
        return f"it is not as declared: {paths}; correct the document, or see `groundstate plan {key}`"
    return None


def _edit(
    keys: list[ResourceKey], prospect: Prospect, whys: dict[ResourceKey, str], *, dry_run: bool
) -> list[ResourceKey]:
    """Edit each file once, with all of its machines; return the machines that are changed."""
    by_file: dict[str, list[ResourceKey]] = {}
    for key in keys:
        by_file.setdefault(prospect.desired.resources[key].source.file, []).append(key)
    edited: list[ResourceKey] = []
    for file, inside in by_file.items():
        try:
            edited += _edit_file(file, inside, prospect, whys, dry_run=dry_run)
        except OSError as error:
            whys |= dict.fromkeys(inside, f"{file} cannot be written: {error.strerror}")
    return edited


def _edit_file(
    file: str,
    keys: list[ResourceKey],
    prospect: Prospect,
    whys: dict[ResourceKey, str],
    *,
    dry_run: bool,
) -> list[ResourceKey]:
    from reconciler.desired.manifest.edit import CannotEdit, replace_file, set_value

    path = Path(prospect.desired.revision.repository) / file
    before = data = path.read_bytes()
    done = []
    for key in keys:
        line = prospect.desired.resources[key].source.line
        try:
            # The change keeps every line where it is.
            data = set_value(file, data, key, line, MODE, str(Mode.OBSERVE), str(Mode.MANAGED))
            done.append(key)
        except CannotEdit as error:
            whys[key] = str(error)
    if dry_run:
        _show(file, before, data)
    elif data != before:
        replace_file(path, data)
    return done


def _show(file: str, before: bytes, after: bytes) -> None:
    old, new = (data.decode().splitlines(keepends=True) for data in (before, after))
    for line in difflib.unified_diff(old, new, f"a/{file}", f"b/{file}"):
        colour = {"+": "green", "-": "red"}.get(line[0]) if on_terminal(sys.stdout) else None
        click.secho(line.rstrip("\r\n"), fg=colour, color=on_terminal(sys.stdout))
