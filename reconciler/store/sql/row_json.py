"""Values as JSON text for a row. Text that no database takes is written out, and keeps nothing else from being written.

Text is cleaned where it enters. This is the last door: a write that failed because of one character would end a daemon.
"""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import cleaned, encodable


def row_json(value: Any) -> str:
    """The value as JSON. Unpaired surrogates become escapes, such as `\\\\ud800`."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        plain = cleaned(msgspec.to_builtins(value, str_keys=True), make=encodable)
        return msgspec.json.encode(plain).decode()
