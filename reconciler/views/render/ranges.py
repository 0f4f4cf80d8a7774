"""Names folded to node ranges, as ClusterShell and Slurm write them: `r12-[01-03,07]`. Lossless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_RUN = re.compile(r"([0-9]+)")
_BRACKET = re.compile(r"^(?P<before>[^\[\]]*)\[(?P<parts>[0-9,-]+)\](?P<after>[^\[\]]*)$")
_PART = re.compile(r"^(?P<first>[0-9]+)(-(?P<last>[0-9]+))?$")

Split = tuple[str, ...]
"""A name cut at its numbers: text and number in turn, text first and last."""


def fold(names: Iterable[str]) -> list[str]:
    """The names as few ranges, in natural order. Duplicates count once.

    The last number is folded, unless the names of one shape differ in just one other: `r[01-03]-bmc1`.
    """
    shapes: dict[Split, list[Split]] = {}
    for name in sorted(set(names), key=natural):
        cut = tuple(_RUN.split(name)) if "[" not in name and "]" not in name else (name,)
        shapes.setdefault(cut[0::2], []).append(cut)
    folded = [pair for cuts in shapes.values() for pair in _fold_shape(cuts)]
    return [text for _, text in sorted(folded, key=lambda pair: natural(pair[0]))]


def unfold(text: str, *, limit: int = 100_000) -> list[str]:
    """The names that a range stands for. Raises ValueError on a malformed range or one of more than `limit` names."""
    match = _BRACKET.match(text)
    if match is None:
        if "[" in text or "]" in text:
            raise ValueError(f"{text!r} is not a node range; write it as r12-[01-03,07]")
        return [text]
    numbers: list[str] = []
    for part in match["parts"].split(","):
        numbers += _count(part, text, limit - len(numbers))
    return [f"{match['before']}{number}{match['after']}" for number in numbers]


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts n2 before n10."""
    return tuple((int(part), part) if index % 2 else (0, part) for index, part in enumerate(_RUN.split(name)))


def _fold_shape(cuts: list[Split]) -> Iterator[tuple[str, str]]:
    """The first name of each range, and the range."""
    if len(cuts[0]) == 1:
        yield from ((cut[0], cut[0]) for cut in cuts)
        return
    varying = [index for index in range(1, len(cuts[0]), 2) if len({cut[index] for cut in cuts}) > 1]
    place = varying[0] if len(varying) == 1 else len(cuts[0]) - 2
    alike: dict[tuple[Split, Split], list[str]] = {}
    for cut in cuts:
        alike.setdefault((cut[:place], cut[place + 1 :]), []).append(cut[place])
    for (before, after), numbers in alike.items():
        inner = numbers[0] if len(numbers) == 1 else f"[{','.join(_ranges(numbers))}]"
        yield "".join((*before, numbers[0], *after)), "".join((*before, inner, *after))


def _ranges(numbers: list[str]) -> Iterator[str]:
    """Ranges such as 08-12 (two digits each) and 8-12 (no padding); a range's first number says which."""
    padded = {len(number) for number in numbers if number[0] == "0" and len(number) > 1}
    ordered = sorted(numbers, key=lambda n: (len(n) if len(n) in padded else 0, int(n)))
    first = last = ordered[0]
    for number in ordered[1:]:
        if number == str(int(last) + 1).zfill(len(first)):
            last = number
            continue
        yield first if first == last else f"{first}-{last}"
        first = last = number
    yield first if first == last else f"{first}-{last}"


def _count(part: str, text: str, room: int) -> list[str]:
    match = _PART.match(part)
    if match is None:
        raise ValueError(f"{part!r} in {text!r} is not a number or a range of numbers; write it as 01-03")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if last < first:
        raise ValueError(f"{part!r} in {text!r} ends before it begins")
    if last - first >= room:
        raise ValueError(f"{text!r} means too many names; write a shorter range")
    return [str(number).zfill(len(match["first"])) for number in range(first, last + 1)]
