"""What is known of file contents from earlier runs. These are the valid documents of every blob of the last revision,
and whether any rule between them found anything.

One file, read and written whole: a 32-byte SHA-256 of the rest, 32 bytes that say which files were sound together, then
msgpack. It is a cache and nothing else: whatever is wrong with it, it is left aside and made again. The file is used
only if it belongs to this user and no other user may write to it. The reason: its content is not validated again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import drivers.base
from reconciler import kinds, model
from reconciler.desired.manifest.manifest_files import ManifestFile
from reconciler.kinds import KINDS
from reconciler.model.resource import Resource, ResourceKey, Source

MAX_CACHE = 1 << 30

_KnownBlobs = Mapping[str, tuple[Any, ...]]
"""By blob id, the records of a blob's documents."""


class CachedDocuments(msgspec.Struct, frozen=True):
    """What the cache holds. `sound`: `together` of the files between whose documents nothing is wrong."""

    blobs: _KnownBlobs
    sound: bytes


_NOTHING = CachedDocuments({}, bytes(32))

_NONE: Mapping[str, str] = {}
"""Shared by all documents without labels, or without annotations; never changed."""

_RECORDS: dict[str, Any] = {
    name: msgspec.defstruct(
        f"{name}Record",
        [
            ("name", str),
            ("spec", kind.spec_type),
            ("labels", dict[str, str]),
            ("annotations", dict[str, str]),
            ("line", int),
            ("column", int),
        ],
        tag=name,
        array_like=True,
        frozen=True,
    )
    for name, kind in KINDS.items()
}
_KINDS = {record: name for name, record in _RECORDS.items()}


def load_cache(folder: Path) -> CachedDocuments:
    """What is known; NOTHING when the file is absent, damaged, or not ours alone."""
    data = memoryview(_own(_file(folder)))
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return _NOTHING
    try:
        return CachedDocuments(decoded(data[64:]), bytes(data[32:64]))
    except msgspec.DecodeError:
        return _NOTHING


def save_cache(folder: Path, blobs: Mapping[str, Iterable[Resource[Any]]], sound: bytes) -> None:
    """Put these in place of what was known; when two processes do, the last one wins. A disk that is full or read-only
    costs the next run time, no more."""
    data = sound + encoded(blobs)
    path = _file(folder)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".desired-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        for old in folder.glob("desired-*.msgpack"):
            if old != path:
                old.unlink(missing_ok=True)


def files_digest(files: Iterable[ManifestFile]) -> bytes:
    """A digest of all paths and contents: rules that found nothing in them find nothing in them again."""
    return hashlib.sha256("".join(f"{file.path}\0{file.blob_id}\n" for file in files).encode()).digest()


def encoded(blobs: Mapping[str, Iterable[Resource[Any]]]) -> bytes:
    """The resources of each blob, but for the path of its file."""
    return msgspec.msgpack.encode({blob: [_record(one) for one in found] for blob, found in blobs.items()})


def decoded(data: bytes | memoryview) -> _KnownBlobs:
    """Their records. Raises msgspec.DecodeError."""
    known: _KnownBlobs = _decoder().decode(data)
    return known


def resources(records: Iterable[Any], file: str) -> tuple[Resource[Any], ...]:
    """The records as resources that stand in `file`."""
    return tuple(
        [
            Resource(
                ResourceKey(_KINDS[type(record)], record.name),
                record.spec,
                record.labels or _NONE,
                record.annotations or _NONE,
                Source(file, record.line, record.column),
            )
            for record in records
        ]
    )


@cache
def code_digest() -> str:
    """Changes whenever the reading, the rules or the types do: what an older program found valid may not be."""
    digest = hashlib.sha256(msgspec.__version__.encode())
    rooms = (Path(str(package.__file__)).parent for package in (drivers.base, kinds, model))
    for folder in (*rooms, Path(__file__).parents[1]):
        for module in sorted(folder.rglob("*.py")):
            digest.update(module.read_bytes())
    return digest.hexdigest()


@cache
def _decoder() -> msgspec.msgpack.Decoder[Any]:
    union: Any = None
    for record in _RECORDS.values():
        union = record if union is None else union | record
    return msgspec.msgpack.Decoder(dict[str, tuple[union, ...]])


def _record(resource: Resource[Any]) -> Any:
    source = resource.source
    make = _RECORDS[resource.key.kind]
    labels, annotations = resource.labels, resource.annotations
    return make(resource.key.name, resource.spec, labels, annotations, source.line, source.column)


def _file(folder: Path) -> Path:
    return folder / f"desired-{code_digest()[:16]}.msgpack"


def _own(path: Path) -> bytes:
    """The file's contents; nothing when it is absent, or not ours alone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or found.st_size > MAX_CACHE:
            return b""
        return file.read()
