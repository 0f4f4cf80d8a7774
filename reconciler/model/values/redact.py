"""Text without secrets: the one function through which a URL or a foreign error is shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

HIDDEN = "***"

_NAMES = r"[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key)[\w-]*"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # User and password of a URL, up to its last `@`: a password may hold a raw one. A user alone may be a token.
    (re.compile(r"(?<=://)[^/\s]*@"), ""),
    # A password with a raw `/`: `user:` is followed by no port.
    (re.compile(r"(?<=://)[^/\s:@]+:(?!\d{1,5}(?:[/?#\s]|$))[^\s@]*/\S*@"), ""),
    # What groundstate itself gives out (store/rows/tokens.py).
    (re.compile(r"\bgs-[A-Za-z0-9_-]{20,}"), f"gs-{HIDDEN}"),
    # Of HTTP. `Basic authentication` is no credential: those have a digit, a capital or a sign in them.
    (re.compile(r"\b(Basic|Bearer|Token) +(?=[a-z]*[A-Z0-9+/=_.~-])[A-Za-z0-9+/=_.~-]{6,}"), rf"\1 {HIDDEN}"),
    # Queries of URLs, libpq's conninfo, kernels' command lines: `password='...'`, `gs.token=...`.
    (re.compile(rf"(?i)\b({_NAMES})=(?:'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)"), rf"\1={HIDDEN}"),
    # JSON, and Python's dicts.
    (re.compile(rf"(?i)([\"'](?:{_NAMES}|authorization)[\"']\s*:\s*)(?:b?'[^']*'|b?\"[^\"]*\")"), rf'\1"{HIDDEN}"'),
)

_SUSPECT = re.compile(r"[@=\"']|gs-|Basic|Bearer|Token")
"""Without one of these no rule finds anything; most of what a plan of a whole fleet shows has none."""


def redacted(text: str) -> str:
    """The text without passwords, tokens and other credentials, as far as their form shows them."""
    if _SUSPECT.search(text) is None:
        return text
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def redacted_all(value: object, first: Callable[[str], str] = str) -> object:
    """The same of every string in lists and dicts, once `first` had it; other values stay as they are."""
    if isinstance(value, str):
        return redacted(first(value))
    if isinstance(value, dict):
        return {name: redacted_all(one, first) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted_all(one, first) for one in value]
    if isinstance(value, BaseException):
        return redacted(first(str(value)))
    return value
