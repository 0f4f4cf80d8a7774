"""What happened: reading on in the audit ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime

import msgspec

from reconciler import runtime
from reconciler.kinds import find_kind
from reconciler.kinds.selectors import select
from reconciler.model.event import Event, EventType
from reconciler.model.resource import ResourceKey
from reconciler.operations.moment import moment_of
from reconciler.operations.operation_error import OperationError
from reconciler.operations.stored_facts import derived_labels, facts_of
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.store import LedgerEntry, Store

POLL_SECONDS = 1.0


class EventRequest(msgspec.Struct, frozen=True):
    """Which events: the newest `limit` of the chosen resources, or of all; with `watch` also those that come.

    `since`: none that is older than a time span (`2h`), a time, or a commit; `type`: of this one alone.
    `of_fleet`: those of no single resource, without targets.
    """

    targets: tuple[str, ...] = ()
    selector: str = ""
    limit: int = 50
    watch: bool = False
    since: str | None = None
    type: EventType | None = None
    of_fleet: bool = False


class EventPage(msgspec.Struct, frozen=True):
    """Events, oldest first, and what people should know of how they were read; the first page alone has notes."""

    events: list[Event]
    notes: tuple[str, ...] = ()


def read_events(
    where: Where, request: EventRequest, wait: Callable[[float], None] = runtime.sleep
) -> Iterator[EventPage]:
    """One page, or with `watch` a page every second for ever, also an empty one. Raises OperationError."""
    with Workspace(where) as at, at.store() as store:
        if request.watch and store.copied is not None:
            raise OperationError(
                "--watch cannot read this store, because an older groundstate made the store; `groundstate "
                "apply` or `groundstate run` upgrades the store"
            )
        keys = None
        if request.targets or request.selector:
            desired = at.read(at.source(), store)
            known = {*facts_of(store).resources, *_forgotten(request.targets, store)}
            keys = select(request.targets, request.selector, desired, known, lambda: derived_labels(store, desired))
        begin = moment_of(at, request.since) if request.since else None
        entries = _newest_of(store, request, keys, begin)
        last = newest(store, 1, None)
        seen, latest = store.last_event(), last[-1].event.latest if last else now()
        yield EventPage([entry.event for entry in entries], at.notes)
        while request.watch:
            wait(POLL_SECONDS)
            repeated, fresh = store.repeats(latest, seen), store.follow(seen)
            seen = max((entry.seq for entry in fresh), default=seen)
            latest = max((entry.event.latest for entry in (*repeated, *fresh)), default=latest)
            reported = [one.event for one in (*repeated, *fresh) if request.type in (None, one.event.type)]
            yield EventPage([event for event in reported if _is_meant(event, keys, of_fleet=request.of_fleet)])


def _is_meant(event: Event, keys: Collection[ResourceKey] | None, *, of_fleet: bool) -> bool:
    if of_fleet:
        return event.key is None
    return keys is None or event.key in keys


def _forgotten(targets: Iterable[str], store: Store) -> Iterator[ResourceKey]:
    """The resources that targets name and that the ledger alone still knows, as they were removed."""
    for target in targets:
        word, _, name = target.partition("/")
        kind = find_kind(word)
        if kind is not None and name and store.events(ResourceKey(kind.name, name), limit=1):
            yield ResourceKey(kind.name, name)


def newest(store: Store, limit: int, key: ResourceKey | None) -> list[LedgerEntry]:
    """The newest events, oldest first."""
    return store.events(key, limit=limit, newest_first=True)[::-1]


def _newest_of(
    store: Store, request: EventRequest, keys: Collection[ResourceKey] | None, begin: datetime | None
) -> list[LedgerEntry]:
    limit, chosen = request.limit, [None] if keys is None else keys
    found = [
        entry
        for key in chosen
        for entry in store.events(
            key, since=begin, of_fleet=request.of_fleet, only=request.type, limit=limit, newest_first=True
        )
    ]
    return sorted(found, key=lambda entry: (entry.event.latest, entry.seq))[-limit:]
