"""What is declared beside what the store knows of it: `get` and `describe`. Asks no BMC, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from reconciler import runtime
from reconciler.kinds import DELIVERED_TO, INVENTORIED, KINDS
from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.machine_inventory import NO_INVENTORY, StoredInventory
from reconciler.kinds.selectors import kinds_in_order, select
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import Facts, IndexedFacts, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import Change, Unknown, typed
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.sink_state import SinkReport
from reconciler.onboarding.inventory_comparison import inventory_conditions, labels_from_inventories
from reconciler.operations.operation_error import OperationError
from reconciler.operations.reports.built_in_views import BUILT_IN_KEYS, asked_keys, built_in_view
from reconciler.operations.reports.ledger_events import newest
from reconciler.operations.stored_facts import (
    daemon_transient_guards,
    derived_labels,
    facts_of,
    observed_types,
    standing_of,
    state_and_facts,
)
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.pauses import pauses, standing_pauses
from reconciler.planning.guards.standing import CommandLimits
from reconciler.planning.override_scope import covers
from reconciler.planning.planner import plan
from reconciler.planning.universe import universe
from reconciler.runtime import now
from reconciler.views.conditions import STATUS_WORDS, conditions, status_word
from reconciler.views.render.json_path import BadPath
from reconciler.views.render.sorting import sorted_views
from reconciler.views.resource_document import resource_document

WATCH_SECONDS = 2.0
_WATCH_ANYWAY_SECONDS = 30.0


class ListRequest(msgspec.Struct, frozen=True):
    """Which resources: by KIND[/NAME] and labels. Of these only the ones with one of the `statuses` (none: all; a
    status with `!` before it is left out). `sort_by`: a path into the document, or a column's heading."""

    targets: tuple[str, ...] = ()
    selector: str = ""
    statuses: tuple[str, ...] = ()
    sort_by: str = ""


class ResourceList(msgspec.Struct, frozen=True):
    """The chosen resources in the kinds' order, or as they were to be sorted, and what people should know of how they
    were read. `single`: one resource was asked for, by its name."""

    views: list[ResourceView]
    notes: tuple[str, ...] = ()
    single: bool = False


class Description(msgspec.Struct, frozen=True):
    """All that is known of a resource; `events` are its newest, oldest first."""

    view: ResourceView
    remembered: ResourceFacts | None
    flight: InFlight | None
    inventory: StoredInventory
    events: list[Event]


class Descriptions(msgspec.Struct, frozen=True):
    """The chosen resources, and what people should know of how they were read. `single` as in a ResourceList."""

    found: list[Description]
    notes: tuple[str, ...] = ()
    single: bool = False


def list_resources(where: Where, asked: CommandLimits, request: ListRequest) -> ResourceList:
    """The chosen resources with what the store knows of them. Raises OperationError."""
    words = {word.lower(): word for word in STATUS_WORDS}
    if wrong := [one for one in request.statuses if one.removeprefix("!").lower() not in words]:
        raise OperationError(f"{wrong[0]!r} is not a status; write one of {', '.join(STATUS_WORDS)}")
    statuses = {("!" if one.startswith("!") else "") + words[one.removeprefix("!").lower()] for one in request.statuses}
    with Workspace(where) as at:
        views = _views(at, asked, request.targets, request.selector)
        single = len(views) == 1 and not request.selector and _is_named(views[0].key, request.targets)
        views = [view for view in views if _has_status(view, statuses)]
        if request.sort_by:
            try:
                views = sorted_views(views, request.sort_by, now())
            except BadPath as error:
                raise OperationError(f"--sort-by {error}") from error
        return ResourceList(views, at.notes, single)


def watch_resources(
    where: Where, asked: CommandLimits, request: ListRequest, wait: Callable[[float], None] = runtime.sleep
) -> Iterator[ResourceList]:
    """The list, and then for ever what changed of it; also an empty one. Raises OperationError.

    The whole list is made again when the revision or the store is another, and every half minute, as time ends pauses
    and overrides. It takes a fifth of the time at most, however large the fleet.
    """
    shown: dict[ResourceKey, bytes] = {}
    while True:
        begun, mark = runtime.monotonic(), _mark(where)
        listing = list_resources(where, asked, request)
        took = runtime.monotonic() - begun
        now_shown = {view.key: _fingerprint(view) for view in listing.views}
        fresh = [view for view in listing.views if shown.get(view.key) != now_shown[view.key]]
        yield msgspec.structs.replace(listing, views=fresh)
        shown = now_shown
        wait(max(WATCH_SECONDS, took * 4))
        while runtime.monotonic() - begun < _WATCH_ANYWAY_SECONDS and _mark(where) == mark:
            wait(WATCH_SECONDS)


def _mark(where: Where) -> object:
    """Another value where the revision or the store may be another. A remote repository is asked only for a list."""
    with Workspace(where) as at:
        revision = at.source().snapshot().revision.id if Path(where.repo).is_dir() else ""
        with at.store() as store:
            return revision, store.mark()


def _fingerprint(view: ResourceView) -> bytes:
    """All that is shown but times: each observation has another one, and shows mostly the same."""
    document = resource_document(view)
    document["status"].pop("observedAt", None)
    for condition in document["status"]["conditions"]:
        condition.pop("since", None)
    return msgspec.json.encode(document)


def _is_named(key: ResourceKey, targets: Iterable[str]) -> bool:
    return any(key.name == target.rpartition("/")[2] for target in targets)


def _has_status(view: ResourceView, statuses: Collection[str]) -> bool:
    wanted = [one for one in statuses if not one.startswith("!")]
    return f"!{view.status}" not in statuses and (not wanted or view.status in wanted)


def describe_resources(
    where: Where, asked: CommandLimits, targets: tuple[str, ...], selector: str, *, events: int = 10
) -> Descriptions:
    """The same, each with what is remembered, what is in it, and its newest events. Raises OperationError."""
    with Workspace(where) as at:
        views = _views(at, asked, targets, selector, outlined=True)
        with at.store() as store:
            facts = facts_of(store)
            inventories = store.inventories.all({view.key for view in views})
            found = [
                Description(
                    view,
                    facts.resources.get(view.key),
                    facts.in_flight.get(view.key),
                    inventories.get(view.key, NO_INVENTORY),
                    [entry.event for entry in newest(store, events, view.key)],
                )
                for view in views
            ]
        single = len(views) == 1 and not selector and _is_named(views[0].key, targets)
        return Descriptions(found, at.notes, single)


def _views(
    workspace: Workspace, asked: CommandLimits, targets: Iterable[str], selector: str, *, outlined: bool = False
) -> list[ResourceView]:
    with workspace.store() as store:
        desired, facts = state_and_facts(workspace, store)
        facts = Facts(IndexedFacts(facts.resources), facts.in_flight)  # A claim finds its machines at once.
        observed = {one.key: one for one in store.observations(observed_types())}
        everything = (*universe(desired, facts), *asked_keys(targets, selector))
        chosen = select(targets, selector, desired, everything, lambda: derived_labels(store, desired))
        others = {other for key in chosen for other in KINDS[key.kind].follows(key, desired)}
        inventories = store.inventories.all({key for key in {*chosen, *others} if key.kind in INVENTORIED})
        deliveries = store.sinks.reports() if any(key.kind in DELIVERED_TO for key in chosen) else {}
        judge, _ = standing_of(store, asked)
        waits = daemon_transient_guards(store)
    at = now()
    planned = plan(desired, observed, facts, at, judge, transient_guards=waits)
    fleet = _Fleet(
        desired,
        observed,
        facts,
        inventories,
        labels_from_inventories(desired, inventories.items()),
        {**{one.key: one for one in planned.changes}, **{one.key: one for one in planned.unknown}},
        planned.overrides,
        standing_pauses(judge.pauses, at),
        _held_by(planned.changes),
        judge.limits,
        deliveries,
        at,
        outlined,
    )
    order = kinds_in_order(targets)
    by_kind = sorted(chosen, key=lambda key: (order.index(key.kind), key in BUILT_IN_KEYS, key.name))
    return [fleet.view(key) for key in by_kind]


def _held_by(changes: Iterable[Change]) -> dict[str, tuple[ResourceKey, ...]]:
    """Whose changes each guard holds, by the guard's name."""
    found: dict[str, tuple[ResourceKey, ...]] = {}
    for change in changes:
        for name in {hold.by for hold in change.held_by}:
            found[name] = (*found.get(name, ()), change.key)
    return found


class _Fleet(msgspec.Struct, frozen=True):
    """All that a view of one resource is made of."""

    desired: DesiredState
    observed: Mapping[ResourceKey, Observation]
    facts: Facts
    inventories: Mapping[ResourceKey, StoredInventory]
    labels: Mapping[ResourceKey, dict[str, str]]
    planned: Mapping[ResourceKey, Change | Unknown]
    overrides: tuple[Override, ...]
    pauses: tuple[ResourcePause, ...]
    held_by: Mapping[str, tuple[ResourceKey, ...]]
    limits: GuardLimits
    deliveries: Mapping[str, SinkReport]
    at: datetime
    outlined: bool = False

    def view(self, key: ResourceKey) -> ResourceView:
        """The resource; where something is odd about it, that it cannot be shown, as that must hide no other."""
        try:
            return self._view(key)
        except Exception as error:  # noqa: BLE001  what is odd about one hides no other
            odd = Condition(
                ConditionType.READY,
                Status.UNKNOWN,
                ConditionReason.INTERNAL,
                (f"this resource cannot be shown because of {defect(error)}"),
            )
            return ResourceView(key, self.desired.resources.get(key), None, "Unknown", (odd,), {})

    def _view(self, key: ResourceKey) -> ResourceView:
        if key in BUILT_IN_KEYS:
            return built_in_view(key, self.limits, self.held_by, self.overrides)
        desired, facts = self.desired, self.facts
        resource = desired.resources.get(key)
        change = self.planned.get(key)
        states = conditions(key, desired, self.observed, facts, self.at, change)
        if key.kind in INVENTORIED:
            known = self.inventories.get(key, NO_INVENTORY)
            states = (*states, *inventory_conditions(resource, known, desired))
        if resource is not None:
            states = (*states, *KINDS[key.kind].compared(resource, desired, self.observed, self.inventories))
        delivery = self.deliveries.get(key.name) if key.kind in DELIVERED_TO else None
        if resource is not None and (delivered := KINDS[key.kind].delivery_conditions) is not None:
            states = delivered(resource, delivery)
        shown = KINDS[key.kind].shown(key, desired, facts)
        return ResourceView(
            key,
            resource,
            self.observed.get(key),
            status_word(states),
            states,
            self.labels.get(key, {}),
            shown.machines,
            shown.phase,
            tuple(one for one in self.overrides if covers(one, key, desired, facts)),
            change.held_by if isinstance(change, Change) else (),
            self.held_by.get(typed(key), ()),
            tuple(one for one in self.pauses if pauses(one, key, desired, facts)),
            delivery,
            tuple(KINDS[key.kind].outline(resource, desired, self.observed, facts, self.inventories))
            if self.outlined and resource is not None
            else (),
        )
