"""What the secret sources share: how a credential is read from text, without ever repeating the text."""

from __future__ import annotations

import msgspec

from drivers.base import Credential, SecretUnavailable


class _Json(msgspec.Struct, frozen=True):
    username: str
    password: str


# Made here: where several threads are the first to make a decoder of a type, the process crashes (msgspec 0.22).
_DECODER = msgspec.json.Decoder(_Json)


def from_json(text: bytes, reference: str) -> Credential:
    """Read `{"username": ..., "password": ...}`. Raises SecretUnavailable."""
    try:
        found = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise SecretUnavailable(
            f'{reference} does not give JSON of the form {{"username": "...", "password": "..."}}'
        ) from None
    return Credential(found.username, found.password)


def from_pair(text: str, reference: str) -> Credential:
    """Read `user:password`; the password may hold colons. Raises SecretUnavailable."""
    username, colon, password = text.partition(":")
    if not (username and colon and password):
        raise SecretUnavailable(f"{reference} does not hold `user:password`")
    return Credential(username, password)
