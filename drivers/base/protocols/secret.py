"""Credentials, and where they come from."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Credential(msgspec.Struct, frozen=True):
    """User and password. Never printed: the repr hides the password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, password=***)"


class SecretSource(Protocol):
    """Resolves one kind of credential reference."""

    def resolve(self, reference: object) -> Credential:
        """Return the credential. Raises SecretUnavailable with the reference's name, never its content."""
