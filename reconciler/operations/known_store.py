"""Which store a fleet has, remembered beside the store: one that was deleted is not taken for one that never was."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from reconciler import runtime
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.store_location import known_store_file
from reconciler.operations.where import Where

if TYPE_CHECKING:
    from reconciler.store import Store

LONGEST_BEGINNING = timedelta(days=1)
"""How old the first commit may be when a fleet gets its first store. A repository that is older may have had a store on
another host, and its one-time boot overrides may be executed."""

_SINCE_BEGINNING = "since_beginning"


class KnownStore(msgspec.Struct, frozen=True):
    """The store that a process last wrote for a fleet."""

    place: str
    """Its file, or its URL without a password."""


def known_store(where: Where) -> KnownStore | None:
    """The store that was last written for this fleet from this host; None: none is known."""
    file = known_store_file(where.repo, where.cache)
    try:
        return None if file is None else msgspec.json.decode(file.read_bytes(), type=KnownStore)
    except (OSError, msgspec.DecodeError):
        return None


def remember_store(where: Where, place: str) -> bool:
    """Record which store the fleet has. False: that cannot be recorded, such as in a directory that this user may not
    write."""
    file, known = known_store_file(where.repo, where.cache), KnownStore(place)
    if file is None or place == "memory":
        return False
    if known_store(where) == known:
        return True
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.{runtime.entropy(3).hex()}")
        new.write_bytes(msgspec.json.encode(known) + b"\n")
        new.replace(file)
    except OSError:
        return False
    return True


def lost_store(known: KnownStore, place: str) -> OperationError:
    """The refusal to begin an empty store at `place`, as the fleet already has one."""
    what = (
        f"store {place}: the store of this repository is gone; the file was deleted or moved, or the database is empty"
        if known.place == place
        else f"store {place}: does not exist, and the store of this repository is {known.place}"
    )
    return OperationError(
        f"{what}. An empty store has no record of allocated addresses, claimed machines and one-time boot overrides. "
        'Put the store back or restore a backup (see "Restore a backup" in the how-to), or correct --store. '
        "To begin with an empty store, run `groundstate apply`, `run` or `ipam import` once with --new-store",
        FailureReason.NOT_FOUND,
    )


def gone_note(known: KnownStore, place: str) -> str:
    """What a command that only reads says, in place of saying that there is no store yet."""
    return (
        f"the store {known.place} of this repository is gone"
        if known.place == place
        else f"there is no store at {place}; the store of this repository is {known.place}"
    )


def is_beginning(began: datetime | None, now: datetime) -> bool:
    """Whether a history that began at this time has just begun. `began`: None for a history that is not known."""
    return began is not None and now - began <= LONGEST_BEGINNING


def mark_since_beginning(store: Store) -> None:
    """Record in a new store that it has a record of all that was ever done for the fleet."""
    store.put_meta(_SINCE_BEGINNING, "yes")


def is_since_beginning(store: Store) -> bool:
    """Whether it has."""
    return store.get_meta(_SINCE_BEGINNING) == "yes"
