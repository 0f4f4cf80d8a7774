"""What became of one document, commit by commit: versions compared by value, and shown together with the ledger. Pure.

Documents of old commits need not be valid today, so they are compared as they were written, not as their kind's type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from heapq import merge
from typing import Any

import msgspec

from reconciler.model.event import Event, EventType
from reconciler.model.plans.plan import CauseKind, Difference
from reconciler.model.resource import Commit
from reconciler.views.render import words

_SECRET = re.compile(r"(?i)passw|passphrase|secret|token|api-?key|credential")
_REFERENCES = ("credentialRef",)
"""Where a credential is named and never written."""
_HIDDEN = "***"
_ABSENT: Any = object()


class Changed(msgspec.Struct, frozen=True):
    """A field of which two versions differ; a value that is missing is None."""

    path: str
    before: Any
    after: Any


class DocumentVersion(msgspec.Struct, frozen=True, eq=False):
    """The document as a commit has it: its whole value, or None and why it cannot be read."""

    value: dict[str, Any] | None
    fault: str = ""

    def says_the_same(self, other: DocumentVersion) -> bool:
        """Whether both declare the same, however it is written. What cannot be read is like itself alone."""
        return self is other or (self.value is not None and self.value == other.value)


class What(StrEnum):
    """What a commit did to a document."""

    CREATED = "created"
    CHANGED = "changed"
    MOVED = "moved"
    REMOVED = "removed"
    BROKEN = "broken"
    OLDEST = "oldest"
    """It was there already in the oldest commit of a shallow clone."""


class Edit(msgspec.Struct, frozen=True):
    """A commit that changed a document. `committed`: when it was committed, where `commit.at` is when it was written.

    `file`: where it stands afterwards (removed: where it stood); `moved_from`: where it stood before, if elsewhere.
    """

    commit: Commit
    committed: datetime
    what: What
    file: str
    before: DocumentVersion | None
    after: DocumentVersion | None
    moved_from: str = ""

    @property
    def fault(self) -> str:
        """Why the document cannot be read after it; empty when it can."""
        return self.after.fault if self.after else ""

    @property
    def differences(self) -> tuple[Changed, ...]:
        """Field by field, where both versions can be read."""
        before = self.before.value if self.before else None
        after = self.after.value if self.after else None
        return () if before is None or after is None else field_differences(before, after)


def field_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Changed, ...]:
    """The fields that differ, in the order of the later version and then those that it lacks; a missing one is None.

    Mappings are gone into and lists are not. What may be a credential written by mistake is hidden.
    """
    return tuple(_differences("", before, after))


def _differences(path: str, before: Any, after: Any) -> Iterator[Changed]:
    mappings = [one for one in (before, after) if isinstance(one, dict)]
    others = [one for one in (before, after) if one is not _ABSENT and not isinstance(one, dict)]
    if mappings and not others and any(mappings):
        old, new = ({} if one is _ABSENT else one for one in (before, after))
        for name in [*new, *(name for name in old if name not in new)]:
            inner = f"{path}.{name}" if path else str(name)
            yield from _differences(inner, old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif before is _ABSENT or after is _ABSENT or before != after:
        old, new = (None if one is _ABSENT else masked_value(one, path) for one in (before, after))
        yield Changed(path, old, new)


def masked_value(value: Any, path: str = "") -> Any:
    """The value at a path, and all in it, with what may be a credential hidden: old versions need not be valid."""
    parts = path.split(".")
    if any(part in _REFERENCES for part in parts):
        return value
    if isinstance(value, dict):
        return {name: masked_value(one, f"{path}.{name}" if path else str(name)) for name, one in value.items()}
    if any(_SECRET.search(part) for part in parts):
        return _HIDDEN
    return [masked_value(one, path) for one in value] if isinstance(value, list) else value


class Entry(msgspec.Struct, frozen=True):
    """A line of a history: a commit that changed the document, or something that happened to it."""

    at: datetime
    edit: Edit | None = None
    event: Event | None = None


def interleaved(edits: Iterable[Edit], events: Iterable[Event]) -> Iterator[Entry]:
    """Both newest first, as one. Each keeps its own order whatever the clocks said; edits are taken as needed."""
    changed = (Entry(edit.committed, edit=edit) for edit in edits)
    reported = (Entry(event.latest, event=event) for event in events)
    return merge(reported, changed, key=lambda one: one.at, reverse=True)


def entry_form(one: Entry) -> dict[str, Any]:
    """The public JSON form of an entry."""
    if one.edit is None:
        return {"at": msgspec.to_builtins(one.at), "event": msgspec.to_builtins(one.event)}
    found = {
        "at": msgspec.to_builtins(one.at),
        "commit": msgspec.to_builtins(one.edit.commit),
        "file": one.edit.file,
        "change": str(one.edit.what),
        "differences": msgspec.to_builtins(one.edit.differences),
    }
    more = {"moved_from": one.edit.moved_from, "unreadable": one.edit.fault}
    return found | {name: said for name, said in more.items() if said}


def render_history(entries: Iterable[Entry], paint: words.Paint = words.unpainted) -> Iterator[str]:
    """The history as lines of text."""
    for one in entries:
        if one.edit is not None:
            yield from _commit(one.edit, paint)
        elif one.event is not None:
            yield _event(one.event, paint)


def _event(event: Event, paint: words.Paint) -> str:
    by = f"  [{words.clean(event.by)}]" if event.by else ""
    text = f"{words.moment(event.at)}  {event.reason}: {words.clean(event.message)}{event.times}{by}"
    return paint("yellow", text) if event.type is EventType.WARNING else text


def _commit(edit: Edit, paint: words.Paint) -> Iterator[str]:
    head = f"{words.moment(edit.committed.astimezone(UTC))}  commit {words.commit(edit.commit)}"
    yield f"{paint('bold', head)}  {'unreadable' if edit.what is What.BROKEN else edit.what}"
    file = words.clean(edit.file)
    if edit.moved_from:
        yield f"    moved from {words.clean(edit.moved_from)} to {file}"
    elif edit.what not in (What.CHANGED, What.BROKEN):
        yield f"    in {file}"
    if edit.fault:
        yield f"    {file} cannot be read: {words.clean(edit.fault)}"
    elif edit.what is What.CHANGED and not edit.differences:
        yield f"    {file} can be read again"
    if edit.what is What.OLDEST:
        yield "    this shallow clone has no older commits; get them with: git fetch --unshallow"
    for one in edit.differences:
        planned = Difference(words.clean(one.path), one.before, one.after, CauseKind.COMMIT)
        yield from (f"    {line}" for line in words.difference(planned))
