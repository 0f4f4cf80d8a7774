"""The turns of a daemon at its store: it stands by while another process works on the store, and while its host is
drained. Meanwhile it attends to shards of a large fleet. It waits while PostgreSQL cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, Self

from reconciler import runtime
from reconciler.model.retry import STORE
from reconciler.services.http import Site
from reconciler.services.metrics import waiting_metrics
from reconciler.store import Store
from reconciler.store.lease.instance import this_process
from reconciler.store.sql.store_errors import WAITS_FOR_STORE, InstanceHeld, StoreError, StoreUnavailable

_LOOK_AGAIN_SECONDS = 1.0
"""How soon a daemon that has left the store is followed."""
_REPORT_EVERY = 10
"""Attempts; how often it says in the store that it stands by."""
_RELAY_SECONDS = 1.0
"""How soon the thread that relays the end of a process notices that it is not needed any more."""

Served = Callable[[Site], AbstractContextManager[object]]
Attending = Callable[[Callable[[BaseException], None]], AbstractContextManager[object]]
"""Attends to shards as long as the context is entered. Calls the function, from any thread, with what ends that."""


class StoreTurns:
    """Of one daemon. `lease`: seconds. `served`: answers on the address of the daemon while the daemon does not work.
    The answers say that it is well, and not ready. A service in front of several daemons then sends machines to the one
    that works. `partitions`: the daemon attends to the shards of these alone, and never decides.

    The epoch under which this daemon worked last is remembered: only who finds it unchanged may go on."""

    def __init__(
        self, lease: float, stop: runtime.Flag, log: Any, served: Served, partitions: tuple[str, ...] = ()
    ) -> None:
        self._lease, self._stop, self._log, self._served = lease, stop, log, served
        self._partitions = partitions
        self._lock = runtime.lock()
        self._me = this_process("run")
        self._epoch: int | None = None
        self._worked: Store | None = None
        self._shown = ExitStack()
        self._is_shown = self._stands_by = False
        self._why_not = ""
        self._outage: StoreUnavailable | None = None
        self._attempts = 0

    def take(self, store: Store, stack: ExitStack, attend: Attending | None = None) -> int | None:
        """The epoch, once no other process works on the store, which `stack` then holds; None: it is to stop. `attend`
        makes what attends to shards until then.

        Raises StoreError, of which StoreUnavailable is for `outlast`. InstanceHeld on SQLite, where no process stands
        by. Fenced when another process has worked on the store since this one did."""
        with _Helper(attend) as helper:
            return self._wait_for_turn(store, stack, helper)

    def _wait_for_turn(self, store: Store, stack: ExitStack, helper: _Helper) -> int | None:
        tries, held_epoch = 0, 0
        while not self._stop.is_set():
            turn = store.standbys.turn(self._me.host) if store.has_lease else None
            is_drained = turn is not None and turn.is_drained
            try:
                if is_drained:
                    self._stand_by(
                        str(store.drains.of(self._me.host)), f"to end that: groundstate uncordon {self._me.host}"
                    )
                elif self._partitions:
                    self._stand_by(f"this daemon attends to {', '.join(self._partitions)}", "another daemon decides")
                # Whoever had it a moment ago need not be asked for by name.
                elif turn is None or not turn.is_leased or turn.epoch != held_epoch:
                    return self._taken(store, stack)
            except InstanceHeld as held:
                if turn is None:
                    raise
                held_epoch = turn.epoch if turn.is_leased else 0
                self._stand_by(held.holder, "this daemon takes over when that process has ended")
            helper.work(is_drained=is_drained)
            # One that never decides is no daemon to hand the work to.
            if tries % _REPORT_EVERY == 0 and not self._partitions:
                store.standbys.put(self._me, runtime.now())
            tries += 1
            self._stop.wait(_LOOK_AGAIN_SECONDS)
        self._leave(store)
        return None

    def _taken(self, store: Store, stack: ExitStack) -> int:
        last = None if self._worked is None else self._worked.last_action
        epoch = stack.enter_context(store.instance("run", lease=self._lease, before=self._epoch, last=last))
        self._reached()
        self._leave(store)
        self._epoch, self._worked = epoch, store
        return epoch

    def left(self) -> None:
        """The store was left in order, so that others may work on it before this daemon does again."""
        self._epoch = self._worked = None

    def wait_for_upgrade(self, held: InstanceHeld) -> None:
        """Wait a moment: the store has an older schema, and an older program works on it."""
        self._stand_by(held.holder, "this newer daemon changes the store and takes over when that process has ended")
        self._stop.wait(_LOOK_AGAIN_SECONDS)

    def note_outage(self, error: StoreUnavailable) -> None:
        """The store cannot be reached, which is logged once until it can be again. Any thread may call this."""
        with self._lock:
            is_new, self._outage = self._outage is None, error
        if is_new:
            self._log.error("StoreUnavailable", message=f"{error}; {WAITS_FOR_STORE}")

    def outlast(self, error: StoreUnavailable) -> None:
        """Wait a moment before the store is tried again."""
        self.note_outage(error)
        self._attempts += 1
        self._show()
        self._stop.wait(STORE.delay(self._attempts, runtime.random()))

    def close(self) -> None:
        """Answer on the address no more."""
        self._shown.close()
        self._is_shown = False

    def _stand_by(self, why: str, until: str) -> None:
        self._reached()
        if why != self._why_not:
            self._log.info("StandingBy", message=f"{why}; {until}")
        self._why_not, self._stands_by = why, True
        self._show()

    def _reached(self) -> None:
        if self._outage is not None:
            self._log.info("StoreAvailable", message="the store can be reached again; this daemon continues")
        self._outage, self._attempts = None, 0

    def _leave(self, store: Store) -> None:
        if self._stands_by:
            with suppress(StoreError):  # The others forget it a minute later.
                store.standbys.leave(self._me)
        self._stands_by, self._why_not = False, ""
        self.close()

    def _show(self) -> None:
        if not self._is_shown:
            self._shown.enter_context(self._served(Site({"/healthz": lambda: None, "/readyz": self._why}, self._text)))
            self._is_shown = True

    def _why(self) -> str:
        return f"{self._outage}; {WAITS_FOR_STORE}" if self._outage is not None else f"standing by: {self._why_not}"

    def _text(self) -> bytes:
        return waiting_metrics(stands_by=self._stands_by, is_store_up=self._outage is None)


class _Helper:
    """What attends to shards while the daemon does not decide, if anything does. `work` raises its failure."""

    def __init__(self, attend: Attending | None) -> None:
        self._attend, self._works = attend, ExitStack()
        self._is_at_work = False
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._works.close()

    def work(self, *, is_drained: bool) -> None:
        """Attend to shards, unless the host is drained. Raises what ended that."""
        if self._failures:
            raise runtime.thread_failure(self._failures[0])
        if is_drained:
            self._works.close()
            self._is_at_work = False
        elif self._attend is not None and not self._is_at_work:
            self._works.enter_context(self._attend(self._failures.append))
            self._is_at_work = True


@contextmanager
def relayed(stop: runtime.Flag) -> Iterator[runtime.Flag]:
    """Another flag, which is set when `stop` is, and can be set without it."""
    own, over = runtime.flag(), runtime.flag()

    def relay() -> None:
        while not over.is_set():
            if stop.wait(_RELAY_SECONDS):
                own.set()
                return

    runtime.thread(relay, "stop").start()
    try:
        yield own
    finally:
        over.set()
