"""The daemon: everything that it needs opened, and its work until it is asked to stop."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from drivers.base import SecretUnavailable
from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.daemon.ancestry import LAST_GOOD
from reconciler.daemon.boot_relay.control_caller import ControlCaller
from reconciler.daemon.boot_relay.relayed_provisioning import RelayedProvisioning
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.proposals import Schedule
from reconciler.daemon.service import Daemon, DaemonSettings, Propose
from reconciler.daemon.shards.control_relay import SHARE_ABOVE, ControlRelay
from reconciler.daemon.shards.shard_worker import ShardWorker, WorkerSettings
from reconciler.desired.git.branches.proposal_branch import ProposalBranch
from reconciler.desired.git.sources.repository import Repository
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.onboarding.discovery import HTTPS
from reconciler.operations.ipam_in_use import note_ipam_in_use, require_ipam_in_use
from reconciler.operations.onboarding.deliver_proposals import FOLDER
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.serving.serve_boot import NO_IMAGE, BootOptions, serve_boot, why_not_beside
from reconciler.operations.serving.serve_consoles import ConsoleOptions, serve_consoles
from reconciler.operations.serving.stand_by import StoreTurns, relayed
from reconciler.operations.stored_facts import facts_of
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.pauses import hold_everything
from reconciler.planning.guards.standing import CommandLimits, DaemonReport
from reconciler.services.git_hooks import HookSecrets
from reconciler.services.http import HealthServer, Site
from reconciler.store import Store
from reconciler.store.drained_hosts import DrainedHost
from reconciler.store.lease.instance import this_process
from reconciler.store.lease.store_lease import STORE_LEASE_SECONDS
from reconciler.store.rows.retention import EVENTS_KEPT
from reconciler.store.sql.store_errors import StoreError, StoreUnavailable, UpgradeHeld


class ProposeOptions(msgspec.Struct, frozen=True):
    """How it is asked for; no branch: it is not."""

    branch: str | None = None
    interval: float = 3600.0
    port: int = HTTPS


class RunSettings(msgspec.Struct, frozen=True):
    """How the daemon works. Seconds between fetches of git, seconds between observations of a machine, and the number
    of BMCs at the same time. Where its health and metrics are (`HOST:PORT`), how long events are kept, and what it does
    besides."""

    interval: float = 30.0
    resync: float = 60.0
    concurrency: int = 64
    listen: str = "127.0.0.1:9808"
    keep_events: timedelta = EVENTS_KEPT
    boot: BootOptions = BootOptions()
    propose: ProposeOptions = ProposeOptions()
    observe: bool = False
    """Only observe and report; send nothing."""
    console: ConsoleOptions = ConsoleOptions()
    lease: float = STORE_LEASE_SECONDS
    """Seconds after which another daemon on the same PostgreSQL store takes over from this one if it hangs."""
    partitions: tuple[str, ...] = ()
    """Attend to the machines and switches of these partitions alone, and leave decisions to other daemons."""
    share_above: int = SHARE_ABOVE
    """A fleet with more machines and switches is shared with the daemons that stand by."""
    hooks: tuple[str, ...] = ()
    """What git servers may call after a push: `NAME=env:VARIABLE` or `NAME=file:PATH`, the place of the secret."""


def run_daemon(
    where: Where,
    asked: CommandLimits,
    settings: RunSettings,
    log: Any,
    stop: runtime.Flag,
    stoppable: AbstractContextManager[object],
) -> None:
    """Work until `stop` is set. `stoppable` is entered once there is something to be stopped, and left at the end.

    During an outage of PostgreSQL the daemon waits, if it had reached the store before. Afterwards it reads all from
    the store again, as after a start, unless another process has worked on the store meanwhile. While its host is
    drained, and while an older program works on a store that this one would migrate, it stands by.

    Raises OperationError for what cannot be opened, and for what ends the daemon.
    """
    _refuse_contradictions(settings)
    hooks = hook_secrets(settings.hooks)
    with Workspace(where) as at, ExitStack() as stack:
        at.keep_to_branch()
        source = at.source()
        propose = _proposal(settings.propose, source, at.where)
        turns = StoreTurns(settings.lease, stop, log, partial(_serve, settings.listen), settings.partitions)
        was_reached = False

        def begin() -> None:
            nonlocal was_reached
            for one in (stoppable, closing(at), closing(turns)) if not was_reached else ():
                stack.enter_context(one)
            was_reached = True

        def work(store: Store, epoch: int) -> None:
            _work(at, source, store, epoch, asked, settings, log, propose, hooks, stop, turns.note_outage)

        while not stop.is_set():
            try:
                with at.changing(create=True) as store:
                    begin()
                    _refuse_partitions_alone(store, settings)
                    with ExitStack() as held:
                        epoch = turns.take(store, held, partial(_attending, at, source, store, settings, log))
                        if epoch is not None:
                            work(store, epoch)
                turns.left()
                at.close()
            except UpgradeHeld as older:
                begin()
                turns.wait_for_upgrade(older)
            except StoreUnavailable as error:
                if not was_reached:
                    raise
                turns.outlast(error)
        log.info("Stopped")


def _refuse_partitions_alone(store: Store, settings: RunSettings) -> None:
    if settings.partitions and not store.has_lease:
        raise OperationError(
            f"--partitions needs a store on PostgreSQL, and {store.where} is a file, which only one daemon can use; "
            "pass --store postgresql://..., or leave out --partitions"
        )


@contextmanager
def _attending(
    at: Workspace,
    source: DesiredSource,
    store: Store,
    settings: RunSettings,
    log: Any,
    failed: Callable[[BaseException], None],
) -> Iterator[None]:
    """Attend to the shards that the daemon which decides hands to this one. Nothing on SQLite and on a work tree, which
    other hosts do not have, and nothing for a daemon that sends nothing."""
    if not store.has_lease or at.where.work_tree or settings.observe:
        yield
        return
    process = this_process("run")
    with ExitStack() as boot:
        caller = ControlCaller(store, process.name_of_process, failed)
        caller.start()
        boot.callback(caller.end)
        serves = _serves_boot_beside(boot, settings, caller, store, at.where, log, failed)
        how = WorkerSettings(
            *(settings.partitions, settings.lease, settings.resync, settings.concurrency),
            boot_address=settings.boot.address if serves else None,
        )
        connections = at.connections(store).reached()
        worker = ShardWorker(
            *(store, source, connections, process, how, log, at.where.cache),
            LAST_GOOD,
            failed,
        )
        worker.start()
        try:
            yield
        finally:
            # Requests that wait for the daemon that decides are answered now. The shards do not wait for machines.
            caller.end()
            worker.end()


def _serves_boot_beside(
    stack: ExitStack,
    settings: RunSettings,
    caller: ControlCaller,
    store: Store,
    where: Where,
    log: Any,
    failed: Callable[[BaseException], None],
) -> bool:
    """Serve machines that boot until `stack` is left, if it was asked for; the daemon that decides is asked about them.
    A daemon that may take over does without, where it cannot listen: on one host, the address is in use until then."""
    if not settings.partitions and (why := why_not_beside(settings.boot)) is not None:
        log.info("BootServiceNotStarted", message=f"{why}; this daemon serves machines when it takes over")
        return False
    try:
        stack.enter_context(serve_boot(settings.boot, RelayedProvisioning(caller.ask), store, where, log, failed))
    except OperationError as error:
        if settings.partitions:
            raise
        log.warning("BootServiceNotStarted", message=f"{error}; this daemon serves machines when it takes over")
        return False
    return settings.boot.address is not None


def _refuse_contradictions(settings: RunSettings) -> None:
    if settings.boot.address is not None and settings.boot.image is None:
        raise OperationError(NO_IMAGE)
    if settings.observe and settings.boot.address is not None:
        why = "--observe sends nothing, but the boot service starts machines"
        raise OperationError(f"{why}; leave out --boot-address, and boot_address in the settings file")
    if settings.observe and settings.partitions:
        raise OperationError(
            "--observe sends nothing, but --partitions sends for another daemon; leave out one of them"
        )
    if settings.observe and settings.console.listen is not None:
        why = "--observe sends nothing, but people type on consoles"
        raise OperationError(f"{why}; leave out --console-listen, and console_listen in the settings file")


def _work(
    at: Workspace,
    source: DesiredSource,
    store: Store,
    epoch: int,
    asked: CommandLimits,
    settings: RunSettings,
    log: Any,
    propose: Propose | None,
    hooks: HookSecrets,
    stop: runtime.Flag,
    lost: Callable[[StoreUnavailable], None],
) -> None:
    """Work with what the store holds now, until `stop`. Raises StoreUnavailable, and what ends the daemon."""
    me = DaemonReport(
        at.where.by("run"), store.now(), asked.limits, settings.boot.address, observes_only=settings.observe
    )
    standing = PolicyState(store, asked, store.now, me)
    daemon = _daemon(at, source, store, epoch, standing, settings, log, propose)
    daemon.store_lost = lost
    with (
        _health(settings.listen, daemon, hooks) as health,
        serve_boot(settings.boot, daemon.provisioning, store, at.where, log, daemon.thread_ended),
        serve_consoles(settings.console, daemon, at.where, log),
        ExitStack() as leaving,
        relayed(stop) as halt,
    ):
        standing.drained = partial(_leave_the_work, log, halt)
        mode = {"observes_only": True} if settings.observe else {}
        log.info("Started", repository=source.location, store=store.where, port=health.port, **mode)
        standing.begin(epoch)
        leaving.callback(_leave, standing)
        daemon.run(halt)


def _daemon(
    at: Workspace,
    source: DesiredSource,
    store: Store,
    epoch: int,
    standing: PolicyState,
    settings: RunSettings,
    log: Any,
    propose: Propose | None,
) -> Daemon:
    context = Context(
        now=store.now,
        random=runtime.random,
        by=at.where.by("run"),
        epoch=epoch,
        permit=store.require_lease,
        transient_guards=(hold_everything,) if settings.observe else (),
    )
    pace = DaemonSettings(
        git=settings.interval, resync=settings.resync, workers=settings.concurrency, keep=settings.keep_events
    )
    require_ipam_in_use(at.where.ipam, store)
    if not settings.observe:
        note_ipam_in_use(at.where.ipam, store)
    connections = at.connections(store)
    shares = store.has_lease and not at.where.work_tree
    relay = ControlRelay(store, epoch, settings.share_above) if shares else None
    facts = facts_of(store)
    return Daemon(source, store, connections, facts, context, standing, pace, log, at.where.cache, propose, relay)


def _leave_the_work(log: Any, halt: runtime.Flag, drained: DrainedHost) -> None:
    if not halt.is_set():
        log.info("Draining", message=f"{drained}; this daemon finishes its current steps, and leaves the store")
    halt.set()


def _leave(standing: PolicyState) -> None:
    with suppress(StoreError):  # What ended the daemon is what is to be reported.
        standing.leave()


def _proposal(options: ProposeOptions, source: DesiredSource, where: Where) -> Propose | None:
    """What the daemon is to propose, if it was asked to. Raises OperationError."""
    if options.branch is None:
        return None
    if not isinstance(source, Repository):
        raise OperationError("--propose-branch works only on commits; leave out --work-tree")
    if where.ref.removeprefix("refs/heads/") == options.branch:
        raise OperationError(f"--propose-branch {options.branch}: groundstate follows this branch; name another branch")
    schedule = Schedule(every=options.interval, port=options.port)
    return Propose(ProposalBranch(source, options.branch, FOLDER), schedule)


def hook_secrets(hooks: Sequence[str]) -> HookSecrets:
    """What git servers may call, of `NAME=env:VARIABLE` or `NAME=file:PATH`. Raises OperationError with all that is
    wrong; a secret must be there at the start already."""
    from drivers.registry import Registry

    found: dict[str, Callable[[], str]] = {}
    wrong: list[str] = []
    for text in hooks:
        name, _, reference = text.partition("=")
        kind, _, where = reference.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name) or kind not in ("env", "file") or not where:
            # The text may be the secret itself, so it is not repeated.
            wrong.append("--hook needs NAME=env:VARIABLE or NAME=file:PATH, and never the secret itself")
            continue
        found[name] = partial(Registry().secret_text, {kind: where})
        try:
            found[name]()
        except SecretUnavailable as error:
            wrong.append(f"--hook {name}: {error}")
    if wrong:
        raise OperationError("; ".join(wrong))
    return found


def _health(listen: str, daemon: Daemon, hooks: HookSecrets) -> HealthServer:
    checks = {"/healthz": daemon.healthy, "/readyz": daemon.ready}
    return _serve(listen, Site(checks, daemon.metrics.text, hooks, daemon.read_soon), daemon.thread_ended)


def _serve(listen: str, site: Site, ended: Callable[[BaseException], None] = lambda _error: None) -> HealthServer:
    host, _, port = listen.rpartition(":")
    try:
        name = host.strip("[]") or "127.0.0.1"
        return HealthServer(name, int(port), site, ended)
    except (OSError, ValueError, OverflowError) as error:
        why = error.strerror or error if isinstance(error, OSError) else "the port must be a number from 0 to 65535"
        said = f"--listen {listen}: cannot listen there: {why}; give HOST:PORT, or port 0 for any free port"
        raise OperationError(said, FailureReason.UNAVAILABLE) from error
