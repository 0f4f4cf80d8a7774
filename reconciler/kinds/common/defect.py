"""Whom to leave out so that what is worked out over a whole fleet can be: one object's content costs that object only.

What objects say is typed and cleaned where it enters, so that nothing here should ever be needed. If it is, a defect of
groundstate meets one object's content; the others must go on all the same. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from drivers.base import clean

T = TypeVar("T")

MAX_TRIES = 64
"""After so many a group is left out whole: who is to blame in it would take too long to find."""
_LONGEST = 500

REPORT = "report this bug, with the output of `groundstate describe`; groundstate tries again"
"""What follows on the words of a defect that an operation met; the resource is tried again."""


def to_blame(candidates: Sequence[T], works_without: Callable[[Collection[T]], bool]) -> list[T] | None:
    """Those without whom it works, in their order and as few as is known; None when it does not even work without
    all of them. It is not to work with all of them. For k of n this takes about 2 k log n tries."""
    if not works_without(candidates):
        return None
    tries = 0

    def works(left_out: list[T]) -> bool:
        nonlocal tries
        tries += 1
        return works_without(left_out)

    def narrowed(group: list[T], others: list[T]) -> list[T]:
        """It works without the group and the others, and not without the others alone."""
        if len(group) < 2 or tries >= MAX_TRIES:
            return group
        first, second = group[: len(group) // 2], group[len(group) // 2 :]
        if works([*others, *first]):
            return narrowed(first, others)
        if works([*others, *second]):
            return narrowed(second, others)
        found = narrowed(first, [*others, *second])
        return [*found, *narrowed(second, [*others, *found])]

    return narrowed(list(candidates), [])


def defect(error: BaseException) -> str:
    """An unexpected error, as text that can be stored and shown."""
    return clean(f"a bug in groundstate ({error_words(error)})")[:_LONGEST]


def error_words(error: BaseException) -> str:
    """An unexpected error with the line that raised it, for the report of the bug: `KeyError: 'Id' (strip.py, line
    57)`. What the error says is cut, and not cleaned."""
    last, said = error.__traceback__, str(error)[:_LONGEST]
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = "" if last is None else f" ({last.tb_frame.f_code.co_filename.rpartition('/')[2]}, line {last.tb_lineno})"
    return f"{type(error).__name__}: {said}{place}" if said else f"{type(error).__name__}{place}"
