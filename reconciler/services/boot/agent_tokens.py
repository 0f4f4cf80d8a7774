"""What the boot service asks of the store's tokens."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from reconciler.model.token import Grant, TokenPurpose


class Tokens(Protocol):
    """Tokens that are kept, and used up by exactly one of those who show them (store/rows/tokens.py).

    Every call is durable when it returns, and may raise StoreError: then nothing was done.
    """

    def issue(self, grant: Grant, now: datetime) -> str:
        """A new token. Older unused ones for the same purpose and order are good for nothing from here on."""

    def peek(self, text: str, purposes: Collection[TokenPurpose], now: datetime) -> Grant:
        """What the token stands for, without using it. Raises BadToken."""

    def use(self, text: str, purposes: Collection[TokenPurpose], now: datetime) -> Grant:
        """Use it up. Raises BadToken."""

    def exchange(self, text: str, purposes: Collection[TokenPurpose], grant: Grant, now: datetime) -> str:
        """Use it up and get another for it: both, or neither. Raises BadToken."""

    def restore(self, text: str, got: str | None = None) -> None:
        """The token was not used after all, and what was got for it is void."""
