"""The secrets that this process has read, and text without them.

Many credentials are known by their form (`reconciler.model.values.redact`). A password has none: it is known because it
was read, and is hidden wherever it turns up in what leaves the process. A BMC may repeat the password in its error, and
a git server the token. `drivers.base` hands these functions on to the reconciler.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote

from drivers.base.support import scheduling
from drivers.base.support.clean_text import clean

MASK = "***"
SHORTEST = 5
"""Characters; what is shorter is part of too many words to be hidden."""
WORD = 8
"""Characters below which a secret is hidden as a whole word alone: `calvin` and not `calving`."""
NO_NAME = 12
"""Characters from which on a secret is hidden in data too: a shorter one may be a model's name."""
_MOST = 100_000
"""The oldest are forgotten beyond it: a daemon of years sees many sessions."""
_FEW = 100
"""Up to which the beginnings of secrets are sought in a text; beyond, those of a text among the secrets."""


class KnownSecrets:
    """Secrets, in each form in which they may be written. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = scheduling.lock()
        self._forms: dict[str, None] = {}
        self._by_beginning: dict[str, tuple[str, ...]] = {}

    def note(self, *secrets: str | None) -> None:
        """Hide these from now on."""
        if len(self._forms) < _MOST and all(secret in self._forms for secret in secrets if secret):
            return  # With all of their forms, as none was forgotten yet.
        forms = {form for secret in secrets if secret for form in _forms(secret) if len(form) >= SHORTEST}
        if forms <= self._forms.keys():
            return
        with self._lock:
            for form in forms - self._forms.keys():
                self._forms[form] = None
                begun = self._by_beginning.get(form[:SHORTEST], ())
                self._by_beginning[form[:SHORTEST]] = tuple(sorted((*begun, form), key=len, reverse=True))
            while len(self._forms) > _MOST:
                self._forget(next(iter(self._forms)))

    def _forget(self, form: str) -> None:
        del self._forms[form]
        left = tuple(one for one in self._by_beginning.pop(form[:SHORTEST]) if one != form)
        if left:
            self._by_beginning[form[:SHORTEST]] = left

    def hidden(self, text: str, least: int = SHORTEST) -> str:
        """The text without any of them that has at least so many characters."""
        places = self._places(text)
        if not places:
            return text  # As of nearly every text.
        begun, kept = self._by_beginning, 0
        parts: list[str] = []
        for at in places:
            if at < kept:
                continue
            found = (form for form in begun.get(text[at : at + SHORTEST], ()) if _is_at(form, text, at))
            length = len(next(found, ""))
            if length and length >= least:
                parts += [text[kept:at], MASK]
                kept = at + length
        return "".join([*parts, text[kept:]]) if parts else text

    def _places(self, text: str) -> Sequence[int]:
        """Where a secret may begin, in order; each at most once."""
        begun = self._by_beginning
        if len(begun) > _FEW:
            return [at for at in range(len(text) - SHORTEST + 1) if text[at : at + SHORTEST] in begun]
        found = [beginning for beginning in list(begun) if beginning in text]
        return sorted(at for beginning in found for at in _each(beginning, text)) if found else ()


def _each(part: str, text: str) -> Iterator[int]:
    """Where the part stands in the text, overlapping itself or not."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _is_at(form: str, text: str, at: int) -> bool:
    if not text.startswith(form, at):
        return False
    before, after = text[max(0, at - 1) : at], text[at + len(form) : at + len(form) + 1]
    return len(form) >= WORD or not (before.isalnum() or after.isalnum())


def _forms(secret: str) -> set[str]:
    """The secret itself, and its forms in a URL, in JSON, in Python's repr, and in cleaned text."""
    written = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    return {secret, secret.strip(), quote(secret, safe=""), quote(secret), unquote(secret), clean(secret), *written}


_KNOWN = KnownSecrets()


def note_secrets(*secrets: str | None) -> None:
    """Hide these in all output of the process from now on. Code that reads a secret calls this first."""
    _KNOWN.note(*secrets)


def excerpt(text: str, most: int) -> str:
    """Foreign text on one line, without those secrets, and only then cut: half a password is too much."""
    return hidden(clean(text))[:most]


def hidden(text: str, least: int = SHORTEST) -> str:
    """The text without the secrets that this process has read, as far as they have at least so many characters."""
    return _KNOWN.hidden(text, least)
