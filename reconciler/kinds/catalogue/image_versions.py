"""Versions of three numbers, and constraints on them as Masterminds/semver (and so metal-stack) reads them. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

ImageVersion = tuple[int, int, int]

_TERM = re.compile(r"(=|!=|>|<|>=|=>|<=|=<|~|~>|\^)?\s*([0-9]+(?:\.[0-9]+){0,2})")
OPERATORS = "= != > < >= <= ~ ~> ^"


class VersionRange(msgspec.Struct, frozen=True):
    """Versions from `low` to below `end` (None: without end), or `inverted`, all others."""

    low: ImageVersion = (0, 0, 0)
    end: ImageVersion | None = None
    inverted: bool = False

    def holds(self, version: ImageVersion) -> bool:
        """Whether the version is one of them."""
        return (self.low <= version and (self.end is None or version < self.end)) is not self.inverted


class Versions(msgspec.Struct, frozen=True):
    """The versions that a constraint allows: those in all of the spans."""

    spans: tuple[VersionRange, ...]

    def allow(self, version: ImageVersion) -> bool:
        """Whether the constraint holds."""
        return all(span.holds(version) for span in self.spans)


@lru_cache(maxsize=4096)
def parse_version(text: str) -> ImageVersion:
    """`12.0.20260101` as numbers. Raises ValueError."""
    numbers = [int(number) for number in text.split(".")]
    if len(numbers) != 3:
        raise ValueError(f"{text!r} is not major.minor.patch")
    return numbers[0], numbers[1], numbers[2]


def span_of(numbers: tuple[int, ...]) -> VersionRange:
    """All versions that begin with these one to three numbers."""
    return VersionRange(_filled(numbers), _next(numbers))


@lru_cache(maxsize=4096)
def constraint(text: str) -> Versions:
    """`*`, or terms joined by commas that all must hold, each an operator and one to three numbers.

    A version of fewer numbers means all that begin with it: `> 11` is from 12.0.0 on, `= 12.0` is any patch of it.
    Raises ValueError saying which term is wrong.
    """
    if text.strip() == "*":
        return Versions(())
    return Versions(tuple(_span(term.strip()) for term in text.split(",")))


def _span(term: str) -> VersionRange:
    found = _TERM.fullmatch(term)
    if found is None:
        raise ValueError(f"{term!r} is not an operator ({OPERATORS}) and a version")
    numbers = tuple(int(number) for number in found[2].split("."))
    low, end = _filled(numbers), _next(numbers)
    match found[1]:
        case "!=":
            return VersionRange(low, end, inverted=True)
        case ">":
            return VersionRange(end)
        case "<":
            return VersionRange((0, 0, 0), low)
        case ">=" | "=>":
            return VersionRange(low)
        case "<=" | "=<":
            return VersionRange((0, 0, 0), end)
        case "~" | "~>":
            return VersionRange(low, _next(numbers[:2]))
        case "^":
            # The first number that is not 0 stays as it is; of zeros alone, the last one given.
            kept = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
            return VersionRange(low, _next(numbers[: kept + 1]))
        case _:
            return VersionRange(low, end)


def _filled(numbers: tuple[int, ...]) -> ImageVersion:
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch


def _next(numbers: tuple[int, ...]) -> ImageVersion:
    """The lowest version after all those that begin with these numbers."""
    return _filled((*numbers[:-1], numbers[-1] + 1))
