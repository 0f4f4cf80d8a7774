"""`groundstate apply`: shows the plan, asks, and walks the fleet there, one action at a time on each BMC."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import click

from drivers.base import clean
from reconciler import runtime
from reconciler.commands.completion import complete_target
from reconciler.commands.live_progress import Board
from reconciler.commands.options import (
    guard_options,
    guard_options_of,
    new_store_option,
    option,
    selector_option,
    where_and_ipam_options,
    where_from,
)
from reconciler.commands.plan_command import fleet_bar, rendered
from reconciler.commands.terminal import exit_in_words, fail, fitting, on_terminal, relax_garbage_collection, say_notes
from reconciler.daemon.shutdown import Deadline, Stacks, stopped_by_signals
from reconciler.model.plans.plan import Plan
from reconciler.operations.apply_desired import apply_desired
from reconciler.operations.apply_plan import ApplyResult, ApplySettings, Ending, Prepared
from reconciler.operations.prospect import ObservedSoFar, PlanRequest
from reconciler.operations.workspace import Workspace
from reconciler.views.progress import Progress, ProgressRow, ProgressStage
from reconciler.views.render.plans import plan_from_json
from reconciler.views.render.plans.text import summary_line

_NEW_OBJECTS = 10_000
"""Before the youngest objects are checked for garbage. Most end before that, which is 5 % of the CPU of a large run."""
_EXIT_CODES = {Ending.AS_DECLARED: 0, Ending.HELD: 3, Ending.UNDONE: 1}


@click.command("apply", short_help="Apply the plan: make the fleet match git.")
@click.argument("plan_or_targets", nargs=-1, metavar="[PLANFILE | KIND[/NAME]...]", shell_complete=complete_target)
@selector_option()
@where_and_ipam_options
@new_store_option
@guard_options
@option("--fail-on-unknown", is_flag=True, help="Send nothing and exit with 1 if a resource could not be read.")
@option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option("--quiet", "-q", is_flag=True, help="Print the summary of the plan, and not each change.")
@option(
    "--concurrency",
    default=128,
    type=click.IntRange(1, 1024),
    help=("Maximum number of BMCs that groundstate works on at the same time."),
)
@option(
    "--keep-events",
    default=None,
    type=click.IntRange(30),
    metavar="DAYS",
    help="Days for which the ledger is kept. The default is the value that the daemon used last, or 400.",
)
@option(
    "--timeout",
    default=1800.0,
    type=click.FloatRange(1),
    help=("End the run after this number of seconds, even if it is not finished."),
)
def apply_command(
    plan_or_targets: tuple[str, ...],
    selector: str,
    fail_on_unknown: bool,
    yes: bool,
    quiet: bool,
    concurrency: int,
    keep_events: int | None,
    timeout: float,
    **values: Any,
) -> None:
    """Show the plan, ask, and apply it. With PLANFILE, apply a saved plan.

    A change that differs from the saved plan is not sent.

    Exit codes: 0 everything is as declared, 3 a guard holds something, 1 something is not done or could not be read.
    The summary says what.

    \b
    Examples:
      groundstate apply
      groundstate apply machine/r12-01
      groundstate plan --out p.json && groundstate apply p.json
      groundstate apply --yes --quiet
      groundstate apply --yes --max-disrupted 25%
    """
    asked, where = guard_options_of(values), where_from(values)
    request = PlanRequest(plan_or_targets, selector, concurrency=concurrency)
    settings = ApplySettings(concurrency, keep_events)
    dialogue = _Dialogue(quiet=quiet, fail_on_unknown=fail_on_unknown, asks=not yes, timeout=timeout)
    with exit_in_words(), Workspace(where) as at:
        if (saved := _saved(plan_or_targets)) is not None:
            request = PlanRequest(concurrency=concurrency)
        applied = apply_desired(at, asked, request, settings, dialogue, saved)
        if applied.result is not None:
            _summarize(applied.result)
        elif not applied.prepared.is_as_declared:
            click.echo("Nothing was sent.")
        raise click.exceptions.Exit(_EXIT_CODES[applied.ending])


class _Dialogue:
    """The terminal of an apply (`ApplyDialogue`)."""

    def __init__(self, *, quiet: bool, fail_on_unknown: bool, asks: bool, timeout: float) -> None:
        self._quiet, self._fail_on_unknown, self._asks, self._timeout = quiet, fail_on_unknown, asks, timeout

    def observing(self) -> AbstractContextManager[ObservedSoFar]:
        """A bar."""
        return fleet_bar()

    def show(self, prepared: Prepared) -> None:
        """The plan, and what is stale in it."""
        say_notes(prepared.prospect.notes)
        planned = prepared.prospect.plan
        text = summary_line(planned) if self._quiet else rendered(planned, "text")
        click.echo(fitting(text, sys.stdout), color=on_terminal(sys.stdout))
        for key in prepared.stale:
            click.echo(
                f"stale: the change of {key} differs now from the saved plan, so this change was left out. Run "
                "`groundstate plan` again.",
                err=True,
            )
        if self._fail_on_unknown and planned.unknown:
            fail(f"{len(planned.unknown)} resources could not be read (--fail-on-unknown); nothing was sent")

    def confirm(self) -> bool:
        """Leaves if the person says no."""
        if self._asks:
            _confirm()
        return True

    def waiting(self, why: str) -> None:
        """Said at once: nothing moves for some seconds."""
        say_notes([why])

    @contextmanager
    def working(self, progress: Progress, stop: runtime.Flag) -> Iterator[Callable[[ProgressRow], None]]:
        """The rows, until the end, Ctrl-C or the timeout."""
        relax_garbage_collection(_NEW_OBJECTS)
        board = Board(progress, sys.stderr)
        with _interruptible(stop, self._timeout), board:
            yield board.show


def _saved(arguments: tuple[str, ...]) -> Plan | None:
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        if missing := next((name for name in arguments if name.endswith(".json")), None):
            fail(f"{missing}: no such plan file; `groundstate plan --out {missing}` writes one")
        return None
    try:
        return plan_from_json(Path(arguments[0]).read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{arguments[0]}: this plan cannot be applied: {error}")


def _confirm() -> None:
    if not sys.stdin.isatty():
        fail("cannot ask for confirmation: stdin is not a terminal; pass --yes")
    if not click.confirm("Apply these changes?", default=False, err=True):
        click.echo("Nothing was done.", err=True)
        raise click.exceptions.Exit(1)


@contextmanager
def _interruptible(stop: runtime.Flag, timeout: float) -> Iterator[None]:
    """Ctrl-C, or the timeout, ends the run after the requests that are on their way; a second Ctrl-C at once."""
    asked = runtime.flag()
    deadline = Deadline(asked, _not_stopped)
    times, signals = itertools.count(1), itertools.count(1)

    def end() -> None:
        asked.set()
        stop.set()

    def say_stopping() -> None:
        end()
        if next(times) == 1:
            click.echo(
                (
                    "\nstopping: the store has a record of each sent action, and the next run first observes the "
                    "effect of these actions"
                ),
                err=True,
            )

    def interrupt(_signal: int, _frame: object) -> None:
        if next(signals) > 1:
            raise KeyboardInterrupt

    timer = runtime.timer(timeout, end)
    deadline.start()
    try:
        with stopped_by_signals(asked, say_stopping, interrupt):
            yield
    finally:
        timer.cancel()
        deadline.cancel()


def _not_stopped(threads: Stacks) -> None:
    click.echo(
        "error: the run did not stop in time and ends now; sent actions stay on record, and the next run "
        "observes them first. If you report this, include the following positions of the threads:",
        err=True,
    )
    for name, stack in threads.items():
        click.echo(clean(f"  {name}: {' < '.join(reversed(stack))}"), err=True)


def _summarize(applied: ApplyResult) -> None:
    for row in [*applied.undone, *(row for row in applied.rows if row.stage is ProgressStage.PAUSED)]:
        click.echo(clean(f"{_word(row)}: {row.key}: {row.text or 'not begun'}"))
    for item in applied.unknown:
        click.echo(clean(f"unknown: {item.key}: {item.message}"))
    parts = [f"{applied.count(ProgressStage.DONE)} of {len(applied.rows)} as declared"]
    parts += [
        f"{applied.count(stage)} {stage}"
        for stage in (ProgressStage.PAUSED, ProgressStage.HELD, ProgressStage.FAILED)
        if applied.count(stage)
    ]
    if applied.unfinished:
        parts.append(f"{applied.unfinished} not finished, {applied.in_flight} of them in flight")
    if applied.unknown:
        parts.append(f"{len(applied.unknown)} unknown")
    click.echo(f"Applied: {', '.join(parts)}.")


def _word(row: ProgressRow) -> str:
    return {ProgressStage.QUEUED: "not begun", ProgressStage.WORKING: "not finished"}.get(row.stage, str(row.stage))
