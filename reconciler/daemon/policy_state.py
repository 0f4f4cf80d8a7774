"""What a process that sends actions uses beside the desired state, in memory: overrides, pauses and limits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import msgspec

from reconciler import runtime
from reconciler.daemon.reconcile_requests import ReconcileRequests
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.plans.fleet_count import FleetCount
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.pauses import standing_pauses
from reconciler.planning.guards.standing import BootServices, CommandLimits, DaemonReport, Standing, standing_in_force
from reconciler.planning.override_scope import in_force
from reconciler.store import Store
from reconciler.store.drained_hosts import DrainedHost
from reconciler.store.rows.restart_rows import Described, undescribed

_REFRESH_SECONDS = 2.0
"""How soon an override that was written by another process is noticed."""
HEARTBEAT = timedelta(seconds=15)


class PolicyState:
    """The policy of one process that acts, as of a moment ago. `standing` may be called from any thread, and asks no
    database; the actor has `watch` running in a thread of its own."""

    def __init__(
        self, store: Store, asked: CommandLimits, now: Callable[[], datetime], daemon: DaemonReport | None = None
    ) -> None:
        self._store, self._asked, self._now = store, asked, now
        self._daemon, self._epoch, self._seen_at = daemon, 0, None if daemon is None else daemon.since
        self._told: DaemonReport | None = None
        self._boot, self._is_boot_new = BootServices(), False
        self._overrides: tuple[Override, ...] = store.overrides.all()
        self._pauses: tuple[ResourcePause, ...] = store.pauses.all()
        self._in_force = self._ids_in_force(now())
        self._over: set[str] = set()
        """The overrides that ran out, of which the ledger has that."""
        self.report_event: Callable[[Event], None] = lambda _: None
        self.described: Described = undescribed
        """Adds to an event whose it is."""
        self.changed: Callable[[], None] = lambda: None
        """Is called when an override or a pause has begun or ended."""
        self.requested: Callable[[Collection[ResourceKey]], None] = lambda _: None
        """Is called with what a person asked to be reconciled now; of a daemon alone."""
        self.restarts: Callable[[tuple[RestartRequest, ...]], list[RestartResult]] = lambda _: []
        """Is given the restarts that have not ended, and returns those that have ended."""
        self.drained: Callable[[DrainedHost], None] = lambda _: None
        """Is called, perhaps several times, while the host of this daemon is drained."""
        self._had_restarts = True  # One may have been cancelled while no process was there.
        self._requests = None if daemon is None else ReconcileRequests(store)

    def standing(self) -> Standing:
        """The limits, overrides and pauses that judge now."""
        now = self._now()
        me = self._report()
        me = me and msgspec.structs.replace(me, seen_at=now)
        return standing_in_force(self._asked, me, self._overrides, now, self._pauses)[0]

    def count(self, fleet: FleetCount) -> None:
        """The current counts of the fleet, for readers of the store."""
        if self._daemon is not None:
            self._daemon = msgspec.structs.replace(self._daemon, fleet=fleet)

    def note_boot_services(self, found: BootServices) -> None:
        """The boot services of other daemons. `watch` has all judged by them, and gives a sign of life with them."""
        self._boot, self._is_boot_new = found, True

    def _report(self) -> DaemonReport | None:
        me, boot = self._daemon, self._boot
        if me is None:
            return None
        return msgspec.structs.replace(
            me, boot_address=me.boot_address or boot.address, boot_partitions=boot.partitions
        )

    def begin(self, epoch: int) -> None:
        """Say in the store that this daemon is at work. Raises StoreError."""
        self._epoch = epoch
        me = self._report()
        if me is not None:
            self._store.daemon.put(me, epoch, self._now())

    def leave(self) -> None:
        """Say that it has ended. Raises StoreError."""
        self._store.daemon.leave(self._epoch)

    def watch(self, stop: runtime.Flag) -> None:
        """Look again every few seconds, until `stop`. Raises StoreError."""
        with self._store.change_watch() as may_have_changed:
            while not stop.wait(_REFRESH_SECONDS):
                if self._is_boot_new:
                    self._is_boot_new = False
                    self.changed()
                if may_have_changed() or self._ids_in_force(self._now()) != self._in_force or self._had_restarts:
                    self.refresh()
                else:
                    self._give_sign_of_life(self._now())

    def refresh(self) -> None:
        """Look again: overrides and pauses that others wrote or ended, or that ran out; and give a sign of life.

        Raises StoreError, and Fenced when another process has taken over."""
        self._store.require_not_lost()
        now = self._now()
        with self._store.read_together():
            self._overrides, self._pauses = self._store.overrides.all(), self._store.pauses.all()
            asked = self._store.restarts.open()
            drained = self._store.drains.of(runtime.local_host_name()) if self._store.has_lease else None
            has_requests = self._requests is not None and self._requests.are_there()
        self._expire(now)
        before, self._in_force = self._in_force, self._ids_in_force(now)
        for one in self._overrides:
            if one.id in self._in_force - before:
                message = f"{one.id}: guard {one.guard} is overridden for {one.covers}: {one.reason}"
                self.report_event(
                    Event(now, EventType.WARNING, EventReason.OVERRIDE_IN_FORCE, message, by=one.by, about=(one.id,))
                )
        for pause in self._pauses:
            if pause.id in self._in_force - before:
                message = f"{pause.id}: {pause.covers} is paused {pause.lasts}: {pause.reason}"
                self.report_event(
                    Event(now, EventType.WARNING, EventReason.PAUSE_IN_FORCE, message, by=pause.by, about=(pause.id,))
                )
        if before != self._in_force:
            self.changed()
        if asked or self._had_restarts:
            self._had_restarts = bool(asked)
            for event in self._store.restarts.end(self.restarts(asked), now, self.described):
                self.report_event(event)
        if drained is not None:
            self.drained(drained)
        if self._requests is not None and has_requests and (keys := self._requests.take()):
            self.requested(keys)
        self._give_sign_of_life(now)

    def _expire(self, now: datetime) -> None:
        """Record those that ran out, unless there are none that were not over the last time."""
        overrides = {one.id for one in self._overrides if one.revoked_at is None and one.until <= now}
        pauses = {one.id for one in self._pauses if one.ended_at is None and one.until and one.until <= now}
        if not overrides <= self._over or pauses:
            for event in (*self._store.overrides.expire(now), *self._store.pauses.expire(now)):
                self.report_event(event)
        self._over = overrides

    def _give_sign_of_life(self, now: datetime) -> None:
        me = self._report()
        if me is not None and self._epoch and (self._late(now) or me != self._told):
            self._store.daemon.heartbeat(me, self._epoch, now)
            self._seen_at, self._told = now, me

    def _ids_in_force(self, now: datetime) -> set[str]:
        overrides, pauses = in_force(self._overrides, now), standing_pauses(self._pauses, now)
        return {one.id for one in overrides} | {one.id for one in pauses}

    def _late(self, now: datetime) -> bool:
        """Whether a sign of life is due; also when the clock was put back."""
        return self._seen_at is None or not timedelta() <= now - self._seen_at < HEARTBEAT
