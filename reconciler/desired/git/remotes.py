"""What a remote, or ssh on the way to it, says when it cannot be had: its own words, without git's page of advice."""

from __future__ import annotations

import os
import re

from reconciler.desired.git.plumbing import SourceUnavailable

_ADVICE = re.compile(
    r"hint:|@{5}|Please make sure you have the correct access|and the repository exists|"
    r"fatal: Could not read from remote|$"
)
_ELSEWHERE = re.compile(
    r"(?i)RPC failed|unexpected disconnect|hung up|early EOF|unable to access|could not resolve|timed out|broken pipe|"
    r"operation too slow|connection (reset|closed|refused)|remote: (fatal|error)|remote error|possible repository "
    r"corruption on the remote|fsck error|no space left|quota exceeded|read-only file system|permission denied"
)
_SHOWN = 8


def unavailable(name: str, stderr: str) -> SourceUnavailable:
    """The remote `name` does not give what was asked for; `stderr` is git's, and ends up in it with a hint."""
    why = words(stderr)
    if "Host key verification failed" in stderr or "HOST IDENTIFICATION HAS CHANGED" in stderr:
        hint = (
            "compare the key of the host with the key that its administrator gives you, and add the key to known_hosts"
        )
        return SourceUnavailable(f"{name} cannot be fetched", why, hint)
    if "certificate" in stderr:
        # Which goes before the setting.
        given = os.environ.get("GIT_SSL_CAINFO")
        hint = (
            f"add the CA of the server to {given}"
            if given
            else "trust the CA of the server: git config http.sslCAInfo FILE"
        )
        return SourceUnavailable(f"{name} cannot be fetched", why, hint)
    if "dubious ownership" in stderr:
        folder = re.search(r"safe\.directory (\S+)", stderr)
        hint = (
            f"if you trust the folder, run: git config --global --add safe.directory {folder[1] if folder else 'DIR'}"
        )
        return SourceUnavailable(f"{name} cannot be fetched", why, hint)
    if "could not read Username" in stderr or "Authentication failed" in stderr or "Permission denied" in stderr:
        return SourceUnavailable(f"{name} asks for a login", why, "give git a credential helper or an SSH key")
    return SourceUnavailable(f"{name} cannot be fetched", why, "check the address and the network")


def silent_remote(name: str, error: SourceUnavailable) -> SourceUnavailable:
    """The remote `name` says nothing any more; what it, or ssh, said before is kept."""
    said = "; ".join(part for part in (error.what, words(error.why)) if part)
    return SourceUnavailable(f"{name} cannot be reached", said, error.hint)


def words(stderr: str) -> str:
    """The last lines that say what is wrong, in one."""
    lines = [" ".join(line.split()) for line in stderr.splitlines()]
    return "; ".join([line for line in lines if not _ADVICE.match(line)][-_SHOWN:] or lines[:3])


def is_elsewhere(stderr: str) -> bool:
    """Whether a fetch failed by the network, the remote or the disk, and not by what is stored of the remote here."""
    return bool(_ELSEWHERE.search(stderr))
