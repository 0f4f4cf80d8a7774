"""The strict YAML reader: YAML 1.2 core values, and nothing that a document can use to mean more than it shows.

It is built from the events of libyaml's parser, which keeps its own stack. No composer, resolver or constructor of
PyYAML ever runs, so there is no recursion. (CSafeLoader dies of SIGSEGV on 100 KB of `[`). There is no YAML 1.1 typing
(`On` and `no` are text, a MAC is never a base-60 number). There is no tag, no merge and no alias (a "billion laughs" is
refused where the first anchor stands). Only plain scalars are typed: true, false, null, integers as JSON writes them
and floats with a dot. Everything else, and every key, is text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import msgspec
from yaml import YAMLError
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

MAX_YAML_DEPTH = 32
_TOO_DEEP = f"the document is more than {MAX_YAML_DEPTH} levels deep"
MAX_YAML_NODES = 20_000
MAX_DIGITS = 19
"""What a signed 64-bit integer needs; Python itself refuses to read more than 4,300."""
MAX_FLOAT = 64
MAX_FAULTS = 50
"""A document: more than this many say no more."""

MAX_RESTARTS = 100
"""A file: each one reads the rest again, so that without a limit a hostile file costs the square of its size."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*)(?:[eE][-+]?[0-9]+)?")
_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
_FIRST_KEY = "apiVersion"
"""With it each document begins."""
_MERGE = "keep the right lines of both sides, and remove the lines with the markers"
_SYNTAX_HINTS = {
    "mapping values are not allowed": "check the indentation; put a value that holds ': ' in quotes",
    "cannot start any token": "indent with spaces, not tabs; put a value that starts with @, ` or % in quotes",
    "tab character": "indent with spaces, not tabs",
    "unexpected document indicator": "close the quote or bracket before the ---",
    "expected node content": "close the bracket, or write the value",
    "did not find expected": "check indentation, brackets and quotes here and on the line above",
    "could not find expected ':'": "write `key: value`, with a space after the colon",
    "unexpected end of stream": "close the quote",
    "incompatible YAML document": "remove the %YAML line",
}
"""What to do, by words of libyaml's messages."""
_NOTHING: Any = object()
_STR_TAG = "tag:yaml.org,2002:str"
_PLAIN = "groundstate accepts neither anchors nor aliases, so that each part can be read alone"


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Where a key and its value start, from 1, and the value as written (empty for a mapping or list)."""

    key: tuple[int, int]
    value: tuple[int, int]
    text: str = ""


class YamlFault(msgspec.Struct, frozen=True, gc=False):
    """Something that the reader refuses: a code of `desired.codes`, its place from 1, and what is at fault."""

    code: str
    line: int
    column: int
    what: str
    why: str = ""
    hint: str = ""


_Marks = dict[tuple[int, Any], Mark]
"""By the id of the container and the key or index in it. Holds only while the document's value is alive."""


class YamlDocument(msgspec.Struct):
    """One document: its value, where it starts, and what is wrong with it. With faults the value is not to be used."""

    value: Any
    line: int
    column: int
    faults: list[YamlFault]
    marks: _Marks


class _Abandoned(Exception):
    """Nothing more is to be had from this document."""


def decode(data: bytes) -> str | YamlFault:
    """The file's text; a UTF-8 byte order mark is taken off, as editors on Windows write one. UTF-16 is refused."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return YamlFault("not-utf-8", 1, 1, "the file is UTF-16", hint="save the file as UTF-8")
        what = f"the file is not UTF-8: byte 0x{data[error.start]:02x}"
        return YamlFault("not-utf-8", line, column, what, hint="save the file as UTF-8")
    if "\0" in text:
        at = text.index("\0")
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        return YamlFault(
            "control-character", line, column, "the file contains a NUL character", hint="save the file as UTF-8 text"
        )
    return text.removeprefix("\ufeff")


def read_documents(text: str, *, positions: bool = False, max_nodes: int = MAX_YAML_NODES) -> Iterator[YamlDocument]:
    """Every document of the text in order; empty ones are left out. Never raises for bad input.

    After an error that the parser cannot get over, reading continues at the next line that is a `---`. YAML allows that
    nowhere but between documents. `positions` fills `marks`, at about half as much time again."""
    offset = line = 0
    for _ in range(MAX_RESTARTS):
        part = text[offset:] if offset else text
        reader = _Reader(part, line, positions, max_nodes)
        parser = CParser(part)
        try:
            yield from reader.documents(parser)
        finally:
            parser.dispose()
        found = _next_marker(text, offset, reader.stopped - 1 - line) if reader.stopped else None
        if found is None:
            return
        line += text.count("\n", offset, found)
        offset = found


def _next_marker(text: str, offset: int, lines: int) -> int | None:
    """Where the next document begins: at or after the line on which the parser stopped, but never where it started."""
    at = offset
    for _ in range(lines):
        at = text.find("\n", at) + 1 or len(text)
    found = _MARKER.search(text, at if at > offset else offset + 1)
    return found.start() if found else None


class _Reader:
    """Builds the documents of one parser, which starts `line` lines into the file."""

    def __init__(self, text: str, line: int, positions: bool, max_nodes: int) -> None:
        self.text = text
        self.max_nodes = max_nodes
        self.line = line
        self.positions = positions
        self.stopped = 0
        """The line, from 1, on which reading had to stop; 0 when it did not."""
        self.faults: list[YamlFault] = []

    def documents(self, parser: Any) -> Iterator[YamlDocument]:
        """The parser's documents, up to where it stops."""
        start = (self.line + 1, 1)
        try:
            while type(event := parser.get_event()) is not StreamEndEvent:
                if type(event) is not DocumentStartEvent:
                    continue
                start = self._at(event.start_mark)
                self.faults = []
                self._directives(event)
                document = self._build(parser.get_event)
                if document.value is not _NOTHING or self.faults:
                    yield document
        except _Abandoned:
            yield YamlDocument(None, *start, self.faults, {})
        except YAMLError as error:
            self._syntax(error, start)
            yield YamlDocument(None, *start, self.faults, {})

    def _build(self, get_event: Callable[[], Any]) -> YamlDocument:
        """The document that has just begun. One loop, as it sees every value of the fleet."""
        root, place = _NOTHING, (1, 1)
        stack: list[Any] = []
        parent: Any = None
        key: Any = _NOTHING
        in_map, nodes = False, 0
        key_mark: Any = None
        marks: _Marks = {}
        while True:
            event = get_event()
            kind = type(event)
            if kind is MappingEndEvent or kind is SequenceEndEvent:
                parent = stack.pop()
                in_map = type(parent) is dict
                continue
            if kind is DocumentEndEvent:
                return YamlDocument(root, *place, self.faults, marks)
            if event.anchor is not None or (kind is not AliasEvent and event.tag is not None):
                self._decorated(event)
            if in_map and key is _NOTHING:
                key, key_mark = self._key(event, parent, marks), event.start_mark
                continue
            nodes += 1
            if kind is ScalarEvent:
                value = event.value
                if event.implicit[0] and event.tag is None:
                    if value in _WORDS:
                        value = _WORDS[value]
                    elif value[0] in _NUMBER_STARTS:
                        value = self._number(event)
            else:
                value = {} if kind is MappingStartEvent else [] if kind is SequenceStartEvent else None
            if self.positions:
                slot = key if in_map else len(parent) if parent is not None else None
                marks[id(parent), slot] = self._mark(key_mark if in_map else event.start_mark, event)
            if in_map:
                parent[key] = value
                key = _NOTHING
            elif parent is not None:
                parent.append(value)
            elif event.end_mark.index > event.start_mark.index or kind is not ScalarEvent:
                root, place = value, self._at(event.start_mark)
            if kind is MappingStartEvent or kind is SequenceStartEvent:
                stack.append(parent)
                parent, in_map = value, kind is MappingStartEvent
                if len(stack) > MAX_YAML_DEPTH:
                    self._abandon(event, "yaml-too-deep", _TOO_DEEP, hint="write the document with fewer levels")
            if nodes > self.max_nodes:
                self._abandon(
                    event,
                    "yaml-too-large",
                    f"the document has more than {self.max_nodes:,} values",
                    hint="split the document",
                )

    def _key(self, event: Any, parent: dict[str, Any], marks: _Marks) -> str:
        if type(event) is not ScalarEvent:
            self._abandon(event, "yaml-key", "the key is a mapping or a list", hint="write a key that is plain text")
        key = str(event.value)
        if key == "<<":
            self._fault(
                event,
                "yaml-merge",
                "the document has a merge key (<<)",
                "merge keys hide where a value comes from",
                "repeat the keys here",
            )
        elif key in parent:
            first = marks.get((id(parent), key))
            where = f"the same key is on line {first.key[0]}" if first else "the mapping has the same key before"
            if first and key == _FIRST_KEY and first.key[1] == self._at(event.start_mark)[1] == 1:
                what = "a second document begins here"
                self._abandon(
                    event, "duplicate-key", what, where, "write `---` on a line of its own before the second document"
                )
            self._fault(
                event, "duplicate-key", f"the key {shown_value(key)} appears twice", where, "remove one of the two"
            )
        return key

    def _number(self, event: Any) -> Any:
        text: str = event.value
        if _INT.fullmatch(text):
            if len(text.lstrip("+-")) <= MAX_DIGITS:
                return int(text)
        elif not _FLOAT.fullmatch(text):
            return text
        elif len(text) <= MAX_FLOAT and math.isfinite(number := float(text)):
            return number
        why = f"a number has at most {MAX_DIGITS} digits"
        self._fault(
            event,
            "number-too-long",
            f"the number has {len(text)} characters",
            why,
            "put the value in quotes if it is text",
        )
        return None

    def _decorated(self, event: Any) -> None:
        if type(event) is AliasEvent:
            self._fault(
                event,
                "yaml-alias",
                f"the document has an alias (*{shown_value(event.anchor)})",
                _PLAIN,
                "repeat the value here",
            )
        elif event.anchor is not None:
            self._fault(
                event,
                "yaml-anchor",
                f"the document has an anchor (&{shown_value(event.anchor)})",
                _PLAIN,
                "remove the anchor",
            )
        elif event.tag != "!" and not (type(event) is ScalarEvent and event.tag == _STR_TAG):
            self._fault(
                event,
                "yaml-tag",
                f"the document has a tag ({shown_value(event.tag)})",
                "groundstate does not accept YAML tags",
                "remove the tag",
            )

    def _directives(self, event: Any) -> None:
        if event.version not in (None, (1, 2)):
            version = ".".join(map(str, event.version))
            self._fault(
                event,
                "yaml-directive",
                f"the file has the line %YAML {version}",
                "documents are read as YAML 1.2",
                "remove the line",
            )
        if event.tags:
            self._fault(
                event,
                "yaml-directive",
                "the file has a %TAG directive",
                ("groundstate does not accept YAML tags"),
                "remove the line",
            )

    def _syntax(self, error: YAMLError, start: tuple[int, int]) -> None:
        if isinstance(error, ReaderError):
            self._control_character(error)
            return
        mark, begun = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        line, column = self._at(mark or begun) if mark or begun else start
        self.stopped = max(line, self.line + 1)
        problem = str(getattr(error, "problem", None) or "the YAML cannot be read")
        if "maximum nesting depth" in problem:  # libyaml's own limit, reached before a value that could be counted.
            self.faults.append(
                YamlFault("yaml-too-deep", line, column, _TOO_DEEP, hint=("write the document with fewer levels"))
            )
            return
        if conflict := _CONFLICT.search(self.text):
            at = self.line + 1 + self.text.count("\n", 0, conflict.start())
            why = "git left both sides of a merge in the file"
            self.faults.append(YamlFault("yaml-syntax", at, 1, "the file has a conflict marker", why, _MERGE))
            return
        context = getattr(error, "context", None) or ""
        why = f"{context} that begins on line {self._at(begun)[0]}" if context and begun else context
        hint = next((hint for words, hint in _SYNTAX_HINTS.items() if words in problem), "correct the YAML")
        self.faults.append(YamlFault("yaml-syntax", line, column, problem, why, hint))

    def _control_character(self, error: ReaderError) -> None:
        before = self.text.encode()[: error.position].decode(errors="replace")
        self.stopped = line = self.line + 1 + before.count("\n")
        column = len(before) - before.rfind("\n")
        what = f"the file has the character U+{int(error.character):04X}, which YAML does not allow"
        self.faults.append(
            YamlFault("control-character", line, column, what, hint="remove the character, or escape it in quotes")
        )

    def _abandon(self, event: Any, code: str, what: str, why: str = "", hint: str = "") -> NoReturn:
        self._fault(event, code, what, why, hint)
        self.stopped = self._at(event.start_mark)[0]
        raise _Abandoned

    def _fault(self, event: Any, code: str, what: str, why: str = "", hint: str = "") -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(YamlFault(code, *self._at(event.start_mark), what, why, hint))

    def _mark(self, key_mark: Any, event: Any) -> Mark:
        text = event.value if type(event) is ScalarEvent else ""
        return Mark(self._at(key_mark), self._at(event.start_mark), text)

    def _at(self, mark: Any) -> tuple[int, int]:
        return mark.line + self.line + 1, mark.column + 1


def shown_value(text: object, limit: int = 60) -> str:
    """A value of a document as messages show it: one line, not too long, nothing that moves a terminal's cursor."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[: limit + 1])
    return repr(plain if len(plain) <= limit else plain[:limit] + "...")
