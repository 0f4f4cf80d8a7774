"""Diagnostics for people and for machines. Pure: everything is a function of what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import msgspec

from drivers.base import clean, printable
from reconciler.desired.rules.diagnostic_codes import DIAGNOSTICS
from reconciler.model.diagnostic import Diagnostic, Severity

REPORT_FORMAT_VERSION = "1.0"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_RED, _YELLOW, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Counts(msgspec.Struct, frozen=True):
    """How much was read."""

    files: int
    resources: int


def render_diagnostics(
    name: str, diagnostics: Sequence[Diagnostic], *, files: int = 0, resources: int = 0, color: bool = False
) -> str:
    """The diagnostics in one of FORMATS; `files` and `resources` are how many were read. Raises KeyError."""
    diagnostics = [_printable(one) for one in diagnostics]
    if name == "text":
        return diagnostics_text(diagnostics, Counts(files, resources), color=color)
    return REPORT_FORMATS[name](diagnostics, Counts(files, resources))


def diagnostics_text(diagnostics: Sequence[Diagnostic], counts: Counts, *, color: bool = False) -> str:
    """`file:line:column: code: what; why; what to do` and the line itself with a caret; a count at the end."""
    parts = [_paragraph(diagnostic, color) for diagnostic in diagnostics]
    return "".join(parts) + _total(diagnostics, counts, color) + "\n"


def json(diagnostics: Sequence[Diagnostic], counts: Counts) -> str:
    """One JSON object, with a `format_version` that changes its major part when a reader must change."""
    errors, warnings = _counts(diagnostics)
    whole = {
        "format_version": REPORT_FORMAT_VERSION,
        "valid": errors == 0,
        "files_checked": counts.files,
        "resources": counts.resources,
        "errors": errors,
        "warnings": warnings,
        "diagnostics": [msgspec.to_builtins(diagnostic) for diagnostic in diagnostics],
    }
    return _indented(whole)


def github(diagnostics: Sequence[Diagnostic], counts: Counts) -> str:
    """GitHub's workflow commands, which it shows beside the lines of a pull request; the count as plain text."""
    lines = []
    for diagnostic in diagnostics:
        properties = {"title": diagnostic.code}
        if source := diagnostic.source:
            properties = {"file": source.file, "line": str(source.line), "col": str(source.column), **properties}
        said = ",".join(f"{name}={_escaped(value, in_property=True)}" for name, value in properties.items())
        lines.append(f"::{diagnostic.severity} {said}::{_escaped(_sentence(diagnostic))}\n")
    return "".join(lines) + _total(diagnostics, counts) + "\n"


def sarif(diagnostics: Sequence[Diagnostic], counts: Counts) -> str:
    """SARIF 2.1.0, as code scanning takes it."""
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    rules = [{"id": code, "shortDescription": {"text": DIAGNOSTICS.get(code, code)}} for code in codes]
    run = {
        "tool": {"driver": {"name": "groundstate", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "properties": {"filesChecked": counts.files, "resources": counts.resources},
        "results": [_sarif_result(diagnostic) for diagnostic in diagnostics],
    }
    return _indented({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def junit(diagnostics: Sequence[Diagnostic], counts: Counts) -> str:
    """JUnit XML: one test case a file with errors, and one for all the others. Warnings are printed, and pass."""
    by_file: dict[str, list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        by_file.setdefault(diagnostic.source.file if diagnostic.source else "desired state", []).append(diagnostic)
    suite = ElementTree.Element("testsuite", name="groundstate validate")
    for file, found in by_file.items():
        case = ElementTree.SubElement(suite, "testcase", classname="validate", name=_xml(file))
        errors, warnings = _severities(found)
        if errors:
            failure = ElementTree.SubElement(case, "failure", message=_xml(errors[0].summary), type=errors[0].code)
            failure.text = _xml("".join(_paragraph(diagnostic, color=False) for diagnostic in errors))
        if warnings:
            said = "".join(_paragraph(diagnostic, color=False) for diagnostic in warnings)
            ElementTree.SubElement(case, "system-out").text = _xml(said)
    name = f"{max(0, counts.files - len(by_file))} other files, {counts.resources} resources"
    ElementTree.SubElement(suite, "testcase", classname="validate", name=name)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


REPORT_FORMATS: dict[str, Callable[[Sequence[Diagnostic], Counts], str]] = {
    "text": diagnostics_text,
    "json": json,
    "github": github,
    "sarif": sarif,
    "junit": junit,
}
"""By the name that `validate -o` takes."""


def _paragraph(diagnostic: Diagnostic, color: bool) -> str:
    tint = _RED if diagnostic.severity is Severity.ERROR else _YELLOW
    severity = "" if diagnostic.severity is Severity.ERROR else f"{diagnostic.severity}: "
    code, place = diagnostic.code, f"{diagnostic.source}: " if diagnostic.source else ""
    if color:
        code, place = f"{tint}{code}{_PLAIN}", f"{_BOLD}{place}{_PLAIN}"
    head = f"{place}{severity}{code}: {_sentence(diagnostic)}\n"
    if not diagnostic.snippet or not diagnostic.source:
        return head
    number, column = str(diagnostic.source.line), diagnostic.source.column
    caret = f"{tint}^{_PLAIN}" if color else "^"
    pointer = f"  {' ' * len(number)} | {' ' * (column - 1)}{caret}\n" if column <= len(diagnostic.snippet) + 1 else ""
    return f"{head}  {number} | {diagnostic.snippet}\n{pointer}"


def _printable(diagnostic: Diagnostic) -> Diagnostic:
    """Fit for a terminal and for any encoding: what stands in a document may be quoted in it."""
    said = {name: printable(getattr(diagnostic, name)) for name in ("summary", "detail", "hint", "snippet")}
    return msgspec.structs.replace(diagnostic, **said)


def _sentence(diagnostic: Diagnostic) -> str:
    parts = (diagnostic.summary, diagnostic.detail.rstrip("."), diagnostic.hint)
    return clean("; ".join(part for part in parts if part))


def _total(diagnostics: Sequence[Diagnostic], counts: Counts, color: bool = False) -> str:
    errors, warnings = _counts(diagnostics)
    denominator = f"{_count(counts.files, 'file')}, {_count(counts.resources, 'resource')}"
    if not errors:
        suffix = f" ({_count(warnings, 'warning')})" if warnings else ""
        return f"Valid: {denominator}{suffix}."
    counted = _count(errors, "error") + (f" and {_count(warnings, 'warning')}" if warnings else "")
    return f"{_RED if color else ''}{counted}{_PLAIN if color else ''} in {denominator}."


def _sarif_result(diagnostic: Diagnostic) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "level": str(diagnostic.severity),
        "message": {"text": _sentence(diagnostic)},
    }
    if source := diagnostic.source:
        region = {"startLine": source.line, "startColumn": source.column}
        place = {"artifactLocation": {"uri": quote(source.file)}, "region": region}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _severities(diagnostics: Sequence[Diagnostic]) -> tuple[list[Diagnostic], list[Diagnostic]]:
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity is Severity.ERROR]
    return errors, [diagnostic for diagnostic in diagnostics if diagnostic.severity is not Severity.ERROR]


def _counts(diagnostics: Sequence[Diagnostic]) -> tuple[int, int]:
    errors, warnings = _severities(diagnostics)
    return len(errors), len(warnings)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _indented(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _escaped(value: str, *, in_property: bool = False) -> str:
    escaped = value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C") if in_property else escaped


def _xml(value: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)
