"""The branch on which the daemon proposes what it found, as the remote has it: read, and continued.

Nothing of the followed repository moves. Commits are made by git's plumbing, go to the remote by their hash, and no
local branch, work tree or index knows of them. No push is ever forced: a push of another person in the meantime wins,
and the next run continues from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from reconciler.desired.git import plumbing
from reconciler.desired.git.branches.commit_branch import PUSH_SILENCE, checked
from reconciler.desired.git.commit_objects import commit_writer, identity_of
from reconciler.desired.git.plumbing import GitFailed, SourceError, SourceUnavailable
from reconciler.desired.git.remotes import silent_remote, unavailable, words
from reconciler.desired.git.sources.repository import Repository
from reconciler.desired.git.sources.source import Remote
from reconciler.desired.manifest.manifest_files import is_manifest
from reconciler.desired.manifest.manifests import parse_manifest
from reconciler.model.resource import Resource, Revision
from reconciler.onboarding.discovery import machines_among
from reconciler.onboarding.proposal import Branch, BranchFile, Start, Update

LOCAL_TIMEOUT = 120.0
"""Seconds for what git does here, with a large repository."""
_NO_BLOB = "0" * 40


_NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "groundstate"), ("EMAIL", "groundstate@localhost"))
}


class ProposalBranch:
    """A branch of the remote of a followed repository. `folder`: where found machines go, within the path that is
    read. Raises SourceError for a name that is none."""

    def __init__(self, source: Repository, name: str, folder: str) -> None:
        self._source, self.name = source, checked(name)
        self.folder = "/".join(part for part in (source.path, folder) if part)

    @property
    def where(self) -> str:
        """For people: `found at origin`."""
        return f"{self.name} at {self._source.remote().shown}"

    def fetch(self, followed: Revision) -> Branch:
        """What the remote has. Raises SourceError, SourceUnavailable."""
        if followed.ref.removeprefix("refs/heads/") == self.name:
            hint = "name another branch with --propose-branch"
            raise SourceError(
                (f"branch {self.name} is the branch that groundstate follows"),
                "groundstate never writes to the branch that it follows",
                hint,
            )
        remote = self._source.remote()
        tip = self._tip(remote)
        try:
            paths = self._paths(followed.id)
            if tip is None:
                return Branch(paths=paths)
            self._fetch(remote, tip)
            base = self._base(followed.id, tip)
            if base == tip:
                return Branch(tip, merged=True, paths=paths)
            files = tuple(self._files(base, tip, followed.id))
            return Branch(tip, False, files, self._deleted(base, tip), paths | self._paths(tip))
        except GitFailed as error:
            raise SourceError(f"branch {self.where} cannot be read", words(error.stderr)) from error

    def go_on(self, followed: Revision, branch: Branch, update: Update, message: str) -> str:
        """Commit and push; returns the commit. Raises SourceError, SourceUnavailable when that did not arrive."""
        remote, tip, main = self._source.remote(), branch.tip or followed.id, followed.id
        start, parents = {
            Start.FOLLOWED: (main, [main]),
            Start.ANEW: (main, [main, tip]),
            Start.TIP: (tip, [tip]),
        }[update.start]
        files: dict[str, str | None] = dict(update.add)
        if update.start is Start.TIP:
            files |= dict.fromkeys(update.remove)
        identity = identity_of(self._source.git_dir, _NOBODY)  # A service's account has no name as a rule.
        with commit_writer(self._source.git_dir) as writer:
            made = writer.commit(writer.tree_with(start, files), parents, message, identity)
        try:
            # Without a force, so that the remote refuses it when its branch is not the one that was read.
            arguments = (
                "push",
                "--progress",
                "--no-verify",
                "--no-follow-tags",
                remote.place,
                f"{made}:{self._ref}",
            )
            plumbing.transfer(self._source.git_dir, *arguments, extra=remote.environment, silence=PUSH_SILENCE)
        except GitFailed as error:
            why = words(error.stderr).replace(made, "the commit")  # Which is another at each try.
            raise SourceUnavailable(f"{self.where} was not pushed", why, "groundstate tries again") from error
        except SourceUnavailable as error:
            raise silent_remote(self.where, error) from error
        return made

    @property
    def _ref(self) -> str:
        return f"refs/heads/{self.name}"

    def _run(self, *args: str, stdin: bytes | None = None) -> bytes:
        return plumbing.run(self._source.git_dir, *args, timeout=LOCAL_TIMEOUT, stdin=stdin)

    def _tip(self, remote: Remote) -> str | None:
        asked = ("ls-remote", "--quiet", remote.place, self._ref)
        try:
            listed = plumbing.run(
                self._source.git_dir, *asked, timeout=plumbing.SILENCE, extra=remote.environment
            ).decode(errors="replace")
        except GitFailed as error:
            raise unavailable(remote.shown, error.stderr) from error
        except SourceUnavailable as error:
            raise silent_remote(remote.shown, error) from error
        lines = (line.partition("\t") for line in listed.splitlines())
        return next((sha for sha, _, ref in lines if ref == self._ref), None)

    def _fetch(self, remote: Remote, tip: str) -> None:
        try:
            self._run("cat-file", "-e", f"{tip}^{{commit}}")
        except GitFailed:
            options = ("--progress", "--no-tags", "--no-auto-gc", "--no-write-fetch-head", "--refmap=")
            fetch = ("-c", "fetch.fsckObjects=true", "fetch", *options, remote.place, self._ref)
            try:
                plumbing.transfer(self._source.git_dir, *fetch, extra=remote.environment)
            except SourceUnavailable as error:
                raise silent_remote(remote.shown, error) from error

    def _base(self, followed: str, tip: str) -> str:
        try:
            return self._run("merge-base", followed, tip).decode().strip()
        except GitFailed as error:
            why = "the branch has no commit in common with the followed branch"
            raise SourceError(f"branch {self.where} cannot be continued", why, "delete the branch") from error

    def _files(self, base: str, tip: str, followed: str) -> Iterator[BranchFile]:
        changed = [one for one in _raw(self._run(*_DIFF, base, tip)) if one[1] != _NO_BLOB]
        taken = {one[1:] for one in _raw(self._run(*_LOG, f"{base}..{followed}"))} if changed else set()
        manifests = [one for one in changed if is_manifest(os.fsencode(one[2]))]
        contents = self._contents([blob for _, blob, _ in manifests])
        for old, blob, path in changed:
            found = parse_manifest(path, contents[blob]) if blob in contents else None
            every = found.resources if found is not None else ()
            machines: tuple[Resource[Any], ...] = tuple(machines_among(every))
            broken = found is not None and found.broken
            only = found is not None and not broken and len(machines) == len(every)
            yield BranchFile(path, machines, only, old == _NO_BLOB, (blob, path) in taken, broken)

    def _contents(self, blobs: list[str]) -> dict[str, bytes]:
        said = self._run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
        found: dict[str, bytes] = {}
        at = 0
        for _ in blobs:
            end = said.index(b"\n", at)
            blob, kind, size = said[at:end].decode().split()
            if kind == "blob":
                found[blob] = said[end + 1 : end + 1 + int(size)]
            at = end + 1 + int(size) + 1
        return found

    def _deleted(self, base: str, tip: str) -> frozenset[str]:
        # Of the branch's own commits: what the followed branch lost and a merge brought is not meant.
        raw = _raw(self._run(*_LOG, "--first-parent", "--no-merges", f"{base}..{tip}"))
        return frozenset(path for _, blob, path in raw if blob == _NO_BLOB)

    def _paths(self, commit: str) -> frozenset[str]:
        where = ["--", f"{self.folder}/"] if self.folder else []
        listed = self._run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, *where)
        return frozenset(map(os.fsdecode, filter(None, listed.split(b"\0"))))


_DIFF = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames")
_LOG = ("log", "-z", "--raw", "--no-abbrev", "--no-renames", "--format=")


def _raw(said: bytes) -> Iterator[tuple[str, str, str]]:
    """The (old blob, new blob, path) of git's raw form: `:100644 100644 OLD NEW M`, NUL, path, NUL."""
    parts = [part for part in said.split(b"\0") if part]
    at = 0
    while at + 1 < len(parts):
        words = parts[at].decode(errors="replace").lstrip("\n:").split()
        yield words[2], words[3], os.fsdecode(parts[at + 1])
        at += 2
