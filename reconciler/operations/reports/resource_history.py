"""What became of one resource: its document commit by commit, and what the ledger says of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.kinds import KINDS, find_kind
from reconciler.model.event import Event, EventReason
from reconciler.model.resource import Commit, ResourceKey, Revision
from reconciler.operations.moment import moment_of, without_span
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.views.render.tables.change_history import Edit, Entry, What, interleaved, masked_value
from reconciler.views.render.words import author, clean, moment
from reconciler.views.render.words import commit as commit_in_words

if TYPE_CHECKING:
    from reconciler.desired.git.history.revisions import HistoryPoint
    from reconciler.desired.git.sources.source import DesiredSource

MOST_ENTRIES = 100_000


class HistoryRequest(msgspec.Struct, frozen=True):
    """Of which resource, from when on (a time or a commit; None: from the first), at most how many entries, and whether
    with events."""

    key: ResourceKey
    since: str | None = None
    limit: int = 50
    events: bool = True


class ResourceHistory(msgspec.Struct, frozen=True):
    """Commits and events, the newest first."""

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


class PastDocument(msgspec.Struct, frozen=True):
    """A document as it was `when` (in words), with what it holds of secrets masked. `remarks` say since when it was so,
    and what was in force."""

    key: ResourceKey
    when: str
    value: dict[str, Any]
    remarks: tuple[str, ...]
    notes: tuple[str, ...] = ()


def named_key(words: tuple[str, ...]) -> ResourceKey:
    """The key that `machine/r1` or `machine r1` means, whether or not it is declared. Raises OperationError."""
    word, slash, name = "/".join(words).partition("/")
    kind = find_kind(word)
    if kind is None:
        example = "" if slash else f"write KIND/NAME, such as machine/{word}; "
        plurals = ", ".join(one.plural for one in KINDS.values())
        raise OperationError(f"{word!r} is not a kind; {example}kinds are {plurals}")
    if not slash or not name or "/" in name:
        raise OperationError(f"{' '.join(words)!r} names no resource; write {kind.name.lower()}/NAME")
    return ResourceKey(kind.name, name)


def read_history(where: Where, request: HistoryRequest) -> ResourceHistory:
    """Raises OperationError, also where neither a commit nor an event is about it."""
    with Workspace(where) as at:
        source = at.source()
        revision = source.snapshot().revision
        begin = moment_of(at, request.since) if request.since else None
        events = _events(at, request) if request.events else []
        entries = interleaved(source.history(revision, request.key).edits(), events)
        wanted = takewhile(lambda one: begin is None or one.at >= begin, entries)
        found = tuple(islice(wanted, request.limit))
        if not found and begin is None:
            why = (
                f"{request.key} was never declared in {revision.ref}, and the ledger has no events of this "
                "resource; check kind and name"
            )
            raise OperationError(why, FailureReason.NOT_FOUND)
        return ResourceHistory(found, at.notes)


def _events(at: Workspace, request: HistoryRequest) -> list[Event]:
    with at.store() as store:
        return [entry.event for entry in store.events(request.key, limit=request.limit, newest_first=True)]


def read_document_at(where: Where, key: ResourceKey, time: str) -> PastDocument:
    """The document as it was at a time, or in a commit that `time` names. Raises OperationError."""
    with Workspace(where) as at:
        source = at.source()
        asked = source.moment(source.snapshot().revision, without_span(time))
        commit = asked.commit
        when = f"in commit {commit_in_words(commit)}" if commit and asked.named else f"at {moment(asked.until)}"
        if commit is None:
            raise OperationError(f"{key} did not exist {when}: there was no commit yet", FailureReason.NOT_FOUND)
        then = source.history(Revision(commit.sha, where.ref, source.location, commit), key)
        found, last = then.at(), next(then.edits(), None)
        if found is None or last is None:
            raise OperationError(_missing(key, when, last), FailureReason.NOT_FOUND)
        if found.version.value is None:
            raise OperationError(f"the state of {key} {when} is unknown: {found.file}: {clean(found.version.fault)}")
        first = f"{clean(str(key))} {when}, as of commit {commit_in_words(last.commit)} in {clean(found.file)}"
        remarks = (first, *(clean(line) for line in _in_force(at, source, asked, commit)))
        return PastDocument(key, when, masked_value(found.version.value), remarks, at.notes)


def _missing(key: ResourceKey, when: str, last: Edit | None) -> str:
    if last is None or last.what is not What.REMOVED:
        return f"{key} did not exist {when}: no commit up to then declares it"
    who = f"commit {last.commit.short} ({author(last.commit)}) at {moment(last.committed.astimezone(UTC))}"
    return f"{key} did not exist {when} any more: {who} removed it"


def _in_force(at: Workspace, source: DesiredSource, asked: HistoryPoint, commit: Commit) -> Iterable[str]:
    """What the ledger says of the time, or of when the commit that was named took force."""
    until: datetime | None = None if asked.named else asked.until
    with at.store() as store:
        reported = [
            one.event for one in store.events(of_fleet=True, until=until, limit=MOST_ENTRIES, newest_first=True)
        ]
    applied = [one for one in reported if one.reason == EventReason.REVISION_APPLIED]
    if asked.named:
        times = [one.at for one in applied if one.revision == commit.sha]
        yield from [f"in force since {moment(times[-1])}"] if times else []
    elif applied:
        yield f"in force then: {_revision_words(source, applied[0])}, since {moment(applied[0].at)}"


def _revision_words(source: DesiredSource, applied: Event) -> str:
    """The revision of the event, as a commit where git has it still."""
    from reconciler.desired.git.plumbing import SourceError

    revision = applied.revision or ""
    try:
        commit = source.moment(source.snapshot().revision, revision).commit
    except SourceError:
        commit = None
    return commit_in_words(commit) if commit is not None and commit.sha == revision else clean(revision[:21])
