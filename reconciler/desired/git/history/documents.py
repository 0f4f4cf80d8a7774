"""One document among the others of a file, found without parsing the others: what the history of a document needs.

A line that starts with `---` stands nowhere but between documents, so a file's bytes can be cut there. Only pieces that
name the document are parsed, and each text once.
"""

from __future__ import annotations

import re
from typing import Any

from reconciler.desired.manifest.manifests import claimed
from reconciler.desired.manifest.yaml_reader import YamlFault, decode, read_documents
from reconciler.model.resource import ResourceKey
from reconciler.views.render.tables.change_history import DocumentVersion

_MARKER = re.compile(rb"^---(?=\s|$)", re.MULTILINE)
_TOO_LARGE = DocumentVersion(None, "the file is larger than 1 MiB")


def document_texts(data: bytes) -> list[bytes]:
    """The texts between the file's markers, without the white space around that two places may differ in."""
    first, *rest = (b"\n" + data).split(b"\n---")
    found = [first]
    for part in rest:
        if part and not part[:1].isspace():  # A longer line of dashes, or a word that starts with three.
            found[-1] += b"\n---" + part
        else:
            found.append(part)
    return [part.rstrip().lstrip(b"\r\n") for part in found]


def document_lines(data: bytes) -> list[int]:
    """The line, from 1, on which each of `pieces` starts."""
    found, line, at = [1], 1, 0
    for marker in _MARKER.finditer(data):
        line += data.count(b"\n", at, marker.start())
        at = marker.start()
        found.append(line)
    return found


def values(piece: bytes) -> dict[ResourceKey, Any]:
    """The documents of a piece that can be read, as they are written; valid or not."""
    text = decode(piece)
    if isinstance(text, YamlFault):
        return {}
    documents = (document for document in read_documents(text) if not document.faults)
    return {key: document.value for document in documents if (key := claimed(document.value))}


class DocumentFinder:
    """Finds the versions of one document. Its name must be spelled out: one in escapes is not found."""

    def __init__(self, key: ResourceKey) -> None:
        self.key = key
        name = re.escape(key.name)
        self.mention = f"(^|[^A-Za-z0-9_.-]){name}([^A-Za-z0-9_.-]|$)"
        """A POSIX expression for lines in which the name stands."""
        self.claim = f"name[\"']?[[:space:]]*:[[:space:]]*[\"']?{name}([^A-Za-z0-9_.-]|$)"
        """Another, for lines in which a document takes the name, as such lines are mostly written."""
        self._named = re.compile(rf"(?<![\w.-]){name}(?![\w.-])".encode())
        self._claims = re.compile(rf"""\bname["']?\s*:\s*["']?{name}(?![\w.-])""".encode())
        self._kind = re.compile(rf"\b{re.escape(key.kind)}\b".encode())
        self._known: dict[bytes, DocumentVersion | None] = {}

    def __call__(self, data: bytes | None) -> DocumentVersion | None:
        """The document in a file's contents: None when it is not there, the same object for the same text.

        A document that cannot be read is taken for it when it shows kind and name. `data` None: the file is too large.
        """
        if data is None:
            return _TOO_LARGE
        if not self._named.search(data):
            return None
        broken = None
        for piece in document_texts(data):
            version = self._version(piece) if self._kind.search(piece) and self._named.search(piece) else None
            if version and version.value is not None:
                return version
            broken = broken or version
        return broken

    def _version(self, piece: bytes) -> DocumentVersion | None:
        if piece not in self._known:
            self._known[piece] = self._parsed(piece)
        return self._known[piece]

    def _parsed(self, piece: bytes) -> DocumentVersion | None:
        text = decode(piece)
        faults = [text] if isinstance(text, YamlFault) else []
        for document in [] if isinstance(text, YamlFault) else read_documents(text):
            if not document.faults and claimed(document.value) == self.key:
                return DocumentVersion(document.value)
            faults.extend(document.faults[:1])
        return DocumentVersion(None, faults[0].what) if faults and self._claims.search(piece) else None
