"""Tokens by reference: `env:NAME` or `file:PATH`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from drivers.base import Rejected, SecretUnavailable, note_secrets
from drivers.secret.file import read_private_file


def token_source(reference: str) -> Callable[[], str]:
    """The function that returns the token, read at each call. Raises Rejected for what is no reference, which is not
    repeated: it may be the token itself. The call raises SecretUnavailable, saying which reference is at fault."""
    kind, colon, name = reference.partition(":")
    if not (colon and name) or kind not in ("env", "file"):
        raise Rejected("--ipam-token is a reference, env:NAME or file:PATH, never the token itself")
    return lambda: _plain(_env(name) if kind == "env" else _file(name), f"{kind}:{name}")


def _env(name: str) -> str:
    return os.environ.get(name, "")


def _file(name: str) -> str:
    path = Path(name).expanduser()
    return read_private_file(path, f"token file {path}").decode("utf-8", errors="replace")


def _plain(text: str, reference: str) -> str:
    token = text.strip()
    if not token:
        raise SecretUnavailable(f"the token {reference} is not set, or empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SecretUnavailable(
            f"the token {reference} holds characters that are not allowed in a token; a token is one word"
        )
    note_secrets(token)
    return token
