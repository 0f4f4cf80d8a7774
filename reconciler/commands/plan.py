"""`groundstate plan`: what would be done, and what not and why. Sends nothing, and writes nothing but the plan file."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from reconciler.commands.options import (
    filter_options,
    guard_options,
    guard_options_of,
    option,
    output_option,
    where_from,
    where_options,
)
from reconciler.commands.workspace import (
    EXIT_ERROR,
    connections,
    derived_labels,
    exit_in_words,
    exit_with_diagnostics,
    facts_in_force,
    facts_under,
    fail,
    noting_uncommitted,
    now,
    observed_types,
    on_terminal,
    open_desired_source,
    open_store,
    policy_of,
    read_all_or_exit,
)
from reconciler.daemon.ancestry import LAST_GOOD, LAST_REF
from reconciler.desired.git.source import DesiredSource
from reconciler.kinds import RECONCILED
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.plan import CauseKind, Plan
from reconciler.model.resource import DesiredState, ResourceKey, Revision
from reconciler.observed.connections import Connections
from reconciler.onboarding.inventory_comparison import on_sizes
from reconciler.operations.where import Where
from reconciler.planning.access_changes import access_changes
from reconciler.planning.admission import admit
from reconciler.planning.planner import plan, universe, with_commits
from reconciler.planning.policy import CommandLimits, Policy
from reconciler.planning.selectors import filter_words, select
from reconciler.views.render import render_json, render_markdown, render_text, render_yaml

_OF_PLAN = {"selector", "refresh", "concurrency", "full", "out", "output", "fail_on_unknown"}
"""Options that say how a plan is made and shown, and not what is to be done."""


class Prospect(msgspec.Struct, frozen=True):
    """A plan, and all that it was made from."""

    plan: Plan
    desired: DesiredState
    observations: tuple[Observation, ...]
    keys: frozenset[ResourceKey]


@click.command("plan", short_help="Show what apply would do.")
@filter_options
@where_options
@guard_options
@option("--refresh/--no-refresh", default=True, help="Look at the BMCs, or plan from what was last seen of them.")
@option("--concurrency", default=64, type=click.IntRange(1, 1024), help="How many BMCs are looked at side by side.")
@option("--full", is_flag=True, help="One entry for each resource, nothing grouped.")
@option("--fail-on-unknown", is_flag=True, help="Leave with 1 when anything could not be read.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `groundstate apply`.")
@output_option("text", "json", "yaml", "markdown", default="text")
def plan_command(
    targets: tuple[str, ...],
    selector: str,
    refresh: bool,
    concurrency: int,
    full: bool,
    fail_on_unknown: bool,
    out: Path | None,
    output: str,
    **values: Any,
) -> None:
    """Compare the desired state in git with the fleet and show the difference.

    Exit codes: 0 nothing to do, 2 changes, 3 changes that a guard holds, 1 error, or nothing at all could be read.
    With --fail-on-unknown also 1 when anything could not be read.

    \b
    Examples:
      groundstate plan                          the newest commit against the fleet
      groundstate plan --ref my-branch          a branch, before it is merged
      groundstate plan machines -l rack=r12     part of the fleet
      groundstate plan -o markdown              for a pull request
      groundstate plan --out p.json && groundstate apply p.json
    """
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words():
        prospect = compute_plan(where, asked, targets, selector, refresh=refresh, concurrency=concurrency)
        if out is not None:
            save_plan(prospect.plan, out)
    command = _apply_command(targets, selector, out)
    click.echo(rendered(prospect.plan, output, full=full, next_command=command), color=on_terminal(sys.stdout))
    unread = fail_on_unknown and bool(prospect.plan.unknown)
    raise click.exceptions.Exit(EXIT_ERROR if unread else prospect.plan.exit_code)


def compute_plan(
    where: Where,
    asked: CommandLimits,
    targets: Iterable[str] = (),
    selector: str = "",
    *,
    refresh: bool = True,
    concurrency: int = 64,
    only: Iterable[ResourceKey] | None = None,
) -> Prospect:
    """Read git, look at the fleet and plan. Exits with words for what a person can mend."""
    source = open_desired_source(where)
    with noting_uncommitted(source, where):
        desired, warnings = read_all_or_exit(source)
    store = open_store(where)
    try:
        facts = facts_under(store, desired)
        exit_with_diagnostics(admit(desired, facts))
        access = access_changes(desired, facts.resources)
        facts = facts_in_force(desired, facts)
        everything = universe(desired, facts)
        chosen = set(everything)
        if targets or selector:
            chosen = select(targets, selector, desired, everything, lambda: derived_labels(store, desired))
        keys = [key for key in everything if key in chosen and key.kind in RECONCILED]
        filtered_by = filter_words(targets, selector)
        if only is not None:
            wanted, filtered_by = set(only), "a saved plan"
            keys = [key for key in keys if key in wanted]
        meant = set(keys)
        inventories = store.inventories.all(_sized(meant, desired))
        last = (store.get_meta(LAST_GOOD), store.get_meta(LAST_REF))
        judge, told = policy_of(store, asked)
        # All of the IPAM, whatever the filter: it is one look, and addresses wait for networks.
        looked = [key for key in everything if key.kind != "Machine" or (refresh and key in meant)]
        known = set(everything)
        remembered = {one.key: one for one in store.observations(observed_types()) if one.key in known}
        with connections(store, where) as open_connections:
            fresh = tuple(_observe(open_connections, looked, desired, facts, concurrency))
    finally:
        store.close()
    observed = remembered | {one.key: one for one in fresh}
    warnings = (
        *told,
        *not_descending(source, desired.revision, last),
        *warnings,
        *on_sizes(keys, desired, inventories),
    )
    planned = _plan(desired, observed, facts, judge, keys, filtered_by, warnings)
    planned = msgspec.structs.replace(planned, access=access)
    moved = [c.key for c in planned.changes if c.source and c.cause.kind is not CauseKind.DRIFT]
    commits = source.commits_for(desired, moved)
    if source.shallow() and (unknown := len(set(moved) - commits.keys())):
        planned = msgspec.structs.replace(planned, diagnostics=(*planned.diagnostics, _shallow(unknown)))
    return Prospect(
        with_commits(planned, commits),
        desired,
        tuple(observed.values()),
        frozenset(keys),
    )


def not_descending(
    source: DesiredSource, revision: Revision, in_force: tuple[str | None, str | None]
) -> tuple[Diagnostic, ...]:
    """A warning where the daemon will refuse the revision: it does not follow the one in force (by which ref found)."""
    last, ref = in_force
    if not last or last == revision.id or revision.commit is None or last.startswith("worktree:"):
        return ()
    mine = source.branch() if source.requested_ref == "HEAD" else source.requested_ref
    if (mine or "HEAD") != ref or source.descends(revision.id, last) is not False:
        return ()
    hint = f"if that is meant: groundstate rewind {revision.id[:10]} --reason WHY"
    said = f"{revision} is not a descendant of {last[:10]}, the revision in force, so the daemon refuses it"
    return (Diagnostic("not-descendant", Severity.WARNING, f"{said}; {hint}", None, "", hint),)


def _shallow(unknown: int) -> Diagnostic:
    documents = "1 document" if unknown == 1 else f"{unknown} documents"
    said = f"this clone is shallow and ends before the last change of {documents}, so no commit is named for it"
    hint = "git fetch --unshallow (in a CI checkout: fetch-depth: 0)"
    return Diagnostic("shallow-clone", Severity.WARNING, f"{said}; {hint}", None, "", hint)


def _sized(keys: Iterable[ResourceKey], desired: DesiredState) -> set[str]:
    """The machines of which the document says a size, which is held against what is in them."""
    machines = (desired.resources.get(key) for key in keys if key.kind == "Machine")
    return {one.key.name for one in machines if one is not None and one.spec.size is not None}


def _plan(
    desired: DesiredState,
    observed: dict[ResourceKey, Observation],
    facts: Facts,
    judge: Policy,
    keys: list[ResourceKey],
    filtered_by: str,
    warnings: tuple[Diagnostic, ...],
) -> Plan:
    return plan(
        desired,
        observed,
        facts,
        now(),
        judge,
        select=keys if filtered_by else None,
        selected_by=filtered_by,
        diagnostics=warnings,
    )


def _observe(
    open_connections: Connections, looked: list[ResourceKey], desired: DesiredState, facts: Facts, concurrency: int
) -> Iterable[Observation]:
    from reconciler.observed.poller import Poller

    seen = Poller(open_connections, now).observe_all(looked, desired, facts.resources, concurrency)
    if not on_terminal(sys.stderr) or len(looked) < 2:
        yield from seen
        return
    with click.progressbar(seen, length=len(looked), label="Looking at the fleet", file=sys.stderr) as bar:
        yield from bar


def rendered(planned: Plan, output: str, *, full: bool = False, next_command: str | None = None) -> str:
    """The plan in the format asked for."""
    match output:
        case "json":
            return render_json(planned)
        case "yaml":
            from reconciler.desired.manifest.manifests import dump_yaml

            return render_yaml(planned, dump_yaml).rstrip("\n")
        case "markdown":
            return render_markdown(planned, next_command=next_command or "groundstate apply")
        case _:
            width = shutil.get_terminal_size((100, 24)).columns
            color = on_terminal(sys.stdout)
            return render_text(planned, full=full, color=color, width=width, next_command=next_command)


def _apply_command(targets: Iterable[str], selector: str, saved: Path | None) -> str:
    """What carries out this very plan: what was meant, and what the command line said of where and of guards."""
    meant = [str(saved)] if saved else [*targets, *(["-l", selector] if selector else [])]
    return shlex.join(["groundstate", "apply", *meant, *_repeated_options()])


def _repeated_options() -> Iterator[str]:
    """The options of this command line that apply must be given too. What the environment and the settings file say it
    finds by itself; a URL with a login in it is not repeated."""
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        told = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not told or name in _OF_PLAN or not isinstance(param, click.Option):
            continue
        value = str(context.params[name])
        if param.is_flag:
            yield param.opts[0]
        elif not ("://" in value and "@" in value):
            yield from (param.opts[0], value)


def save_plan(planned: Plan, path: Path) -> None:
    """Write the plan file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.touch(mode=0o600)
        temporary.write_text(render_json(planned) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        fail(f"{path}: the plan cannot be saved: {error.strerror or error}")
