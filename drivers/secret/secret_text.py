"""A secret that is one text, such as the key of a signature: from a variable, a file or a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from drivers.base import SecretUnavailable, note_secrets
from drivers.secret.exec import ExecSource
from drivers.secret.file import read_private_file

TEXT_SOURCES = ("env", "file", "exec")


def secret_text(reference: object) -> str:
    """The text of `{"env": NAME}`, `{"file": PATH}` or `{"exec": [command, ...]}`, without blanks around it.

    Raises SecretUnavailable with the reference's name, never its content. Keys whose value is None count as absent.
    """
    name, found = _text_of(reference)
    if not found or "\n" in found:
        held = "more" if found else "none"
        raise SecretUnavailable(f"{name} must hold one line with the secret, and it holds {held}")
    note_secrets(found, found.removeprefix("whsec_"))
    return found


def secret_lines(reference: object) -> str:
    """The text of the same references with all of its lines, such as a private key; without blanks around it. Raises
    SecretUnavailable."""
    name, found = _text_of(reference)
    if not found:
        raise SecretUnavailable(f"{name} is empty")
    note_secrets(found, *(line for line in found.splitlines() if len(line) > _SHORTEST and " " not in line))
    return found + ("\n" if "\n" in found else "")


def _text_of(reference: object) -> tuple[str, str]:
    """The name of the source in words, and its text without blanks around it."""
    table: Mapping[object, object] = reference if isinstance(reference, Mapping) else {}
    given = [str(key) for key, value in table.items() if value is not None]
    if len(given) != 1 or given[0] not in TEXT_SOURCES:
        raise SecretUnavailable(f"a reference to a secret must have exactly one of {', '.join(TEXT_SOURCES)}")
    name, text = _read(given[0], table[given[0]])
    try:
        found = text.decode().strip()
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{name} is not UTF-8 text") from None
    return name, found


_SHORTEST = 20
"""Characters of a line of a key that are hidden also when the line stands alone."""


def _read(kind: str, value: object) -> tuple[str, bytes]:
    if kind == "exec":
        return ExecSource().output(value)
    if not isinstance(value, str) or not value:
        raise SecretUnavailable(f"a reference to a secret needs a text after {kind}")
    if kind == "env":
        return f"environment variable {value}", os.environ.get(value, "").encode()
    path = Path(value).expanduser()
    return f"secret file {path}", read_private_file(path, f"secret file {path}")
