"""`groundstate plan`: what would be done, and what not and why. Sends nothing, and writes nothing but the plan file."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from reconciler.commands.options import (
    filter_options,
    guard_options,
    guard_options_of,
    option,
    output_option,
    where_and_ipam_options,
    where_from,
)
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, fitting, on_terminal, say_notes
from reconciler.model.plans.plan import Plan
from reconciler.operations.prospect import ObservedSoFar, PlanRequest, Prospect, plan_fleet, save_plan
from reconciler.operations.where import Where
from reconciler.planning.guards.standing import CommandLimits
from reconciler.views.render.plans import render_json, render_markdown, render_text, render_yaml

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_OF_PLAN = {"selector", "refresh", "concurrency", "full", "out", "output", "fail_on_unknown"}
"""Options that say how a plan is made and shown, and not what is to be done."""


@click.command("plan", short_help="Show what apply would do.")
@filter_options
@where_and_ipam_options
@guard_options
@option(
    "--refresh/--no-refresh",
    default=True,
    help="Observe the BMCs first, or plan from the stored observations.",
)
@option(
    "--concurrency",
    default=64,
    type=click.IntRange(1, 1024),
    help=("Maximum number of BMCs that groundstate observes at the same time."),
)
@option("--full", is_flag=True, help="Show one entry for each resource, without groups.")
@option("--fail-on-unknown", is_flag=True, help="Exit with 1 if a resource could not be read.")
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
    request = PlanRequest(targets, selector, refresh, concurrency)
    with exit_in_words():
        prospect = shown_plan(where, asked, request)
        if out is not None:
            save_plan(prospect.plan, out)
    command = _apply_command(targets, selector, out)
    beside = prospect.next_step if output == "text" else None
    text = rendered(prospect.plan, output, full=full, next_command=beside or command)
    click.echo(fitting(text, sys.stdout) if output == "text" else text, color=on_terminal(sys.stdout))
    unread = fail_on_unknown and bool(prospect.plan.unknown)
    raise click.exceptions.Exit(EXIT_ERROR if unread else prospect.plan.exit_code)


def shown_plan(where: Where, asked: CommandLimits, request: PlanRequest) -> Prospect:
    """The plan; its making, and what is to be noted of it, are shown on stderr."""
    with fleet_bar() as observed:
        prospect = plan_fleet(where, asked, request, observed)
    say_notes(prospect.notes)
    return prospect


@contextmanager
def fleet_bar(label: str = "Observing the fleet") -> Iterator[ObservedSoFar]:
    """A progress bar on a terminal, from the first resource until the last one is observed."""
    with ExitStack() as ends:
        bars: list[ProgressBar[int]] = []

        def observed(number: int, total: int) -> None:
            if number:
                for bar in bars:
                    bar.update(1)
            elif on_terminal(sys.stderr) and total > 1:
                made = click.progressbar(length=total, label=label, file=sys.stderr)
                bars.append(ends.enter_context(made))

        yield observed


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
    """The options of this command line that apply must be given too. apply reads the environment and the settings file
    too, so these are left out; a URL with a login in it is not repeated."""
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        reported = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not reported or name in _OF_PLAN or not isinstance(param, click.Option):
            continue
        value = str(context.params[name])
        if param.is_flag:
            yield param.opts[0]
        elif not ("://" in value and "@" in value):
            yield from (param.opts[0], value)
