"""Reads prose out of the project, sentence by sentence: messages, help texts, schema descriptions and pages."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
CODE = [
    ROOT / "cli.py",
    *sorted((ROOT / "reconciler").rglob("*.py")),
    *(path for path in sorted((ROOT / "drivers").rglob("*.py")) if path.parent.name != "testing"),
]
PAGES = [
    *(ROOT / "README.md", ROOT / "desired-state" / "README.md", ROOT / "deploy" / "discovery" / "README.md"),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

_SENTENCE = re.compile(r"(?<=[.?!])[\"')*_]*\s+")
_WORD = re.compile(r"[A-Za-z0-9]\S*")
CODE_SPAN = re.compile(r"`[^`]*`")
_ITEM = re.compile(r"\s*([-*]|\d+\.) ")
_COLUMNS = re.compile(r"\S {2,}\S")
_FENCE = re.compile(r"\s*```")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, each on one line; `code` counts as one word. An empty line ends a sentence, too."""
    for paragraph in re.split(r"\n\s*\n", CODE_SPAN.sub("CODE", text)):
        yield from (" ".join(one.split()) for one in _SENTENCE.split(paragraph))


def length(sentence: str) -> int:
    """The number of words."""
    return len(_WORD.findall(sentence))


def paragraphs(page: str) -> Iterator[str]:
    """The paragraphs and list items of a Markdown page, without its headings, tables and code blocks."""
    block: list[str] = []
    fenced = False
    for line in page.splitlines():
        fence = bool(_FENCE.match(line))
        fenced ^= fence
        code = fenced or fence or (not block and line.startswith("    ") and not _ITEM.match(line))
        aside = code or not line.strip() or line.lstrip().startswith(("#", "|", "<!--"))
        if aside or _ITEM.match(line):
            yield from ["\n".join(block)] if block else []
            block = []
        block += [] if aside else [line]
    yield from ["\n".join(block)] if block else []


def cells(page: str) -> Iterator[str]:
    """The cells of a Markdown page's tables, without lists of code."""
    for line in page.splitlines():
        if line.startswith("|"):
            yield from (re.sub(r"(`[^`]*`, ){3,}", "", cell.strip()) for cell in line.strip("|").split("|"))


def messages(path: Path) -> list[str]:
    """The literal texts of a module that are not docstrings, with `...` for what is filled in."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "..." for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inner:
            found.append(node.value)
    return found


def helps(command: click.Command) -> Iterator[str]:
    """The help texts of a command, of its options and of its commands; without examples."""
    yield from ((command.help or "").partition("\b")[0], command.short_help or "")
    yield from (str(getattr(param, "help", None) or "") for param in command.params)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) is not None:
                yield from helps(inner)


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its path (`ipam check`); not the groups."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if isinstance(inner := group.get_command(context, name), click.Group):
            yield from commands(inner, f"{path}{name} ")
        elif inner is not None:
            yield path + name, inner


def descriptions() -> Iterator[str]:
    """The descriptions of the schemas."""

    def walk(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["description"]] if isinstance(node.get("description"), str) else [])
            for inner in node.values():
                yield from walk(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from walk(inner)

    for path in sorted((ROOT / "schemas" / "v1").glob("*.json")):
        yield from walk(json.loads(path.read_text("utf-8")))


def prose(docstring: str) -> str:
    """A docstring without its examples (after a `\\b`) and its tables (indented paragraphs, and those in columns)."""
    cleaned = inspect.cleandoc(docstring).partition("\b\n")[0]
    kept = (one for one in cleaned.split("\n\n") if not _COLUMNS.search(one) and not one.startswith(" "))
    return "\n\n".join(kept).strip()


def docstrings(path: Path) -> list[str]:
    """The docstrings of a module, and of its classes, functions and constants."""
    found = (node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Expr))
    return [value.value for value in found if isinstance(value, ast.Constant) and isinstance(value.value, str)]
