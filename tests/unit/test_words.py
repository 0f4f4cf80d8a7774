"""The words of messages, help texts and schema descriptions, by docs/style.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BANNED = re.compile(
    r"\b(nobody|it goes on|goes on by itself|by itself|as it is|that one|way out|slip of the pen|on its way back"
    r"|nothing is told|looked at|given back)\b",
    re.IGNORECASE,
)
EXCEPTIONS: dict[str, str] = {}
"""A text that holds such a word, and why."""


def texts(path: Path) -> list[str]:
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


def test_no_message_help_text_or_description_holds_a_banned_word() -> None:
    paths = [ROOT / "cli.py", *sorted((ROOT / "reconciler").rglob("*.py"))]
    found = {text for path in paths if "migrations" not in path.parts for text in texts(path) if BANNED.search(text)}
    assert sorted(found - EXCEPTIONS.keys()) == []
    assert sorted(EXCEPTIONS.keys() - found) == [], "an exception that is not needed any more"
