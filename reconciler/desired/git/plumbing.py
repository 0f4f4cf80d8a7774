"""The git program, run so that nothing on the way can ask, write, or run what a repository names.

To read, no libgit and no GitPython. `ls-tree` and `cat-file --batch` are as fast as either, ask for sizes before
contents, and need no import. (GitPython alone costs a quarter of what a warm plan may take.)"""

from __future__ import annotations

import atexit
import os
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit, urlunsplit

from reconciler import runtime
from reconciler.model.values.redact import redacted

PROTOCOLS = "file:https:ssh"
"""ext:: and fd:: run commands; http and git prove neither who answers nor that nothing was changed on the way. git
itself refuses what is not named here."""

SILENCE = 60.0
"""Seconds without progress after which a remote is given up."""
_PATIENCE = 3.0
"""Seconds that git has to clean up after SIGTERM."""
_PROGRESS = re.compile(r"(remote: )?[A-Z][a-z]+ing [a-z -]+: +\d+|remote: Total \d|remote: Enumerating|From |To ")
INHERITED = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_EXTERNAL_DIFF", "GIT_REPLACE_REF_BASE"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
)
_CONFIG = (
    *("core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false", "core.quotePath=false"),
    "push.gpgSign=false",  # Nobody is there to unlock the key.
    # What a person likes to see is not what a program reads.
    *("color.ui=false", "color.grep=false", "color.status=false", "log.follow=false", "diff.orderFile=/dev/null"),
)


class SourceError(Exception):
    """Desired state cannot be had: `what`, `why` and `hint` (what to do), each for people and without credentials."""

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = redacted(what), redacted(why), hint
        super().__init__("; ".join(part for part in (self.what, self.why, hint) if part))


class SourceUnavailable(SourceError):
    """A remote did not answer, or refused: come back later. What was read before stays good."""


class Damaged(SourceError):
    """What is stored of the repository here cannot be read: a mirror is created again; any other repository belongs to
    a person."""


FSCK = "run `git fsck` in the repository; fetch objects that are missing, or clone the repository again"
"""How to proceed when objects of a repository cannot be read."""


class GitFailed(SourceError):
    """git ended with an error; `stderr` is what it said, without credentials."""

    def __init__(self, stderr: str) -> None:
        super().__init__("git failed", stderr)
        self.stderr = stderr


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """A URL without its password, and the environment that hands user and password to git.

    They are passed by a credential helper, because every user of the host can read a URL in an argument list.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.username is None:
        return url, {}
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    helper = '!f() { echo "username=$GROUNDSTATE_GIT_USERNAME"; echo "password=$GROUNDSTATE_GIT_PASSWORD"; }; f'
    return bare, configured([("credential.helper", helper)]) | {
        "GROUNDSTATE_GIT_USERNAME": unquote(parts.username),
        "GROUNDSTATE_GIT_PASSWORD": unquote(parts.password or ""),
    }


def passwords_in(url: str) -> tuple[str, ...]:
    """The secret part of a URL: the password, or a user without a password, who may be a token (`git` is none)."""
    user, colon, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    return (password,) if colon else (user,) if user != "git" else ()


def environment(extra: Mapping[str, str] | None = None, git_dir: Path | None = None) -> dict[str, str]:
    """The process's environment without what a calling git left in it, and with no way to ask a person.

    In a hook, what is being pushed to the repository `git_dir` is seen in its quarantine (git-receive-pack(1)).
    """
    kept = {name: value for name, value in os.environ.items() if name not in INHERITED}
    if git_dir is not None and _quarantined(git_dir):
        kept["GIT_OBJECT_DIRECTORY"] = os.environ["GIT_OBJECT_DIRECTORY"]
    kept |= {
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        # Parents that a person reported this clone of are not the commits' own (gitrepository-layout(5), grafts).
        "GIT_GRAFT_FILE": f"{os.devnull}/none",
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


def _quarantined(git_dir: Path) -> bool:
    quarantine = os.environ.get("GIT_QUARANTINE_PATH")
    if not quarantine or "GIT_OBJECT_DIRECTORY" not in os.environ:
        return False
    try:
        return Path(quarantine).resolve().is_relative_to(git_dir.resolve())
    except OSError:
        return False


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
    with _started(_command(git_dir, args, discover), environment(extra, git_dir), stdin is not None) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            said = without_progress((error.stderr or b"").decode(errors="replace"))
            what = f"git {_verb(args)} did not finish within {timeout:.0f} s"
            raise SourceUnavailable(what, said, "check the network") from error
    if process.returncode:
        raise GitFailed(redacted(stderr.decode(errors="replace").strip()))
    return stdout


def transfer(git_dir: Path, *args: str, extra: Mapping[str, str] | None = None, silence: float | None = None) -> None:
    """Run a `fetch` or `push`, which may take as long as it likes while it makes progress.

    After `silence` seconds without a word of progress it is ended, with all that it started. Raises GitFailed,
    SourceUnavailable, SourceError when there is no git.
    """
    allowed = SILENCE if silence is None else silence
    verb = _verb(args)
    with _started(_command(git_dir, args), environment(extra), False) as process:
        heard, ended = _listen(cast("IO[bytes]", process.stderr), allowed)
        said = without_progress(heard.decode(errors="replace"))
        if not ended:
            raise SourceUnavailable(f"git {verb} made no progress for {allowed:.0f} s", said, "check the network")
        process.wait()
    if process.returncode:
        raise GitFailed(redacted(said))


def _verb(args: Sequence[str]) -> str:
    return next((word for word in args if word in ("fetch", "push", "ls-remote")), args[0])


def _listen(stderr: IO[bytes], silence: float) -> tuple[bytes, bool]:
    """The output, at most the last 64 KiB, and whether it is complete: False if there was no output for too long."""
    said = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stderr, selectors.EVENT_READ)
        while selector.select(silence):
            chunk = os.read(stderr.fileno(), 1 << 16)
            if not chunk:
                return bytes(said), True
            said += chunk
            del said[: -(1 << 16)]
    return bytes(said), False


def without_progress(said: str) -> str:
    """git's words without the counts that it writes over each other."""
    lines = [line.rstrip().rpartition("\r")[2].strip() for line in said.split("\n")]
    return "\n".join(line for line in lines if line and not _PROGRESS.match(line))


_RUNNING: set[subprocess.Popen[bytes]] = set()


@contextmanager
def _started(
    command: list[str], env: dict[str, str], fed: bool, stdin: IO[bytes] | int | None = None, bufsize: int = -1
) -> Iterator[subprocess.Popen[bytes]]:
    """git in a process group of its own, of which nothing is left when the block ends. Raises SourceError."""
    source = stdin if stdin is not None else subprocess.PIPE if fed else subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            bufsize=bufsize,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise _no_git() from error
    _RUNNING.add(process)
    try:
        yield process
    finally:
        end_process(process)
        _RUNNING.discard(process)


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End git and its children (git-remote-https, ssh, index-pack): asked first, so that they clean up; then killed."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        _signal(process, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@atexit.register
def end_all() -> None:
    """End every git that is still at work, such as a fetch that a thread waits for while the process ends."""
    for process in list(_RUNNING):
        _signal(process, signal.SIGTERM)


def without_filters(folder: Path) -> dict[str, str]:
    """The environment in which git runs no clean filter, whatever the configuration that it finds from `folder` names.

    A filter is a command, and a repository's own configuration is not its owner's word. The names are handed over by
    the environment, as `-c` cuts a name at its first `=`. Raises GitFailed, SourceUnavailable, SourceError.
    """
    try:
        said = run(folder, "config", "--includes", "-z", "--name-only", "--get-regexp", r"^filter\.", discover=True)
    except GitFailed as error:
        if error.stderr:
            raise
        return {}  # No filter is named anywhere: git leaves with 1 and no word.
    # Without its variable: `filter.lfs.clean` is of the filter lfs.
    filters = sorted({name.rpartition(b".")[0] for name in said.split(b"\0") if name})
    return configured(
        (f"{os.fsdecode(name)}.{variable}", value)
        for name in filters
        for variable, value in (("clean", ""), ("process", ""), ("required", "false"))
    )


def configured(settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Settings of git by the environment, after those that the process's own environment holds already."""
    before = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(before) if before.isdecimal() else 0
    made: dict[str, str] = {}
    count = first
    for count, (name, value) in enumerate(settings, first + 1):
        made |= {f"GIT_CONFIG_KEY_{count - 1}": name, f"GIT_CONFIG_VALUE_{count - 1}": value}
    return made | ({"GIT_CONFIG_COUNT": str(count)} if made else {})


@contextmanager
def stream(
    git_dir: Path, *args: str, stdin: IO[bytes] | int = subprocess.DEVNULL, timeout: float = 120.0
) -> Iterator[IO[bytes]]:
    """git's output as it comes. It is ended when the block ends, or after `timeout` seconds; raises GitFailed if git
    failed before that."""
    with _started(_command(git_dir, args), environment(None, git_dir), False, stdin, 1 << 18) as process:
        timer = runtime.timer(timeout, partial(_signal, process, signal.SIGKILL))
        try:
            output = cast("IO[bytes]", process.stdout)
            yield output
            finished = not output.read(1)
            if not finished:
                _signal(process, signal.SIGKILL)
            _, stderr = process.communicate()
            if finished and process.returncode:
                raise GitFailed(redacted(stderr.decode(errors="replace").strip()) or "git was stopped")
        finally:
            timer.cancel()
            if process.poll() is None:
                _signal(process, signal.SIGKILL)


def _command(git_dir: Path, args: Sequence[str], discover: bool = False) -> list[str]:
    options = [word for setting in _CONFIG for word in ("-c", setting)]
    # Told outright, a bare repository is used also where safe.bareRepository forbids to come upon one.
    where = ["-C", str(git_dir)] if discover else ["--git-dir", str(git_dir)]
    return ["git", *where, *options, *args]


def _no_git() -> SourceError:
    hint = "install git" if shutil.which("git") is None else "check PATH and the folder of the repository"
    return SourceError("git cannot be run", hint=hint)
