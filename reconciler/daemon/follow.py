"""Follows the source: a sound revision takes force; a broken one is shouted about and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from drivers.base import OUTSIDE_ERRORS, excerpt
from reconciler import runtime
from reconciler.applying.engine import Engine
from reconciler.daemon.ancestry import LAST_GOOD, LAST_REF, REWIND, Allowed, AncestryVerdict, judge_descent
from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.desired.load import Loaded, load_bases, load_state
from reconciler.model.counting import count
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import Commit, DesiredState, ResourceKey, Revision, commit_id
from reconciler.store import Store
from reconciler.store.sql.store_errors import StoreError
from reconciler.views.render import words
from reconciler.workqueue.loop import COMMIT, Loop

SHOWN_ERRORS = 20
START = 3.0
"""Seconds that the first look at the source may take. After that the last good revision is in force meanwhile: not at
once, as nothing should be done by a revision that was just replaced."""
SLOW = 90.0
"""Seconds after which a read that is still in progress is reported."""
_LOOK_OUT = 5.0
_LONGEST = 500


ASKED_SECONDS = 3.0
"""So long a read that was asked for waits for others, and for git to be done with the push."""


_STOP_NOTICED = 5.0
"""Seconds after which a stop is noticed of which `Follower.wake` does not inform."""


class EitherFlag:
    """Set when one of two flags is, for those who wait for one. The second one is noticed at once, the first one after
    a few seconds."""

    def __init__(self, one: runtime.Flag, other: runtime.Flag) -> None:
        self._one, self._other = one, other

    def is_set(self) -> bool:
        """Whether one of them is."""
        return self._one.is_set() or self._other.is_set()

    def set(self) -> None:
        """Set the first one."""
        self._one.set()

    def clear(self) -> None:
        """Clear the second one."""
        self._other.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until one of them is set, `timeout` seconds at most."""
        end = None if timeout is None else runtime.monotonic() + timeout
        while not self.is_set():
            left = _STOP_NOTICED if end is None else min(_STOP_NOTICED, end - runtime.monotonic())
            if left <= 0:
                break
            self._other.wait(left)
        return self.is_set()


class Follower:
    """Loads revisions and puts them in force. `tell`: writes an event to the ledger, the log and the metrics. `read` is
    called after each read of the source, with whether it could be read."""

    def __init__(
        self,
        source: DesiredSource,
        engine: Engine,
        loop: Loop,
        store: Store,
        now: Callable[[], datetime],
        report_event: Callable[[Event], None],
        adopted: Callable[[DesiredState], None],
        read: Callable[[bool], None],
        cache: Path | None = None,
    ) -> None:
        self._source, self._engine, self._loop, self._store = source, engine, loop, store
        self._now, self._report_event, self._adopted, self._cache = now, report_event, adopted, cache
        self._read = read
        self._loaded: Loaded | None = None
        self._seen: str | None = None
        self._complaint: tuple[str, str] | None = None
        self._noted: set[str] = set()
        self._commits: dict[ResourceKey, Commit] = {}
        self._looked = runtime.flag()
        self._begun: datetime | None = None
        self._again = runtime.flag()
        self._one_at_a_time = runtime.lock()
        self.broken = False

    def commit_of(self, key: ResourceKey) -> Commit | None:
        """The commit that last changed a document, if it was found when a revision came into force."""
        return self._commits.get(key)

    def follow(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> None:
        """Take in revisions until `stop`. Raises StoreError."""
        self._take_in()
        either = EitherFlag(stop, self._again)
        while not stop.is_set():
            if self._again.is_set():  # All requests of these seconds are one read.
                stop.wait(ASKED_SECONDS)
                self._again.clear()
                self._take_in()
            try:
                for note in self._source.watch(either, interval, jitter):
                    self._note(note)
                    self._take_in()
            except SourceError as error:
                self._read(False)
                self._complain(
                    EventReason.SOURCE_UNAVAILABLE, (f"{error}; the revision in force does not change"), error.what
                )
                either.wait(interval)

    def read_soon(self) -> None:
        """Read the repository before its next turn, at most once in a few seconds however often this is called."""
        self._again.set()

    def wake(self) -> None:
        """Notice a stop at once."""
        self._again.set()

    def watch_remote(self, stop: runtime.Flag) -> None:
        """Beside `follow`, in a thread of its own, for a source that takes long. At the start the last good revision
        takes force meanwhile, and later an event names what is waited for. Raises StoreError."""
        if not self._looked.wait(START) and not stop.is_set():
            self.stand_in()
        while not stop.wait(_LOOK_OUT):
            begun = self._begun
            if begun is not None and self._now() - begun >= timedelta(seconds=SLOW):
                said = f"the read of {self._source.location} that began at {begun:%H:%M:%S}Z has not finished"
                self._complain(
                    EventReason.SOURCE_SLOW,
                    f"{said}; the revision in force stays in force until then. Check the connection to the repository",
                )

    def stand_in(self) -> None:
        """Put the last good revision in force while nothing is and the newest one is not known yet."""
        last = commit_id(self._store.get_meta(LAST_GOOD))
        if self._engine.desired is not None or last is None:
            return
        said = f"{self._source.location} has not answered in {START:.0f} s"
        self._complain(
            EventReason.SOURCE_SLOW,
            f"{said}; {last[:10]}, the last revision in force, stays in force until the repository answers",
        )
        self._fall_back()

    def _note(self, note: str | None) -> None:
        if note is not None and note not in self._noted:
            self._noted.add(note)
            self._say(EventType.WARNING, EventReason.WATCH_UNAVAILABLE, note, None)

    def _take_in(self) -> None:
        """`take_in`; a revision that nothing was prepared for is refused, and the last good one stays."""
        self._begun = self._now()
        try:
            self.check_revision()
        except StoreError:
            raise
        except OUTSIDE_ERRORS as error:  # whatever a repository holds, the daemon lives
            self._seen, self.broken = None, True
            why = excerpt(f"{type(error).__name__}: {error}", _LONGEST)
            self._complain(
                EventReason.REVISION_UNREADABLE,
                f"groundstate could not read the newest revision because of {why}; the revision in force stays. "
                "Report the bug. If another change is urgent, revert the newest commit first",
                type(error).__name__,
            )
        finally:
            self._begun = None
            self._looked.set()

    def check_revision(self) -> bool:
        """Look at the newest revision once; True when it is in force afterwards."""
        try:
            snapshot = self._source.snapshot()
            self._read(True)
            if snapshot.revision.id == self._seen:
                # A branch that was taken back, and put forward again, is at what is in force.
                in_force = self._engine.desired
                self.broken &= in_force is None or in_force.revision.id != self._seen
                self._relax()
                return not self.broken
            if not self._may_follow(snapshot.revision):
                return self._fall_back()
            loaded = load_state(snapshot, cache=self._cache, previous=self._loaded)
        except SourceError as error:
            self._read(False)
            self._complain(
                EventReason.SOURCE_UNAVAILABLE, (f"{error}; the revision in force does not change"), error.what
            )
            return self._fall_back()
        self._seen = snapshot.revision.id
        self._relax()
        refused = loaded.diagnostics if loaded.state is None else self._engine.admit(loaded.state)
        if loaded.state is None or refused:
            self._refuse(snapshot.revision.id, str(snapshot.revision), refused)
            return self._fall_back()
        with self._one_at_a_time:
            self._loaded, self.broken = loaded, False
            # First, so that a crash in between does not end in falling back behind what was in force.
            self._store.put_meta(LAST_GOOD, snapshot.revision.id)
            self._store.put_meta(LAST_REF, self._source.requested_ref)
            self._put_in_force(loaded.state)
        return True

    def _may_follow(self, revision: Revision) -> bool:
        """Whether the revision descends from the one in force, or an operator allowed it; reported as a warning."""
        last, sha = commit_id(self._store.get_meta(LAST_GOOD)), revision.id
        if last is None or last == sha or revision.commit is None:
            return True
        kept = self._store.get_meta(REWIND)
        allowed = msgspec.json.decode(kept, type=Allowed) if kept else None
        asked, last_asked = self._source.requested_ref, self._store.get_meta(LAST_REF)
        verdict = judge_descent(self._source.descends(sha, last), sha, last, asked, last_asked, allowed, self._now())
        what = f"{revision} is not a descendant of {last[:10]}, the revision in force"
        match verdict:
            case AncestryVerdict.FOLLOWS:
                return True
            case AncestryVerdict.REFUSED:
                self.broken = True
                hint = f"groundstate rewind {sha[:10]} --reason WHY"
                self._complain(
                    EventReason.NOT_DESCENDANT,
                    f"{what}, which stays in force. The branch was probably reset by a forced push. If the "
                    f"reset is intended, run: {hint}",
                    sha,
                )
                return False
            case AncestryVerdict.UNKNOWN:
                why = (
                    f"this clone is shallow, so groundstate cannot check that {revision} is a descendant of "
                    f"{last[:10]}; run `git fetch --unshallow` there"
                )
                self._say(EventType.WARNING, EventReason.DESCENT_UNKNOWN, why, sha)
            case AncestryVerdict.ALLOWED if allowed is not None:
                # Before it is in force, so that it counts once.
                self._store.put_meta(REWIND, "")
                self._say(
                    EventType.WARNING,
                    EventReason.REVISION_REWOUND,
                    f"{what}; {allowed.by} allowed the reset: {allowed.reason}",
                    sha,
                )
            case _:
                said = f"{what}; the revision is accepted, because --ref was changed from {last_asked} to {asked}"
                self._say(EventType.WARNING, EventReason.REVISION_REWOUND, said, sha)
        return True

    def _bases(self, state: DesiredState) -> tuple[DesiredState, ...]:
        """The states before, for a store that remembers nothing: their guards are those in force."""
        if self._engine.reconciled_keys():
            return ()
        return load_bases(self._source, state.revision.id, cache=self._cache)

    def _put_in_force(self, state: DesiredState) -> None:
        concerned = self._engine.affected(state)
        # Before it is in force, as what is sent from then on is put down to these.
        with suppress(SourceError):  # Who changed it is worth less than that it is changed.
            self._commits |= self._source.commits_for(state, concerned)
        keys = self._engine.put_in_force(state, self._bases(state))
        commit = state.revision.commit
        by = f" {words.commit_words(commit)}" if commit else ""
        self._say(
            EventType.NORMAL,
            EventReason.REVISION_APPLIED,
            f"{state.revision}{by}; {count(len(keys), 'resource')} to reconcile",
            state.revision.id,
        )
        self._adopted(state)
        self._loop.put(keys, COMMIT)

    def _refuse(self, revision: str, name: str, diagnostics: Iterable[Diagnostic]) -> None:
        self.broken = True
        errors = [d for d in diagnostics if d.severity is Severity.ERROR]
        shown = "; ".join(f"{d.source}: {d.summary}" for d in errors[:SHOWN_ERRORS])
        more = f"; and {len(errors) - SHOWN_ERRORS} more" if len(errors) > SHOWN_ERRORS else ""
        in_force = self._engine.desired
        stays = (
            f"{in_force.revision} stays in force"
            if in_force
            else "no revision is in force, so groundstate changes nothing"
        )
        number = count(len(errors), "error")
        self._say(
            EventType.WARNING, EventReason.REVISION_REFUSED, f"{name} has {number}; {stays}: {shown}{more}", revision
        )

    def _fall_back(self) -> bool:
        """After a start with a broken revision: the last one that was sound takes force again."""
        last = commit_id(self._store.get_meta(LAST_GOOD))
        if self._engine.desired is not None or last is None:
            return False
        try:
            loaded = load_state(self._source.snapshot(last), cache=self._cache)
        except SourceError as error:
            self._complain(EventReason.SOURCE_UNAVAILABLE, str(error), error.what)
            return False
        with self._one_at_a_time:
            # Not when a newer one took force while this one was read.
            if loaded.state is not None and self._engine.desired is None:
                self._loaded = loaded
                self._put_in_force(loaded.state)
        return False

    def _complain(self, reason: EventReason, message: str, about: str = "") -> None:
        """`about`: what of it is at fault. Reported once for each new failure: an outage of an hour is one line, not
        sixty."""
        if (reason, about) != self._complaint:
            self._complaint = (reason, about)
            self._say(EventType.WARNING, reason, message, None, about)

    def _relax(self) -> None:
        if self._complaint is not None:
            self._complaint = None
            self._say(
                EventType.NORMAL, EventReason.SOURCE_AVAILABLE, f"{self._source.location} can be read again", None
            )

    def _say(
        self, severity: EventType, reason: EventReason, message: str, revision: str | None, about: str = ""
    ) -> None:
        which = tuple(one for one in (revision, about) if one)
        self._report_event(Event(self._now(), severity, reason, message, revision=revision, about=which))
