"""Plans of a fleet: git read, the fleet observed, the difference judged. Sends nothing, and writes no store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from reconciler.daemon.ancestry import LAST_GOOD, LAST_REF
from reconciler.desired.git.source import DesiredSource
from reconciler.kinds import INVENTORIED, RECONCILED, is_made
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.plan import CauseKind, Plan
from reconciler.model.resource import DesiredState, ResourceKey, Revision
from reconciler.observed.connections import Connections
from reconciler.onboarding.inventory_comparison import on_sizes
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.runtime_values import now
from reconciler.operations.stored_facts import derived_labels, facts_in_force, facts_under, observed_types, policy_of
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.access_changes import access_changes
from reconciler.planning.admission import admit
from reconciler.planning.planner import plan, universe, with_commits
from reconciler.planning.policy import CommandLimits, Policy
from reconciler.planning.selectors import filter_words, select
from reconciler.views.render import render_json

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
        facts = facts_under(store, desired)
        if refused := admit(desired, facts):
            raise OperationError("", FailureReason.NOT_ADMITTED, diagnostics=refused)
        access = access_changes(desired, facts.resources)
        facts = facts_in_force(desired, facts)
        everything = universe(desired, facts)
        chosen = set(everything)
        if request.targets or request.selector:
            chosen = select(
                request.targets, request.selector, desired, everything, lambda: derived_labels(store, desired)
            )
        keys = [key for key in everything if key in chosen and key.kind in RECONCILED]
        filtered_by = filter_words(request.targets, request.selector)
        if request.only is not None:
            filtered_by = "a saved plan"
            keys = [key for key in keys if key in request.only]
        meant = set(keys)
        inventories = store.inventories.all(_sized(meant, desired))
        last = (store.get_meta(LAST_GOOD), store.get_meta(LAST_REF))
        judge, told = policy_of(store, asked)
        # All of the IPAM, whatever the filter: it is one look, and addresses wait for networks.
        looked = [key for key in everything if is_made(key) or (request.refresh and key in meant)]
        known = set(everything)
        remembered = {one.key: one for one in store.observations(observed_types()) if one.key in known}
        seen = _observe(at.connections(store), looked, desired, facts, request.concurrency)
        fresh = tuple(_counted(seen, len(looked), observed_so_far))
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
        at.notes,
    )


def _observe(
    ways: Connections, looked: list[ResourceKey], desired: DesiredState, facts: Facts, concurrency: int
) -> Iterator[Observation]:
    from reconciler.observed.poller import Poller

    return Poller(ways, now).observe_all(looked, desired, facts.resources, concurrency)


def _counted(seen: Iterable[Observation], total: int, observed_so_far: ObservedSoFar) -> Iterator[Observation]:
    observed_so_far(0, total)
    for number, one in enumerate(seen, 1):
        yield one
        observed_so_far(number, total)


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
    machines = (desired.resources.get(key) for key in keys if key.kind in INVENTORIED)
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
