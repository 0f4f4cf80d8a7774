"""Revisions that another daemon has put in force, read on this host."""

from __future__ import annotations

from pathlib import Path

from drivers.base import NoWorker
from reconciler import runtime
from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.git.sources.source import DesiredSource, Snapshot
from reconciler.desired.load import Loaded, load_state
from reconciler.model.resource import DesiredState
from reconciler.store.lease.instance import StoreHolder

_FETCH_SECONDS = 2.0
"""Between two fetches of a revision that was not there."""


class RevisionReader:
    """Reads the desired state of a revision, and keeps the latest two. `reader`: who says so in an error. Threads may
    share it; they wait for each other."""

    def __init__(self, source: DesiredSource, cache: Path | None, reader: StoreHolder) -> None:
        self._source, self._cache, self._reader = source, cache, reader
        self._lock = runtime.lock()
        self._loaded: dict[str, Loaded] = {}
        self._fetch_at = 0.0

    def state_of(self, revision: str) -> DesiredState:
        """The desired state of a revision. Raises NoWorker where it cannot be read here."""
        with self._lock:
            loaded = self._loaded.get(revision)
            if loaded is None:
                previous = next(reversed(self._loaded.values()), None)
                try:
                    loaded = load_state(self._snapshot(revision), cache=self._cache, previous=previous)
                except SourceError as error:
                    raise NoWorker(f"{self._reader} cannot read revision {revision[:10]}: {error}") from error
                self._loaded = {**dict(list(self._loaded.items())[-1:]), revision: loaded}
        if loaded.state is None:
            raise NoWorker(
                f"{self._reader} finds errors in revision {revision[:10]}, which is in force elsewhere; check that "
                "all daemons have the same version of groundstate"
            )
        return loaded.state

    def _snapshot(self, revision: str) -> Snapshot:
        """The revision, which is fetched if this host does not have it. Raises SourceError."""
        try:
            return self._source.snapshot(revision)
        except SourceError:
            if runtime.monotonic() < self._fetch_at:
                raise
            try:
                self._source.snapshot()
            finally:
                # Afterwards, as a fetch may take long, and many calls wait for it.
                self._fetch_at = runtime.monotonic() + _FETCH_SECONDS
            return self._source.snapshot(revision)
