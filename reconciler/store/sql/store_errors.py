"""What can go wrong with the store, said to a person: what, where, and what to do."""

from __future__ import annotations

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reconciler.model.values.redact import redacted


class StoreError(Exception):
    """The store could not do it. `str()` is for people and never holds a password."""


class NoStore(StoreError):
    """There is no store at this place yet; the message is as in `place`."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"store {place}: does not exist yet; `groundstate apply` or `groundstate run` creates the store"
        )
        self.place = place


class StoreUnavailable(StoreError):
    """PostgreSQL did not answer, or its answer was lost, as while it restarts. What was to be written may be written or
    not: only what is read afterwards says so."""


WAITS_FOR_STORE = "groundstate sends nothing, and continues when the store can be reached"
"""What a daemon does then."""


class Fenced(StoreError):
    """Another instance has taken over: this one must send nothing more."""


class StoreGone(Fenced):
    """The store's file was deleted, or another is in its place: what is written goes nowhere."""


class StoreWentBack(StoreGone):
    """The store is as it was earlier: it lost what this process has written."""


class AlreadyBound(StoreError):
    """The machine, or the slot, is taken: another has been quicker. Nothing was changed."""


class InstanceHeld(StoreError):
    """Another process is at work on this store. `holder` says which, and `str()` also how to proceed."""

    def __init__(self, holder: str, advice: str) -> None:
        super().__init__(f"{holder}; {advice}")
        self.holder, self.advice = holder, advice


class UpgradeHeld(InstanceHeld):
    """An older program works on this PostgreSQL store, whose schema this program would change."""


_HOW_TO_SHARE = (
    "this user has no permission to open the store. To let a group read the store, its owner runs: chgrp GROUP "
    "DIRECTORY && chmod 2750 DIRECTORY, and restarts the daemon"
)
_NOT_WRITABLE = (
    "the store cannot be written. Run the command as the owner of the file, or check whether the file system is "
    "mounted read-only. A group can write if the directory has mode 2770"
)
_ROLE_MAY_NOT = (
    "the database role lacks a permission. A role that only reads needs SELECT on all tables; the daemon must run as "
    "the role that owns the tables"
)
_REPLICA = "the server only reads, as a replica does until it is promoted; check the host of the store's URL"
_NO_TRANSACTIONS = "PgBouncer allows no transactions in this mode; set pool_mode to session or transaction"
_ADVICE = (
    (
        "unable to open database file",
        "the file or its directory cannot be opened; check that it exists and is writable",
    ),
    ("readonly database", _NOT_WRITABLE),
    ("read-only transaction", _REPLICA),
    ("statement pooling mode", _NO_TRANSACTIONS),
    ("permission denied for", _ROLE_MAY_NOT),
    ("permission denied", _HOW_TO_SHARE),
    ("is full", "the disk is full; nothing was changed. Free some space on the disk"),
    ("no space left", "the disk is full; nothing was changed. Free some space on the disk"),
    ("database is locked", "another process has locked the file for too long; end that process, or try again"),
    ("malformed", "the file is damaged; move the file away and restore a backup"),
    ("not a database", "the file is not a SQLite database; check the path of --store"),
    ("disk i/o error", "the disk reports an error; check the log of the operating system"),
    ("password authentication failed", "the user or the password is wrong; check the store's URL"),
    ("no such table", "the tables of the store are missing; restore a backup, or check the path of --store"),
    ('relation "', "the tables of the store are missing; restore a backup, or check the store's URL"),
    ("does not exist", "create the database first, or check the store's URL"),
)


_SHOWN = ("host", "port", "dbname", "user", "sslmode", "application_name", "target_session_attrs", "connect_timeout")
"""Of a URL's parameters, those that people are shown; others may be, or lead to, secrets."""


def store_address(url: URL) -> str:
    """The store's address for people: a SQLite file's path, or the URL without password and other secrets."""
    if url.get_backend_name() == "sqlite":
        return url.database or "memory"
    shown = {name: value for name, value in url.query.items() if name in _SHOWN}
    return url.set(drivername="postgresql", query=shown).render_as_string(hide_password=True)


_OUTAGES = ("08", "53", "57", "58", "25006", "25P03")
"""What PostgreSQL's codes of an outage begin with (manual, appendix A): connection lost, out of resources, stopped by
an operator, system error. The last two: read-only, as a replica is before it is promoted; a session stood still."""
_CANCELED = "57014"
"""One statement was canceled, and the connection still works."""


def store_error(error: SQLAlchemyError | OSError, where: str) -> StoreError:
    """The error as a StoreError that says what to do; StoreUnavailable where PostgreSQL works for no statement."""
    made = StoreUnavailable if is_outage(error, where) else StoreError
    return made(_words(error, where))


def is_outage(error: SQLAlchemyError | OSError, where: str) -> bool:
    """Whether the error is about PostgreSQL as a whole, or about the way to it, and not about one statement."""
    if isinstance(error, PoolTimeout):
        return where.startswith("postgresql:")
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", "")  # SQLite's errors have none.
    return code is None or (code != _CANCELED and code.startswith(_OUTAGES))


def _words(error: SQLAlchemyError | OSError, where: str) -> str:
    if isinstance(error, PoolTimeout):
        return (
            f"store {where}: all connections are busy: too many operations run at once, or the database hangs; "
            "check the database, then try again"
        )
    said = _said(error)
    lowered = said.lower()
    for sign, advice in _ADVICE:
        if sign in lowered:
            return f"store {where}: {advice} ({said})"
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError) and "connect" in lowered:
        return f"store {where}: the database cannot be reached; check that it runs and the URL ({said})"
    return f"store {where}: {said}"


def _said(error: SQLAlchemyError | OSError) -> str:
    """The database's own words. SQLAlchemy's text would add the statement and its parameters."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    origin = error.orig if isinstance(error, DBAPIError) else error
    return redacted((str(origin).strip() or type(origin).__name__).splitlines()[0])
