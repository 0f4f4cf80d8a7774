"""What a person means by a ref: one commit, found where a branch goes before a tag of the same name."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import GitFailed, SourceError

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"(?P<name>.*?)(?P<rest>(?:[~^]|@\{).*)?", re.DOTALL)
_SETS = re.compile(r"\.\.|^\^|\^[@!-]")
"""`A..B`, `A...B`, `^A`, `A^@`, `A^!`, `A^-`: what git takes for a set of commits (gitrevisions(7))."""
LOCAL = ("refs/heads", "refs/tags")
"""Folders of refs that are of this repository itself."""
_PLACES = ("refs/heads/", "refs/remotes/", "refs/tags/", "refs/")
"""The places in which a name is searched. git itself tries tags first, so a pushed tag would replace a branch."""


def full_name(git_dir: Path, ref: str) -> str | None:
    """The ref that a name means, such as `refs/heads/main`; None for HEAD, a hash, and what no ref is called.

    Raises GitFailed, and SourceError for a set of commits.
    """
    refuse_sets(ref)
    if ref in ("", "HEAD", "@") or HASH.fullmatch(ref):
        return None
    if ref.startswith("refs/"):
        return ref
    wanted = [place + ref for place in _PLACES] + [f"refs/remotes/{ref}/HEAD"]
    try:
        found = set(
            plumbing.run(git_dir, "for-each-ref", "--format=%(refname)", *wanted).decode(errors="replace").split()
        )
    except ValueError:  # A NUL cannot be in an argument, nor in a ref.
        return None
    return next((name for name in wanted if name in found), None)


def commit_hash(git_dir: Path, ref: str) -> str:
    """The hash of the one commit that is meant. Raises GitFailed when there is none, SourceError for a set of them."""
    refuse_sets(ref)
    if not ref.strip() or "\0" in ref:
        raise GitFailed("the repository has no ref of this name")
    parts = _NAME.fullmatch(ref)
    name, rest = (parts["name"], parts["rest"] or "") if parts else (ref, "")
    meant = (full_name(git_dir, name) or name) + rest
    said = plumbing.run(git_dir, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{meant}^{{commit}}")
    return said.decode().strip()


def refuse_sets(ref: str) -> None:
    """Raise SourceError for a range, or any other set of commits: a desired state belongs to one commit."""
    if not _SETS.search(ref) or ref.startswith(":/"):
        return
    last = re.split(r"\.\.+", ref)[-1].lstrip("^") or "HEAD"
    last = re.sub(r"\^[@!-].*", "", last)
    raise SourceError(
        f"{ref!r} means a range of commits",
        "a desired state belongs to one commit",
        f"name one commit, such as --ref {last}; `groundstate history KIND/NAME` shows what changed between commits",
    )
