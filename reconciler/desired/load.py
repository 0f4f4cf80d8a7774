"""From a snapshot to a desired state, or to everything that is wrong with it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.git.sources.source import DesiredSource, Snapshot
from reconciler.desired.manifest import document_cache as disk
from reconciler.desired.manifest.manifest_files import ManifestFile
from reconciler.desired.rules.findings import Finding
from reconciler.desired.rules.implied import with_implied
from reconciler.model.diagnostic import Diagnostic, Invalid, Severity
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class Loaded(msgspec.Struct, frozen=True):
    """What a snapshot came to. `state` is None when there is an error; warnings alone do not refuse a revision.

    `known`: the resources of each file without errors, by file; given as `previous`, the next load reads only what
    changed.
    """

    state: DesiredState | None
    diagnostics: tuple[Diagnostic, ...]
    files_checked: int
    resources: int
    known: Mapping[ManifestFile, tuple[Resource[Any], ...]]

    def __repr__(self) -> str:
        return f"Loaded({self.files_checked} files, {self.resources} resources, {len(self.diagnostics)} diagnostics)"

    def raise_for_errors(self) -> DesiredState:
        """The state. Raises Invalid, with every diagnostic, when there is none."""
        if self.state is None:
            raise Invalid(self.diagnostics)
        return self.state


class _Files(msgspec.Struct):
    good: dict[ManifestFile, tuple[Resource[Any], ...]]
    partly: list[Resource[Any]] = []
    claimed: set[ResourceKey] = set()
    diagnostics: list[Diagnostic] = []
    unread: list[str] = []
    parsed: int = 0
    remembered: disk.CachedDocuments | None = None


def load_state(snapshot: Snapshot, cache: Path | None = None, previous: Loaded | None = None) -> Loaded:
    """Read, check and join every manifest of the snapshot. All problems are found in one go.

    A file whose contents are known, from `previous` in this process or from the folder `cache`, is not parsed again.
    Raises SourceError when objects cannot be read.
    """
    with _no_garbage_collection():
        files = _read(snapshot, cache, previous)
        everything = [resource for found in files.good.values() for resource in found] + files.partly
        findings, sound = _between(snapshot, everything, files)
        diagnostics = [*snapshot.diagnostics, *files.diagnostics, *_placed(snapshot, findings, files.unread)]
        diagnostics.sort(key=_order)
        refused = any(d.severity is Severity.ERROR for d in diagnostics)
        state = None
        if not refused:
            declared = DesiredState(snapshot.revision, {resource.key: resource for resource in everything})
            state = with_implied(declared)
        before = files.remembered
        if cache is not None and before is not None and (files.parsed or sound != before.sound):
            disk.save_cache(cache, {file.blob_id: found for file, found in files.good.items()}, sound)
    return Loaded(state, tuple(diagnostics), len(snapshot.files), len(everything), files.good)


def load_bases(source: DesiredSource, revision: str, cache: Path | None = None) -> tuple[DesiredState, ...]:
    """The states of the commits that a revision follows, the oldest first; without those that are broken or
    unreadable."""
    found: list[DesiredState] = []
    previous: Loaded | None = None
    for commit in source.bases(revision):
        try:
            previous = load_state(source.snapshot(commit), cache=cache, previous=previous)
        except SourceError:
            continue
        if previous.state is not None:
            found.append(previous.state)
    return tuple(found)


def _read(snapshot: Snapshot, cache: Path | None, previous: Loaded | None) -> _Files:
    """Every file's resources, in order of path."""
    files = _Files(good={})
    before = previous.known if previous else {}
    missing = [file for file in snapshot.files if file not in before]
    if cache is not None and missing:
        files.remembered = disk.load_cache(cache)
    known = files.remembered.blobs if files.remembered else {}
    unknown = [file for file in missing if file.blob_id not in known]
    parsed = _parse(snapshot, unknown, files) if unknown else {}
    for file in snapshot.files:
        if (found := before.get(file)) is not None or (found := parsed.get(file)) is not None:
            files.good[file] = found
        elif file.blob_id in known:
            files.good[file] = disk.resources(known[file.blob_id], file.path)
    files.parsed = len(unknown)
    return files


def _between(snapshot: Snapshot, everything: list[Resource[Any]], files: _Files) -> tuple[list[Finding], bytes]:
    """What is wrong between the documents, and which files are known to be sound together from now on."""
    before = files.remembered
    these = disk.files_digest(snapshot.files) if before else b""
    if before and before.sound == these:
        return [], these
    # Imported here, like the parser.
    from reconciler.desired.driver_options import check_driver_options
    from reconciler.desired.rules import references

    findings = [*references.check_references(everything, files.claimed), *check_driver_options(everything)]
    if before and (findings or files.diagnostics):
        return findings, before.sound
    return findings, these


def _parse(
    snapshot: Snapshot, unknown: list[ManifestFile], files: _Files
) -> dict[ManifestFile, tuple[Resource[Any], ...]]:
    # Imported here: a run in which nothing changed needs neither a YAML parser nor a schema validator.
    from reconciler.desired.manifest.manifests import Marked
    from reconciler.desired.manifest.parallel import parse_all

    good = {}
    for file, data, found in parse_all(unknown, snapshot.read(unknown)):
        if not found.broken:
            good[file] = found.resources
            continue
        marked = Marked(file.path, data)
        files.diagnostics.extend(marked.diagnose())
        files.partly.extend(found.resources)
        files.claimed |= marked.claimed()
        if not marked.readable:
            files.unread.append(file.path)
    return good


def _placed(snapshot: Snapshot, findings: list[Finding], unread: list[str]) -> Iterator[Diagnostic]:
    """The findings between documents, each at its line: the files in question are read once more."""
    if not findings:
        return
    from reconciler.desired.manifest.manifests import Marked

    wanted = {finding.resource.source.file for finding in findings}
    marked = {
        file.path: Marked(file.path, data)
        for file, data in snapshot.read([f for f in snapshot.files if f.path in wanted])
    }
    for finding in findings:
        source = finding.resource.source
        detail = finding.detail
        if finding.code == "dangling-reference" and unread:
            unless = f"the document may be in {unread[0]}, which could not be read"
            detail = f"{detail}; {unless}" if detail else unless
        diagnostic = Diagnostic(finding.code, finding.severity, finding.summary, source, detail, finding.hint)
        yield marked[source.file].at(source.line, finding.path, diagnostic)


def _order(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    source = diagnostic.source
    return (source.file, source.line, source.column, diagnostic.code) if source else ("", 0, 0, diagnostic.code)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """What is made here is kept: collecting in between finds nothing and costs a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
