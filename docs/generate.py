"""Writes the pages of docs/reference that are made from the program: `python -m docs.generate`. A test compares."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from cli import main
from docs import lifecycle
from docs.events import PAGE
from drivers.base import Backoff, ErrorReason
from reconciler.desired.manifest.schemas import schema_for
from reconciler.desired.rules.diagnostic_codes import DIAGNOSTICS
from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import Kind
from reconciler.model.event import EventReason
from reconciler.model.outcome import ActionFailure, ConditionReason, ConditionType, OutcomeReason
from reconciler.model.retry import POLICIES, REQUEUE, Polling
from reconciler.model.values.boot_purpose import LifecycleFailureReason

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Made by `python -m docs.generate`; changes belong into the program. -->"
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} items",
}
_FORMATS = {"cidr": "prefix", "ip": "address", "ip-range": "address, prefix or range", "date": "day"}

Node = dict[str, Any]


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    made = {
        "kinds.md": _kinds(),
        "commands.md": _commands(),
        "diagnostics.md": _diagnostics(),
        "outcomes.md": _outcomes(),
        "events.md": _events(),
        "conditions.md": _conditions(),
        "lifecycle.md": ("# A machine's lifecycle", "", NOTE, "", *lifecycle.page()),
    }
    return {name: "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


# -- kinds -------------------------------------------------------------------------------------------------------------


def _kinds() -> Iterator[str]:
    yield from ("# Kinds", "", NOTE, "")
    yield "Every document has `apiVersion: groundstate/v1`, `kind`, `metadata` and `spec`. A field that is not in the"
    yield "tables is an error, and so is a key without a value. `groundstate explain KIND.field` shows the same."
    yield ""
    yield "Each kind says whether it is reconciled. The other kinds set rules for those: quotas, reservations and the"
    yield "expiry of images hold changes in the plan ([projects, sizes and images](../projects.md))."
    yield ""
    yield from (f"- [{kind.name}](#{kind.name.lower()}): {kind.summary}" for kind in KINDS.values())
    metadata = schema_for(KINDS["Machine"])
    yield from ("", "## metadata", "", "The same for every kind.", "")
    yield from _fields(metadata["properties"]["metadata"], metadata)
    for kind in KINDS.values():
        yield from _kind(kind)


def _kind(kind: Kind) -> Iterator[str]:
    schema = schema_for(kind)
    words = ", ".join(f"`{word}`" for word in (kind.plural, *kind.short))
    reconciled = "Reconciled." if kind.rules else "Not reconciled."
    yield from ("", f"## {kind.name}", "", f"{kind.summary} {reconciled} On the command line: {words}.", "")
    yield from _fields(schema["properties"]["spec"], schema)


def _fields(node: Node, schema: Node) -> Iterator[str]:
    yield "| field | type | required | default | meaning |"
    yield "|---|---|---|---|---|"
    yield from _rows(node, schema, "")


def _rows(node: Node, schema: Node, prefix: str) -> Iterator[str]:
    body = _resolved(node, schema)
    for name, child in body.get("properties", {}).items():
        path, inner = f"{prefix}{name}", _resolved(child, schema)
        needed = "yes" if name in body.get("required", ()) else ""
        default = child.get("default")
        shown = "" if default in (None, (), [], {}, False) else _code(default)
        yield f"| `{path}` | {_type(child, schema)} | {needed} | {shown} | {_meaning(child, schema)} |"
        items = inner.get("items")
        yield from _rows(items, schema, f"{path}[].") if isinstance(items, dict) else _rows(inner, schema, f"{path}.")


def _resolved(node: Node, schema: Node) -> Node:
    while "$ref" in node or len(node.get("allOf", ())) == 1:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node["allOf"][0]
    return node


def _type(node: Node, schema: Node) -> str:
    found = _resolved(node, schema)
    if "anyOf" in found:
        return " or ".join(_type(choice, schema) for choice in found["anyOf"])
    if "items" in found:
        return f"list of {_type(found['items'], schema)}"
    if "x-groundstate-kind" in found:
        return f"name of a {found['x-groundstate-kind']}"
    if "enum" in found:
        return ", ".join(_code(choice) for choice in found["enum"])
    if found.get("type") == "object" and isinstance(found.get("additionalProperties"), dict):
        return "map of text"
    if found.get("format") in _FORMATS:
        return _FORMATS[found["format"]]
    names = {"object": "object", "string": "text", "integer": "number", "boolean": "true or false"}
    return names.get(found.get("type", ""), "any")


def _meaning(node: Node, schema: Node) -> str:
    found = _resolved(node, schema)
    choices = [node, found, *found.get("anyOf", ())]
    said = [next((part["description"] for part in choices if "description" in part), "")]
    said += [
        f"{limit.format(found[name]).capitalize()}."
        for name, limit in _LIMITS.items()
        if name in found and "pattern" not in found
    ]
    examples = [_code(example) for example in node.get("examples") or found.get("examples") or ()]
    said += [f"For example {', '.join(examples)}."] if examples else []
    return " ".join(said).replace("|", "\\|")


def _code(value: object) -> str:
    return f"`{value}`".replace("|", "\\|")


# -- commands ----------------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    root = click.Context(main, info_name="groundstate")
    yield from ("# Commands", "", NOTE, "", "`groundstate [--config FILE] COMMAND`, with", "")
    yield from (f"- [{name}](#{name}): {_command(root, name).short_help}" for name in main.list_commands(root))
    yield ""
    yield "An option can be set on the command line, by the variable in the table, or in the settings file by its"
    yield 'long name (`max_disrupted = "5%"`). The first of these goes before the others. An option without a variable'
    yield "can be set only on the command line."
    yield ""
    yield "Exit codes, unless a command says otherwise: 0 means that the command did its work, even if a list is empty."
    yield "1 is every error, such as a wrong option, a name or selector that matches nothing, or a store or revision"
    yield "that cannot be read. Ctrl-C ends with 1 too. Only `plan` and `inventory --diff` end with 2, for changes."
    yield "Only `plan` and `apply` end with 3, for changes that a guard holds. Data goes to stdout; notes, questions,"
    yield "progress and errors go to stderr."
    for name in main.list_commands(root):
        yield from _page(_command(root, name), name, root, "##")


def _page(command: click.Command, name: str, parent: click.Context, mark: str) -> Iterator[str]:
    """A command; of a group, its commands too."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    title = context.command_path.removeprefix("groundstate ")
    yield from ("", f"{mark} {title}", "", f"    {usage}", "")
    yield from _help(command.help or "")
    yield from _options(command, context)
    for inner, one in (command.commands if isinstance(command, click.Group) else {}).items():
        yield from _page(one, inner, context, f"{mark}#")


def _command(root: click.Context, name: str) -> click.Command:
    command = main.get_command(root, name)
    if command is None:
        raise LookupError(name)
    return command


def _help(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            _, title, *examples = paragraph.split("\n")
            yield from (title, "", *(f"  {line}" for line in examples), "")
        else:
            yield from (*paragraph.split("\n"), "")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [(p, p.get_help_record(context)) for p in command.params if isinstance(p, click.Option)]
    shown = [(param, record) for param, record in records if record]
    if shown:
        yield from ("| option | variable | meaning |", "|---|---|---|")
        for param, (names, words) in shown:
            variable = f"`{param.envvar}`" if param.envvar else ""
            yield f"| {_code(names)} | {variable} | {re.sub(' {2,}', ' ', words).replace('|', chr(92) + '|')} |"


# -- diagnostics -------------------------------------------------------------------------------------------------------


def _diagnostics() -> Iterator[str]:
    yield from ("# Diagnostics", "", NOTE, "")
    yield "`validate`, and every command that reads desired state, reports these. A code never changes its meaning, so"
    yield "scripts can match it. One error refuses the whole revision. A warning is shown, and refuses nothing."
    yield from ("", "| code | meaning |", "|---|---|")
    yield from (f"| `{code}` | {meaning} |" for code, meaning in DIAGNOSTICS.items())
    yield from ("", "Rules for the documents of some kinds. `...` stands for a value:", "")
    yield from ("| code | kinds | message | to proceed |", "|---|---|---|---|")
    yield from (f"| `{code}` | {kinds} | {said} | {hint} |" for code, kinds, said, hint in _rules_of_kinds())


def _rules_of_kinds() -> Iterator[tuple[str, str, str, str]]:
    """The findings that kinds' own checks can return, read off the sources of the checks and of what they import."""
    kinds: dict[str, list[str]] = {}
    for kind in KINDS.values():
        module = inspect.getmodule(kind.check)
        if module is None:
            continue
        used = {module, *(inspect.getmodule(value) for value in vars(module).values() if inspect.isfunction(value))}
        for one in sorted(filter(None, used), key=lambda found: found.__name__):
            kinds.setdefault(one.__name__, []).append(kind.name)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name, names in kinds.items():
        for row in _findings(ast.parse(inspect.getsource(sys.modules[name]))):
            rows.setdefault(row, []).extend(one for one in names if one not in rows.get(row, ()))
    for (code, said, hint), names in rows.items():
        yield code, ", ".join(names), said, hint


def _findings(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Code, message and hint of each finding; what a variable holds is what it was given last before."""
    given: dict[str, str] = {}
    for node in sorted(ast.walk(tree), key=lambda one: getattr(one, "lineno", 0)):
        if isinstance(node, ast.Assign):
            given |= _assigned(node.targets[0], node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RuleFinding":
            code, said, hint = (_said(node.args[place], given) for place in (0, 2, 3))
            yield code, said, hint


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, str]:
    if isinstance(target, ast.Name):
        return {target.id: _text(value)}
    if not isinstance(target, ast.Tuple):
        return {}
    values = value.elts if isinstance(value, ast.Tuple) else [ast.Name("_")] * len(target.elts)
    return {name: text for pair in zip(target.elts, values, strict=True) for name, text in _assigned(*pair).items()}


def _said(node: ast.expr, given: dict[str, str]) -> str:
    text = given.get(node.id, "...") if isinstance(node, ast.Name) else _text(node)
    return text.replace("|", "\\|").replace("\n", " ")


# -- outcomes ----------------------------------------------------------------------------------------------------------


def _outcomes() -> Iterator[str]:
    yield from ("# Outcomes", "", NOTE, "")
    yield "Each reconcile of a resource ends with an outcome. A resource that is not as declared yet has one of these"
    yield "reasons, or the reason of a driver's error ([events](events.md)). The last column is the time until the next"
    yield "reconcile, if nothing happens before."
    yield from ("", "| reason | meaning | next reconcile |", "|---|---|---|")
    meanings = _meanings(OutcomeReason)
    yield from (f"| `{one}` | {meanings[one.name]} | {_wait(REQUEUE[one])} |" for one in OutcomeReason)


# -- events ------------------------------------------------------------------------------------------------------------


def _events() -> Iterator[str]:
    rows = _event_rows()
    for part in re.split(r"\{\{([^}]*)\}\}", PAGE):
        names = part.split()
        if part == "note":
            yield NOTE
        elif part == "errors":
            yield from ("| reason | meaning | next read after |", "|---|---|---|")
            meanings = _meanings(ErrorReason)
            yield from (f"| `{one}` | {meanings[one.name]} | {_backoff(POLICIES[one].wait)} |" for one in ErrorReason)
        elif names and names[0] in rows:
            yield from ("| reason | type | meaning |", "|---|---|---|")
            yield from (f"| `{name}` | {' | '.join(rows.pop(name))} |" for name in names)
        else:
            yield part.removeprefix("\n").removesuffix("\n")
    if rows:
        raise LookupError(f"docs/events.py has no place for {', '.join(rows)}")


def _event_rows() -> dict[str, tuple[str, str]]:
    """The type and the meaning of each reason that is not an error's."""
    meanings = _meanings(LifecycleFailureReason)
    rows = {str(one): ("Warning", meanings[one.name]) for one in LifecycleFailureReason}
    for name, text in _meanings(EventReason).items():
        severity, _, meaning = text.partition(". ")
        rows[str(EventReason[name])] = (severity, meaning)
    return rows


def _backoff(wait: Backoff) -> str:
    first, longest = (_span(one) for one in (wait.first, wait.longest))
    return first if first == longest else f"{first}, doubling up to {longest}"


def _span(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:g} s" if minutes < 1 else f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:g} h"


# -- conditions --------------------------------------------------------------------------------------------------------


def _conditions() -> Iterator[str]:
    yield from ("# Conditions", "", NOTE, "")
    yield "Conditions show the state of a resource. `groundstate get -o yaml` and `groundstate describe` compute them"
    yield "from the latest observation, the facts and the plan; they are never stored."
    yield from ("", "| condition | meaning |", "|---|---|")
    meanings = _meanings(ConditionType)
    yield from (f"| `{one}` | {meanings[one.name]} |" for one in ConditionType if one.name in meanings)
    named = ", ".join(f"`{one}`" for one in LifecycleFailureReason)
    yield f"| {named} | Shown while it is True. The condition has the name of the failure's [event](events.md). |"
    yield from ("", "The reason says why a condition has its status:", "")
    yield from ("| reason | meaning |", "|---|---|")
    meanings = {**_meanings(ActionFailure), **_meanings(ConditionReason)}
    yield from (f"| `{one}` | {meanings[one.name]} |" for one in ConditionReason if one.name in meanings)
    named = ", ".join(f"`{one}`" for one in ErrorReason)
    yield f"| {named} | The resource could not be read, or its action failed. [Events](events.md) explains each. |"
    yield ""
    yield "`get` shows one word: `Suspended` or `Maintenance` when one of them is set. Otherwise it shows `Unknown`,"
    yield "`Ready`, `Held`, `Observed`, `Forgotten`, `Stalled` or `Reconciling`."


# -- meanings ----------------------------------------------------------------------------------------------------------


def _meanings(enum: type[StrEnum]) -> dict[str, str]:
    """What is written below each member."""
    lines = [line for node in ast.parse(inspect.getsource(enum)).body for line in getattr(node, "body", [])]
    return {
        node.targets[0].id: " ".join(str(after.value.value).split())
        for node, after in pairwise(lines)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def _wait(wait: float | Polling) -> str:
    if isinstance(wait, Polling):
        return f"after a quarter of the time waited, {wait.least:g} s to {wait.most:g} s"
    return f"after {wait:g} s" if wait else "at once"


def _text(node: ast.expr) -> str:
    """A literal's text, with an ellipsis where a value is put in."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in parts)


def write() -> None:
    """Make the pages be exactly these."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
