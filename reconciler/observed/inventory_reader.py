"""Keeps what is in resources: read from their endpoints now and then, and taken from the agent when it sends it.

A change is an event, and so is the first of a row of failures. Nothing here stops or delays anything else. The reading
goes on beside the reconciling, a few resources at a time, through the same connections, in which requests to one BMC
take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from drivers.base import OUTSIDE_ERRORS, Inventory
from reconciler import runtime
from reconciler.kinds import INVENTORIED
from reconciler.kinds.common.inventory_diff import PartChange, inventory_differences
from reconciler.kinds.common.machine_inventory import Kept, Origin, StoredInventory
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.observation import ReadError
from reconciler.model.plans.plan import digest
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.retry import INVENTORY, inventory_delay
from reconciler.observed.backend import read_failure_of
from reconciler.onboarding.inventory_comparison import summary

EVERY = timedelta(hours=24)
CONCURRENCY = 4
"""An inventory is up to 200 requests; a BMC is observed for its power meanwhile."""
_CHECK_SECONDS = 5.0
_BEGIN_SECONDS = 0.5
KEEP_SECONDS = 5.0
"""For what is being read when it is time to stop."""
_NAMED = 5
_INVENTORY = msgspec.json.Decoder(Inventory)


class InventoryKeeper(Protocol):
    """Where inventories are kept: the store's table. Every call may raise StoreError."""

    def each(self, keys: Collection[ResourceKey] | None = None) -> Iterator[tuple[ResourceKey, StoredInventory]]:
        """What is kept of these resources, or of all."""

    def of(self, key: ResourceKey) -> StoredInventory:
        """What is kept of one resource."""

    def put(self, key: ResourceKey, origin: Origin, value: Inventory, at: datetime) -> Kept:
        """Keep what was read."""

    def fail(self, key: ResourceKey, origin: Origin, error: ReadError, at: datetime) -> Kept:
        """Remember why a try failed."""


class InventorySchedule(msgspec.Struct, frozen=True):
    """How often each resource is read, and how many side by side."""

    every: timedelta = EVERY
    concurrency: int = CONCURRENCY


DAILY = InventorySchedule()


def keep_inventory(
    inventories: InventoryKeeper, key: ResourceKey, origin: Origin, value: Inventory, at: datetime
) -> list[Event]:
    """Keep an inventory; returns the events about the parts. Raises StoreError."""
    before = getattr(inventories.of(key), origin.replace("-", "_"))
    inventories.put(key, origin, value, at)
    if before is None or before.value is None:
        return [
            Event(
                at, EventType.NORMAL, EventReason.INVENTORY_TAKEN, f"{origin}: {summary(value)}", key, about=(origin,)
            )
        ]
    changed = inventory_differences(before.value, value)
    return [_event(key, origin, changed, at)] if changed else []


def in_band_keeper(
    inventories: InventoryKeeper, report: Callable[[Event], None], now: Callable[[], datetime]
) -> Callable[[ResourceKey, Inventory], None]:
    """Keeps what an agent has found, and reports the events. Calls raise StoreError."""

    def keep(key: ResourceKey, value: Inventory) -> None:
        for event in keep_inventory(inventories, key, Origin.IN_BAND, value, now()):
            report(event)

    return keep


class InventoryReader:
    """Reads inventories from endpoints, by `inventory_of`. `tell` is given the events, which are in no ledger yet.

    `adopt` says which resources there are, `ask` has one read soon, `run` works until it is stopped. `random`: 0 to 1.
    `begins`: whether endpoints have time for it; nothing is read before it has said so once. `answers`: whether
    the endpoint was readable at last; one that hangs would hold up the inventories of the others. `processes`: how many
    read at the same time, each as many as the schedule says.
    """

    def __init__(
        self,
        inventory_of: Callable[[ResourceKey, DesiredState], Inventory],
        inventories: InventoryKeeper,
        report_event: Callable[[Event], None],
        now: Callable[[], datetime],
        random: Callable[[], float],
        pace: InventorySchedule = DAILY,
        begins: Callable[[], bool] = lambda: True,
        is_reachable: Callable[[ResourceKey], bool] = lambda _: True,
        processes: Callable[[], int] = lambda: 1,
    ) -> None:
        self._inventory_of, self._inventories, self._report_event = inventory_of, inventories, report_event
        self._begins, self._is_reachable, self._processes = begins, is_reachable, processes
        self._now, self._random, self._pace = now, random, pace
        self._lock = runtime.lock()
        self._wake = runtime.flag()
        self._desired: DesiredState | None = None
        self._due: dict[ResourceKey, datetime] = {}
        self._failed: dict[ResourceKey, int] = {}

    def set_desired(self, desired: DesiredState) -> None:
        """Resources of this state are read, each when it is due; new ones soon. Raises StoreError."""
        keys = [one.key for kind in INVENTORIED for one in desired.of_kind(kind)]
        with self._lock:
            fresh = {key for key in keys if key not in self._due}
        first = {key: self._first(known) for key, known in self._inventories.each(fresh)}
        with self._lock:
            before, self._desired, now = self._due, desired, self._now()
            self._due = {key: before.get(key) or first.get(key, now) for key in keys}
            self._failed = {key: count for key, count in self._failed.items() if key in self._due}
        self._wake.set()

    def request(self, key: ResourceKey) -> None:
        """Have the resource read at once."""
        with self._lock:
            if key in self._due:
                self._due[key] = self._now()
        self._wake.set()

    def due(self) -> list[ResourceKey]:
        """The resources whose time has come, the longest waiting first."""
        now = self._now()
        # What is due later was reported by a clock that was ahead.
        last = now + max(self._pace.every, timedelta(seconds=INVENTORY.longest))
        with self._lock:
            due = sorted((at, key) for key, at in self._due.items() if not now < at <= last)
        return [key for _, key in due if self._is_reachable(key)]

    def run(self, stop: runtime.Flag) -> None:
        """Read what is due, until `stop`; then let what is being read be kept. Raises StoreError when the store is
        gone."""
        reading: dict[runtime.Future[None], ResourceKey] = {}
        # Worked out once for many: to look through the whole fleet after each read would be the square of it.
        waiting: deque[ResourceKey] = deque()
        try:
            while not (stop.is_set() or self._begins()):
                stop.wait(_BEGIN_SECONDS)
            while not stop.is_set():
                if self._wake.is_set() or not waiting:
                    self._wake.clear()
                    waiting = deque(key for key in self.due() if key not in reading.values())
                while waiting and len(reading) < self._pace.concurrency * self._processes():
                    key = waiting.popleft()
                    reading[self._begin(key)] = key
                if not reading:
                    self._wake.wait(_CHECK_SECONDS)
                for done in runtime.first_done(reading, _CHECK_SECONDS):
                    del reading[done]
                    done.result()
        finally:
            if stop.is_set():
                runtime.all_done(reading, KEEP_SECONDS)

    def _begin(self, key: ResourceKey) -> runtime.Future[None]:
        """Read it in a thread that the end of the process does not wait for, as it does for those of a pool. Up to 200
        requests to a slow BMC take minutes."""
        reading: runtime.Future[None] = runtime.future()

        def run() -> None:
            try:
                self.read(key)
                reading.set_result(None)
            except BaseException as error:  # noqa: BLE001  raised where the result is asked for
                reading.set_exception(runtime.thread_failure(error))

        runtime.thread(run, f"inventory-{key.name}").start()
        return reading

    def wake(self) -> None:
        """Have `run` look at once whether it is to stop."""
        self._wake.set()

    def read(self, key: ResourceKey) -> None:
        """Read one resource now, and keep it. A failure is kept too. Raises StoreError."""
        desired = self._desired
        if desired is None or key not in desired.resources:
            return
        try:
            value = self._inventory_of(key, desired)
            # What could be kept and not be read again is not kept.
            _INVENTORY.decode(msgspec.json.encode(value))
        except OUTSIDE_ERRORS as error:  # what is wrong with one resource must not stop the others
            self._fail(key, read_failure_of(error))
            return
        now = self._now()
        for event in keep_inventory(self._inventories, key, Origin.OUT_OF_BAND, value, now):
            self._report_event(event)
        self._failed.pop(key, None)
        self._again(key, now + self._pace.every * (1 - self._random() / 4))

    def _fail(self, key: ResourceKey, error: ReadError) -> None:
        now = self._now()
        kept = self._inventories.of(key).out_of_band
        self._inventories.fail(key, Origin.OUT_OF_BAND, error, now)
        if kept is None or kept.error is None or kept.error.reason != error.reason:
            message = f"{error.reason}: {error.message}"
            self._report_event(
                Event(now, EventType.WARNING, EventReason.INVENTORY_UNREADABLE, message, key, about=(error.reason,))
            )
        failed = self._failed[key] = self._failed.get(key, 0) + 1
        self._again(key, now + timedelta(seconds=inventory_delay(error.reason, failed, self._random())))

    def _again(self, key: ResourceKey, at: datetime) -> None:
        with self._lock:
            if key in self._due:
                self._due[key] = at

    def _first(self, inventory: StoredInventory) -> datetime:
        kept = inventory.out_of_band
        if kept is None or kept.tried_at is None:
            return self._now()
        # Some of those that were read together come earlier, so that they part.
        later = timedelta(seconds=INVENTORY.first) if kept.error is not None else self._pace.every
        return kept.tried_at + later * (1 - self._random() / 4)


def _event(key: ResourceKey, origin: Origin, changed: Iterable[PartChange], at: datetime) -> Event:
    found = list(changed)
    severity = EventType.WARNING if any(one.loss for one in found) else EventType.NORMAL
    said = "; ".join(str(one) for one in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return Event(
        at, severity, EventReason.INVENTORY_CHANGED, f"{origin}: {said}{more}", key, about=(origin, digest(found))
    )
