"""Paths and templates over documents, as kubectl writes them: `-o jsonpath=`, `-o custom-columns=`, `--sort-by`. Pure.

A path is brought into JMESPath, whose library searches. https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

_STEP = re.compile(
    r"""\.(?P<all>\*)                                # .*
      | \.?(?P<name>(?:\\.|[^.\[\]\\{}\s"'()?@$*])+) # .name, where \. is a dot of the name
      | \[\s*(?P<quoted>'[^']*'|"[^"]*")\s*\]        # ['name']
      | \[(?P<index>-?\d+)\]
      | \[(?P<slice>\*|-?\d*:-?\d*)\]
      | \[\?\(\s*@(?P<left>[^=!<>]+?)\s*(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]
    """,
    re.VERBOSE,
)
_TOKEN = re.compile(r"\{\s*(?P<inside>(?:\"(?:\\.|[^\"\\])*\"|'[^']*'|[^{}\"'])*)\}")
EXAMPLE = '.spec.power, .metadata.labels.rack, .status.conditions[?(@.type=="Ready")].status'


class BadPath(ValueError):
    """A path or template that cannot be used, in words."""


class FieldPath(msgspec.Struct, frozen=True):
    """A path, ready to search. `many`: it may find several values."""

    expression: str
    many: bool

    def values(self, document: Any) -> list[Any]:
        """The values found; none if the document has no such field."""
        found = jmespath.search(self.expression, document) if self.expression else document
        if found is None:
            return []
        return list(found) if self.many and isinstance(found, list) else [found]


@lru_cache(maxsize=256)
def parse_field_path(text: str) -> FieldPath:
    """`.spec.power`, `{.spec.power}` or `spec.power`. Raises BadPath."""
    path = text.strip()
    path = path[1:-1].strip() if path.startswith("{") and path.endswith("}") else path
    path = path.removeprefix("$").removeprefix("@")
    if ".." in path:
        raise BadPath(f"{text!r}: `..` is not supported; write the whole path, such as {EXAMPLE}")
    made, many, at = "", False, 0
    while at < len(path) and path[at:] != ".":
        step = _STEP.match(path, at)
        if step is None:
            raise BadPath(
                f"{text!r} is not a valid path: the mistake begins at `{path[at:]}`; write paths like {EXAMPLE}"
            )
        made, several = _with_step(made, step)
        many, at = many or several, step.end()
    try:
        if made:
            jmespath.compile(made)
    except JMESPathError as error:
        raise BadPath(f"{text!r} is not a path; write paths like {EXAMPLE}") from error
    return FieldPath(made, many)


def _with_step(made: str, step: re.Match[str]) -> tuple[str, bool]:
    """The JMESPath with one more step, and whether the step may find several values."""
    dot = "." if made else ""
    if step["all"]:
        return f"{made}{dot}*", True
    if step["name"] or step["quoted"]:
        name = step["quoted"][1:-1] if step["quoted"] else re.sub(r"\\(.)", r"\1", step["name"])
        return f"{made}{dot}{json.dumps(name)}", False
    made = made or "@"
    if step["index"]:
        return f"{made}[{step['index']}]", False
    if step["slice"]:
        # `[]` flattens, so that a path with two of them finds single values.
        return f"{made}[]" if step["slice"] == "*" else f"{made}[{step['slice']}]", True
    left, right = parse_field_path(step["left"]).expression, step["right"]
    literal = json.dumps(right[1:-1]) if right[0] in "\"'" else right
    if not _is_json(literal):
        raise BadPath(f"{right!r} is neither a number nor a quoted text")
    escaped = literal.replace("`", "\\`")
    return f"{made}[?{left} {step['op']} `{escaped}`]", True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class PathColumn(msgspec.Struct, frozen=True):
    """A heading, and the path of the cell under it."""

    title: str
    path: FieldPath

    def cell(self, document: Any) -> str:
        """Several values are joined by commas; `<none>` as kubectl has it."""
        found = self.path.values(document)
        return ",".join(map(_text, found)) if found else "<none>"


def parse_custom_columns(text: str) -> list[PathColumn]:
    """`NAME:.metadata.name,POWER:.spec.power`. Raises BadPath."""
    found = []
    for part in re.split(r",(?![^\[(]*[\])])", text):
        title, colon, path = part.partition(":")
        if not title.strip() or not colon or not path.strip():
            raise BadPath(f"custom-columns has {part!r}; write HEADING:PATH,..., such as NAME:.metadata.name")
        found.append(PathColumn(title.strip(), parse_field_path(path)))
    return found


def render_json_path(template: str, document: Any) -> str:
    """The template with what its paths find: `{.metadata.name}{"\\n"}`, `{range .items[*]}...{end}`. Raises BadPath."""
    parts = list(_tokens(template if "{" in template else f"{{{template}}}"))
    if any(sort == "text" and ("{" in inside or "}" in inside) for sort, inside in parts):
        raise BadPath(f"{template!r}: a brace is opened and not closed, or closed and not opened")
    text, rest = _rendered(parts, document)
    if rest:
        raise BadPath("the template has an {end} without a {range}")
    return text


def _tokens(template: str) -> Iterator[tuple[str, str]]:
    """Literal texts, and what stands in braces."""
    at = 0
    for token in _TOKEN.finditer(template):
        if token.start() > at:
            yield "text", template[at : token.start()]
        yield "braces", token["inside"].strip()
        at = token.end()
    if at < len(template):
        yield "text", template[at:]


def _rendered(parts: Sequence[tuple[str, str]], document: Any) -> tuple[str, Sequence[tuple[str, str]]]:
    """What the parts say up to their {end}, and what stands behind it, the {end} included."""
    said, parts = "", list(parts)
    while parts:
        sort, inside = parts[0]
        if sort == "text":
            said, parts = said + inside, parts[1:]
        elif inside == "end":
            break
        elif inside.startswith("range"):
            texts, parts = _repeated(inside.removeprefix("range"), parts[1:], document)
            said += texts
        else:
            said, parts = said + _inserted(inside, document), parts[1:]
    return said, parts


def _repeated(path: str, parts: list[tuple[str, str]], document: Any) -> tuple[str, list[tuple[str, str]]]:
    found = parse_field_path(path).values(document)
    texts = [_rendered(parts, one)[0] for one in found]
    rest = list(_rendered(parts, None)[1])
    if not rest:
        raise BadPath("the template has a {range} without an {end}")
    return "".join(texts), rest[1:]


def _inserted(inside: str, document: Any) -> str:
    if inside.startswith('"'):
        try:
            return str(json.loads(inside))
        except ValueError as error:
            raise BadPath(f"{inside} is not a text in quotes") from error
    if inside.startswith("'"):
        return inside.strip("'")
    return " ".join(map(_text, parse_field_path(inside).values(document)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
