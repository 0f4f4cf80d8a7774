"""Which commit a ref means; and when it means none, why, and which refs there are."""

from __future__ import annotations

import difflib
from pathlib import Path

from reconciler.desired.git import plumbing, remotes
from reconciler.desired.git.commits import commit_at
from reconciler.desired.git.plumbing import Damaged, GitFailed, SourceError
from reconciler.desired.git.refs import HASH, LOCAL, commit_hash, full_name
from reconciler.desired.git.sources.repository_folder import RepositoryFolder, head_name
from reconciler.model.resource import Commit


def resolve_ref(place: RepositoryFolder, name: str, ref: str | None) -> Commit:
    """The commit that the ref points at now (None: HEAD). `name`: of the repository, for people.

    Raises SourceError, with the refs that there are; Damaged where the ref is there and cannot be read."""
    git_dir = place.git_dir
    try:
        return commit_at(git_dir, commit_hash(git_dir, ref or "HEAD")).commit
    except GitFailed as error:
        try:
            named, unknown = _named(place, ref or head_name(git_dir)), _unknown(place, name, ref)
        except GitFailed as again:
            why = remotes.words(again.stderr)
            raise Damaged(f"{name} cannot be read", why, plumbing.FSCK) from again
        if named in ("blob", "tree"):
            what = {"blob": "a file", "tree": "a folder"}[named]
            raise SourceError(f"{name}: {ref} names {what}, not a commit", "", "name a commit") from error
        if named is not None:
            why = remotes.words(error.stderr) or f"the commit to which {ref or 'HEAD'} points cannot be read"
            raise Damaged(f"{name} cannot be read", why, plumbing.FSCK) from error
        raise unknown from error


def _named(place: RepositoryFolder, ref: str) -> str | None:
    """What a ref of the name leads to: `commit`, `tree`, `blob`, "" where that cannot be read; None when no ref is
    called that. git itself passes over a ref whose file holds no hash."""
    git_dir, common = place.git_dir, place.common_dir
    ref = head_name(git_dir) if ref == "HEAD" else ref
    if ref == "HEAD":
        name, known = ref, True  # It names a commit itself.
    elif HASH.fullmatch(ref):
        name, known = ref, _succeeds(git_dir, "cat-file", "-e", ref)
    else:
        name = full_name(git_dir, ref) or ""
        known = bool(name and plumbing.run(git_dir, "for-each-ref", "--format=%(objectname)", name))
    if not known:
        places = [name] if name else [f"{folder}/{ref}" for folder in LOCAL]
        return "" if any(_is_file(common / each) for each in places) else None
    try:
        return plumbing.run(git_dir, "cat-file", "-t", f"{name}^{{}}").decode().strip()
    except GitFailed:
        return ""


def short_ref_names(git_dir: Path) -> list[str]:
    """The short names of the branches and tags."""
    names = plumbing.run(git_dir, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags")
    return names.decode(errors="replace").split()


def _unknown(place: RepositoryFolder, name: str, ref: str | None) -> SourceError:
    known = short_ref_names(place.git_dir)
    if not known:
        return SourceError(
            f"{name} has no commits",
            "the repository has no commit yet",
            "commit the desired state, or use --work-tree",
        )
    if ref is None:
        head = head_name(place.git_dir)
        return SourceError(f"{name}: HEAD names {head}, which has no commits", "", f"choose a ref: {known[0]}")
    near = difflib.get_close_matches(ref, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"this repository has {', '.join(known[:8])}"
    return SourceError(f"{name} has no branch, tag or commit {ref!r}", "", hint)


def _succeeds(git_dir: Path, *args: str) -> bool:
    try:
        plumbing.run(git_dir, *args)
    except GitFailed:
        return False
    return True


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # Such as a name that is too long for one.
        return False
