"""Shell patterns: what they match, and which sets of them one word can match at once. Pure.

`*` is any text, `?` any one character, `[a-z]` one of these, `[!a-z]` or `[^a-z]` one of all others. A backslash makes
the next character literal. Upper and lower case differ, and `/` is a character like any other."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache, cached_property

import msgspec

MOST_STATES = 20_000
"""How many steps `witnesses` may take: enough for patterns that people write, and a limit for generated ones."""

_LAST = 0x10FFFF
_NICE = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_. "


class Letters(msgspec.Struct, frozen=True):
    """One character: within one of the spans of code points, or `inverted`, in none of them."""

    spans: tuple[tuple[int, int], ...]
    inverted: bool = False

    def has(self, code: int) -> bool:
        """Whether the code point is one of them."""
        return any(first <= code <= last for first, last in self.spans) is not self.inverted


_ANY = Letters((), inverted=True)


class Glob(msgspec.Struct, frozen=True, dict=True):
    """A pattern, taken apart; None among the parts is `*`."""

    text: str
    parts: tuple[Letters | None, ...]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(".*" if part is None else _regex(part) for part in self.parts), re.DOTALL)

    def matches(self, word: str) -> bool:
        """Whether the whole word fits."""
        return self._pattern.fullmatch(word) is not None


def _regex(letters: Letters) -> str:
    if not letters.spans:
        return "."
    inside = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in letters.spans)
    return f"[{'^' if letters.inverted else ''}{inside}]"


@cache
def parse_glob(text: str) -> Glob:
    """The pattern. Raises ValueError saying what is wrong with it."""
    parts: list[Letters | None] = []
    at = 0
    while at < len(text):
        if text[at] == "*":
            if not parts or parts[-1] is not None:
                parts.append(None)
            at += 1
        elif text[at] == "?":
            parts.append(_ANY)
            at += 1
        elif text[at] == "[":
            letters, at = _letters(text, at)
            parts.append(letters)
        else:
            code, at = _character(text, at)
            parts.append(Letters(((code, code),)))
    return Glob(text, tuple(parts))


def _character(text: str, at: int) -> tuple[int, int]:
    if text[at] == "\\":
        at += 1
        if at == len(text):
            raise ValueError("the backslash at the end has no character to escape")
    return ord(text[at]), at + 1


def _letters(text: str, start: int) -> tuple[Letters, int]:
    at = start + 1
    inverted = text[at : at + 1] in ("!", "^")
    at += inverted
    spans: list[tuple[int, int]] = []
    while at < len(text) and (text[at] != "]" or not spans):
        first, at = _character(text, at)
        last = first
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("]", ""):
            last, at = _character(text, at + 1)
        if last < first:
            raise ValueError(f"the range {chr(first)}-{chr(last)} begins after its end")
        spans.append((first, last))
    if at >= len(text):
        raise ValueError(f"the '[' at character {start + 1} is not closed by ']'")
    return Letters(tuple(spans), inverted), at + 1


def witnesses(globs: Sequence[Glob]) -> dict[frozenset[int], str]:
    """For each set of the patterns (by index) that some word matches, and no other pattern, a shortest such word.

    The patterns are followed side by side, as the automata that they are, over one character of each class that they
    distinguish. The search ends after MOST_STATES steps: beyond that, sets may be missing, but none is ever wrong.
    """
    alphabet = _alphabet(globs)
    # A bit for each place in a pattern that the word so far may have led to.
    start = tuple(_closed(glob, 1) for glob in globs)
    # The start is not seen yet: it may be come back to with a word that is not empty.
    seen: set[tuple[int, ...]] = set()
    queue = deque([(start, "")])
    found: dict[frozenset[int], str] = {}
    while queue and len(seen) < MOST_STATES:
        state, word = queue.popleft()
        matched = frozenset(i for i, glob in enumerate(globs) if state[i] >> len(glob.parts) & 1)
        if not found.get(matched):  # any other word is better than none: a part without a name is hard to show
            found[matched] = word
        for letter in alphabet:
            after = tuple(_step(glob, places, ord(letter)) for glob, places in zip(globs, state, strict=True))
            if after not in seen:
                seen.add(after)
                queue.append((after, word + letter))
    return found


def _step(glob: Glob, places: int, code: int) -> int:
    after = 0
    for index, part in enumerate(glob.parts):
        if places >> index & 1:
            if part is None:
                after |= 1 << index
            elif part.has(code):
                after |= 1 << index + 1
    return _closed(glob, after)


def _closed(glob: Glob, places: int) -> int:
    """With the places behind a `*` that took nothing."""
    for index, part in enumerate(glob.parts):
        if part is None and places >> index & 1:
            places |= 1 << index + 1
    return places


def _alphabet(globs: Sequence[Glob]) -> list[str]:
    """One character for each class that the patterns distinguish; a readable one where the class has one."""
    every = list(dict.fromkeys(part for glob in globs for part in glob.parts if part is not None))
    edges = sorted({0, *(edge for part in every for first, last in part.spans for edge in (first, last + 1))})
    classes: dict[tuple[bool, ...], str] = {}
    for letter in (*_NICE, *_readable(edges)):
        classes.setdefault(tuple(part.has(ord(letter)) for part in every), letter)
    return list(classes.values())


def _readable(edges: list[int]) -> Iterator[str]:
    for first, after in zip(edges, [*edges[1:], _LAST + 1], strict=True):
        if first > _LAST:
            return
        # Surrogates are no text; the rest of such a span is as good.
        begin = 0xE000 if 0xD800 <= first < 0xE000 < after else first
        span = range(begin, min(after, begin + 256))
        yield next((chr(code) for code in span if chr(code).isprintable()), chr(begin))
