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


class RefusedLogin(msgspec.Struct, frozen=True):
    """A login that a BMC refused."""

    times: int
    """How often in a row."""
    seconds: float
    """How long it is left alone from now on; 0: no longer."""


class LoginMemory(Protocol):
    """Logins that BMCs refused, by the BMC's address, kept for the next process: a daemon that is started again and
    again would lock the account. May be shared by threads, and never raises."""

    def refused(self, address: str, login: Credential) -> RefusedLogin | None:
        """The same login, where it was refused there; None: it was not, or a person wants it to be tried once more."""

    def note(self, address: str, login: Credential, times: int, seconds: float) -> None:
        """It was refused there, the `times`th time in a row, and is left alone for so long."""

    def forget(self, address: str, login: Credential) -> None:
        """The login that was refused there is let in."""
