"""`groundstate simulate`: the daemon under seeds of incident, in virtual time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import click

from reconciler.commands.options import DurationType, output_option
from reconciler.commands.printing import dump, print_table
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, on_terminal
from reconciler.model.counting import count
from reconciler.operations.simulation.scenarios.incidents import INCIDENT_NAMES
from reconciler.operations.simulation.scenarios.planned_faults import read_faults
from reconciler.operations.simulation.seeds import SeedRequest, SeedResult, simulate_seeds
from reconciler.operations.simulation.verdict.seed_tally import SeedTally
from reconciler.views.render.words import clean


@click.command("simulate", short_help="Run the daemon on a simulated fleet in which things go wrong.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="The first seed.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="How many seeds.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="How many seeds are simulated at the same time. More than the host has processors does not help.",
)
@click.option(
    "--for",
    "for_",
    type=DurationType(timedelta(days=7)),
    default="1h",
    show_default=True,
    help="The virtual time in which things go wrong.",
)
@click.option(
    "--machines",
    type=click.IntRange(4, 1000),
    default=12,
    show_default=True,
    metavar="N",
    help="The size of the fleet.",
)
@click.option(
    "--only",
    type=click.Choice(list(INCIDENT_NAMES)),
    multiple=True,
    help="Only this incident, in place of the ones that the seed picks. Can be given several times.",
)
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The incidents of this YAML file, in place of the ones that the seed picks.",
)
@click.option(
    "--summary", is_flag=True, help="Show only seeds in which a rule was broken, and what happened how often."
)
@click.option("--trace", is_flag=True, help="Also show the ledger of each run.")
@output_option("text", "json", "yaml", default="text")
def simulate_command(
    seed: int,
    seeds: int,
    jobs: int,
    for_: timedelta,
    machines: int,
    only: tuple[str, ...],
    faults_file: Path | None,
    summary: bool,
    trace: bool,
    output: str,
) -> None:
    """Run the daemon on a simulated fleet in which things go wrong, in virtual time.

    The daemon has a real git repository and a real SQLite store. The BMCs are simulated. A seed decides what goes
    wrong, and in which order the threads run: the same seed gives the same run. After the time of --for, nothing goes
    wrong any more, and the fleet must become as declared. Rules are checked all the time. For example, no action is
    sent twice, and no machine is powered off that is not declared off. Only a temporary folder is changed.

    Exit codes: 0 all rules held, 1 a rule was broken; the output names the rule and the seed. After Ctrl-C, the output
    says how to continue with the seeds that are left.

    \b
    Examples:
      groundstate simulate --seed 7
      groundstate simulate --seeds 200 --for 10m --jobs 4
      groundstate simulate --seed 1000 --seeds 5000 --machines 5 --for 5m --summary
      groundstate simulate --seed 7 --only killed --only reply-lost --trace
      groundstate simulate --faults faults.yaml
      groundstate simulate --seeds 5 -o json
    """
    if only and faults_file is not None:
        raise click.UsageError("--only and --faults cannot be used together")
    incidents = tuple(INCIDENT_NAMES[one] for one in only)
    tally, forms = SeedTally(), list[dict[str, object]]()
    interrupted = False
    with exit_in_words():
        faults = read_faults(faults_file) if faults_file is not None else ()
        requests = [
            SeedRequest(number, machines, for_.total_seconds(), incidents, faults)
            for number in range(seed, seed + seeds)
        ]
        try:
            with _seed_bar(seeds) as passed:
                for result in simulate_seeds(requests, jobs):
                    tally.add(result.seed, result.sometimes, is_broken=bool(result.violations))
                    passed()
                    if output != "text":
                        forms.append(_form(result, trace=trace))
                    elif result.violations or not summary:
                        _show(result, trace=trace)
        except KeyboardInterrupt:
            interrupted = True
    if output != "text":
        click.echo(dump(forms, output))
    elif seeds > 1 and tally.seeds:
        _sum_up(tally)
    if interrupted:
        left = f"--seed {seed + tally.seeds} --seeds {seeds - tally.seeds}"
        click.echo(f"Interrupted. To proceed: groundstate simulate {left}, and the other options as before.", err=True)
        raise click.Abort
    if tally.broken:
        raise click.exceptions.Exit(EXIT_ERROR)


@contextmanager
def _seed_bar(seeds: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal, if there are several seeds. What is yielded is to be called after each seed."""
    if seeds == 1 or not on_terminal(sys.stderr):
        yield lambda: None
        return
    with click.progressbar(length=seeds, label="Simulating", file=sys.stderr, show_pos=True) as bar:
        yield lambda: bar.update(1)


def _show(result: SeedResult, *, trace: bool) -> None:
    broken = count(len(result.violations), "broken rule") if result.violations else "all rules held"
    hours, writes = f"{result.seconds / 3600:.1f} h of virtual time", f"{count(result.writes, 'write')} to BMCs"
    click.echo(f"seed {result.seed}: {broken}; {hours}, {writes}; trace {result.trace[:12]}")
    click.echo(f"  incidents: {'; '.join(result.incidents)}")
    for one in result.violations:
        click.echo(clean(f"  {one.oracle}: {one.message}"))
    for event in result.events if trace else ():
        click.echo(clean(f"  {event.at:%Y-%m-%d %H:%M:%SZ} {event.reason} {event.key or '-'} {event.message}"))


def _sum_up(tally: SeedTally) -> None:
    failed = ", ".join(map(str, tally.broken))
    words = f"rules were broken in the seeds {failed}" if failed else "all rules held in all seeds"
    rows = [[str(row.times), str(row.seeds), str(row.first), row.what] for row in tally.rows()]
    if rows:
        print_table(["TIMES", "SEEDS", "FIRST", "WHAT HAPPENED"], rows, narrow=False)
    if missing := tally.never():
        click.echo(f"never happened: {'; '.join(missing)}")
    click.echo(f"{count(tally.seeds, 'seed')}: {words}")


def _form(result: SeedResult, *, trace: bool) -> dict[str, object]:
    events = {"events": result.events} if trace else {}
    return {
        "seed": result.seed,
        "seconds": result.seconds,
        "trace": result.trace,
        "incidents": [one.name for one in result.incidents],
        "writes": result.writes,
        "violations": result.violations,
        "sometimes": {one.name: times for one, times in result.sometimes.items()},
        **events,
    }
