"""Logins that BMCs refused, kept in the store: no restart, no command and no other daemon sends one again soon."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import delete, select

from drivers.base import REFUSED_LOGIN, Credential, RefusedLogin
from reconciler import runtime
from reconciler.kinds.common.field_types.bmc_address import canonical_address
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_batches import put_rows
from reconciler.store.sql.store_errors import StoreError
from reconciler.store.sql.tables import refused_login_table

_READ_AGAIN_SECONDS = 2.0
_KEPT = timedelta(days=1)
"""After its time, so that the next refusal in a row is known as such."""
_SCRYPT_COST = 2**14
"""About 40 ms a digest, so that a copy of the store is of little use to find the password."""


class KeptRefusal(msgspec.Struct, frozen=True):
    """A login that was refused. `login`: salt and slow digest of it. `times`: in a row. `until`: it is left alone."""

    login: str
    times: int
    until: datetime


Refusals = dict[str, dict[str, KeptRefusal]]
"""By address and digest."""


class RefusedLoginTable:
    """One row for each BMC and login. Each call is one transaction, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Refusals:
        """All that are kept."""
        with self._database.read() as connection:
            rows = connection.execute(select(refused_login_table)).all()
        found: Refusals = {}
        for row in rows:
            found.setdefault(row.address, {})[row.login] = KeptRefusal(row.login, row.times, row.until)
        return found

    def put(self, address: str, refusal: KeptRefusal, now: datetime) -> None:
        """In place of what was kept of this login. Those that were over long ago are removed."""
        row = {"address": address, **msgspec.structs.asdict(refusal)}
        with self._database.write(durable=False) as connection:
            connection.execute(delete(refused_login_table).where(refused_login_table.c.until < now - _KEPT))
            put_rows(connection, refused_login_table, [row])

    def remove(self, addresses: Collection[str], login: str | None = None) -> None:
        """This login at these BMCs is kept no more; None: no login is."""
        table = refused_login_table.c
        with self._database.write(durable=False) as connection:
            for address in addresses:
                this = () if login is None else (table.login == login,)
                connection.execute(delete(refused_login_table).where(table.address == address, *this))


class StoredLogins:
    """Implements LoginMemory. What cannot be kept is known to this process alone."""

    def __init__(self, table: RefusedLoginTable) -> None:
        self._table = table
        self._lock = runtime.lock()
        self._known: Refusals | None = None
        self._read_at = 0.0
        self._not_kept: Refusals = {}
        """Known to this process alone, because the store is only read."""
        self._salt = runtime.entropy(16)
        self._digests: dict[tuple[bytes, int], str] = {}

    def use(self, table: RefusedLoginTable) -> None:
        """Keep them in this store from now on, with what could not be kept in the one before."""
        with self._lock:
            self._table, self._known = table, None
            late, self._not_kept = self._not_kept, {}
        for address, refusals in late.items():
            for refusal in refusals.values():
                self._keep(address, refusal)

    def refused(self, address: str, login: Credential) -> RefusedLogin | None:
        """The same login, where it was refused there; None: it was not, or a person wants it to be tried once more."""
        kept = self._find(canonical_address(address), login)
        if kept is None:
            return None
        # A clock that was put back does not prolong it.
        seconds = min((kept.until - runtime.now()).total_seconds(), REFUSED_LOGIN.longest)
        return RefusedLogin(kept.times, max(0.0, seconds))

    def note(self, address: str, login: Credential, times: int, seconds: float) -> None:
        """It was refused there, the `times`th time in a row, and is left alone for so long."""
        named = canonical_address(address)
        before, until = self._find(named, login), runtime.now() + timedelta(seconds=seconds)
        digest = before.login if before is not None else self._digest(login, self._salt)
        self._keep(named, KeptRefusal(digest, times, until))

    def forget(self, address: str, login: Credential) -> None:
        """The login that was refused there is let in."""
        named = canonical_address(address)
        if (kept := self._find(named, login)) is None:
            return
        with self._lock:
            for refusals in (self._known or {}, self._not_kept):
                refusals.get(named, {}).pop(kept.login, None)
        with suppress(StoreError):
            self._table.remove([named], kept.login)

    def _keep(self, address: str, refusal: KeptRefusal) -> None:
        try:
            self._table.put(address, refusal, runtime.now())
            is_kept = True
        except StoreError:
            is_kept = False
        with self._lock:
            self._not_kept.get(address, {}).pop(refusal.login, None)
            into = self._known if is_kept else self._not_kept
            if into is not None:
                into.setdefault(address, {})[refusal.login] = refusal

    def _find(self, address: str, login: Credential) -> KeptRefusal | None:
        """Read again every few seconds, because a person can ask for another try."""
        with self._lock:
            if self._known is None or runtime.monotonic() - self._read_at > _READ_AGAIN_SECONDS:
                self._read_at = runtime.monotonic()
                try:
                    self._known = self._table.all()
                except StoreError:
                    self._known = self._known or {}
            found = {**self._known.get(address, {}), **self._not_kept.get(address, {})}
        return next(
            (one for one in found.values() if one.login == self._digest(login, bytes.fromhex(one.login[:32]))), None
        )

    def _digest(self, login: Credential, salt: bytes) -> str:
        """Salt and digest, as hexadecimal digits. Many BMCs often have one login, and one process one salt."""
        named = (salt, hash(login))
        with self._lock:
            found = self._digests.get(named)
        if found is None:
            secret = f"{login.username}\0{login.password}".encode(errors="surrogatepass")
            found = (salt + hashlib.scrypt(secret, salt=salt, n=_SCRYPT_COST, r=8, p=1)).hex()
            with self._lock:
                self._digests[named] = found
        return found
