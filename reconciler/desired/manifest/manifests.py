"""Files to resources. `parse` is for the many files that are right, `Marked` for the few that are not.

The two read alike. The quick way keeps only where each document starts. A file with anything wrong in it is read again
with the place of every key and value."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from reconciler.desired.manifest.validation import QUOTE_ME, DocumentPath, Problem, accepts, nearest, problems, secret
from reconciler.desired.manifest.yaml_reader import YamlDocument, YamlFault, decode, read_documents, shown_value
from reconciler.desired.rules import document as rules
from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.fields import Metadata
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.resource import API_VERSION, Resource, ResourceKey, Source

_SECRET_LINE = re.compile(
    r"(?i)([\w.-]*(?:passw|passphrase|secret|token|api-?key|credential)[\w.-]*[\"']?\s*:\s*)\S.*$"
)
_USERINFO = re.compile(r"//[^/\s@]*@")
_WIDEST = 240


class Parsed(msgspec.Struct, frozen=True):
    """A file's good documents, and whether it has others."""

    resources: tuple[Resource[Any], ...]
    broken: bool


def parse_manifest(file: str, data: bytes) -> Parsed:
    """The file's resources, the quick way. `broken`: `Marked` has something to say about the rest."""
    text = decode(data)
    if isinstance(text, YamlFault):
        return Parsed((), broken=True)
    found, broken = [], False
    for document in read_documents(text):
        resource = None if document.faults else _resource(document, file)
        if resource is None or rules.check_document(resource):
            broken = True
        else:
            found.append(resource)
    return Parsed(tuple(found), broken)


def _resource(document: YamlDocument, file: str) -> Resource[Any] | None:
    value = document.value
    kind = value.get("kind") if type(value) is dict else None
    if type(kind) is not str or kind not in KINDS or not accepts(kind)(value):
        return None
    try:
        metadata = msgspec.convert(value["metadata"], Metadata)
        spec = msgspec.convert(value["spec"], KINDS[kind].spec_type)
    except msgspec.ValidationError:
        return None
    source = Source(file, document.line, document.column)
    return Resource(ResourceKey(kind, metadata.name), spec, metadata.labels, metadata.annotations, source)


class Marked:
    """A file with the place of everything in it. `check`: what is wrong with a value, in a file of no documents."""

    def __init__(self, file: str, data: bytes, check: Callable[[Any], list[Problem]] | None = None) -> None:
        self._check = check
        text = decode(data)
        self.file = file
        self.unreadable = text if isinstance(text, YamlFault) else None
        self.lines = [] if isinstance(text, YamlFault) else text.splitlines()
        self.documents = [] if isinstance(text, YamlFault) else list(read_documents(text, positions=True))

    @property
    def readable(self) -> bool:
        """Whether every document's text could be read, right or wrong."""
        return not self.unreadable and not any(document.faults for document in self.documents)

    def diagnose(self) -> list[Diagnostic]:
        """Everything that is wrong with the file and with each of its documents alone, from top to bottom."""
        if self.unreadable:
            return [self._of_fault(self.unreadable)]
        found: list[Diagnostic] = []
        for document in self.documents:
            if document.faults:
                found.extend(self._of_fault(fault) for fault in document.faults)
            else:
                found.extend(self._of_problem(document, problem) for problem in self._problems(document))
        return sorted(found, key=lambda d: (d.source.line, d.source.column) if d.source else (0, 0))

    def claimed(self) -> set[ResourceKey]:
        """The keys that documents here want to have, right or wrong: what refers to them is not dangling."""
        return {key for document in self.documents if (key := claimed(document.value))}

    def at(self, line: int, path: DocumentPath, finding: Diagnostic) -> Diagnostic:
        """The finding, placed at a path of the document that starts on `line`."""
        for document in self.documents:
            if document.line == line:
                place, _ = self._locate(document, path, at_key=False)
                return self._placed(finding, place, path)
        return finding

    def _problems(self, document: YamlDocument) -> list[Problem]:
        value = document.value
        if self._check is not None:
            return self._check(value)
        envelope = _envelope(value)
        if envelope:
            return envelope
        found = problems(value["kind"], value)
        if not found:
            found = _beyond_schema(document, self.file)
        return found

    def _of_fault(self, fault: YamlFault) -> Diagnostic:
        finding = Diagnostic(fault.code, Severity.ERROR, fault.what, detail=fault.why, hint=fault.hint)
        return self._placed(finding, (fault.line, fault.column), ())

    def _of_problem(self, document: YamlDocument, problem: Problem) -> Diagnostic:
        place, text = self._locate(document, problem.path, problem.at_key)
        hint = problem.hint
        if QUOTE_ME in hint and text and not secret(problem.path):
            hint = hint.replace(QUOTE_ME, f"'{text}'")
        finding = Diagnostic(problem.code, Severity.ERROR, problem.summary, detail=problem.detail, hint=hint)
        return self._placed(finding, place, problem.path)

    def _locate(self, document: YamlDocument, path: DocumentPath, at_key: bool) -> tuple[tuple[int, int], str]:
        place, text, container = (document.line, document.column), "", document.value
        for part in path:
            slot = int(part) if isinstance(container, list) and str(part).isdecimal() else part
            mark = document.marks.get((id(container), slot))
            if mark is None:
                break
            text = mark.text
            place = mark.value if text and not at_key else mark.key
            container = container[slot]
        return place, text

    def _placed(self, finding: Diagnostic, place: tuple[int, int], path: DocumentPath) -> Diagnostic:
        line = self.lines[place[0] - 1] if place[0] <= len(self.lines) else ""
        snippet = masked_line(line)
        if secret(path) and snippet == line[:_WIDEST] and line[place[1] - 1 :].strip():
            snippet = masked_line(line[: place[1] - 1]) + "***"
        source = Source(self.file, *place)
        return msgspec.structs.replace(finding, source=source, snippet=snippet)


def masked_line(line: str) -> str:
    """A line of a file, fit to be shown: what may be a credential is masked, and nothing in it moves a cursor."""
    visible = "".join(
        c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line[:_WIDEST]
    )
    return _USERINFO.sub("//***@", _SECRET_LINE.sub(r"\1***", visible))


def dump_yaml(value: Any) -> str:
    """JSON-like data as YAML that reads the same by 1.1 and by 1.2 rules, and that `parse` accepts: no aliases."""
    import yaml

    class Dumper(yaml.CSafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def dumped(*, is_open: bool) -> str:
        return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=is_open, width=120))

    text = dumped(is_open=True)
    # YAML lets through what turns the reading direction; written out as an escape it is the same value.
    return text if all(map(str.isprintable, text.split("\n"))) else dumped(is_open=False)


def load_plain(text: str) -> Any:
    """The one document of a file that is no manifest, such as a copy of the IPAM; as strict, and of any size.

    Raises ValueError with line and column.
    """
    documents = list(read_documents(text, max_nodes=sys.maxsize))
    if faults := [fault for document in documents for fault in document.faults]:
        raise ValueError(f"line {faults[0].line}, column {faults[0].column}: {faults[0].what}")
    if len(documents) != 1:
        raise ValueError(f"the file has {len(documents)} documents, but must have one")
    return documents[0].value


def claimed(value: Any) -> ResourceKey | None:
    """The key that a document's value wants to have, right or wrong; None when it names none."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    kind = value.get("kind") if isinstance(value, dict) else None
    return ResourceKey(kind, name) if isinstance(kind, str) and isinstance(name, str) else None


_FOR_OTHERS = (
    f"begin the document with `apiVersion: {API_VERSION}` and `kind:`. If the file belongs to another program, "
    "name the folder of the fleet with --path. groundstate does not read files whose name begins with a dot"
)


def _nearly(word: object, known: list[str]) -> bool:
    return isinstance(word, str) and nearest(word, known) is not None


def _envelope(value: Any) -> list[Problem]:
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else "a single value"
        return [
            Problem(
                "not-a-mapping",
                (),
                f"the document is {what}",
                hint=_FOR_OTHERS,
            )
        ]
    found = []
    version, kind = value.get("apiVersion"), value.get("kind")
    if version != API_VERSION and not _nearly(version, [API_VERSION]) and not _nearly(kind, list(KINDS)):
        said = "this is not a groundstate document: apiVersion and kind are missing"
        if "apiVersion" in value or "kind" in value:
            said = f"this is not a groundstate document: apiVersion is {shown_value(version)}"
        return [Problem("unknown-api-version", ("apiVersion",), said, hint=_FOR_OTHERS)]
    if version != API_VERSION:
        said = f"apiVersion {shown_value(version)} is unknown" if "apiVersion" in value else "apiVersion is missing"
        found.append(Problem("unknown-api-version", ("apiVersion",), said, hint=f"write `apiVersion: {API_VERSION}`"))
    if not isinstance(kind, str) or kind not in KINDS:
        said = f"unknown kind {shown_value(kind)}" if "kind" in value else "kind is missing"
        near = nearest(kind, list(KINDS)) if isinstance(kind, str) else None
        hint = f"did you mean {near}?" if near else f"kinds are {', '.join(KINDS)}"
        found.append(Problem("unknown-kind", ("kind",), said, hint=hint))
    return found


def _beyond_schema(document: YamlDocument, file: str) -> list[Problem]:
    resource = _resource(document, file)
    if resource is None:
        # The two validators disagree, or the type is narrower than its schema: never let it pass in silence.
        return [
            Problem(
                "schema", (), ("the document does not match the schema of its kind"), hint=_type_message(document.value)
            )
        ]
    return [
        Problem(place.code, tuple(place.path.split(".")), place.summary, hint=place.hint)
        for place in rules.check_document(resource)
    ]


def _type_message(value: Any) -> str:
    try:
        msgspec.convert(value["metadata"], Metadata)
        msgspec.convert(value["spec"], KINDS[value["kind"]].spec_type)
    except msgspec.ValidationError as error:
        return str(error)
    return ""
