"""The last commit that changed each of many documents, in one walk back through the history of them all.

A file with one document needs no reading: the last commit that touched it is the answer. A file with several is read at
each commit that touched it. A document counts as changed where no parent had it with the same value. Files that a
commit only renamed, and documents that it only moved, are followed to where they came from."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from reconciler.desired.git.commits import Blobs, Step, Touch, walk
from reconciler.model.resource import Commit, DesiredState, ResourceKey

MAX_STEPS = 5_000
"""Commits behind the newest that are read for documents that share a file."""
_MAX_BYTES = 64 << 20
"""Of all file contents that are read."""
MAX_PARSED = 2_000
"""Documents that are compared by value; behind that, another text counts as another value."""
MAX_ORIGINS = 50
"""Files of one commit in which a document is searched for that it moved."""
_AHEAD = 64
"""Files of one commit that are read in one go."""


def last_commits(
    git_dir: Path,
    sha: str,
    state: DesiredState,
    keys: Iterable[ResourceKey],
    boundary: frozenset[str] = frozenset(),
) -> dict[ResourceKey, Commit]:
    """The newest commit, up to the state's own `sha`, that changed each document; without those never met.

    `boundary`: the commits at which a shallow clone ends. There everything seems new, so none of them changed anything
    that is known of. Raises SourceError.
    """
    wanted = [key for key in keys if key in state.resources]
    if not wanted:
        return {}
    with Blobs(git_dir) as blobs, closing(walk(git_dir, sha)) as steps:
        search = _Search(blobs, sha, state, wanted)
        for number, step in enumerate(steps):
            if number == MAX_STEPS:
                search.tire()
            search.see(step)
            if search.done:
                break
        search.tire()
        return {key: commit for key, commit in search.found.items() if commit.sha not in boundary}


class _Search:
    """`_alone`: documents by the file that they have to themselves; `_shared`: files with several."""

    def __init__(self, blobs: Blobs, sha: str, state: DesiredState, wanted: list[ResourceKey]) -> None:
        self.found: dict[ResourceKey, Commit] = {}
        self._sha, self._state = sha, state
        self._alone: dict[str, list[ResourceKey]] = {}
        self._shared: dict[str, _Shared] = {}
        self._met: dict[ResourceKey, Commit] = {}
        self._tired = False
        self._reader = _Reader(blobs)
        several = state.derived("documents by file", _documents_by_file)
        together: dict[str, list[ResourceKey]] = {}
        for key in wanted:
            file = state.resources[key].source.file
            (together if several[file] > 1 else self._alone).setdefault(file, []).append(key)
        for file, keys in together.items():
            self._shared[file] = _Shared(keys)
        self._unread = set(self._shared)

    @property
    def done(self) -> bool:
        """Whether nothing more can be found."""
        return not self._alone and not self._shared

    def tire(self) -> None:
        """Look at files as a whole from here on: what a commit that touched its file was met for, is put down to it."""
        self._tired = True
        for file, shared in list(self._shared.items()):
            del self._shared[file]
            for key in shared.keys:
                self._attribute_by_file(key, file)

    def see(self, step: Step) -> None:
        """Take in the next commit back."""
        gone: dict[str, str] | None = None
        lost_from = [touch for touch in step.touched if any(touch.before)]
        for start in range(0, len(step.touched), _AHEAD):
            touched = step.touched[start : start + _AHEAD]
            self._prefetch(touched, lost_from)
            for touch in touched:
                if keys := self._alone.get(touch.path):
                    if gone is None:
                        gone = _gone(step)
                    self._file_touched(touch, gone.get(touch.after, ""), keys, step.commit)
                elif shared := self._shared.get(touch.path):
                    self._documents_touched(step.commit, touch, shared, lost_from)
                    if not shared.keys:
                        self._shared.pop(touch.path, None)

    def _prefetch(self, touched: Iterable[Touch], lost_from: list[Touch]) -> None:
        """Read what is about to be asked for in one go: to wait for git once a file takes longer than the reading."""
        shared = [touch for touch in touched if touch.path in self._shared and not _came_with(touch, lost_from)]
        newest = [self._newest(touch.path) for touch in shared if touch.path in self._unread]
        self._reader.prefetch([*newest, *(blob for touch in shared for blob in (touch.after, *touch.before))])

    def _newest(self, path: str) -> str:
        return f"{self._sha}:{path}"

    def _attribute_by_file(self, key: ResourceKey, file: str) -> None:
        if commit := self._met.get(key):
            self.found[key] = commit
        else:
            self._alone.setdefault(file, []).append(key)

    def _file_touched(self, touch: Touch, origin: str, keys: list[ResourceKey], commit: Commit) -> None:
        del self._alone[touch.path]
        if origin and not any(touch.before):
            self._alone.setdefault(origin, []).extend(keys)
            return
        self.found.update(dict.fromkeys(keys, commit))

    def _documents_touched(self, commit: Commit, touch: Touch, shared: _Shared, lost_from: list[Touch]) -> None:
        if shared.fresh:
            shared.fresh = False
            for key in shared.keys:
                self._met.setdefault(key, commit)
        if _came_with(touch, lost_from):
            self.found.update(dict.fromkeys(shared.keys, commit))
            shared.keys.clear()
            return
        if self._reader.spent:
            self.tire()
            return
        if touch.path in self._unread:
            self._unread.discard(touch.path)
            self._read_newest(touch.path, shared)
        after = self._reader.pieces(touch.after)
        before = [self._reader.pieces(blob) for blob in touch.before]
        new = after.difference(before[0]).intersection(*(after.difference(one) for one in before[1:]))
        changed = [(piece, key) for piece in new & shared.owners.keys() for key in shared.owners[piece]]
        if changed:
            self._compare(commit, touch, shared, changed, [one - after for one in before], lost_from)
        self._reader.keep(touch)

    def _compare(
        self,
        commit: Commit,
        touch: Touch,
        shared: _Shared,
        changed: list[tuple[bytes, ResourceKey]],
        before: list[frozenset[bytes]],
        lost_from: list[Touch],
    ) -> None:
        """Settle what changed by value. `before`: what only each parent has."""
        old = [self._reader.values(some) for some in before]
        moved: dict[ResourceKey, tuple[str, bytes, Any]] | None = None
        for piece, key in changed:
            if key not in shared.keys:
                continue
            was = [one[key] for one in old if key in one]
            if not was and moved is None:
                moved = self._elsewhere(lost_from, touch.path)
            origin = None if was or moved is None else moved.get(key)
            value = self._reader.value(piece, key) if was or origin else None
            same = [text for text, one in was if value is not None and one == value]
            if same:
                shared.own(same[0], key)
                continue
            shared.drop(key)
            if origin and origin[2] == value:
                self._shared.setdefault(origin[0], _Shared([])).own(origin[1], key)
            else:
                self.found[key] = commit

    def _elsewhere(self, lost_from: list[Touch], path: str) -> dict[ResourceKey, tuple[str, bytes, Any]]:
        """What other files lost in the commit: each document's file, text and value."""
        lost: dict[ResourceKey, tuple[str, bytes, Any]] = {}
        others = [touch for touch in lost_from if touch.path != path] if len(lost_from) <= MAX_ORIGINS + 1 else []
        for touch in others if len(others) <= MAX_ORIGINS else ():
            after = self._reader.pieces(touch.after)
            for blob in filter(None, touch.before):
                found = self._reader.values(self._reader.pieces(blob) - after)
                lost.update({key: (touch.path, *one) for key, one in found.items()})
        return lost

    def _read_newest(self, path: str, shared: _Shared) -> None:
        """Which text of the file each document is, by the line on which it stands."""
        from reconciler.desired.git.history.documents import document_lines, document_texts

        data = self._reader.contents(self._newest(path))
        texts, starts = document_texts(data), document_lines(data)
        for key in shared.keys:
            line = self._state.resources[key].source.line
            shared.own(texts[bisect_right(starts, line) - 1], key)


class _Shared:
    """The documents to find in a file with several, and the texts that have the newest value."""

    def __init__(self, keys: Iterable[ResourceKey]) -> None:
        self.keys = set(keys)
        self.fresh = True
        """Whether no commit that touched the file was met yet."""
        self.owners: dict[bytes, list[ResourceKey]] = {}

    def own(self, piece: bytes, key: ResourceKey) -> None:
        """The text says what the newest one does."""
        self.keys.add(key)
        self.owners.setdefault(piece, []).append(key)

    def drop(self, key: ResourceKey) -> None:
        """This search has ended."""
        self.keys.discard(key)


class _Reader:
    """File contents cut into documents, and documents parsed, each once and up to a limit."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._ahead: dict[str, bytes] = {}
        self._cut: dict[str, frozenset[bytes]] = {"": frozenset()}
        self._older: dict[str, dict[str, frozenset[bytes]]] = {}
        self._values: dict[bytes, dict[ResourceKey, Any]] = {}
        self._bytes = 0

    @property
    def spent(self) -> bool:
        """Whether enough was read."""
        return self._bytes > _MAX_BYTES

    def prefetch(self, ids: Iterable[str]) -> None:
        """Keep these contents in memory until others are read ahead."""
        wanted = [] if self.spent else [one for one in dict.fromkeys(ids) if one and one not in self._cut]
        self._ahead = {one: data or b"" for one, data in self._blobs.read(wanted)}

    def contents(self, blob: str) -> bytes:
        """Of a file, by its id or as `COMMIT:PATH`."""
        data = self._ahead.pop(blob, None)
        return self._blobs.one(blob) if data is None else data

    def pieces(self, blob: str) -> frozenset[bytes]:
        """The texts of a file's documents."""
        if blob not in self._cut:
            from reconciler.desired.git.history.documents import document_texts

            data = self.contents(blob)
            self._bytes += len(data)
            self._cut[blob] = frozenset(document_texts(data))
        return self._cut[blob]

    def keep(self, touch: Touch) -> None:
        """Of this file only what was there before the commit is needed again: an earlier commit made it."""
        for blob in (*self._older.get(touch.path, ()), touch.after):
            if blob and blob not in touch.before:
                self._cut.pop(blob, None)
        self._older[touch.path] = {blob: self._cut[blob] for blob in touch.before if blob in self._cut}

    def values(self, texts: Iterable[bytes]) -> dict[ResourceKey, tuple[bytes, Any]]:
        """The documents in the texts by key, each with its text and value; none behind the limit."""
        return {key: (text, value) for text in texts for key, value in self._parsed(text).items()}

    def value(self, text: bytes, key: ResourceKey) -> Any:
        """The value of a document in its text; None when it is not had."""
        return self._parsed(text).get(key)

    def _parsed(self, text: bytes) -> dict[ResourceKey, Any]:
        found = self._values.get(text)
        if found is None:
            if len(self._values) >= MAX_PARSED:
                return {}
            from reconciler.desired.git.history.documents import values

            found = self._values[text] = values(text)
        return found


def _came_with(touch: Touch, lost_from: list[Touch]) -> bool:
    """Whether all that is in the file is of this commit: it is new, and nothing can have moved there."""
    return not any(touch.before) and not lost_from


def _documents_by_file(state: DesiredState) -> Counter[str]:
    return Counter(resource.source.file for resource in state.resources.values())


def _gone(step: Step) -> dict[str, str]:
    """By contents, the files that the commit took away: one that came with the same contents is a renamed one."""
    return dict(_taken_away(step))


def _taken_away(step: Step) -> Iterator[tuple[str, str]]:
    return ((blob, touch.path) for touch in step.touched if not touch.after for blob in touch.before if blob)
