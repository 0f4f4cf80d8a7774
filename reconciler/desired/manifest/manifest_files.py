"""Which entries of a tree are manifests, and which are refused. Pure.

Manifests are `*.yaml` and `*.yml`. A path with any part that starts with a dot is not read (`.github`,
`.pre-commit-config.yaml`); other files are not either.
"""

from __future__ import annotations

import re

import msgspec

from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.resource import Source

MAX_FILE = 1 << 20
MAX_FILES = 100_000
MAX_MANIFEST_BYTES = 512 << 20
"""Of all manifests together: a tree can name one blob a million times."""
MAX_FOLDERS = 32

SUFFIXES = (b".yaml", b".yml")
_PLAIN = re.compile(rb"(?:[A-Za-z0-9_][A-Za-z0-9_. +@=,-]*/){0,%d}[A-Za-z0-9_][A-Za-z0-9_. +@=,-]*" % MAX_FOLDERS)
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]")

FILE, SYMLINK, SUBMODULE, OTHER = "file", "symlink", "submodule", "other"


class ManifestFile(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """A manifest: its path from the repository's root, git's id of its contents, and their size in bytes."""

    path: str
    blob_id: str
    size: int


def is_manifest(path: bytes) -> bool:
    """Whether a file of this path is read."""
    return path.endswith(SUFFIXES) and not _is_hidden(path)


def _is_hidden(path: bytes) -> bool:
    return path.startswith(b".") or b"/." in path


class Listing:
    """The manifests of a tree, as its entries are added one by one."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._files: list[ManifestFile] = []
        self._seen: set[bytes] = set()
        self._bytes = 0

    def add(self, kind: str, path: bytes, blob_id: str, size: int) -> bool:
        """Take one entry in. Says whether it is a manifest to be read; `size` is known before the contents."""
        if not path.endswith(SUFFIXES) and kind == FILE:
            return False
        if _is_hidden(path):
            odd = b".." in path.split(b"/") and path.endswith(SUFFIXES)
            return self._refuse(path, "odd-file-name", "the path contains '..'", "rename the file") if odd else False
        if kind != FILE:
            return self._no_file(kind, path)
        fault = None if _PLAIN.fullmatch(path) else _odd(path)
        if fault:
            return self._refuse(path, *fault)
        if path in self._seen:
            return self._refuse(
                path, "odd-file-name", "the tree has two entries with this path", "run `git fsck` in the repository"
            )
        self._seen.add(path)
        return self._fits(path, blob_id, size)

    def files(self) -> tuple[ManifestFile, ...]:
        """The manifests in order of path."""
        return tuple(sorted(self._files, key=lambda file: file.path))

    def _fits(self, path: bytes, blob_id: str, size: int) -> bool:
        if size > MAX_FILE:
            return self._refuse(
                path, "file-too-large", (f"the file has {size:,} bytes, more than 1 MiB"), "split the file"
            )
        if len(self._files) >= MAX_FILES or self._bytes + size > MAX_MANIFEST_BYTES:
            if not any(d.code == "too-many-files" for d in self.diagnostics):
                most = f"{MAX_FILES:,} manifests, or more than {MAX_MANIFEST_BYTES >> 20} MiB of manifests"
                what = f"there are more than {most}"
                self._refuse(
                    path, "too-many-files", what, "split the repository; the files after this one are not read"
                )
            return False
        self._bytes += size
        self._files.append(ManifestFile(path.decode(), blob_id, size))
        return True

    def _no_file(self, kind: str, path: bytes) -> bool:
        if kind == SUBMODULE:
            return self._refuse(
                path,
                "submodule",
                "a submodule is not read",
                ("move the submodule out of the folder, or into a folder whose name begins with a dot"),
            )
        manifest = path.endswith(SUFFIXES)
        if kind == SYMLINK:
            severity = Severity.ERROR if manifest else Severity.WARNING
            return self._refuse(path, "symlink", "a symbolic link is not followed", "commit the file itself", severity)
        return (
            self._refuse(path, "not-a-file", "the path is not a regular file", "remove the file") if manifest else False
        )

    def _refuse(self, path: bytes, code: str, what: str, hint: str, severity: Severity = Severity.ERROR) -> bool:
        self.diagnostics.append(Diagnostic(code, severity, what, source=Source(_shown(path)), hint=hint))
        return False


def _odd(path: bytes) -> tuple[str, str, str] | None:
    if path.count(b"/") > MAX_FOLDERS:
        return "path-too-deep", f"the file is more than {MAX_FOLDERS} folders deep", "move the file up"
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return "odd-file-name", "the path is not UTF-8", "rename the file"
    if _ODD.search(text):
        return "odd-file-name", "the path contains a control character or a backslash", "rename the file"
    return ("odd-file-name", "the path has an empty part", "rename the file") if "" in text.split("/") else None


def _shown(path: bytes) -> str:
    return _ODD.sub(_escape, path.decode(errors="surrogateescape"))


def _escape(odd: re.Match[str]) -> str:
    code = ord(odd[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else odd[0].encode("unicode_escape").decode()
