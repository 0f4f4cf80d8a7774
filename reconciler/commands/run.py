"""`groundstate run`: the daemon."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from typing import Any

import click
import msgspec

from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.commands.boot_service import boot_from, boot_options, serve_boot
from reconciler.commands.options import guard_options, guard_options_of, option, where_from, where_options
from reconciler.commands.proposal_options import proposal, propose_from, propose_options
from reconciler.commands.workspace import (
    change_store,
    connections,
    exit_in_words,
    facts_of,
    fail,
    live_long,
    on_terminal,
    open_desired_source,
    operator,
)
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.service import Daemon, DaemonSettings
from reconciler.daemon.shutdown import LEAVE_SECONDS, Deadline, Stacks, stopped_by_signals
from reconciler.operations.store_location import cache_dir
from reconciler.operations.where import Where
from reconciler.planning.standing import DaemonReport
from reconciler.runtime import now
from reconciler.services.http import HealthServer
from reconciler.services.log import default_json, logger
from reconciler.store.retention import EVENTS_KEPT
from reconciler.store.store_errors import StoreError


@click.command("run", short_help="Run the daemon: keep the fleet matching git.")
@where_options
@guard_options
@option("--interval", default=30.0, type=click.FloatRange(1), help="Seconds between fetches of a remote repository.")
@option(
    "--resync", default=60.0, type=click.FloatRange(1), help=("Seconds between two observations of the same machine.")
)
@option("--concurrency", default=64, type=click.IntRange(2, 1024), help="How many BMCs are handled in parallel.")
@option(
    "--keep-events",
    default=EVENTS_KEPT.days,
    type=click.IntRange(30),
    metavar="DAYS",
    help="How long the ledger is kept.",
)
@option("--listen", default="127.0.0.1:9808", metavar="HOST:PORT", help="Address of /healthz, /readyz and /metrics.")
@option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    help="auto: text on a terminal, else JSON.",
)
@propose_options
@boot_options
def run_command(
    interval: float, resync: float, concurrency: int, keep_events: int, listen: str, log_format: str, **values: Any
) -> None:
    """Follow the repository and keep the fleet as it declares, until SIGTERM or Ctrl-C.

    A broken commit changes nothing: the last sound one stays in force, and log and metrics show this.

    \b
    Examples:
      groundstate run --repo https://git.example/fleet.git --store postgresql:///groundstate
      groundstate run --work-tree          take up edits as files are saved
      groundstate run --boot-address 10.77.0.1 --boot-image /srv/groundstate/agent
      groundstate run --propose-branch found   propose machines that are found, for a pull request
    """
    boot, proposing = boot_from(values), propose_from(values)
    asked, where = guard_options_of(values), where_from(values)
    as_json = default_json() if log_format == "auto" else log_format == "json"
    log = logger(sys.stderr, json=as_json, color=on_terminal(sys.stderr))
    stop = runtime.flag()
    deadline = Deadline(stop, lambda threads: _not_stopped(log, threads))
    live_long()
    with exit_in_words():
        where = _on_one_branch(where)
        source = open_desired_source(where)
        propose = proposal(proposing, source, where)
        store = change_store(where, create=True)
        try:
            with (
                stopped_by_signals(stop, lambda: log.info("Stopping")),
                store.instance("run") as epoch,
                connections(store, where) as ways,
            ):
                deadline.start()
                context = Context(
                    now=now,
                    random=runtime.random,
                    by=operator("run"),
                    epoch=epoch,
                )
                me = DaemonReport(operator("run"), now(), asked.limits, boot.address)
                standing = PolicyState(store, asked, now, me)
                pace = DaemonSettings(
                    git=interval, resync=resync, workers=concurrency, keep=timedelta(days=keep_events)
                )
                daemon = Daemon(
                    source, store, ways, facts_of(store), context, standing, pace, log, cache_dir(), propose
                )
                with _health(listen, daemon) as health, serve_boot(boot, daemon.lives, store, where, log):
                    log.info("Started", repository=source.location, store=store.where, port=health.port)
                    standing.begin(epoch)
                    try:
                        daemon.run(stop)
                    finally:
                        with suppress(StoreError):  # What ended it is what is to be told.
                            standing.leave()
                    log.info("Stopped")
        finally:
            store.close()
    deadline.closed()


def _not_stopped(log: Any, threads: Stacks) -> None:
    log.error(
        "NotStopped",
        message=f"it was asked to stop {LEAVE_SECONDS:.0f} s ago and {len(threads)} threads are still there; it leaves "
        "now. What was sent stays on record, and is observed first at the next start. Please report where they stand",
        threads=threads,
    )


def _on_one_branch(where: Where) -> Where:
    """A daemon keeps to the branch that is checked out when it starts: work on another one in the same clone is not
    meant for the fleet."""
    if where.ref != "HEAD" or where.work_tree:
        return where
    branch = open_desired_source(where).branch()
    return where if branch is None else msgspec.structs.replace(where, ref=branch)


def _health(listen: str, daemon: Daemon) -> HealthServer:
    host, _, port = listen.rpartition(":")
    try:
        return HealthServer(
            host.strip("[]") or "127.0.0.1", int(port), daemon.healthy, daemon.ready, daemon.metrics.text
        )
    except (OSError, ValueError, OverflowError) as error:
        why = error.strerror or error if isinstance(error, OSError) else "the port is no number up to 65535"
        fail(f"--listen {listen}: cannot listen there: {why}; give HOST:PORT, or port 0 for any free one")
