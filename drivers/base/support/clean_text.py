"""Text from elsewhere, made fit to be kept and shown: the one place where that is done, at the door that it enters by.

BMCs, NetBox, agents, lease files, documents and commits say what they like. What is not printable could steer a
terminal or turn the reading direction. As an unpaired surrogate (`"\\ud800"`, valid JSON) it is refused by everything
that encodes it. `drivers.base` hands these functions on to the reconciler."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

MAX_JSON_DEPTH = 64
"""Objects and lists within each other; the deepest recorded Redfish document has 9."""
_MAX_DIGITS = 4000
"""Of a whole number; Python refuses to read one of more than 4,300."""


def clean(text: str) -> str:
    """The text on one line and without terminal control. Cleaning twice changes nothing.

    Control and format characters, unpaired surrogates and what has no meaning are written out as escapes; white space
    of any kind becomes one space.
    """
    text = " ".join(text.split())
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """The text, unchanged if it is printable (spaces included), else through `clean`."""
    return text if text.isprintable() else clean(text)


def printable_lines(text: str) -> str:
    """The text with each of its lines `printable`, and its tabs."""
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.splitlines())


def cleaned(value: Any, depth: int = MAX_JSON_DEPTH, make: Callable[[str], str] = printable) -> Any:
    """A JSON value with its texts as `make` gives them, and its keys as `printable` does. None stands for what is no
    number (NaN, infinity), and for values nested in more than `depth` objects and lists."""
    match value:
        case str():
            return make(value)
        case float():
            return value if math.isfinite(value) else None
        case dict() | list() | tuple() if not depth:
            return None
        case dict():
            return {printable(str(name)): cleaned(one, depth - 1, make) for name, one in value.items()}
        case list() | tuple():
            return [cleaned(one, depth - 1, make) for one in value]
        case _:
            return value


def read_json(content: bytes | str, depth: int = MAX_JSON_DEPTH, make: Callable[[str], str] = printable) -> Any:
    """The JSON value in an answer, `cleaned`. Raises ValueError, saying why, for what is no JSON.

    An error in one text, number or part concerns that value alone. Bytes that are no UTF-8 become U+FFFD, and bare
    control characters are escaped; so is a backslash that begins no escape. A number of thousands of digits is None,
    and so is what is nested too deeply. `make` leaves a text unchanged exactly if it leaves every part of it unchanged,
    or changes more."""
    text = (content if isinstance(content, str) else content.decode(errors="replace")).removeprefix("\ufeff")
    if (harmless := _read_harmless(text, depth, make)) is not None:
        return harmless
    try:
        found = _loads(text)
    except RecursionError:
        found = _loads(_shallow(text, depth))
    return cleaned(found, depth, make)


_BETWEEN = {ord(blank): None for blank in "\n\r\t"}
"""White space that JSON has between its tokens; in a text it is only as an escape."""


def _read_harmless(text: str, depth: int, make: Callable[[str], str]) -> Any:
    """The value, when nothing in it has to be cleaned, as of nearly every answer; else None. That shows on the whole
    text at once: a walk over each of its texts costs five times the parsing."""
    flat = text if "\\" not in text and text.isprintable() else text.replace("\\/", "/").translate(_BETWEEN)
    if "\\" in flat or make(flat) != flat:  # It leaves nothing that is not printable.
        return None
    try:
        found = _PLAIN.decode(text)
    except (RecursionError, ValueError, msgspec.DecodeError):
        return None  # No JSON, or with a number that no JSON has or that is too large.
    return found if text.count("{") + text.count("[") <= depth or _is_within(found, depth) else None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


_PLAIN = msgspec.json.Decoder()
"""Takes half as long as Python's own decoder, and gives the same values."""


def _is_within(value: Any, depth: int) -> bool:
    """Whether no value is nested in more than `depth` objects and lists. Of what a JSON decoder gives."""
    level = [value] if type(value) in _HOLDERS else []
    for _ in range(depth):
        inner = [one.values() if type(one) is dict else one for one in level]
        level = [one for holder in inner for one in holder if type(one) in _HOLDERS]
        if not level:
            return True
    return False


_HOLDERS = (dict, list)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_int=_whole)
    except json.JSONDecodeError as error:
        if "escape" not in error.msg:
            raise
        return json.loads(_ESCAPE.sub(_as_escape, text), strict=False, parse_int=_whole)


_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')


def _as_escape(found: re.Match[str]) -> str:
    return found[0] if found[1] else "\\\\"


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_DEEPEST = 10_000
"""Deeper nesting is treated as an attack, and is not cleaned."""


def _shallow(text: str, depth: int) -> str:
    """The JSON text with `null` in the place of values nested in more than `depth` objects and lists. Raises ValueError
    where it is nested beyond reason."""
    kept, begin, level = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            level += 1
            if level == depth + 1:
                kept += [text[begin : token.start()], "null"]
            elif level > _DEEPEST:
                raise ValueError("the JSON is nested too deeply")
        elif token[0] in "]}":
            if level == depth + 1:
                begin = token.end()
            level -= 1
    if level > depth:
        raise ValueError("the JSON is incomplete, and nested too deeply")
    return "".join([*kept, text[begin:]])


_ALONE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """The text, lines and all, with unpaired surrogates as escapes: what any file or database takes."""
    return _ALONE.sub(lambda found: ascii(found[0])[1:-1], text)
