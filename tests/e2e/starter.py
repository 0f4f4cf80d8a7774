"""Commands that start quickly: in a fork of a process that has loaded the libraries, and nothing of groundstate's own.

Each is a process with its own directory, environment, streams and exit code, as from a shell. What is saved is the
loading of libraries, which is half of a short command's time, and tests run a thousand of them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

LIBRARIES = ("alembic.command", "alembic.config", "alembic.context", "click", "filelock", "jmespath", "jsonschema_rs",
             "msgspec", "requests", "rich.console", "rich.live", "rich.table", "sqlalchemy.dialects.sqlite", "sushy",
             "urllib3", "yaml")  # fmt: skip


class Ended(NamedTuple):
    """A command that has ended: its exit code, negative for a signal, and what it wrote."""

    code: int
    out: str
    err: str


class Starter:
    """The process that is forked, for one command at a time."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
            )

    def run(
        self, program: Path, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str, timeout: float
    ) -> Ended:
        """Run the Python program to its end; after an error, which may be subprocess.TimeoutExpired, close this."""
        order = {"program": str(program), "arguments": arguments, "cwd": str(cwd), "env": dict(env)}
        with ExitStack() as stack:
            streams = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3)]
            streams[0].write(stdin)
            streams[0].seek(0)
            socket.send_fds(self._line, [json.dumps(order).encode()], [one.fileno() for one in streams])
            self._line.settimeout(timeout)
            try:
                code = int(self._line.recv(100))
            except TimeoutError:
                raise subprocess.TimeoutExpired([program, *arguments], timeout) from None
            for one in streams:
                one.seek(0)
            return Ended(code, streams[1].read(), streams[2].read())

    def close(self) -> None:
        """End it, and what it runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._line.close()


_idle: list[Starter] = []


def run(
    program: Path, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str, timeout: float
) -> Ended:
    """The same, by a starter that has no boot request."""
    try:
        one = _idle.pop()
    except IndexError:
        one = Starter()
        atexit.register(one.close)
    try:
        ended = one.run(program, arguments, cwd, env, stdin, timeout)
    except BaseException:
        one.close()
        raise
    _idle.append(one)
    return ended


def _serve(line: socket.socket) -> None:
    while True:
        said, streams, _, _ = socket.recv_fds(line, 1 << 20, 3)
        if not said:
            return
        pid = os.fork()
        if pid == 0:
            line.close()
            _become(json.loads(said), streams)
            return
        for stream in streams:
            os.close(stream)
        line.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _become(order: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    program = order["program"]
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.argv = [program, *order["arguments"]]
    sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
