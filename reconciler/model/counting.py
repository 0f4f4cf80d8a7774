"""Numbers with their nouns, in the singular or the plural; and lists of names."""

from collections.abc import Iterable


def count(number: int, noun: str, nouns: str = "") -> str:
    """`1 machine`, `1,204 machines`. `nouns`: the plural, where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def count_are(number: int, noun: str, nouns: str = "") -> str:
    """`1 machine is`, `3 machines are`."""
    return f"{count(number, noun, nouns)} {'is' if number == 1 else 'are'}"


def listed_names(names: Iterable[str], most: int = 10) -> str:
    """`a, b and 3 more`."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
