"""What operations work with, opened when needed and closed at the end: the source, the store, the drivers.

Errors that a person can do something about leave a workspace as OperationError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from reconciler import runtime
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, commit_id
from reconciler.operations.known_store import (
    gone_note,
    is_beginning,
    known_store,
    lost_store,
    mark_since_beginning,
    remember_store,
)
from reconciler.operations.operation_error import FailureReason, OperationError, operation_error
from reconciler.operations.store_location import default_store, move_hint, old_store
from reconciler.operations.where import Where

if TYPE_CHECKING:
    from drivers.registry import Registry
    from reconciler.desired.git.sources.source import DesiredSource, Snapshot
    from reconciler.desired.load import Loaded
    from reconciler.observed.connections import Connections
    from reconciler.store import Store
    from reconciler.store.login_memory import StoredLogins


class Workspace:
    """What `where` names. `notes` are what people should know of what was opened, each once, in order.

    Used as a context; the sessions of all connections are ended with it. Not shared by threads.
    """

    def __init__(self, where: Where) -> None:
        self.where = where
        self._notes: dict[str, None] = {}
        self._registry: Registry | None = None
        self._connections: Connections | None = None
        self._logins: StoredLogins | None = None
        self._began = cache(partial(_history_began, where))
        """When the fleet's first commit was made, which git is asked at most once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        failed = operation_error(error) if isinstance(error, Exception) else None
        if failed is None:
            return
        failed.notes = tuple(dict.fromkeys((*self.notes, *failed.notes)))
        if failed is not error:
            raise failed from error

    def close(self) -> None:
        """End the sessions of all connections. Drivers are opened again when they are needed again."""
        registry, self._registry, self._connections = self._registry, None, None
        if registry is not None:
            registry.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted so far."""
        return tuple(self._notes)

    def note(self, text: str) -> None:
        """Note something that people should know and that stops nothing."""
        self._notes[text] = None

    def read_ref(self, ref: str) -> None:
        """Read this branch, tag or commit from now on."""
        self.where = msgspec.structs.replace(self.where, ref=ref)

    def keep_to_branch(self) -> None:
        """Read the branch that is checked out now, whatever is checked out later. Work on another branch in the same
        clone is not meant for the fleet."""
        if self.where.ref == "HEAD" and not self.where.work_tree and (branch := self.source().branch()) is not None:
            self.read_ref(branch)

    # -- the desired state ---------------------------------------------------------------------------------------------

    def source(self) -> DesiredSource:
        """The git repository. Raises SourceError when there is none."""
        return open_desired_source(self.where)

    def read(self, source: DesiredSource, store: Store | None = None) -> DesiredState:
        """The desired state. Raises OperationError with every problem when there are errors, and SourceError.

        With a `store`, for operations that only show: instead of a broken revision, the last good one that the store
        knows. A broken work tree is shown as broken: the files on disk were asked for.
        """
        return self.read_all(source, store)[0]

    def read_shown(self) -> DesiredState:
        """The desired state, or the last good one where it is broken. Raises OperationError and SourceError."""
        with self.store() as store:
            return self.read(self.source(), store)

    def bases(self, source: DesiredSource, desired: DesiredState, facts: Facts) -> tuple[DesiredState, ...]:
        """The states that this one follows in git, whose guards judge too where the store remembers nothing, as in a
        pull request. Empty where the store remembers what is in force, or no state before can be read."""
        from reconciler.desired.load import load_bases

        return () if facts.resources else load_bases(source, desired.revision.id, cache=self.where.cache)

    def read_all(
        self, source: DesiredSource, store: Store | None = None
    ) -> tuple[DesiredState, tuple[Diagnostic, ...]]:
        """The same, with the warnings."""
        snapshot, loaded = read_state(source, self.where)
        if loaded.state is not None:
            return loaded.state, loaded.diagnostics
        in_force = _last_good(source, store, self.where) if store and not self.where.work_tree else None
        if in_force is None:
            raise OperationError("", FailureReason.INVALID, diagnostics=loaded.diagnostics, files=len(snapshot.files))
        count = sum(one.severity is Severity.ERROR for one in loaded.diagnostics)
        errors, them = ("1 error", "it") if count == 1 else (f"{count} errors", "them")
        why = f"{errors}; groundstate validate shows {them}"
        self.note(f"{snapshot.revision} has errors ({why}); showing {in_force.revision}, the revision in force")
        return in_force, ()

    @contextmanager
    def noting_uncommitted(self, source: DesiredSource) -> Iterator[None]:
        """Note how many files of the work tree are not what is read; an edit that seems lost is mostly this.

        git counts them beside the reading, as that takes it a while in a large repository.
        """
        found: list[int] = []
        head = self.where.ref == "HEAD"
        counting = runtime.thread(lambda: found.append(source.uncommitted() if head else 0), "uncommitted")
        counting.start()
        try:
            yield
        except Exception as error:
            counting.join()
            failed = operation_error(error)
            if failed is None:
                raise
            failed.afterwards = _uncommitted(sum(found))
            raise failed from error
        counting.join()
        for text in _uncommitted(sum(found)):
            self.note(text)

    # -- the store -----------------------------------------------------------------------------------------------------

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store, to be read: nothing of it is changed. An empty one in memory stands in for one that does not
        exist yet. Raises StoreError."""
        store = self._read_only_store()
        try:
            yield store
        finally:
            store.close()

    def _read_only_store(self) -> Store:
        from reconciler.store import NoStore, Store

        try:
            store = Store.read_only(store_url(self.where))
        except NoStore as error:
            known = known_store(self.where)
            what = f"there is no store at {error.place} yet" if known is None else gone_note(known, error.place)
            self.note(f"{what}, so groundstate has no observations of this fleet")
            empty = Store.open("sqlite://")
            if known is None and is_beginning(self._began(), runtime.now()):
                mark_since_beginning(empty)
            return empty
        if store.copied is not None:
            self.note(
                f"an older groundstate made the store at {store.where} (schema {store.copied}); this command "
                "reads a copy of the store, and does not change the store. `groundstate apply` and "
                "`groundstate run` upgrade the store"
            )
        return store

    @contextmanager
    def changing(self, *, create: bool = False) -> Iterator[Store]:
        """The store, to be written, as `_change_store` opens it."""
        store = _change_store(self.where, self._began, create=create)
        try:
            yield store
        finally:
            store.close()

    # -- the drivers ---------------------------------------------------------------------------------------------------

    def connections(self, store: Store) -> Connections:
        """The drivers, opened. BMCs that were connected once in this workspace stay so, whichever store is open by
        then; the IPAM is the one of `store`. Raises Rejected for settings that cannot be."""
        from drivers.registry import Registry
        from reconciler.observed.connections import Connections, Drivers
        from reconciler.observed.relay.relayed_backend import DirectReach, RelayedBackend
        from reconciler.store.login_memory import StoredLogins

        registry = self._registry = self._registry or Registry()
        ipam, pools = registry.open_ipam(self.where.ipam, store.engine), registry.open_pools(store.engine)
        if self._connections is None:
            drivers = Drivers(
                *(registry.bmc, registry.secret, ipam, pools),
                backend=registry.backend,
                sink=registry.sink,
                secret_text=registry.secret_text,
                console=registry.console,
                switch=registry.switch,
                secret_lines=registry.secret_lines,
            )
            self._logins = StoredLogins(store.refused_logins)
            self._connections = Connections(drivers, self.where.base, self.where.grants, self._logins)
            self._connections.reach = partial(RelayedBackend, DirectReach())
        else:
            if self._logins is not None:
                self._logins.use(store.refused_logins)
            self._connections = self._connections.over(ipam, pools)
        return self._connections


def open_desired_source(where: Where) -> DesiredSource:
    """The git repository. Raises SourceError when there is none."""
    from reconciler.desired.git.sources.open_source import open_source

    # HEAD of a remote is asked for anew each time, where a name is looked up in what was fetched.
    ref = None if where.ref == "HEAD" else where.ref
    return open_source(where.repo, ref=ref, path=where.path, work_tree=where.work_tree, cache_dir=where.cache)


def read_state(source: DesiredSource, where: Where, previous: Loaded | None = None) -> tuple[Snapshot, Loaded]:
    """The newest snapshot and what it declares, errors included. Raises SourceError."""
    from reconciler.desired.load import load_state

    snapshot = source.snapshot()
    return snapshot, load_state(snapshot, cache=where.cache, previous=previous)


def _uncommitted(number: int) -> tuple[str, ...]:
    if not number:
        return ()
    files = "1 file differs" if number == 1 else f"{number} files differ"
    was, them = ("was", "this file") if number == 1 else ("were", "these files")
    return (f"{files} from the commit and {was} not read; --work-tree reads {them}",)


def _last_good(source: DesiredSource, store: Store, where: Where) -> DesiredState | None:
    """What the daemon last put in force, as long as it can still be read."""
    from reconciler.daemon.ancestry import LAST_GOOD
    from reconciler.desired.git.plumbing import SourceError
    from reconciler.desired.load import load_state

    last = commit_id(store.get_meta(LAST_GOOD))
    if last is None:
        return None
    try:
        return load_state(source.snapshot(last), cache=where.cache).state
    except SourceError:
        return None


_NEARLY_URL = re.compile(r"^(postgres\w*|sqlite|mysql|mariadb):|^[^/]*:[^/]*@|(?i:password|passwd|pwd)=")
"""What is meant as the URL of a database, or as libpq's words for one, and would be the name of a file."""


def store_url(where: Where) -> str:
    """The store that was named, or the repository's own. Raises OperationError where one waits at the old place."""
    if where.store:
        if "://" in where.store:
            return where.store
        if _NEARLY_URL.search(where.store):
            # It may hold a password, so it is not repeated.
            raise OperationError("--store is neither a path nor a URL; write sqlite:///FILE or postgresql://HOST/NAME")
        return f"sqlite:///{Path(where.store).expanduser().absolute()}"
    own, old = default_store(where.repo, where.state), old_store(where.repo)
    if old.exists() and not own.exists():
        raise OperationError(move_hint(old, own))
    return f"sqlite:///{own}"


def state_folder(where: Where) -> Path:
    """Where files of this fleet are kept that are in no database: beside an SQLite store, or where it would be."""
    url = store_url(where)
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///")).parent
    return default_store(where.repo, where.state).parent


def _change_store(where: Where, began: Callable[[], datetime | None], *, create: bool) -> Store:
    """The store, to be written, and brought up to date for that; `create`: made where there is none.

    Raises StoreError, of which NoStore says that there is none, and OperationError for a place that cannot be.
    """
    from reconciler.store import Store

    url = store_url(where)
    path = _file(url)
    try:
        if create and path is not None and not path.exists():
            if not where.store:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            elif not path.parent.is_dir():
                raise OperationError(
                    f"store {path}: the directory {path.parent} does not exist; create that directory, or "
                    "correct --store",
                    FailureReason.NOT_FOUND,
                )
        known = known_store(where)
        fresh = refuse_lost_store(where) if create else None
        store = Store.open(url, create=create)
        _remember(where, store, began if fresh is not None and known is None else None)
        return store
    except OSError as error:
        raise OperationError(
            f"store {path}: its directory cannot be made: {error.strerror}; name another place with --store",
            FailureReason.UNAVAILABLE,
        ) from error


def refuse_lost_store(where: Where) -> str | None:
    """The place where a new store would be made; None: there is one. Raises OperationError where the fleet is known to
    have a store, unless a new one was asked for."""
    known, fresh = known_store(where), _place_of_new(store_url(where))
    if fresh is not None and known is not None and not where.new_store:
        raise lost_store(known, fresh)
    return fresh


def _remember(where: Where, store: Store, began: Callable[[], datetime | None] | None) -> None:
    """Record that the fleet has this store; and in its first store, whether the fleet's history began just now."""
    from reconciler.store import StoreError

    if not remember_store(where, store.where) or began is None:
        return
    if is_beginning(began(), runtime.now()):
        try:
            mark_since_beginning(store)
        except StoreError:
            store.close()
            raise


def _place_of_new(url: str) -> str | None:
    """The place of a store that does not exist yet; None: it does, or that cannot be known."""
    from reconciler.store import NoStore, Store, StoreError

    try:
        Store.read_only(url).close()
    except NoStore as error:
        return error.place
    except StoreError:  # What opens it to write says it.
        return None
    return None


def _history_began(where: Where) -> datetime | None:
    """When the first commit was made; None where that is unknown."""
    from reconciler.desired.git.plumbing import SourceError

    try:
        return open_desired_source(where).began()
    except SourceError:
        return None


def _file(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
