"""Logins that BMCs refused, kept in the store: no restart, no command and no other daemon sends one again soon."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
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
_SCRYPT_COST = 2**14
"""About 40 ms a digest, so that a copy of the store is of little use to find the password."""


class KeptRefusal(msgspec.Struct, frozen=True):
    """A login that was refused. `login`: salt and slow digest of it. `times`: in a row. `until`: it is left alone."""

    login: str
    times: int
    until: datetime


class RefusedLoginTable:
    """One row a BMC. Each call is one transaction, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Mapping[str, KeptRefusal]:
        """All that are kept, by address."""
        with self._database.read() as connection:
            rows = connection.execute(select(refused_login_table)).all()
        return {row.address: KeptRefusal(row.login, row.times, row.until) for row in rows}

    def put(self, address: str, refusal: KeptRefusal, now: datetime) -> None:
        """In place of what was kept of this BMC. Those that are over are removed."""
        row = {"address": address, **msgspec.structs.asdict(refusal)}
        with self._database.write(durable=False) as connection:
            connection.execute(delete(refused_login_table).where(refused_login_table.c.until < now))
            put_rows(connection, refused_login_table, [row])

    def remove(self, addresses: Collection[str]) -> None:
        """Nothing is kept of these BMCs any more."""
        with self._database.write(durable=False) as connection:
            for address in addresses:
                connection.execute(delete(refused_login_table).where(refused_login_table.c.address == address))


class StoredLogins:
    """Implements LoginMemory. What cannot be kept is known to this process alone."""

    def __init__(self, table: RefusedLoginTable) -> None:
        self._table = table
        self._lock = runtime.lock()
        self._kept: dict[str, KeptRefusal] | None = None
        self._read_at = 0.0
        self._not_kept: dict[str, KeptRefusal] = {}
        """Known to this process alone, because the store is only read."""
        self._salt = runtime.entropy(16)
        self._digests: dict[tuple[bytes, int], str] = {}

    def use(self, table: RefusedLoginTable) -> None:
        """Keep them in this store from now on, with what could not be kept in the one before."""
        with self._lock:
            self._table, self._kept = table, None
            late, self._not_kept = self._not_kept, {}
        for address, refusal in late.items():
            self._keep(address, refusal)

    def refused(self, address: str, login: Credential) -> RefusedLogin | None:
        """The same login, where it was refused there and is still left alone."""
        kept = self._known().get(canonical_address(address))
        seconds = (kept.until - runtime.now()).total_seconds() if kept is not None else 0.0
        if kept is None or seconds <= 0 or self._digest(login, bytes.fromhex(kept.login[:32])) != kept.login:
            return None
        # A clock that was put back does not prolong it.
        return RefusedLogin(kept.times, min(seconds, REFUSED_LOGIN.longest))

    def note(self, address: str, login: Credential, times: int, seconds: float) -> None:
        """It was refused there, the `times`th time in a row, and is left alone for so long."""
        until = runtime.now() + timedelta(seconds=seconds)
        self._keep(canonical_address(address), KeptRefusal(self._digest(login, self._salt), times, until))

    def forget(self, address: str) -> None:
        """The login that was refused there is let in, or is to be tried once more."""
        named = canonical_address(address)
        known = self._known()
        with self._lock:
            known.pop(named, None)
            self._not_kept.pop(named, None)
        with suppress(StoreError):
            self._table.remove([named])

    def _keep(self, address: str, refusal: KeptRefusal) -> None:
        known = self._known()
        with self._lock:
            known[address] = refusal
        try:
            self._table.put(address, refusal, runtime.now())
        except StoreError:
            with self._lock:
                self._not_kept[address] = refusal

    def _known(self) -> dict[str, KeptRefusal]:
        """By canonical address. Read again every few seconds, because a person can ask for another try."""
        with self._lock:
            if self._kept is None or runtime.monotonic() - self._read_at > _READ_AGAIN_SECONDS:
                self._read_at = runtime.monotonic()
                try:
                    self._kept = {**self._table.all(), **self._not_kept}
                except StoreError:
                    self._kept = self._kept or {}
            return self._kept

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
