"""The side of the daemon that decides: who attends to which shard, and calls that other daemons carry out.

A shard is attended to by this daemon unless it is handed to another one. Only this daemon hands shards out, so what it
has not handed out stays its own. It hands a shard out when none of its threads works on it any more. It takes a shard
back when the other daemon has released it, or when the lease of that daemon has ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from drivers.base import NoWorker, Unreachable
from reconciler import runtime
from reconciler.kinds.kind_shards import attended_partitions, keys_of_shards, partition_key, shard_of, shared_shards
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.shard import Shard, ShardId, WorkerDaemon
from reconciler.model.values.program_version import program_version
from reconciler.observed.relay.relay_messages import (
    MESSAGES,
    CallAnswer,
    ChangeHint,
    ControlCall,
    EndpointCall,
    RelayedCall,
    SendCall,
    error_of_message,
    value_of_answer,
)
from reconciler.observed.relay.relayed_backend import Carrier
from reconciler.planning.guards.standing import BootServices
from reconciler.store import Store
from reconciler.store.lease.instance import this_process
from reconciler.store.rows.relay_rows import RelayRequest
from reconciler.workqueue.shard_assignment import assign

SHARE_ABOVE = 1000
"""Up to so many BMCs and switches, the daemon that decides attends to all of them itself."""
_REVIEW_SECONDS, _BOOT_SECONDS, _ALONE_SECONDS = 0.5, 1.0, 5.0
"""How often it is checked which daemons there are, which shards they have, and what they report. The first is for a
shared fleet, the second for another one in which they have boot services."""
_BUSY_SECONDS, _CALLED_SECONDS = 0.01, 0.02
"""Between two looks for answers: while one is waited for, and soon after a call of another daemon."""
_CALLED_FOR = 1.0
"""So long after a call of another daemon the next one is soon expected."""
_MOVING_SECONDS = 5.0
"""So long a call waits for a shard that is on its way from one daemon to another."""
_SWEEP_SECONDS = 60.0
"""Between two removals of old replies, which may contain user data."""
_LEAVE_AGAIN_SECONDS = 30.0
"""Where a thread did not leave a shard in that time, as on a silent BMC, the shard is in use again until then."""
ANSWER_SECONDS = 900.0
"""So long an answer is waited for while the other daemon is at work: an inventory is up to 200 requests."""


class _OpenCall:
    """A call without an answer so far."""

    __slots__ = ("answer", "call", "key", "lost", "over", "shard")

    def __init__(self, key: ResourceKey, call: EndpointCall, shard: Shard) -> None:
        self.key, self.call, self.shard = key, call, shard
        self.over = runtime.flag()
        self.answer: CallAnswer | None = None
        self.lost = ""

    def lose(self, why: str) -> None:
        """There will be no answer."""
        self.lost = why
        self.over.set()

    def result(self) -> Any:
        """The value. Raises DriverError."""
        if self.answer is None:
            if isinstance(self.call, SendCall):
                raise Unreachable(f"the action was perhaps sent: {self.lost}", maybe_sent=True)
            raise NoWorker(self.lost)
        if self.answer.error is not None:
            raise error_of_message(self.answer.error)
        try:
            return value_of_answer(self.key.kind, self.call, self.answer.value)
        except msgspec.MsgspecError as error:
            why = f"{self.shard.owner} has another version, whose answer cannot be read: {error}"
            # It was carried out, whatever the answer says.
            raise Unreachable(why, maybe_sent=isinstance(self.call, SendCall)) from None


class ControlRelay:
    """Implements Relay, for the process that works on the store under `epoch`. `share_above`: a fleet with more
    endpoints is shared with the daemons that stand by. `changed` is called with keys that other daemons have seen
    change, or that have come to another daemon. `report` is called with the partitions that are without a daemon from
    now on, and with those that have one again. `called` is called with each call of another daemon, and
    `boot_changed` with the boot services of other daemons. Threads may call it while `run` is running."""

    def __init__(self, store: Store, epoch: int, share_above: int) -> None:
        self._store, self._epoch, self._share_above = store, epoch, share_above
        self._name = this_process("run").name_of_process
        self._desired: DesiredState | None = None
        self._machines: dict[ShardId, int] = {}
        self._lock = runtime.condition_variable()
        self._wake = runtime.flag()
        self._shards: dict[ShardId, Shard] = {}
        self._reviewed_at = runtime.monotonic()
        self._leaving: set[ShardId] = set()
        self._leaves_since: dict[ShardId, float] = {}
        self._local: Counter[ShardId] = Counter()
        self._open: dict[str, _OpenCall] = {}
        self._outbox: deque[RelayRequest] = deque()
        self._unattended: frozenset[str] = frozenset()
        self._is_over = False
        self._review_at, self._called_until, self._sweep_at = 0.0, 0.0, 0.0
        self.boot = BootServices()
        """Those of other daemons, as of the last review."""
        self.changed: Callable[[Collection[ResourceKey]], None] = lambda _: None
        self.report: Callable[[Sequence[str], Sequence[str]], None] = lambda _lost, _back: None
        self.called: Callable[[ControlCall], None] = lambda _: None
        self.boot_changed: Callable[[BootServices], None] = lambda _: None
        store.relay.clear(epoch)
        self._read_shards()

    # -- for threads that work on resources --------------------------------------------------------------------------

    @contextmanager
    def reaching(self, key: ResourceKey, desired: DesiredState) -> Iterator[Carrier | None]:
        """Implements Relay."""
        id_ = shard_of(desired.resources.get(key))
        shard = None if id_ is None else self._enter(id_, attended_partitions(desired))
        if id_ is None:
            yield None
        elif shard is not None:
            yield partial(self._carry, key, desired.revision.id, shard)
        else:
            try:
                yield None
            finally:
                self._exit(id_)

    def is_elsewhere(self, key: ResourceKey) -> bool:
        """Whether another daemon attends to the resource, and reports its changes."""
        desired = self._desired
        id_ = shard_of(desired.resources.get(key)) if desired is not None else None
        shard = self._shards.get(id_) if id_ is not None else None
        return shard is not None and shard.wanted is not None and shard.owner == shard.wanted

    def processes(self) -> int:
        """How many daemons reach endpoints, this one included."""
        return 1 + len({shard.owner for shard in self._shards.values() if self._is_alive(shard)})

    def _enter(self, id_: ShardId, own_workers: Collection[str]) -> Shard | None:
        """The shard, where another daemon has it; None: it is this daemon's until `_exit`. Raises NoWorker."""
        end = runtime.monotonic() + _MOVING_SECONDS
        with self._lock:
            while True:
                shard = self._shards.get(id_)
                if shard is not None and shard.wanted and shard.owner == shard.wanted and self._is_alive(shard):
                    return shard
                # By what the database said: the other daemon may have renewed its lease since.
                is_free = shard is None or (shard.wanted is None and (shard.owner is None or shard.seconds_left <= 0))
                if id_.partition in own_workers:
                    if id_.partition in self._unattended or runtime.monotonic() >= end:
                        raise NoWorker(no_worker_words(id_.partition))
                elif is_free and id_ not in self._leaving:
                    self._local[id_] += 1
                    return None
                left = end - runtime.monotonic()
                if left <= 0 or self._is_over:
                    raise NoWorker(
                        f"shard {id_} is on its way from one daemon to another; groundstate tries again in a moment"
                    )
                self._lock.wait(left)

    def _exit(self, id_: ShardId) -> None:
        with self._lock:
            self._local[id_] -= 1
            if not self._local[id_]:
                del self._local[id_]
                self._lock.notify_all()

    def _is_alive(self, shard: Shard) -> bool:
        return shard.owner is not None and shard.seconds_left > runtime.monotonic() - self._reviewed_at

    def _carry(self, key: ResourceKey, revision: str, shard: Shard, call: EndpointCall) -> Any:
        """Have the owner of the shard carry out the call. Raises DriverError."""
        made = _OpenCall(key, call, shard)
        id_ = runtime.entropy(12).hex()
        text = msgspec.json.encode(RelayedCall(id_, key, revision, call)).decode()
        with self._lock:
            if self._is_over:
                raise NoWorker("nothing was sent: this process is ending")
            self._open[id_] = made
            self._outbox.append(RelayRequest(id_, shard.id, shard.epoch, self._epoch, text))
        self._wake.set()
        if not made.over.wait(ANSWER_SECONDS):
            made.lose(f"the daemon {shard.owner} has not answered for {ANSWER_SECONDS:.0f} s")
        with self._lock:
            self._open.pop(id_, None)
        return made.result()

    # -- its own thread ----------------------------------------------------------------------------------------------

    def adopt(self, desired: DesiredState) -> None:
        """This state is in force from now on."""
        self._machines = shared_shards(desired, self._share_above)
        self._desired, self._review_at = desired, 0.0
        self._wake.set()

    def run(self, stop: runtime.Flag) -> None:
        """Carry calls and answers until `stop`; then no call is waited for any more. Raises StoreError."""
        try:
            while not stop.is_set():
                self._wake.clear()
                self._send_calls()
                if runtime.monotonic() >= self._review_at:
                    began = runtime.monotonic()
                    self._review_at = began + _REVIEW_SECONDS  # A state that is adopted meanwhile is reviewed at once.
                    pause = self.review()
                    if self._review_at:
                        self._review_at = began + pause
                elif self._is_busy():
                    self._take_answers()
                self._wake.wait(self._pause())
        finally:
            with self._lock:
                self._is_over = True
                for call in self._open.values():
                    call.lose("this process ended before the answer came")
                self._lock.notify_all()

    def _is_busy(self) -> bool:
        return bool(self._open) or runtime.monotonic() < self._called_until

    def _pause(self) -> float:
        if self._is_busy():
            return _BUSY_SECONDS if self._open else _CALLED_SECONDS
        return max(0.0, self._review_at - runtime.monotonic())

    def wake(self) -> None:
        """Have `run` look at once whether it is to stop."""
        self._wake.set()

    def _send_calls(self) -> None:
        with self._lock:
            calls = list(self._outbox)
            self._outbox.clear()
        if calls:
            self._store.relay.ask(calls)

    def _take_answers(self) -> None:
        hinted: list[ResourceKey] = []
        for one in self._store.relay.answers(self._epoch):
            try:
                message = MESSAGES.decode(one.value)
            except msgspec.MsgspecError:
                with self._lock:
                    for waiting in self._open.values():
                        waiting.lose("a daemon of another version sent an answer that cannot be read")
                continue
            if isinstance(message, ChangeHint):
                hinted += message.keys
                continue
            if isinstance(message, ControlCall):
                self._called_until = runtime.monotonic() + _CALLED_FOR
                self.called(message)
                continue
            with self._lock:
                call = self._open.get(message.id)
            if call is not None:
                call.answer = message
                call.over.set()
        if hinted:
            self.changed(hinted)

    def review(self) -> float:
        """Read which daemons have which shards and what they report, and hand out what is to go elsewhere. Returns the
        seconds after which this is due again. Raises StoreError."""
        workers = self._read_shards()
        desired = self._desired
        if desired is None:
            return _REVIEW_SECONDS
        own_workers = attended_partitions(desired)
        machines = self._machines
        now_wanted = {id_: one.wanted for id_, one in self._shards.items()}
        assigned = assign(now_wanted, machines, own_workers, workers, self._name)
        # What is not shared any more comes back, and what was never handed out needs no row.
        wanted = {**dict.fromkeys(now_wanted), **assigned}
        new = {id_: worker for id_, worker in wanted.items() if worker != now_wanted.get(id_)}
        self._hand_out(new)
        # They are this daemon's to read again from now on.
        back = [id_ for id_, worker in new.items() if worker is None]
        if back:
            self.changed(keys_of_shards(desired, back))
        self._note_unattended(frozenset(own_workers), {id_.partition for id_, worker in wanted.items() if worker})
        has_boot = any(one.boot_address for one in workers)
        if has_boot and runtime.monotonic() >= self._sweep_at:
            self._sweep_at = runtime.monotonic() + _SWEEP_SECONDS
            self._store.relay.sweep(self._epoch)
        if machines or any(one.wanted or one.owner for one in self._shards.values()):
            return _REVIEW_SECONDS
        return _BOOT_SECONDS if has_boot else _ALONE_SECONDS

    def _hand_out(self, new: Mapping[ShardId, str | None]) -> None:
        """Those on which no thread of this process works any more; the others at a later review."""
        now = runtime.monotonic()
        with self._lock:
            self._leaves_since = {
                id_: self._leaves_since.get(id_, now) for id_, worker in new.items() if worker is not None
            }
            ready = {id_: worker for id_, worker in new.items() if not self._local[id_]}
            self._leaving = {
                id_
                for id_, since in self._leaves_since.items()
                if id_ in ready or (now - since) % _LEAVE_AGAIN_SECONDS < _MOVING_SECONDS
            }
            self._lock.notify_all()
        if ready:
            self._store.shards.want(self._epoch, ready)
            self._read_shards()
            with self._lock:
                self._leaving -= ready.keys()

    def _read_shards(self) -> list[WorkerDaemon]:
        """Take what was said, and read the shards; returns the daemons that attend to them."""
        overview = self._store.shards.overview()
        read_at = runtime.monotonic()
        # A daemon that has left a shard had written its answers before.
        if overview.has_answers:
            self._take_answers()
        with self._lock:
            self._shards = {one.id: one for one in overview.shards}
            self._reviewed_at = read_at
            for call in self._open.values():
                now_there = self._shards.get(call.shard.id)
                if now_there is None or now_there.epoch != call.shard.epoch or not self._is_alive(now_there):
                    call.lose(f"the daemon {call.shard.owner} has stopped working on shard {call.shard.id}")
            self._lock.notify_all()
        version = program_version()
        workers = [worker for process, worker in overview.workers if process.version == version]
        before, self.boot = self.boot, boot_services_of(workers)
        if self.boot != before:
            self.boot_changed(self.boot)
        return workers

    def _note_unattended(self, own_workers: frozenset[str], attended: Collection[str]) -> None:
        alive = {one.id.partition for one in self._shards.values() if self._is_alive(one)}
        without = frozenset(name for name in own_workers if name not in attended and name not in alive)
        with self._lock:
            before, self._unattended = self._unattended, without
            self._lock.notify_all()
        if without != before:
            self.report(sorted(without - before), sorted((before - without) & own_workers))


def boot_services_of(workers: Collection[WorkerDaemon]) -> BootServices:
    """Where these daemons serve machines that boot."""
    serving = [one for one in workers if one.boot_address is not None and not one.is_leaving]
    anywhere = min((str(one.boot_address) for one in serving if not one.partitions), default=None)
    return BootServices(anywhere, tuple(sorted({name for one in serving for name in one.partitions})))


def no_worker_words(partition: str) -> str:
    """That nothing can be known of a partition, and how to proceed."""
    return (
        f"partition {partition} has daemons of its own (spec.ownWorkers), and none of them is at work. Start one with "
        f"`groundstate run --partitions {partition}` on the same PostgreSQL store, or check its host and its "
        "connection to the database"
    )


def attendance_events(lost: Sequence[str], back: Sequence[str], now: datetime) -> list[Event]:
    """The events of partitions that have lost their last daemon, and of those that have one again."""
    return [
        *(
            Event(now, EventType.WARNING, EventReason.NO_WORKER, no_worker_words(name), partition_key(name))
            for name in lost
        ),
        *(
            Event(
                now,
                EventType.NORMAL,
                EventReason.WORKER_AVAILABLE,
                f"a daemon of partition {name} is at work again",
                partition_key(name),
            )
            for name in back
        ),
    ]
