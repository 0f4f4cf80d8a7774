"""Tokens, as hashes: a reader of the store, or of a copy, cannot use them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from reconciler import runtime
from reconciler.model.resource import ResourceKey
from reconciler.model.token import BadToken, Grant, TokenFault, TokenPurpose
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.tables import token

_TOKENS_KEPT = timedelta(days=1)
"""How long a token that is over is still distinguished from one that never was."""

PREFIX = "gs-"
"""What every token begins with: it is found where it should not be, and is a string in YAML whatever follows."""


class TokenTable:
    """The tokens of one store. Calls may come from several threads; each is one transaction, on disk when it returns.

    Every call may raise StoreError. `entropy` gives so many random bytes.
    """

    def __init__(self, database: Database, entropy: Callable[[int], bytes] = runtime.entropy) -> None:
        self._database, self._entropy = database, entropy

    def issue(self, grant: Grant, now: datetime) -> str:
        """A new token. Older unused ones for the same purpose and order are good for nothing from here on."""
        with self._database.write() as connection:
            return self._issue(connection, grant, now)

    def peek(self, text: str, purposes: Collection[TokenPurpose], now: datetime) -> Grant:
        """What the token stands for, without using it. Raises BadToken."""
        with self._database.read() as connection:
            return _good(connection, text, purposes, now)

    def use(self, text: str, purposes: Collection[TokenPurpose], now: datetime) -> Grant:
        """Use it up. Of several calls with one token, one succeeds; the others raise BadToken."""
        with self._database.write() as connection:
            return _use(connection, text, purposes, now)

    def exchange(self, text: str, purposes: Collection[TokenPurpose], grant: Grant, now: datetime) -> str:
        """Use it up and get another for it: both, or neither. Raises BadToken."""
        with self._database.write() as connection:
            _use(connection, text, purposes, now)
            return self._issue(connection, grant, now)

    def restore(self, text: str, got: str | None = None) -> None:
        """The token was not used after all, and what was got for it is void: what it was shown for was not done.

        Nothing comes back that was replaced meanwhile.
        """
        newer = token.alias()
        in_force = (newer.c.used_at.is_(None), newer.c.revoked_at.is_(None))
        same = (newer.c.order_id == token.c.order_id, newer.c.purpose == token.c.purpose)
        replaced = select(newer.c.hash).where(*same, *in_force).exists()
        with self._database.write() as connection:
            back = update(token).where(token.c.hash == _hash(text), ~replaced)
            connection.execute(back.values(used_at=None))
            if got is not None:
                connection.execute(delete(token).where(token.c.hash == _hash(got)))

    def _issue(self, connection: Connection, grant: Grant, now: datetime) -> str:
        text = PREFIX + base64.urlsafe_b64encode(self._entropy(32)).rstrip(b"=").decode()
        connection.execute(delete(token).where(token.c.expires < now - _TOKENS_KEPT))
        older = (token.c.purpose == grant.purpose, token.c.order_id == grant.boot_request, token.c.used_at.is_(None))
        connection.execute(update(token).where(*older, token.c.revoked_at.is_(None)).values(revoked_at=now))
        row = {
            "hash": _hash(text),
            "purpose": str(grant.purpose),
            "machine": str(grant.machine) if grant.machine else None,
            "order_id": grant.boot_request,
            "uuid": grant.uuid,
            "macs": row_json(grant.macs),
            "issued_at": now,
            "expires": grant.expires,
        }
        connection.execute(insert(token), row)
        return text


def _hash(text: str) -> str:
    # 256 random bits cannot be guessed from their hash, so it needs neither salt nor slowness.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _use(connection: Connection, text: str, purposes: Collection[TokenPurpose], now: datetime) -> Grant:
    grant = _good(connection, text, purposes, now)
    unused = (token.c.hash == _hash(text), token.c.used_at.is_(None), token.c.revoked_at.is_(None))
    # The database decides: what was read above may be of a moment ago.
    if connection.execute(update(token).where(*unused).values(used_at=now)).rowcount != 1:
        raise BadToken(TokenFault.USED, grant)
    return grant


def _good(connection: Connection, text: str, purposes: Collection[TokenPurpose], now: datetime) -> Grant:
    row = connection.execute(select(token).where(token.c.hash == _hash(text))).first()
    if row is None:
        raise BadToken(TokenFault.UNKNOWN)
    grant = _grant(row)
    if grant.purpose not in purposes:
        raise BadToken(TokenFault.PURPOSE, grant)
    if row.revoked_at is not None:
        raise BadToken(TokenFault.REVOKED, grant)
    if row.used_at is not None:
        raise BadToken(TokenFault.USED, grant)
    if grant.expires <= now:
        raise BadToken(TokenFault.EXPIRED, grant)
    return grant


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        purpose=TokenPurpose(row.purpose),
        machine=ResourceKey.parse(row.machine) if row.machine else None,
        boot_request=row.order_id,
        uuid=row.uuid,
        macs=msgspec.json.decode(row.macs, type=tuple[str, ...]),
        expires=row.expires,
    )
