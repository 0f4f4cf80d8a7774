"""Opens what commands work with: the source, the desired state, the store, the drivers; and turns errors into words."""

from __future__ import annotations

import gc
import getpass
import os
import random
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from drivers.base import printable_lines
from reconciler.commands.options import Where
from reconciler.commands.store_location import cache_dir, default_store, move_hint, old_store
from reconciler.kinds import KINDS
from reconciler.model.diagnostic import Diagnostic, Invalid, Severity
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.redact import redacted
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.policy import CommandLimits, Policy, policy_in_force

if TYPE_CHECKING:
    from drivers.registry import Registry
    from reconciler.desired.git.source import DesiredSource, Snapshot
    from reconciler.desired.load import Loaded
    from reconciler.observed.connections import Connections
    from reconciler.store import Store

EXIT_ERROR = 1
RANDOM = random.SystemRandom()


def live_long() -> None:
    """For commands that go on for hours: collect garbage after all, but not what is there for good."""
    gc.freeze()
    gc.enable()


def now() -> datetime:
    """The one clock of the program."""
    return datetime.now(UTC)


def fail(message: str) -> NoReturn:
    """Say it on stderr and leave with 1."""
    click.secho(f"error: {printable_lines(redacted(message))}", fg="red", err=True, color=on_terminal(sys.stderr))
    raise click.exceptions.Exit(EXIT_ERROR)


def on_terminal(stream: object) -> bool:
    """Whether colour and live lines make sense there (NO_COLOR, no-color.org)."""
    isatty: Callable[[], bool] = getattr(stream, "isatty", lambda: False)
    return isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def operator(verb: str) -> str:
    """Who acts, for the ledger: `ada@host (apply)`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} ({verb})"


def open_desired_source(where: Where) -> DesiredSource:
    """The git repository. Exits with words when there is none."""
    from reconciler.desired.git.source import SourceError
    from reconciler.desired.git.source import open_source as opened

    try:
        # HEAD of a remote is asked for anew each time, where a name is looked up in what was fetched.
        ref = None if where.ref == "HEAD" else where.ref
        return opened(where.repo, ref=ref, path=where.path, work_tree=where.work_tree, cache_dir=cache_dir())
    except SourceError as error:
        fail(str(error))


def read_state(source: DesiredSource, previous: Loaded | None = None) -> tuple[Snapshot, Loaded]:
    """The newest snapshot and what it declares, errors included. Raises SourceError."""
    from reconciler.desired.load import load_state

    snapshot = source.snapshot()
    return snapshot, load_state(snapshot, cache=cache_dir(), previous=previous)


@contextmanager
def noting_uncommitted(source: DesiredSource, where: Where) -> Iterator[None]:
    """Say on stderr how many files of the work tree are not what is read; an edit that seems lost is mostly this.

    git counts them beside the reading, as that takes it a while in a large repository.
    """
    found: list[int] = []
    counting = threading.Thread(target=lambda: found.append(source.uncommitted() if where.ref == "HEAD" else 0))
    counting.start()
    try:
        yield
    finally:
        counting.join()
        _note_uncommitted(sum(found))


def _note_uncommitted(number: int) -> None:
    if number:
        files = "1 file differs" if number == 1 else f"{number} files differ"
        was, them = ("was", "it") if number == 1 else ("were", "them")
        click.echo(f"note: {files} from the commit and {was} not read; --work-tree reads {them}", err=True)


def read_or_exit(source: DesiredSource, store: Store | None = None) -> DesiredState:
    """The desired state. Prints every problem and exits with 1 when there are errors.

    With a `store`, for commands that only show: instead of a broken revision, the last good one that the store knows.
    """
    return read_all_or_exit(source, store)[0]


def read_all_or_exit(source: DesiredSource, store: Store | None = None) -> tuple[DesiredState, tuple[Diagnostic, ...]]:
    """The same, with the warnings."""
    from reconciler.desired.git.source import SourceError

    try:
        snapshot, loaded = read_state(source)
    except SourceError as error:
        fail(str(error))
    if loaded.state is not None:
        return loaded.state, loaded.diagnostics
    in_force = _last_good(source, store) if store else None
    if in_force is not None:
        count = sum(one.severity is Severity.ERROR for one in loaded.diagnostics)
        errors, them = ("1 error", "it") if count == 1 else (f"{count} errors", "them")
        why = f"{errors}; groundstate validate shows {them}"
        click.echo(
            f"note: {snapshot.revision} is broken ({why}); showing {in_force.revision}, which is in force", err=True
        )
        return in_force, ()
    from reconciler.desired.report import render_diagnostics

    text = render_diagnostics("text", loaded.diagnostics, files=len(snapshot.files), color=on_terminal(sys.stderr))
    click.echo(text.rstrip("\n"), err=True, color=True)
    raise click.exceptions.Exit(EXIT_ERROR)


def exit_with_diagnostics(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Say what is wrong with a state that is sound by itself, and leave with 1; nothing when there is nothing."""
    if not diagnostics:
        return
    for one in diagnostics:
        said = "; ".join(part for part in (f"{one.code}: {one.summary}", one.detail, one.hint) if part)
        click.echo(f"{one.source}: {said}" if one.source else said, err=True)
    raise click.exceptions.Exit(EXIT_ERROR)


def _last_good(source: DesiredSource, store: Store) -> DesiredState | None:
    """What the daemon last put in force, as long as it can still be read."""
    from reconciler.daemon.ancestry import LAST_GOOD
    from reconciler.desired.git.source import SourceError
    from reconciler.desired.load import load_state

    last = store.get_meta(LAST_GOOD)
    if last is None or last.startswith("worktree:"):
        return None
    try:
        return load_state(source.snapshot(last), cache=cache_dir()).state
    except SourceError:
        return None


_NEARLY_URL = re.compile(r"^(postgres\w*|sqlite|mysql|mariadb):|^[^/]*:[^/]*@|(?i:password|passwd|pwd)=")
"""What is meant as the URL of a database, or as libpq's words for one, and would be the name of a file."""


def store_url(where: Where) -> str:
    """The store that was named, or the repository's own. Exits with words where one waits at the old place."""
    if where.store:
        if "://" in where.store:
            return where.store
        if _NEARLY_URL.search(where.store):
            # It may hold a password, so it is not repeated.
            fail("--store is neither a path nor a URL; write sqlite:///FILE or postgresql://HOST/NAME")
        return f"sqlite:///{Path(where.store).expanduser().absolute()}"
    own, old = default_store(where.repo), old_store(where.repo)
    if old.exists() and not own.exists():
        fail(move_hint(old, own))
    return f"sqlite:///{own}"


def state_folder(where: Where) -> Path:
    """Where files of this fleet are kept that are in no database: beside an SQLite store, or where it would be."""
    url = store_url(where)
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///")).parent
    return default_store(where.repo).parent


def open_store(where: Where) -> Store:
    """The store, to be looked at: nothing of it is changed. An empty one in memory stands in for one that does not
    exist yet. Exits with words."""
    from reconciler.store import NoStore, Store, StoreError

    url = store_url(where)
    path = _file(url)
    try:
        if path is not None and not path.exists():
            raise NoStore(str(path))
        store = Store.read_only(url)
    except NoStore as error:
        _note_new(error.place)
        return Store.open("sqlite://")
    except StoreError as error:
        fail(str(error))
    if store.copied is not None:
        _note_copied(store.where, store.copied)
    return store


def change_store(where: Where, *, create: bool = False) -> Store:
    """The store, to be written, and brought up to date for that; `create`: made where there is none. Exits with
    words, but raises NoStore."""
    from reconciler.store import NoStore, Store, StoreError

    url = store_url(where)
    path = _file(url)
    try:
        if create and path is not None and not path.exists():
            if not where.store:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            elif not path.parent.is_dir():
                fail(f"store {path}: there is no directory {path.parent}; make it, or correct --store")
        return Store.open(url, create=create)
    except NoStore:
        raise
    except StoreError as error:
        fail(str(error))
    except OSError as error:
        fail(f"store {path}: its directory cannot be made: {error.strerror}; name another place with --store")


def _file(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


@cache
def _note_new(place: str) -> None:
    click.echo(f"note: there is no store at {redacted(place)} yet; nothing is remembered of this fleet", err=True)


@cache
def _note_copied(place: str, schema: str) -> None:
    click.echo(
        f"note: the store at {place} is of an older groundstate (schema {schema}); a copy of it is read, and nothing "
        "of it is changed. `groundstate apply` and `groundstate run` bring it up to date",
        err=True,
    )


def policy_of(store: Store, asked: CommandLimits) -> tuple[Policy, tuple[Diagnostic, ...]]:
    """The policy that judges every plan on this store, whichever command asks, and what is to be told of it."""
    return policy_in_force(asked, store.daemon.get(), store.overrides.all(), now())


def facts_of(store: Store) -> Facts:
    """Everything that the store remembers, for a plan."""
    return Facts(resources=store.facts(ResourceFacts), in_flight=store.in_flight())


def facts_under(store: Store, desired: DesiredState) -> Facts:
    """The same, with the machines' labels as they are when this state is in force: which sizes and numbers they have by
    their inventories."""
    from reconciler.daemon.label_refresh import are_current
    from reconciler.onboarding.inventory_comparison import relabelled

    facts = facts_of(store)
    if are_current(store, desired):
        return facts
    changed = relabelled(facts.resources, derived_labels(store, desired))
    return Facts({**facts.resources, **changed}, facts.in_flight)


def facts_in_force(desired: DesiredState, facts: Facts) -> Facts:
    """What is remembered as soon as this state is in force: every plan, and whatever shows one, judges by that."""
    from reconciler.planning.carry_over import carried_over, with_changes

    return Facts(with_changes(facts.resources, carried_over(desired, facts.resources)), facts.in_flight)


def derived_labels(store: Store, desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
    """The labels that follow from what the store knows to be in the machines."""
    from reconciler.onboarding.inventory_comparison import labels_from_inventories

    return labels_from_inventories(desired, store.inventories.all())


def observed_types() -> dict[str, type]:
    """How stored looks are to be read back."""
    return {kind.name: kind.observed_type for kind in KINDS.values() if kind.observed_type}


@contextmanager
def connections(store: Store, where: Where) -> Iterator[Connections]:
    """The drivers, opened; sessions are deleted at the end."""
    from drivers.base import Rejected
    from drivers.registry import Registry
    from reconciler.observed.connections import Connections, Drivers

    registry: Registry = Registry()
    try:
        try:
            ipam = registry.open_ipam(where.ipam, store.engine)
        except Rejected as error:
            fail(str(error))
        pools = registry.open_pools(store.engine)
        yield Connections(Drivers(registry.bmc, registry.secret, ipam, pools), where.base, where.grants)
    finally:
        registry.close()


@contextmanager
def exit_in_words() -> Iterator[None]:
    """Turn the errors that a person can do something about into words and exit code 1."""
    try:
        yield
    except Exception as error:
        if isinstance(error, _in_words()):
            fail(str(error))
        raise


def _in_words() -> tuple[type[Exception], ...]:
    """Loaded when something went wrong: not every command needs the store, and it takes longest."""
    from reconciler.desired.git.source import SourceError
    from reconciler.planning.selectors import Unmatched
    from reconciler.store import StoreError

    return SourceError, StoreError, Unmatched, Invalid
