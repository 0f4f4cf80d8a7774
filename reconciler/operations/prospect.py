"""Plans of a fleet: git read, the fleet observed, the difference judged. Sends nothing, and writes no store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconciler.daemon.ancestry import LAST_GOOD, LAST_REF
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.kinds import KINDS, RECONCILED, SIZED, is_made
from reconciler.kinds.kind_shards import attended_partitions, keys_in_partitions
from reconciler.kinds.selectors import filter_words, select
from reconciler.model.counting import count
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.plans.access import AccessChange
from reconciler.model.plans.plan import CauseKind, Plan
from reconciler.model.resource import DesiredState, ResourceKey, Revision, commit_id
from reconciler.observed.connections import Connections
from reconciler.onboarding.inventory_comparison import on_sizes
from reconciler.operations.ipam_in_use import require_ipam_in_use
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import (
    derived_labels,
    facts_in_force,
    facts_under,
    observed_types,
    standing_of,
)
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.access_changes import access_changes
from reconciler.planning.admission import admit
from reconciler.planning.guards.standing import CommandLimits, DaemonReport
from reconciler.planning.planner import plan, with_commits
from reconciler.planning.universe import universe
from reconciler.runtime import now
from reconciler.views.render.plans import render_json

if TYPE_CHECKING:
    from reconciler.store import Store

ObservedSoFar = Callable[[int, int], None]
"""Is called with how many resources were observed, and how many there are: once with 0 at first, then for each."""


def unwatched(_observed: int, _total: int) -> None:
    """For callers that show no progress."""


class Prospect(msgspec.Struct, frozen=True):
    """A plan, and all that it was made from. `notes` is what people should know of how it was made."""

    plan: Plan
    desired: DesiredState
    observations: tuple[Observation, ...]
    keys: frozenset[ResourceKey]
    notes: tuple[str, ...] = ()
    bases: tuple[DesiredState, ...] = ()
    """The state before, whose guards judge too, as the store remembers nothing."""
    observed_keys: frozenset[ResourceKey] = frozenset()
    """What was observed for the plan itself."""
    epoch: int = 0
    """The store's epoch before that: the next process at work on the store gets the next one."""
    next_step: str | None = None
    """What carries the plan out, in words, while a daemon is at work; None: `groundstate apply` does."""


class PlanRequest(msgspec.Struct, frozen=True):
    """What is to be planned. `only`: the resources of a saved plan, which count as the filter then."""

    targets: tuple[str, ...] = ()
    selector: str = ""
    refresh: bool = True
    concurrency: int = 64
    only: frozenset[ResourceKey] | None = None


def plan_fleet(
    where: Where, asked: CommandLimits, request: PlanRequest, observed: ObservedSoFar = unwatched
) -> Prospect:
    """Read git, observe the fleet and plan. Raises OperationError for what a person can mend."""
    with Workspace(where) as at:
        return plan_in(at, asked, request, observed)


def plan_in(
    at: Workspace, asked: CommandLimits, request: PlanRequest, observed_so_far: ObservedSoFar = unwatched
) -> Prospect:
    """The same in a workspace, whose connections stay open."""
    source = at.source()
    with at.noting_uncommitted(source):
        desired, warnings = at.read_all(source)
    with at.store() as store:
        epoch = store.epoch()
        facts = facts_under(store, desired)
        bases = at.bases(source, desired, facts)
        remembered = _remembered(desired, facts, bases)
        scope = _scope(request, store, remembered)
        judge, reported = standing_of(store, asked)
        found = (
            *reported,
            *_unknown_guards(source, facts, bases),
            *not_descending(source, desired.revision, (store.get_meta(LAST_GOOD), store.get_meta(LAST_REF))),
            *warnings,
            *on_sizes(scope.keys, desired, store.inventories.all(_sized(scope.keys, desired))),
        )
        step = _next_step(store.daemon.get(), desired.revision.id == store.get_meta(LAST_GOOD))
        before, seen = _observed(at, store, remembered, scope, request, observed_so_far)
        observed = before | seen
    planned = plan(
        desired,
        observed,
        remembered.facts,
        now(),
        judge,
        select=list(scope.keys) if scope.filtered_by else None,
        selected_by=scope.filtered_by,
        diagnostics=found,
    )
    planned = msgspec.structs.replace(planned, access=remembered.access)
    return Prospect(
        _with_commits(planned, source, desired),
        desired,
        tuple(observed.values()),
        frozenset(scope.keys),
        at.notes,
        bases,
        frozenset(seen),
        epoch,
        step,
    )


def _next_step(daemon: DaemonReport | None, is_in_force: bool) -> str | None:
    """`is_in_force`: the plan is of the revision that the daemon has in force."""
    if daemon is None or not daemon.at_work(now()):
        return None
    if daemon.observes_only:
        return (
            "the daemon only observes (run --observe), so nothing is sent. Stop the daemon; then run "
            "`groundstate apply`, or start the daemon without --observe"
        )
    if is_in_force:
        return "nothing to do; the daemon sends these changes, and `groundstate status` shows what the daemon does"
    return "commit and push; the daemon sends these changes when this revision is in force"


class _Remembered(msgspec.Struct, frozen=True):
    """The state, and what the store has as soon as it is in force: facts, and the new destinations of logins."""

    desired: DesiredState
    facts: Facts
    access: tuple[AccessChange, ...]
    everything: tuple[ResourceKey, ...]


class _Scope(msgspec.Struct, frozen=True):
    """The resources that are planned, and the filter in words; empty: there is none."""

    keys: tuple[ResourceKey, ...]
    filtered_by: str


def _remembered(desired: DesiredState, facts: Facts, bases: Sequence[DesiredState]) -> _Remembered:
    """Raises OperationError where the facts forbid the state."""
    if refused := admit(desired, facts):
        raise OperationError("", FailureReason.NOT_ADMITTED, diagnostics=refused)
    access = access_changes(desired, facts.resources)
    facts = facts_in_force(desired, facts, bases)
    return _Remembered(desired, facts, access, tuple(universe(desired, facts)))


def _scope(request: PlanRequest, store: Store, remembered: _Remembered) -> _Scope:
    desired, everything = remembered.desired, remembered.everything
    chosen = set(everything)
    if request.targets or request.selector:
        chosen = select(request.targets, request.selector, desired, everything, lambda: derived_labels(store, desired))
    keys = tuple(key for key in everything if key in chosen and key.kind in RECONCILED)
    if request.only is not None:
        return _Scope(tuple(key for key in keys if key in request.only), "a saved plan")
    return _Scope(keys, filter_words(request.targets, request.selector))


def _observed(
    at: Workspace,
    store: Store,
    remembered: _Remembered,
    scope: _Scope,
    request: PlanRequest,
    observed_so_far: ObservedSoFar,
) -> tuple[dict[ResourceKey, Observation], dict[ResourceKey, Observation]]:
    """What the store has seen, and what is seen now. All of the IPAM is observed, whatever the filter: it is
    one read, and addresses wait for networks."""
    require_ipam_in_use(at.where.ipam, store)
    meant, known = set(scope.keys), set(remembered.everything)
    elsewhere = set(keys_in_partitions(remembered.desired, attended_partitions(remembered.desired))) & meant
    to_observe = [
        key
        for key in remembered.everything
        if is_made(key) or (request.refresh and key in meant and key not in elsewhere)
    ]
    if elsewhere and request.refresh:
        at.note(
            f"{count(len(elsewhere), 'resource')} in partitions with daemons of their own (spec.ownWorkers) are shown "
            "as those daemons saw them last"
        )
    before = {one.key: one for one in store.observations(observed_types()) if one.key in known}
    seen = _observe(at.connections(store), to_observe, remembered.desired, remembered.facts, request.concurrency)
    return before, {one.key: one for one in _counted(seen, len(to_observe), observed_so_far)}


def _with_commits(planned: Plan, source: DesiredSource, desired: DesiredState) -> Plan:
    """The plan with the commit behind each change, as far as the clone reaches back."""
    moved = [c.key for c in planned.changes if c.source and c.cause.kind is not CauseKind.DRIFT]
    commits = source.commits_for(desired, moved)
    if source.shallow() and (unknown := len(set(moved) - commits.keys())):
        planned = msgspec.structs.replace(planned, diagnostics=(*planned.diagnostics, _shallow(unknown)))
    return with_commits(planned, commits)


def _observe(
    connections: Connections, keys: list[ResourceKey], desired: DesiredState, facts: Facts, concurrency: int
) -> Iterator[Observation]:
    from reconciler.observed.poller import Poller

    return Poller(connections, now).observe_all(keys, desired, facts.resources, concurrency)


def _counted(seen: Iterable[Observation], total: int, observed_so_far: ObservedSoFar) -> Iterator[Observation]:
    observed_so_far(0, total)
    for number, one in enumerate(seen, 1):
        yield one
        observed_so_far(number, total)


def not_descending(
    source: DesiredSource, revision: Revision, in_force: tuple[str | None, str | None]
) -> tuple[Diagnostic, ...]:
    """A warning where the daemon will refuse the revision: it does not follow the one in force (by which ref found)."""
    last, ref = commit_id(in_force[0]), in_force[1]
    if last is None or last == revision.id or revision.commit is None:
        return ()
    mine = source.branch() if source.requested_ref == "HEAD" else source.requested_ref
    if (mine or "HEAD") != ref or source.descends(revision.id, last) is not False:
        return ()
    hint = f"if the reset of the branch is intended, run: groundstate rewind {revision.id[:10]} --reason WHY"
    said = f"{revision} is not a descendant of {last[:10]}, the revision in force, so the daemon refuses the revision"
    return (Diagnostic("not-descendant", Severity.WARNING, f"{said}; {hint}", None, "", hint),)


def _unknown_guards(source: DesiredSource, facts: Facts, bases: Sequence[DesiredState]) -> tuple[Diagnostic, ...]:
    """A warning where neither a store nor git says which guards were in force before: a loosening is not noticed."""
    if facts.resources or bases or not source.shallow():
        return ()
    hint = "run `git fetch --unshallow` (in a CI checkout, set fetch-depth: 0)"
    said = (
        "this clone is shallow and does not contain the previous commit, so this plan does not check the guards "
        "of that commit"
    )
    return (Diagnostic("shallow-clone", Severity.WARNING, f"{said}; {hint}", None, "", hint),)


def _shallow(unknown: int) -> Diagnostic:
    documents = "1 document" if unknown == 1 else f"{unknown} documents"
    ends = f"this clone is shallow: the last commits of {documents} are not in it"
    said = f"{ends}, so the plan cannot name these commits"
    hint = "run `git fetch --unshallow` (in a CI checkout, set fetch-depth: 0)"
    return Diagnostic("shallow-clone", Severity.WARNING, f"{said}; {hint}", None, "", hint)


def _sized(keys: Iterable[ResourceKey], desired: DesiredState) -> set[ResourceKey]:
    """Those with a size in their document that is compared with the inventory."""
    found = (desired.resources.get(key) for key in keys if key.kind in SIZED)
    return {
        one.key
        for one in found
        if one is not None and (size_of := KINDS[one.key.kind].size_of) is not None and size_of(one.spec) is not None
    }


def save_plan(planned: Plan, path: Path) -> None:
    """Write the plan file whole or not at all. Raises OperationError."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.touch(mode=0o600)
        temporary.write_text(render_json(planned) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        why = f"{path}: the plan cannot be saved: {error.strerror or error}"
        raise OperationError(why, FailureReason.UNAVAILABLE) from error
