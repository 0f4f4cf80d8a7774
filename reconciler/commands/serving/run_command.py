"""`groundstate run`: the daemon."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click

from reconciler import runtime
from reconciler.commands.onboarding.proposal_options import propose_from, propose_options
from reconciler.commands.options import (
    guard_options,
    guard_options_of,
    new_store_option,
    option,
    where_and_ipam_options,
    where_from,
)
from reconciler.commands.serving.boot_service import boot_from, boot_options
from reconciler.commands.serving.console_options import console_from, console_options
from reconciler.commands.terminal import exit_in_words, on_terminal, relax_garbage_collection
from reconciler.daemon.shutdown import LEAVE_SECONDS, Deadline, Stacks, stopped_by_signals
from reconciler.operations.serving.run_daemon import RunSettings, run_daemon
from reconciler.services.log import default_json, logger
from reconciler.store.rows.retention import EVENTS_KEPT


@click.command("run", short_help="Run the daemon: keep the fleet matching git.")
@where_and_ipam_options
@new_store_option
@guard_options
@option("--interval", default=30.0, type=click.FloatRange(1), help="Seconds between fetches of a remote repository.")
@option(
    "--resync", default=60.0, type=click.FloatRange(1), help=("Seconds between two observations of the same machine.")
)
@option(
    "--concurrency",
    default=64,
    type=click.IntRange(2, 1024),
    help=("Maximum number of BMCs that groundstate works on at the same time."),
)
@option(
    "--keep-events",
    default=EVENTS_KEPT.days,
    type=click.IntRange(30),
    metavar="DAYS",
    help="Days for which the ledger is kept.",
)
@option("--listen", default="127.0.0.1:9808", metavar="HOST:PORT", help="Address of /healthz, /readyz and /metrics.")
@option(
    "--hook",
    "hooks",
    multiple=True,
    metavar="NAME=SECRET",
    help="Read the repository when a git server calls /hooks/NAME; SECRET is env:VARIABLE or file:PATH. Repeatable.",
)
@option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    help="The format of the log; auto: text on a terminal, else JSON.",
)
@option(
    "--lease",
    default=RunSettings().lease,
    type=click.FloatRange(3, 300),
    metavar="SECONDS",
    help="PostgreSQL only: after how long another daemon on the same store takes over from one that hangs.",
)
@option(
    "--partitions",
    metavar="NAME[,NAME]",
    callback=lambda _context, _parameter, value: tuple(filter(None, map(str.strip, (value or "").split(",")))),
    help="PostgreSQL only: attend to the machines and switches of these partitions alone, for another daemon that "
    "decides. For a remote site.",
)
@option(
    "--share-above",
    default=RunSettings().share_above,
    type=click.IntRange(0),
    metavar="N",
    help="PostgreSQL only: with more machines and switches, the daemons that stand by attend to a part of them.",
)
@option("--observe", is_flag=True, help="Only observe and report drift; send nothing to any BMC or IPAM.")
@propose_options
@boot_options
@console_options
def run_command(
    interval: float,
    resync: float,
    concurrency: int,
    keep_events: int,
    listen: str,
    hooks: tuple[str, ...],
    log_format: str,
    lease: float,
    partitions: tuple[str, ...],
    share_above: int,
    observe: bool,
    **values: Any,
) -> None:
    """Follow the repository, and keep the fleet as the repository declares it, until SIGTERM or Ctrl-C.

    A broken commit changes nothing: the last valid revision stays in force. The log and the metrics show the error.

    \b
    Examples:
      groundstate run --repo https://git.example/fleet.git --store postgresql:///groundstate
      groundstate run --work-tree          take up edits as files are saved
      groundstate run --boot-address 10.77.0.1 --boot-image /srv/groundstate/agent
      groundstate run --console-listen 0.0.0.0:2022   serve the machines' consoles over SSH
      groundstate run --hook github=file:/etc/groundstate/github.secret   read git after each push
      groundstate run --observe            report drift, and send nothing
      groundstate run --partitions fra2 --store postgresql://...   reach the BMCs of a site, from there
      groundstate run --propose-branch found   propose machines that are found, for a pull request
    """
    settings = RunSettings(
        interval,
        resync,
        concurrency,
        listen,
        timedelta(days=keep_events),
        boot_from(values),
        propose_from(values),
        observe,
        console_from(values),
        lease,
        partitions,
        share_above,
        hooks,
    )
    asked, where = guard_options_of(values), where_from(values)
    as_json = default_json() if log_format == "auto" else log_format == "json"
    log = logger(sys.stderr, json=as_json, color=on_terminal(sys.stderr))
    stop = runtime.flag()
    deadline = Deadline(stop, lambda threads: _not_stopped(log, threads))
    relax_garbage_collection()
    with exit_in_words():
        run_daemon(where, asked, settings, log, stop, _stoppable(log, stop, deadline))
    deadline.closed()


@contextmanager
def _stoppable(log: Any, stop: runtime.Flag, deadline: Deadline) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop it, in time."""
    with stopped_by_signals(stop, lambda: log.info("Stopping")):
        deadline.start()
        yield


def _not_stopped(log: Any, threads: Stacks) -> None:
    log.error(
        "NotStopped",
        message=f"{len(threads)} threads still run {LEAVE_SECONDS:.0f} s after the request to stop; the daemon ends "
        "now. The store has a record of each sent action, and the next start first observes the effect of "
        "these actions. Please report this, with the positions of the threads",
        threads=threads,
    )
