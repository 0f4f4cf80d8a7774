"""The side of a daemon that does not decide: it reaches the endpoints of its shards for the daemon that does.

It carries out calls, one after the other for each resource. Beside that it reads each resource as often as the daemon
that decides would, and reports which ones have changed. It decides nothing, and remembers nothing but its last look.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import OUTSIDE_ERRORS, LeaseEnded, NoWorker
from reconciler import runtime
from reconciler.daemon.shards.revision_reader import RevisionReader
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.kinds import KINDS, longest_resync
from reconciler.kinds.common.defect import defect
from reconciler.kinds.kind_shards import keys_of_shards, partition_key, shard_of
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Done, Outcome
from reconciler.model.resource import DesiredState, ResourceKey, commit_id
from reconciler.model.retry import error_outcome, retry_policy
from reconciler.model.shard import ShardId
from reconciler.observed.backend import driver_error_of, read_failure_of, sent_by, task_of
from reconciler.observed.backends import Backends
from reconciler.observed.connections import Connections
from reconciler.observed.poller import Poller
from reconciler.observed.relay.relay_messages import (
    CALLS,
    CallAnswer,
    ChangeHint,
    InventoryCall,
    ObserveCall,
    RelayedCall,
    SendCall,
    TaskCall,
    error_message,
    facts_of_call,
)
from reconciler.store import Store
from reconciler.store.lease.instance import StoreHolder
from reconciler.store.lease.store_lease import StoreLease
from reconciler.store.rows.relay_rows import RelayAnswer, RelayRequest
from reconciler.store.sql.store_errors import StoreError
from reconciler.workqueue.loop import COMMIT, RESYNC, Loop
from reconciler.workqueue.queue import WorkQueue

_LOOK_SECONDS = 1.0
"""How soon a shard that is handed to this daemon, or taken from it, is noticed; and a new revision."""
_BEATS = 3
"""In the time of a lease."""
_MOVING_SECONDS = 0.2
"""How soon a shard is taken that is handed to this daemon, and that another one has still."""
_BUSY_SECONDS, _IDLE_SECONDS = 0.01, 60.0
"""Between two looks for calls: while they come, and else, where `_keep_shards` notices the first one."""
_BUSY_FOR = 2.0
_STOP_SECONDS = 2.0
"""For what is in hand at the end. The shards of what takes longer are released when the lease ends."""


class WorkerSettings(msgspec.Struct, frozen=True):
    """Of one worker. `partitions`: the only ones that it attends to; empty: any that has no daemons of its own. `lease`
    and `resync` in seconds; `workers` endpoints at the same time. `boot_address`: of its boot service."""

    partitions: tuple[str, ...] = ()
    lease: float = 15.0
    resync: float = 60.0
    workers: int = 64
    boot_address: str | None = None


class _HeldCall(msgspec.Struct, frozen=True):
    """A call that was taken, with the shard that this daemon had by then."""

    call: RelayedCall
    shard: ShardId
    epoch: int


class ShardWorker:
    """Runs from `start` to `end`. `revision_meta`: the name under which the store has the revision in force. `failed`
    is called, from any thread, with what makes it end."""

    def __init__(
        self,
        store: Store,
        source: DesiredSource,
        connections: Connections,
        process: StoreHolder,
        settings: WorkerSettings,
        log: Any,
        cache: Path | None,
        revision_meta: str,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._store, self._process, self._settings = store, process, settings
        self._log, self._failed = log, failed
        self._revision_meta = revision_meta
        self._revision: str | None = None
        self._revisions = RevisionReader(source, cache, process)
        self._backends, self._poller = Backends(connections, runtime.now), Poller(connections, runtime.now)
        self._lease = StoreLease(settings.lease)
        self._lock, self._flushing = runtime.lock(), runtime.lock()
        self._held: Mapping[ShardId, int] = {}
        self._closing: frozenset[ShardId] = frozenset()
        """Those that are to be released when nothing of them is in hand."""
        self._in_hand: Counter[ShardId] = Counter()
        self._calls: dict[ResourceKey, deque[_HeldCall]] = {}
        self._outbox: deque[RelayAnswer] = deque()
        self._desired: DesiredState | None = None
        self._keys: frozenset[ResourceKey] = frozenset()
        self._facts: dict[ResourceKey, ResourceFacts] = {}
        self._last: dict[ResourceKey, tuple[Any, Any]] = {}
        self._failures: Counter[ResourceKey] = Counter()
        self._stop, self._wake = runtime.flag(), runtime.flag()
        self._threads: list[runtime.Thread] = []
        self._loop = Loop(
            WorkQueue(),
            self._step,
            runtime.now,
            runtime.random,
            resync=settings.resync,
            crashed=self._crashed,
            gives_up=lambda key, _: key not in self._keys and key not in self._calls,
            everything=lambda: self._keys,
            resync_of=longest_resync,
        )

    def start(self) -> None:
        """Begin. The first shards come when the daemon that decides hands them to this one."""
        self._store.shards.limit_idle(self._settings.lease)
        works: Mapping[str, Callable[[], None]] = {
            "shards": self._keep_shards,
            "revision": self._follow_revision,
            "relay": self._relay,
            "shard-loop": partial(self._loop.run, self._stop, self._settings.workers),
        }
        self._threads = [
            runtime.thread(partial(runtime.reporting, work, self._ended), name) for name, work in works.items()
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Finish what is in hand, and release the shards: first those in which nothing is."""
        self._stop.set()
        self._wake.set()
        self._loop.wake()
        deadline = runtime.monotonic() + _STOP_SECONDS
        # First the one that takes shards.
        self._threads[0].join(_STOP_SECONDS)
        self._release()
        for thread in self._threads:
            thread.join(max(0.0, deadline - runtime.monotonic()))
        self._lease.leave()  # First, as a thread that was left behind on a silent BMC may go on.
        self._release()

    def _release(self) -> None:
        """All shards but those in which something is in hand; what has not begun is not carried out any more."""
        with self._lock:
            waiting = [held.call.id for calls in self._calls.values() for held in calls]
            self._calls.clear()
            late = [id_ for id_, number in self._in_hand.items() if number]
            self._held = {id_: epoch for id_, epoch in self._held.items() if id_ in late}
            self._closing = frozenset(self._held)
        for id_ in waiting:
            self._say(CallAnswer(id_, error=error_message(NoWorker(f"nothing was sent: {self._process} is stopping"))))
        with suppress(StoreError):  # The lease ends by itself.
            self._flush()
            self._store.shards.leave(self._process, late)

    def _ended(self, error: BaseException) -> None:
        self._stop.set()
        self._loop.wake()
        self._failed(error)

    # -- which shards --------------------------------------------------------------------------------------------------

    def _keep_shards(self) -> None:
        """Renew the lease, take the shards that are handed to this daemon, and release those that are taken from it."""
        beat_at = 0.0
        while not self._stop.is_set():
            news = self._store.shards.news(self._process, self._revision_meta)
            me = self._process.name_of_process
            wanted = {one.id for one in news.shards if one.wanted == me}
            coming = [one for one in news.shards if one.wanted == me != one.owner]
            ready = self._to_release(wanted)
            if ready or runtime.monotonic() >= beat_at or any(one.seconds_left <= 0 for one in coming):
                asked_at = runtime.monotonic()
                # First, as others may have them before the answer comes.
                self._hold({id_: epoch for id_, epoch in self._held.items() if id_ not in ready})
                if ready:
                    self._flush()  # What is answered after the release of a shard is not read any more.
                how = self._settings
                held = self._store.shards.beat(
                    *(self._process, how.partitions, how.lease, ready, how.boot_address),
                    revision=None if self._desired is None else self._desired.revision.id,
                )
                # In this order: after a pause, no call of an earlier epoch may be sent under the new lease.
                self._hold(held)
                self._lease.renewed(asked_at)
                beat_at = asked_at + self._settings.lease / _BEATS
            self._revision = commit_id(news.revision)
            if news.has_requests:
                self._wake.set()
            self._stop.wait(min(_MOVING_SECONDS if coming else _LOOK_SECONDS, self._settings.lease / _BEATS))

    def _to_release(self, wanted: Collection[ShardId]) -> frozenset[ShardId]:
        """The shards that another daemon is to have, and of which nothing is in hand."""
        with self._lock:
            self._closing = frozenset(self._held.keys() - wanted)
            waiting = {one.shard for calls in self._calls.values() for one in calls}
            return frozenset(id_ for id_ in self._closing if not self._in_hand[id_] and id_ not in waiting)

    def _hold(self, held: Mapping[ShardId, int]) -> None:
        with self._lock:
            before, self._held = self._held, held
        if before != held:
            self._log.info("ShardsChanged", message=f"this daemon attends to {len(held)} shards", shards=len(held))
            self._attend()

    def _attend(self) -> None:
        """Read each resource of the shards from now on, new ones at some time within the next `resync`."""
        desired = self._desired
        if desired is None:
            return
        keys = frozenset(keys_of_shards(desired, self._held))
        with self._lock:
            new, gone, self._keys = keys - self._keys, self._keys - keys, keys
            for key in gone:
                self._last.pop(key, None)
                self._facts.pop(key, None)
        self._loop.put(new, RESYNC, self._settings.resync)

    def _follow_revision(self) -> None:
        """Take up each revision that the daemon that decides puts in force. In a thread of its own, as git may take
        longer than the lease."""
        failed = ""
        while not self._stop.wait(_LOOK_SECONDS):
            revision = self._revision
            if revision is None or (self._desired is not None and self._desired.revision.id == revision):
                continue
            try:
                self._desired = self._revisions.state_of(revision)
            except NoWorker as error:
                if failed != revision:
                    self._log.error("SourceUnavailable", message=f"{error}; this daemon sends nothing until it can")
                failed = revision
                continue
            self._warn_of_unknown(self._desired)
            self._attend()

    def _warn_of_unknown(self, desired: DesiredState) -> None:
        unknown = [name for name in self._settings.partitions if partition_key(name) not in desired.resources]
        if unknown:
            message = f"--partitions names {', '.join(unknown)}, which {desired.revision} does not declare"
            self._log.warning("UnknownPartition", message=f"{message}; this daemon has nothing to do there")

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _relay(self) -> None:
        """Take calls, and give answers."""
        busy_until = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            self._flush()
            with self._lock:
                held = {id_: epoch for id_, epoch in self._held.items() if id_ not in self._closing}
            taken = self._store.relay.take(held) if held and self._is_leased() else []
            for request in taken:
                self._take_call(request)
            if taken:
                busy_until = runtime.monotonic() + _BUSY_FOR
            is_busy = runtime.monotonic() < busy_until or bool(self._outbox)
            self._wake.wait(_BUSY_SECONDS if is_busy else _IDLE_SECONDS)

    def _is_leased(self) -> bool:
        try:
            self._lease.require()
        except LeaseEnded:
            return False
        return True

    def _take_call(self, request: RelayRequest) -> None:
        try:
            call = CALLS.decode(request.value)
        except msgspec.MsgspecError as error:
            why = NoWorker(f"{self._process} has another version, and cannot read the call: {error}; nothing was sent")
            self._say(CallAnswer(request.id, error=error_message(why)))
            return
        self._queue_call(_HeldCall(call, request.shard, request.shard_epoch))

    def _queue_call(self, one: _HeldCall) -> None:
        if isinstance(one.call.call, InventoryCall):
            # Up to 200 requests, for which no write waits.
            with self._lock:
                self._in_hand[one.shard] += 1
            runtime.thread(partial(self._read_beside, one), f"inventory-{one.call.key.name}").start()
            return
        with self._lock:
            self._calls.setdefault(one.call.key, deque()).append(one)
        self._loop.put([one.call.key], COMMIT)

    def _flush(self) -> None:
        with self._flushing:
            answers = [self._outbox.popleft() for _ in range(len(self._outbox))]
            if answers:
                self._store.relay.answer(answers)

    def _say(self, message: CallAnswer | ChangeHint) -> None:
        self._outbox.append(RelayAnswer(msgspec.json.encode(message).decode()))
        self._wake.set()

    # -- one resource --------------------------------------------------------------------------------------------------

    def _step(self, key: ResourceKey) -> Outcome:
        """Carry out the calls for the resource, or read it where there is none."""
        seen: Observation | None = None
        was_called = False
        while (held := self._next_call(key)) is not None:
            was_called = True
            try:
                seen = self._carry_out(held) or seen
            finally:
                self._drop(held.shard)
        if not was_called:
            seen = self._look(key)
        if seen is None or seen.error is None:
            self._failures.pop(key, None)
            return Done()
        self._failures[key] += 1
        policy = retry_policy(seen.error.reason)
        delay = seen.error.retry_after or policy.wait.delay(self._failures[key], runtime.random())
        return error_outcome(seen.error.reason, seen.error.message, delay, terminal=policy.terminal)

    def _read_beside(self, held: _HeldCall) -> None:
        try:
            self._carry_out(held)
        finally:
            self._drop(held.shard)

    def _next_call(self, key: ResourceKey) -> _HeldCall | None:
        with self._lock:
            calls = self._calls.get(key)
            if not calls:
                self._calls.pop(key, None)
                return None
            held = calls.popleft()
            self._in_hand[held.shard] += 1
            return held

    def _drop(self, shard: ShardId) -> None:
        with self._lock:
            self._in_hand[shard] -= 1

    def _carry_out(self, held: _HeldCall) -> Observation | None:
        """Answer one call; what was observed, if it was an observation."""
        call, key = held.call.call, held.call.key
        seen: Observation | None = None
        try:
            self._require(held)
            desired = self._revisions.state_of(held.call.revision)
            match call:
                case ObserveCall():
                    facts = facts_of_call(key.kind, call)
                    try:
                        value = self._backends.of(key).observe(key, desired, facts)
                        seen = Observation(key, runtime.now(), value)
                    except OUTSIDE_ERRORS as error:
                        seen = Observation(key, runtime.now(), error=read_failure_of(error))
                        raise
                    finally:
                        if seen is not None:
                            self._remember(seen, facts)
                case SendCall(action=action):
                    value = sent_by(self._backends.of(key), action, desired, partial(self._require, held))
                case TaskCall(handle=handle):
                    value = task_of(self._backends.of(key), handle, key, desired)
                case InventoryCall():
                    value = self._backends.inventory(key, desired)
            self._say(CallAnswer(held.call.id, msgspec.Raw(msgspec.json.encode(value))))
        except OUTSIDE_ERRORS as error:  # it is this resource's alone
            self._say(CallAnswer(held.call.id, error=error_message(driver_error_of(error))))
        return seen

    def _require(self, held: _HeldCall) -> None:
        """Raise LeaseEnded unless this daemon may still write to the shard."""
        self._lease.require()
        if self._held.get(held.shard) != held.epoch:
            raise LeaseEnded(f"nothing was sent: another daemon has taken over shard {held.shard}")

    def _look(self, key: ResourceKey) -> Observation | None:
        """Read the resource, and report it if it has changed since it was read last. None: it is another daemon's."""
        desired = self._desired
        shard = shard_of(desired.resources.get(key)) if desired is not None else None
        with self._lock:
            if desired is None or shard is None or shard not in self._held or shard in self._closing:
                return None
            self._in_hand[shard] += 1
        try:
            before, facts = self._last.get(key), self._facts.get(key, NO_FACTS)
            seen = self._poller.observe(key, desired, facts)
            if self._remember(seen, facts) != before:
                self._say(ChangeHint((key,)))
            return seen
        finally:
            self._drop(shard)

    def _remember(self, seen: Observation, facts: ResourceFacts) -> tuple[Any, Any]:
        """What the look is compared by: what decisions may be based on, and the reason of an error."""
        kind = KINDS[seen.key.kind]
        value = None if seen.value is None else kind.believed(kind.kept(seen.value))
        compared = (value, None if seen.error is None else seen.error.reason)
        self._last[seen.key], self._facts[seen.key] = compared, facts
        return compared

    def _crashed(self, key: ResourceKey, error: BaseException) -> None:
        self._log.error("StepFailed", key=str(key), message=f"the look ended because of {defect(error)}")
