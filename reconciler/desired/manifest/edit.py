"""Changes one value in a manifest, and nothing else of the text: comments, order and spelling stay."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from reconciler.desired.manifest.manifests import Marked, parse_manifest
from reconciler.model.resource import ResourceKey

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""Where YAML 1.1 and libyaml end a line."""
_BOM = "\ufeff"


class CannotEdit(ValueError):
    """The value cannot be changed in place; the text says why."""


def set_value(file: str, data: bytes, key: ResourceKey, line: int, path: tuple[str, ...], old: str, new: str) -> bytes:
    """The file's bytes with the value at `path`, of the document that starts on `line`, changed from `old` to `new`.

    Both are plain words. Raises CannotEdit.
    """
    marked = Marked(file, data)
    document = next((one for one in marked.documents if one.line == line and not one.faults), None)
    if document is None:
        raise CannotEdit(f"no document starts on line {line} of {file}")
    container, mark = document.value, None
    for part in path:
        mark = document.marks.get((id(container), part)) if isinstance(container, dict) else None
        if mark is None:
            raise CannotEdit(f"the document has no {'.'.join(path)}")
        container = container[part]
    assert mark is not None  # noqa: S101
    text = data.decode()
    start = _offset(text, *mark.value)
    for spelled, changed in ((old, new), (f"'{old}'", f"'{new}'"), (f'"{old}"', f'"{new}"')):
        if text.startswith(spelled, start):
            made = (text[:start] + changed + text[start + len(spelled) :]).encode()
            _must_differ_there_alone(file, data, made, key, path, new)
            return made
    raise CannotEdit(f"{file}:{mark.value[0]}: the value is not {old}")


def replace_file(path: Path, data: bytes) -> None:
    """Write the file whole or not at all; it keeps its permissions. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        shutil.copymode(path, temporary)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _offset(text: str, line: int, column: int) -> int:
    """A place that counts from 1, as an index; the byte order mark is no character of the first line."""
    start = len(_BOM) if text.startswith(_BOM) else 0
    for _ in range(line - 1):
        found = _BREAK.search(text, start)
        if found is None:
            return len(text)
        start = found.end()
    return start + column - 1


def _must_differ_there_alone(
    file: str, before: bytes, after: bytes, key: ResourceKey, path: tuple[str, ...], new: str
) -> None:
    """Parse both texts again: in any layout, only this value may have changed."""
    values, now = ([one.value for one in Marked(file, data).documents] for data in (before, after))
    for value in values:
        if isinstance(value, dict) and (value.get("kind"), (value.get("metadata") or {}).get("name")) == (
            key.kind,
            key.name,
        ):
            inner = value
            for part in path[:-1]:
                inner = inner[part]
            inner[path[-1]] = new
    if values != now or parse_manifest(file, after).broken != parse_manifest(file, before).broken:
        raise CannotEdit(f"{file}: an automatic edit would change other values too; edit the file by hand")
