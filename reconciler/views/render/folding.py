"""Lines broken between words for a terminal, so that none is broken within one. Pure."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"( *)((?:`[^`\n]*`|[^\s`]|`)+)")
"""The blanks before a word, and the word. A command in backquotes is one word, so that it can be copied as a whole."""


def folded(text: str, width: int, indent: int = 2) -> str:
    """Each line that is too long goes on below itself, `indent` columns deeper than it begins."""
    return "\n".join(_folded(line, width, indent) for line in text.split("\n"))


def _folded(line: str, width: int, indent: int) -> str:
    if _size(line) <= width:
        return line
    begin = " " * (len(line) - len(line.lstrip(" ")) + indent)
    lines, now = [], ""
    for gap, word in _WORD.findall(line):
        if now.strip() and _size(f"{now}{gap}{word}") > width:
            lines.append(now)
            now = f"{begin}{word}"
        else:
            now += f"{gap}{word}"
    return "\n".join([*lines, now])


def _size(text: str) -> int:
    return len(_COLOUR.sub("", text))
