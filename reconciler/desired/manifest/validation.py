"""One document against its kind's schema: a fast yes, and a slow and careful no.

jsonschema-rs says yes (35 times faster, immune to pattern backtracking); only what it refuses is given to jsonschema,
which says what is wrong. Neither ever fetches a `$ref`: both get a retriever that refuses. The schemas are read from
the package's files, which costs 1 ms a kind. Making them from the types would cost 1.5 ms and hide a stale file."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, NoReturn

import jsonschema_rs
import msgspec

from reconciler.desired.manifest.formats import FORMATS
from reconciler.desired.manifest.yaml_reader import shown_value

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_LIMITS = {
    "minimum": "the value is less than {}",
    "maximum": "the value is more than {}",
    "exclusiveMinimum": "the value must be more than {}",
    "exclusiveMaximum": "the value must be less than {}",
    "minLength": "the text has fewer than {} characters",
    "maxLength": "the text has more than {} characters",
    "minItems": "the list has fewer than {} items",
    "maxItems": "the list has more than {} items",
}

_FEW = 2
"""Fields that an example shows of a mapping that requires none."""
_FURTHER_SENTENCES = re.compile(r"\. (?=[A-Z`]).*", re.DOTALL)
_SECRET = re.compile(r"(?i)passw|passphrase|secret|token|api-?key|credential")

DocumentPath = tuple[str | int, ...]
QUOTE_ME = "the value"
"""A placeholder in a hint. The caller, which has the document's text, replaces it by that text: the parsed value of
1.10 is 1.1."""


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with the value at `path`; `at_key` when it is the key, the last of the path, that is at fault."""

    code: str
    path: DocumentPath
    summary: str
    detail: str = ""
    hint: str = ""
    at_key: bool = False


@cache
def schema_text(kind: str) -> str:
    """The kind's schema file."""
    return (importlib.resources.files("schemas") / "v1" / f"{kind.lower()}.json").read_text("utf-8")


def _refuse(uri: str) -> NoReturn:
    raise LookupError(
        f"internal error: a schema refers to {uri}, but schemas must not refer to other files; report this bug"
    )


@cache
def accepts(kind: str) -> Callable[[Any], bool]:
    """The quick answer: whether a document fits the kind's schema, formats included."""
    formats = {name: _asserting(fault) for name, fault in FORMATS.items()}
    validator = jsonschema_rs.Draft7Validator(
        schema_text(kind), formats=formats, validate_formats=True, retriever=_refuse
    )
    return validator.is_valid


def _asserting(fault: Callable[[str], str]) -> Callable[[str], bool]:
    return lambda text: not fault(text)


@cache
def _validator(schema: str | bytes) -> Any:
    """jsonschema's validator, with the meanings that jsonschema-rs and the types have. `$` is the end of the text and
    not the place before a last line break, and 1.0 is no integer."""
    import jsonschema
    import referencing

    def pattern(_validator: Any, wanted: str, value: Any, _schema: Any) -> Iterator[Any]:
        if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", wanted), value):
            yield jsonschema.ValidationError(f"{value!r} does not match {wanted!r}")

    checker = jsonschema.FormatChecker(formats=())
    for name, fault in FORMATS.items():
        checker.checks(name)(_asserting_text(fault))
    types = jsonschema.Draft7Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = jsonschema.validators.extend
    made = extend(jsonschema.Draft7Validator, {"pattern": pattern}, type_checker=types)
    registry: Any = referencing.Registry(retrieve=_refuse)  # type: ignore[call-arg]
    return made(msgspec.json.decode(schema), format_checker=checker, registry=registry)


def _asserting_text(fault: Callable[[str], str]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or not fault(value)


def problems(kind: str, document: Any) -> list[Problem]:
    """Everything that the kind's schema has against the document, in the document's order."""
    return problems_by_schema(schema_text(kind), document)


def problems_by_schema(schema: str | bytes, document: Any) -> list[Problem]:
    """Everything that a schema has against a document, in the document's order. `schema`: its JSON text."""
    found: dict[Problem, None] = {}
    for error in _validator(schema).iter_errors(document):
        found.update(dict.fromkeys(_explain(error)))
    return list(found)


def _explain(error: Any) -> Iterator[Problem]:
    path: DocumentPath = tuple(error.absolute_path)
    value, wanted, schema = error.instance, error.validator_value, error.schema
    match error.validator:
        case "additionalProperties":
            yield from _unknown_fields(path, value, schema)
        case "required":
            for name in (one for one in wanted if one not in value):
                summary = f"{name} is missing" + (f" in {_dotted(path)}" if path else "")
                words = _expected(schema.get("properties", {}).get(name, {}))
                yield Problem("missing-field", path, summary, words, f"add `{name}:`")
        case _ if value is None:
            yield Problem(
                "empty-value", path, f"{_dotted(path)} has no value", hint="write a value, or remove the line"
            )
        case "type":
            yield _wrong_type(path, value, wanted, schema)
        case "enum" | "const":
            yield _not_allowed(path, value, wanted if error.validator == "enum" else [wanted])
        case "pattern" | "format":
            why = FORMATS[wanted](value) if wanted in FORMATS else _expected(schema)
            yield Problem(
                "malformed-value",
                path,
                f"{_dotted(path)}: {_said(path, value)} does not have the right form",
                why,
                _example(schema),
            )
        case "anyOf":
            choices = ", or ".join(dict.fromkeys(words for choice in wanted if (words := _first_sentence(choice))))
            summary = f"{_dotted(path)}: {_said(path, value)} does not have the right form"
            hint = _meant(path, value, wanted) or _example(schema)
            yield Problem(
                "malformed-value", path, summary, f"expected: {choices}" if choices else _expected(schema), hint
            )
        case keyword if keyword in _LIMITS:
            summary = f"{_dotted(path)} is out of range: {_beyond(keyword, wanted)}"
            yield Problem("out-of-range", path, summary, _expected(schema))
        case _:
            yield Problem(
                "schema", path, f"{_dotted(path) or 'the document'} does not fit the schema's `{error.validator}`"
            )


def _beyond(keyword: str, limit: Any) -> str:
    is_empty = limit == 1 and keyword in ("minLength", "minItems")
    return (
        f"the {'text' if keyword == 'minLength' else 'list'} is empty" if is_empty else _LIMITS[keyword].format(limit)
    )


_LOGIN = re.compile(r"user(name)?|pass(word|wd)?|secret|token|login", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,18}")
_SPAN = re.compile(r"([0-9]{1,6}) ?([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _unknown_fields(path: DocumentPath, value: dict[str, Any], schema: dict[str, Any]) -> Iterator[Problem]:
    known = list(schema.get("properties", {}))
    for name in value:
        if name not in known:
            near = nearest(name, known)
            if _LOGIN.fullmatch(name) and "credentialRef" in known:
                hint = "write `credentialRef: {name: NAME}` here, and define credentials.NAME in the settings file"
                said = f"{shown_value(name)} must not be in a document: git must hold no login"
                yield Problem("unknown-field", (*path, name), said, "", hint, at_key=True)
                continue
            hint = f"did you mean {near}?" if near else f"the fields here are {', '.join(known)}"
            where = f" in {_dotted(path)}" if path else ""
            yield Problem(
                "unknown-field", (*path, name), f"unknown field {shown_value(name)}{where}", "", hint, at_key=True
            )


def _expected(schema: dict[str, Any]) -> str:
    words = _first_sentence(schema)
    return f"expected: {words}" if words else ""


def _first_sentence(schema: dict[str, Any]) -> str:
    """What the field is, to be read after other words; empty where the schema does not describe it."""
    words = _FURTHER_SENTENCES.sub("", _words(schema)).rstrip(".")
    is_word = words[1:2].islower() or words[:2] == "A "
    return f"{words[:1].lower() if is_word else words[:1]}{words[1:]}"


def _wrong_type(path: DocumentPath, value: Any, wanted: str, schema: dict[str, Any]) -> Problem:
    summary = f"{_dotted(path) or 'the document'} must be {_TYPES[wanted]}, and is {_type_of(value)}"
    if wanted == "string" and isinstance(value, (bool, int, float)):
        return Problem(
            "wrong-type",
            path,
            summary,
            "without quotes, YAML reads the value as that type",
            f"write {QUOTE_ME} in quotes",
        )
    if isinstance(value, str) and wanted in ("integer", "number", "boolean"):
        span = _SPAN.fullmatch(value)
        if span and path and str(path[-1]).endswith("Seconds"):
            hint = f"write {int(span[1]) * _SECONDS[span[2]]}, the number of seconds"
        elif wanted != "boolean" and _DIGITS.fullmatch(value) and not secret(path):
            hint = f"write {value} without quotes"
        else:
            how = "true or false" if wanted == "boolean" else "plain digits"
            hint = f"write the value without quotes, as {how}"
        return Problem("wrong-type", path, summary, hint=hint)
    hint = "write the value as a list, with '- ' before each item" if wanted == "array" else ""
    if wanted == "object" and (fields := schema.get("required") or list(schema.get("properties", {}))[:_FEW]):
        hint = f"write a mapping, such as `{{{', '.join(f'{name}: ...' for name in fields)}}}`"
    return Problem("wrong-type", path, summary, hint=hint)


def _meant(path: DocumentPath, value: Any, choices: list[dict[str, Any]]) -> str:
    """How a value that fits none of the choices is written right, where that is plain: `"1"`, `10 %`, `1.0`."""
    types = {choice.get("type") for choice in choices}
    text = _spelled(value).strip()
    if secret(path) or not isinstance(value, (str, float)):
        return ""
    if types & {"integer", "number"} and _DIGITS.fullmatch(text):
        return f"write {text} without quotes"
    if isinstance(value, float):
        return f"write {int(value)}, without a point" if value.is_integer() and "integer" in types else ""
    joined = re.sub(r"\s+", "", text)
    patterns = [choice["pattern"] for choice in choices if "pattern" in choice]
    fits = joined != value and any(re.search(one, joined) for one in patterns)
    return f"write {joined}" if fits else ""


def _not_allowed(path: DocumentPath, value: Any, allowed: list[Any]) -> Problem:
    words = [str(word) for word in allowed]
    near = nearest(_spelled(value), words)
    hint = f"did you mean {near}?" if near else f"use {' or '.join(words) if len(words) < 3 else ', '.join(words)}"
    detail = f"one of {', '.join(words)}" if near and len(words) > 1 else ""
    return Problem("not-allowed", path, f"{_dotted(path)} cannot be {_said(path, value)}", detail, hint)


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was most likely meant: the same in another case, else the closest one, if any is close."""
    for candidate in known:
        if candidate.lower() == word.lower():
            return candidate
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def _said(path: DocumentPath, value: Any) -> str:
    """The value as a message shows it; never where a credential may have been written by mistake."""
    return "its value" if secret(path) else shown_value(_spelled(value))


def secret(path: DocumentPath) -> bool:
    """Whether what stands at the path may be a credential, or lead to one."""
    return any(_SECRET.search(part) for part in path if isinstance(part, str))


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {int: "a number", float: "a number with a point", str: "text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "empty")


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(schema: dict[str, Any]) -> str:
    return str(schema.get("description", ""))


def _example(schema: dict[str, Any]) -> str:
    examples = schema.get("examples") or [
        choice for part in schema.get("anyOf", ()) for choice in part.get("examples", ())
    ]
    return f"write a value such as {' or '.join(str(example) for example in examples[:2])}" if examples else ""


def _dotted(path: DocumentPath) -> str:
    return ".".join(str(part) for part in path)
