"""`groundstate apply`: shows the plan, asks, and walks the fleet there, one action at a time on each BMC."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from drivers.base import clean
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.commands.completion import complete_target
from reconciler.commands.live_progress import Board
from reconciler.commands.options import guard_options, guard_options_of, option, where_from, where_options
from reconciler.commands.plan import Prospect, compute_plan, rendered
from reconciler.commands.workspace import (
    RANDOM,
    change_store,
    connections,
    exit_in_words,
    facts_of,
    fail,
    live_long,
    now,
    on_terminal,
    open_desired_source,
    operator,
)
from reconciler.daemon.label_refresh import are_current, label
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.shutdown import Deadline, Stacks, stopped_by_signals
from reconciler.model.action import Action, Claim, Unclaim
from reconciler.model.event import Event
from reconciler.model.outcome import Outcome, OutcomeReason
from reconciler.model.plan import Change, HoldKind, Plan
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import waiting
from reconciler.operations.where import Where
from reconciler.planning.planner import still_wanted
from reconciler.planning.policy import CommandLimits
from reconciler.store.store_errors import InstanceHeld, NoStore, StoreError
from reconciler.views.progress import Progress, ProgressRow, ProgressStage
from reconciler.views.render import plan_from_json
from reconciler.workqueue.loop import COMMIT, Loop
from reconciler.workqueue.queue import WorkQueue


@click.command("apply", short_help="Make the fleet as declared.")
@click.argument("plan_or_targets", nargs=-1, metavar="[PLANFILE | KIND[/NAME]...]", shell_complete=complete_target)
@option("--selector", "-l", default="", metavar="LABELS", help="Only those with these labels.")
@where_options
@guard_options
@option("--fail-on-unknown", is_flag=True, help="Send nothing when anything could not be read; leave with 1.")
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@option("--concurrency", default=64, type=click.IntRange(1, 1024), help="How many BMCs are worked on side by side.")
@option(
    "--keep-events",
    default=None,
    type=click.IntRange(30),
    metavar="DAYS",
    help="How long the ledger is kept: as the daemon was told last, else 400.",
)
@option("--timeout", default=1800.0, type=click.FloatRange(1), help="Seconds after which the run ends, done or not.")
def apply_command(
    plan_or_targets: tuple[str, ...],
    selector: str,
    fail_on_unknown: bool,
    yes: bool,
    concurrency: int,
    keep_events: int | None,
    timeout: float,
    **values: Any,
) -> None:
    """Show the plan, ask, and carry it out; or carry out a saved plan as far as it is not stale.

    Exit codes: 0 all is as declared, 3 something is held by a guard, 1 something is not done, or could not be read
    (the summary says what).

    \b
    Examples:
      groundstate apply
      groundstate apply machine/r12-01
      groundstate plan --out p.json && groundstate apply p.json
      groundstate apply --yes --max-disrupted 25%
    """
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words():
        _be_alone(where)
        saved = _saved(plan_or_targets)
        if saved is not None:
            prospect, stale = _compare(saved, where, asked, concurrency)
        else:
            prospect, stale = compute_plan(where, asked, plan_or_targets, selector, concurrency=concurrency), []
        click.echo(rendered(prospect.plan, "text"), color=on_terminal(sys.stdout))
        for key in stale:
            click.echo(
                f"stale: {key} is not as it was when the plan was saved; it is left alone. Plan again.", err=True
            )
        if fail_on_unknown and prospect.plan.unknown:
            fail(f"{len(prospect.plan.unknown)} resources could not be read (--fail-on-unknown); nothing was sent")
        chosen = [change for change in prospect.plan.changes if change.key not in stale]
        if not any(change.goes or _waits(change) for change in chosen):
            if not (prospect.plan.changes or stale):
                _remember(where, asked, prospect)
            else:
                click.echo("Nothing was sent.")
            raise click.exceptions.Exit(_nothing_to_do(prospect.plan, stale))
        if not yes:
            _confirm()
        code = _carry_out(where, asked, prospect, chosen, concurrency, timeout, keep_events)
        raise click.exceptions.Exit(1 if stale else code)


def _be_alone(where: Where) -> None:
    """Raises InstanceHeld while another process is at work on the store: before a plan is shown and a person asked."""
    try:
        store = change_store(where)
    except NoStore:
        return
    try:
        with store.instance("apply"):
            pass
    finally:
        store.close()


def _saved(arguments: tuple[str, ...]) -> Plan | None:
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        if missing := next((name for name in arguments if name.endswith(".json")), None):
            fail(f"{missing}: there is no such plan file; `groundstate plan --out {missing}` writes one")
        return None
    try:
        return plan_from_json(Path(arguments[0]).read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{arguments[0]}: not a plan that can be applied: {error}")


def _compare(saved: Plan, where: Where, asked: CommandLimits, concurrency: int) -> tuple[Prospect, list[ResourceKey]]:
    """Plan anew what the saved plan changes, as git has it now; name those whose change is not the same any more."""
    if saved.revision.commit is not None:
        if where.ref == "HEAD":
            where = msgspec.structs.replace(where, ref=saved.revision.ref)
        open_desired_source(where).snapshot(
            saved.revision.commit.sha
        )  # a plan of another repository ends here, in words
    approved = {change.key: change for change in saved.changes}
    prospect = compute_plan(where, asked, concurrency=concurrency, only=approved)
    fresh = {change.key: change for change in prospect.plan.changes if change.key in approved}
    unknown = {item.key for item in prospect.plan.unknown}
    observed = {one.key: one for one in prospect.observations}
    stale = [
        key
        for key, change in approved.items()
        if key in unknown
        or (key in fresh and change.fingerprint != fresh[key].fingerprint)
        or not still_wanted(change, prospect.desired, observed)
        or _goes_elsewhere(key, saved, prospect.plan)
    ]
    narrowed = msgspec.structs.replace(prospect.plan, changes=tuple(fresh.values()))
    return msgspec.structs.replace(prospect, plan=narrowed), stale


def _goes_elsewhere(key: ResourceKey, saved: Plan, planned: Plan) -> bool:
    """Whether the machine would be reached by a way that the saved plan did not show."""
    shown, now_asked = ({one.key: one.after for one in each.access}.get(key) for each in (saved, planned))
    return now_asked is not None and now_asked != shown


def _waits(change: Change) -> bool:
    return change.held(HoldKind.BLOCKED) or change.held(HoldKind.IN_FLIGHT)


def _only_held(change: Change) -> bool:
    """Whether there is not even something to look after."""
    return change.held(HoldKind.GUARD) and not change.held(HoldKind.IN_FLIGHT)


def _nothing_to_do(planned: Plan, stale: list[ResourceKey]) -> int:
    if stale or planned.unknown:
        return 1
    # What was shown of access is in force by now.
    return {0: 0, 3: 3}.get(msgspec.structs.replace(planned, access=()).exit_code, 1)


def _remember(where: Where, asked: CommandLimits, prospect: Prospect) -> None:
    """The state is in force from now on, though nothing was to be done: what changes later is drift."""
    store = change_store(where, create=True)
    try:
        with suppress(InstanceHeld), store.instance("apply") as epoch, connections(store, where) as ways:
            judge = PolicyState(store, asked, now).policy
            context = Context(now=now, random=RANDOM.random, by=operator("apply"), epoch=epoch, policy=judge)
            engine = Engine(store, ways, facts_of(store), context)
            engine.adopt(prospect.desired)
            if not are_current(store, prospect.desired):
                label(store, engine, prospect.desired)
            engine.absorb(prospect.observations)
    finally:
        store.close()


def _confirm() -> None:
    if not sys.stdin.isatty():
        fail("cannot ask for confirmation, as stdin is no terminal; pass --yes")
    if not click.confirm("Apply these changes?", default=False, err=True):
        click.echo("Nothing was done.", err=True)
        raise click.exceptions.Exit(1)


def _carry_out(
    where: Where,
    asked: CommandLimits,
    prospect: Prospect,
    changes: list[Change],
    concurrency: int,
    timeout: float,
    keep_events: int | None,
) -> int:
    live_long()
    store = change_store(where, create=True)
    progress = Progress([change.key for change in changes])
    lock, stop = threading.Lock(), threading.Event()
    board = Board(progress, sys.stderr)
    # What was shown as held stays so: room that comes meanwhile would let others through than those that were shown.
    approved = {change.key: change for change in changes if not change.held(HoldKind.GUARD)}
    for change in (change for change in changes if _only_held(change)):
        progress.outcome(
            change.key, waiting(OutcomeReason.HELD, "; ".join(f"{h.by}: {h.reason}" for h in change.held_by))
        )
    commits = {c.key: c.cause.commit for c in changes if c.cause.commit}

    def tell(event: Event) -> None:
        with lock:
            board.show(progress.on_event(event))

    def gives_up(key: ResourceKey, outcome: Outcome) -> bool:
        with lock:
            through = progress.outcome(key, outcome)
            if through:
                board.show(progress.rows[key])
            if not progress.open:
                stop.set()
            return through

    try:
        with store.instance("apply") as epoch, connections(store, where) as ways, _interruptible(stop, timeout):
            standing = PolicyState(store, asked, now)
            standing.refresh()
            threading.Thread(target=_watch, args=(standing, stop), name="standing", daemon=True).start()
            context = Context(
                now=now,
                random=RANDOM.random,
                by=operator("apply"),
                epoch=epoch,
                policy=standing.policy,
                commit_of=commits.get,
                report=tell,
                approves=lambda change: progress.allows(change.key) and _approved(change, approved),
                follows=lambda key: progress.is_open(key) and key in approved,
                moved=lambda keys: loop.put([key for key in keys if progress.is_open(key)], COMMIT),
            )
            engine = Engine(store, ways, facts_of(store), context)
            engine.adopt(prospect.desired)
            if not are_current(store, prospect.desired):
                label(store, engine, prospect.desired)
            engine.absorb(prospect.observations)
            loop = Loop(
                WorkQueue(),
                engine.reconcile,
                now,
                RANDOM.random,
                resync=None,
                gives_up=gives_up,
                everything=lambda: [row.key for row in progress.open],
            )
            loop.put([row.key for row in progress.open], COMMIT)
            if not progress.open:
                stop.set()
            with board:
                loop.run(stop, min(concurrency, max(2, len(changes) + 1)))
            # What was seen can be looked at again, old events can go next time; the summary cannot be had again.
            with suppress(StoreError):
                engine.flush()
                kept = timedelta(days=keep_events) if keep_events is not None else store.retention.kept()
                store.retention.trim_some(now() - kept)
            flying = engine.in_flight
    finally:
        store.close()
    return _summary(progress, prospect.plan, flying)


def _watch(standing: PolicyState, stop: threading.Event) -> None:
    with suppress(StoreError):  # The steps meet the same error, and say it.
        standing.watch(stop)


def _approved(change: Change, approved: dict[ResourceKey, Change]) -> bool:
    """Whether each action of the change was shown. How a machine is taken down or up may be chosen anew: force after
    an ignored shutdown is the document's own word. A claim gets, and gives back, the machines that were shown."""
    shown = approved.get(change.key)
    return shown is not None and all(any(_alike(action, other) for other in shown.actions) for action in change.actions)


def _alike(action: Action, other: Action) -> bool:
    if isinstance(action, Claim | Unclaim) and isinstance(other, Claim | Unclaim) and action.machines != other.machines:
        return False
    return type(action) is type(other) and action.path == other.path


@contextmanager
def _interruptible(stop: threading.Event, timeout: float) -> Iterator[None]:
    """Ctrl-C, or the timeout, ends the run after the requests that are on their way; a second Ctrl-C at once."""
    asked = threading.Event()
    deadline = Deadline(asked, _not_stopped)
    times, signals = itertools.count(1), itertools.count(1)

    def end() -> None:
        asked.set()
        stop.set()

    def told() -> None:
        end()
        if next(times) == 1:
            click.echo("\nstopping: what was sent stays on record and is looked at first next time", err=True)

    def interrupt(_signal: int, _frame: object) -> None:
        if next(signals) > 1:
            raise KeyboardInterrupt

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()
    deadline.start()
    try:
        with stopped_by_signals(asked, told, interrupt):
            yield
    finally:
        timer.cancel()
        deadline.cancel()


def _not_stopped(threads: Stacks) -> None:
    click.echo(
        "error: it did not stop in time, and leaves; what was sent stays on record. The threads stand at:", err=True
    )
    for name, stack in threads.items():
        click.echo(clean(f"  {name}: {' < '.join(reversed(stack))}"), err=True)


def _summary(progress: Progress, planned: Plan, flying: int) -> int:
    rows = list(progress.rows.values())
    undone = [row for row in rows if row.stage not in (ProgressStage.DONE, ProgressStage.PAUSED)]
    for row in [*undone, *(row for row in rows if row.stage is ProgressStage.PAUSED)]:
        click.echo(clean(f"{_word(row)}: {row.key}: {row.text or 'not begun'}"))
    for item in planned.unknown:
        click.echo(clean(f"unknown: {item.key}: {item.message}"))
    parts = [f"{progress.count(ProgressStage.DONE)} of {len(rows)} as declared"]
    parts += [
        f"{progress.count(stage)} {stage}"
        for stage in (ProgressStage.PAUSED, ProgressStage.HELD, ProgressStage.FAILED)
        if progress.count(stage)
    ]
    if progress.open:
        parts.append(f"{len(progress.open)} not finished, {flying} of them in flight")
    if planned.unknown:
        parts.append(f"{len(planned.unknown)} unknown")
    click.echo(f"Applied: {', '.join(parts)}.")
    if not undone and not planned.unknown:
        return 0
    only_held = all(row.stage is ProgressStage.HELD for row in undone) and not planned.unknown
    return 3 if only_held else 1


def _word(row: ProgressRow) -> str:
    return {ProgressStage.QUEUED: "not begun", ProgressStage.WORKING: "not finished"}.get(row.stage, str(row.stage))
