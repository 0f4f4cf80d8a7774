"""The git program, run so that nothing on the way can ask, write, or run what a repository names.

No libgit and no GitPython: `ls-tree` and `cat-file --batch` are as fast as either, ask for sizes before contents, and
need no import (GitPython alone costs a quarter of what a warm plan may take).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit, urlunsplit

from reconciler.model.redact import redacted

PROTOCOLS = "file:git:https:ssh"
"""ext:: and fd:: run commands, http is readable on the way; git itself refuses what is not named here."""

_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
_CONFIG = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false", "core.quotePath=false")


class SourceError(Exception):
    """Desired state cannot be had: `what`, `why` and `hint` (what to do), each for people and without credentials."""

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = redacted(what), redacted(why), hint
        super().__init__("; ".join(part for part in (self.what, self.why, hint) if part))


class SourceUnavailable(SourceError):
    """A remote did not answer, or refused: come back later. What was read before stays good."""


class GitFailed(Exception):
    """git ended with an error; `stderr` is what it said, without credentials."""

    def __init__(self, stderr: str) -> None:
        super().__init__(stderr)
        self.stderr = stderr


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """A URL without its password, and the environment that hands user and password to git.

    They go by a credential helper, as a URL in an argument list can be read by every user of the host.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.username is None:
        return url, {}
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    helper = '!f() { echo "username=$GROUNDSTATE_GIT_USERNAME"; echo "password=$GROUNDSTATE_GIT_PASSWORD"; }; f'
    return bare, {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": helper,
        "GROUNDSTATE_GIT_USERNAME": unquote(parts.username),
        "GROUNDSTATE_GIT_PASSWORD": unquote(parts.password or ""),
    }


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process's environment without what a calling git left in it, and with no way to ask a person."""
    kept = {name: value for name, value in os.environ.items() if name not in _INHERITED}
    kept |= {
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        # By the environment, as GIT_SSH_COMMAND would put aside what the user's own settings say of ssh.
        "SSH_ASKPASS": "false",
        "SSH_ASKPASS_REQUIRE": "force",
    }
    return kept | dict(extra or {})


def run(
    git_dir: Path,
    *args: str,
    timeout: float = 60.0,
    extra: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    discover: bool = False,
) -> bytes:
    """What git prints. `discover`: `git_dir` is any folder, and git looks around it for a repository that it trusts.

    Raises GitFailed, SourceUnavailable when it takes too long, SourceError when there is no git."""
    try:
        done = subprocess.run(
            _command(git_dir, args, discover),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            env=environment(extra),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(f"git {args[0]} did not finish in {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise _no_git() from error
    if done.returncode:
        raise GitFailed(redacted(done.stderr.decode(errors="replace").strip()))
    return done.stdout


@contextmanager
def stream(
    git_dir: Path, *args: str, stdin: IO[bytes] | int = subprocess.DEVNULL, timeout: float = 120.0
) -> Iterator[IO[bytes]]:
    """git's output as it comes. It is ended when the block ends, or after `timeout` seconds; raises GitFailed when git
    failed by itself before that."""
    try:
        process = subprocess.Popen(
            _command(git_dir, args),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            bufsize=1 << 18,
        )
    except FileNotFoundError as error:
        raise _no_git() from error
    timer = threading.Timer(timeout, process.kill)
    timer.daemon = True
    timer.start()
    try:
        output = cast(IO[bytes], process.stdout)
        yield output
        finished = not output.read(1)
        if not finished:
            process.kill()
        _, stderr = process.communicate()
        if finished and process.returncode:
            raise GitFailed(redacted(stderr.decode(errors="replace").strip()) or "git was stopped")
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def _command(git_dir: Path, args: Sequence[str], discover: bool = False) -> list[str]:
    options = [word for setting in _CONFIG for word in ("-c", setting)]
    # Told outright, a bare repository is used also where safe.bareRepository forbids to come upon one.
    where = ["-C", str(git_dir)] if discover else ["--git-dir", str(git_dir)]
    return ["git", *where, *options, *args]


def _no_git() -> SourceError:
    hint = "install git" if shutil.which("git") is None else "look at PATH and the repository's folder"
    return SourceError("git cannot be run", hint=hint)
