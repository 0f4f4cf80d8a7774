"""The loop: takes due keys from the queue, steps each, and puts it back for when its outcome says.

`turn` handles one key and is all a simulation needs; `run` drives it with threads. A key is handled by one worker at a
time. Unreachable machines come back at a priority that only some workers serve, so that dead BMCs never hold up others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

from drivers.base import OUTSIDE_ERRORS, ErrorReason, clean
from reconciler import runtime
from reconciler.model.outcome import Done, Failed, Outcome, OutcomeReason, Waiting
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import CRASHED
from reconciler.observed.crew import CHECK_SECONDS, LATE_SECONDS, Crew
from reconciler.workqueue.queue import WorkQueue

COMMIT, CONFIRM, RETRY, RESYNC, SUSPECT = 100, 80, 40, 0, -100
"""Priorities: a new commit beats everything, a resync yields to all but BMCs that do not answer."""

STOP_SECONDS = 10.0

NAP = 1.0
"""Seconds after which a thread that waits for the queue checks it again."""

WATCHED_RESYNC = 300.0
"""Seconds between two observations of what another daemon reads meanwhile."""

PUT_BACK = timedelta(seconds=1)
"""A clock that is so much earlier than before was put back; by less, another thread has read it meanwhile."""

SUSPECTS_APART = 3
"""Times their workers: so many threads may sit out BMCs that were silent before."""

SUSPECT_REASONS = frozenset(
    {
        ErrorReason.UNREACHABLE,
        ErrorReason.AUTHENTICATION_FAILED,
        ErrorReason.SECRET_UNAVAILABLE,
        ErrorReason.INTERNAL,
    }
)


class Loop:
    """Keys in, outcomes out. `settled` gets each outcome; `resync` seconds pass between two observations of a key that
    is as declared (None: it is dropped from the queue instead). `suspects`: those whose BMC is known to be silent.
    `everything`: all keys, to be queued again when the clock was put back. `resync_of`: the longest time between two
    observations of a key, where that is not left to `resync`. `is_watched`: another daemon reads the key meanwhile, and
    reports a change."""

    def __init__(
        self,
        queue: WorkQueue,
        step: Callable[[ResourceKey], Outcome],
        now: Callable[[], datetime],
        random: Callable[[], float],
        *,
        resync: float | None = 60.0,
        settled: Callable[[ResourceKey, Outcome], None] = lambda _key, _outcome: None,
        crashed: Callable[[ResourceKey, BaseException], None] = lambda _key, _error: None,
        gives_up: Callable[[ResourceKey, Outcome], bool] = lambda _key, _outcome: False,
        suspects: Iterable[ResourceKey] = (),
        everything: Callable[[], Iterable[ResourceKey]] = tuple,
        resync_of: Callable[[ResourceKey], float | None] = lambda _key: None,
        is_watched: Callable[[ResourceKey], bool] = lambda _key: False,
    ) -> None:
        self._queue, self._step, self._now, self._random = queue, step, now, random
        self._resync, self._settled, self._crashed, self._gives_up = resync, settled, crashed, gives_up
        self._wake = runtime.condition_variable()
        self._woken = self._puts = 0
        self._looking_at: dict[int, datetime] = {}
        """When those who wait for the queue look at it again by themselves."""
        self._broke: list[BaseException] = []
        self._suspects = set(suspects)
        self._everything, self._latest, self._resync_of = everything, now(), resync_of
        self._is_watched = is_watched

    def put(self, keys: Iterable[ResourceKey], priority: int, spread: float = 0.0) -> None:
        """Queue keys, each at a random moment within `spread` seconds; a key that is being handled is handled once
        more. Those whose BMC did not answer last time stay behind the others whatever it is they are queued for."""
        now, suspects = self._now(), self._suspects.copy()
        self._queue.put_all(
            (key, SUSPECT if key in suspects else priority, now + timedelta(seconds=spread * self._random()))
            for key in keys
        )
        self._puts += 1
        self.wake()

    def lag(self) -> float:
        """Seconds since the key that has waited longest for a worker was due."""
        due = self._queue.next_due()
        return max(0.0, (self._now() - due).total_seconds()) if due is not None else 0.0

    def turn(self, min_priority: int = SUSPECT) -> bool:
        """Handle one due key. False when none is due."""
        key = self._take(min_priority)
        if key is None:
            return False
        self._handle(key)
        return True

    def _take(self, min_priority: int) -> ResourceKey | None:
        now = self._now()
        if now < self._latest - PUT_BACK:
            # All that waits was to wait by a clock that was ahead, perhaps by years.
            self.put(self._everything(), RESYNC, self._resync or 0.0)
        self._latest = now
        return self._queue.take(now, min_priority=min_priority)

    def run(self, stop: runtime.Flag, workers: int) -> None:
        """Serve the queue with threads until `stop`, then let each finish the key that it has in hand.

        One that hangs on a silent BMC is left behind after STOP_SECONDS; what it sent is on record. When the queue, or
        the receiver of the outcomes, fails, all stop and the error is raised.
        """
        reserved = max(1, workers // 4)
        crews = [
            Crew(partial(self._work, stop, SUSPECT, runtime.lock()), reserved, "worker", SUSPECTS_APART * reserved),
            Crew(partial(self._work, stop, RESYNC, runtime.lock()), max(2, workers) - reserved, "worker-no-suspects"),
        ]
        while True:
            for crew in crews:
                crew.fill()
            # What begins from now on does not hang before LATE_SECONDS.
            if stop.wait(LATE_SECONDS if all(crew.is_idle for crew in crews) else CHECK_SECONDS):
                break
        self.wake()
        deadline = runtime.monotonic() + STOP_SECONDS
        for crew in crews:
            crew.join(deadline)
        if self._broke:
            raise runtime.thread_failure(self._broke[0])

    def wake(self) -> None:
        """Let idle workers look again, at the queue or at `stop`."""
        with self._wake:
            self._woken += 1
            self._wake.notify_all()

    def _wake_by(self, due: datetime) -> None:
        """Let idle workers look again, but for those who will by then: most keys are put behind others."""
        with self._wake:
            self._woken += 1  # Who has looked and does not wait yet, looks once more.
            if any(view > due for view in self._looking_at.values()):
                self._wake.notify_all()

    def _work(self, stop: runtime.Flag, min_priority: int, lookout: runtime.Lock, crew: Crew) -> bool:
        try:
            return self._serve(stop, min_priority, lookout, crew)
        except BaseException as error:  # noqa: BLE001  raised by `run`; its key would never come back
            self._broke.append(error)
            stop.set()
            self.wake()
            return False

    def _serve(self, stop: runtime.Flag, min_priority: int, lookout: runtime.Lock, crew: Crew) -> bool:
        """Handle the next key; False when it is time to stop. One of those who share `lookout` watches the queue; the
        others sleep until it has a key in hand. If all of them asked whenever a key is due, only one would get it. This
        would be most of the work of an idle daemon."""
        if stop.is_set():
            return False
        with lookout:
            key = self._next(stop, min_priority)
        if key is not None:
            with crew.at_work() as work:
                work.answered = not self._handle(key)
        return True

    def _next(self, stop: runtime.Flag, min_priority: int) -> ResourceKey | None:
        """The next key, once it is due; None when it is time to stop."""
        while not stop.is_set():
            woken = self._woken
            key = self._take(min_priority)
            if key is not None:
                return key
            due = self._queue.next_due(min_priority=min_priority)
            now = self._now()
            pause = NAP if due is None else min(NAP, max(0.005, (due - now).total_seconds()))
            with self._wake:
                # Not when something was put while it looked.
                if not stop.is_set() and woken == self._woken:
                    self._looking_at[min_priority] = now + timedelta(seconds=pause)
                    self._wake.wait(pause)
                    del self._looking_at[min_priority]
        return None

    def _handle(self, key: ResourceKey) -> bool:
        """Step the key, and put it back; whether its BMC is silent."""
        puts = self._puts
        try:
            outcome = self._step(key)
        except OUTSIDE_ERRORS as error:  # whatever it was, other keys must go on, and this one comes back
            self._crashed(key, error)
            outcome = Failed(ErrorReason.INTERNAL, clean(f"{type(error).__name__}: {error}"), False, CRASHED)
        silent = not isinstance(outcome, Done) and outcome.reason in SUSPECT_REASONS
        (self._suspects.add if silent else self._suspects.discard)(key)
        through = self._gives_up(key, outcome)
        if through or (isinstance(outcome, Done) and self._resync is None):
            self._queue.done(key)
        else:
            delay, priority = self._again(key, outcome)
            due = self._now() + timedelta(seconds=delay)
            self._queue.retry(key, due, priority)
            if puts != self._puts:  # Perhaps it was put meanwhile, and is due at once.
                self.wake()
            elif delay < NAP:
                self._wake_by(due)
        self._settled(key, outcome)
        return silent

    def _again(self, key: ResourceKey, outcome: Outcome) -> tuple[float, int]:
        longest = self._resync_of(key) or math.inf
        usual = WATCHED_RESYNC if self._is_watched(key) else self._resync or 60.0
        resync = min(usual, longest) * (0.9 + 0.2 * self._random())
        match outcome:
            case Done():
                return resync, RESYNC
            case Waiting(reason=reason, retry_after=delay) | Failed(reason=reason, retry_after=delay):
                if key in self._suspects:
                    return delay, SUSPECT
                return delay, CONFIRM if reason is OutcomeReason.CONFIRMING else RETRY
