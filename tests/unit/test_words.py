"""The words and sentences of messages, help texts, schema descriptions, docstrings and pages, by docs/style.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import pytest

from cli import main
from tests.prose import (
    CODE,
    CODE_SPAN,
    DECISIONS,
    PAGES,
    ROOT,
    cells,
    commands,
    descriptions,
    docstrings,
    helps,
    length,
    messages,
    paragraphs,
    prose,
    sentences,
)

MOST_WORDS = 25
BANNED = re.compile(
    r"\b(nobody|somebody|anybody|everybody|whoever|that one|(?<!soon )as it is|what is there|has it so|way out"
    r"|it goes on|by itself|on its way back|slip of the pen|giv(e|es|ing|en) back|given out|lets? go|go(es)? by"
    r"|looked|looks at|a look|told|tells?|telling|is said|trouble|lives|lies|anew|by now|in vain)\b",
    re.IGNORECASE,
)
NO_PROSE = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|WITH|PRAGMA)\b|^\(\?i\)|\\[dsw]", re.IGNORECASE)
SPEAK_OF_WORDS = {"style.md": "names the words that are not to be used", "glossary.md": "names the words of others"}


def texts() -> Iterator[str]:
    """Everything that the program shows."""
    for path in CODE:
        if "migrations" not in path.parts:
            yield from (text for text in messages(path) if not NO_PROSE.search(text))
    yield from helps(main)
    yield from descriptions()


def is_banned(text: str) -> bool:
    """Whether the text has a word of which docs/style.md gives the better one; `code` does not count."""
    return BANNED.search(CODE_SPAN.sub("CODE", text)) is not None


def too_long(text: str) -> list[str]:
    return [one for one in sentences(text) if length(one) > MOST_WORDS]


def test_no_message_help_text_or_description_holds_a_banned_word() -> None:
    found = {text for text in texts() if " " in text and is_banned(text)}
    assert sorted(found) == []


def test_no_sentence_of_a_message_a_help_text_or_a_description_is_too_long() -> None:
    found = {text for text in texts() if too_long(text)}
    assert sorted(found) == []


def test_the_help_of_every_command_shows_an_example() -> None:
    example = re.compile(r"\x08\nExamples:\n  .*groundstate ")
    assert [name for name, one in commands(main) if not example.search(cleandoc(one.help or ""))] == []


def test_every_command_in_a_message_exists() -> None:
    known = {name for path, _ in commands(main) for name in (path, path.split()[0])}
    named = {" ".join(found) for text in texts() for found in re.findall(r"`groundstate (ipam|boot) ([a-z]+)", text)}
    named |= {found for text in texts() for found in re.findall(r"`groundstate ([a-z][a-z-]*)", text)}
    assert named - known == set()


def test_no_docstring_holds_a_banned_word() -> None:
    found = {f"{path.relative_to(ROOT)}: {text}" for path in CODE for text in docstrings(path)}
    assert sorted(filter(is_banned, found)) == []


def test_no_sentence_of_a_docstring_is_too_long() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {one}"
        for path in CODE
        for text in docstrings(path)
        for one in too_long(prose(text))
    }
    assert sorted(found) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_holds_a_banned_word(page: Path) -> None:
    if page.name not in SPEAK_OF_WORDS:
        shown = page.read_text("utf-8")
        found = {text for text in (*paragraphs(shown), *cells(shown)) if is_banned(text)}
        assert sorted(found) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_of_a_table_is_too_long(page: Path) -> None:
    assert [one for text in cells(page.read_text("utf-8")) for one in too_long(text)] == []


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_of_a_page_is_too_long(page: Path) -> None:
    assert [one for text in paragraphs(page.read_text("utf-8")) for one in too_long(text)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The BMC answers. It is on.", [3, 3]),
        ("Run `groundstate plan --out p.json` first.", [3]),
        ("An item\n\nand another, 3 words", [2, 4]),
        ("10.1.0.11 is pinned (sha256:47c0).", [4]),
    ],
)
def test_words_are_counted_by_sentence(text: str, words: list[int]) -> None:
    assert [length(one) for one in sentences(text)] == words


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("Show it.\n\n\b\nExamples:\n  run it", "Show it."),
        ("The files:\n\n    a.py    one\n    b.py    two\n\nThe end.", "The files:\n\nThe end."),
    ],
)
def test_examples_and_tables_of_a_docstring_are_no_sentences(docstring: str, text: str) -> None:
    assert prose(docstring) == text


def test_tables_code_and_headings_of_a_page_are_no_sentences() -> None:
    page = "# Head\n\nOne.\nTwo.\n\n    code\n\n- item\n- more\n  of it\n\n```\nfenced\n```\n| a | b |\n"
    assert list(paragraphs(page)) == ["One.\nTwo.", "- item", "- more\n  of it"]
