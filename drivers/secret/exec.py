"""Credentials from a command, such as a password manager's, that prints JSON."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from drivers.base import Credential, SecretUnavailable
from drivers.secret.credential_text import from_json

TIMEOUT = 10.0
"""Seconds that the command may take."""


class ExecSource:
    """Resolves `{"exec": [command, argument, ...]}`, run without a shell at each call.

    Neither arguments nor output are ever shown: both may hold what is to be kept secret.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout

    def resolve(self, reference: object) -> Credential:
        """See SecretSource."""
        name, output = self.output(reference)
        return from_json(output, f"the output of {name}")

    def output(self, reference: object) -> tuple[str, bytes]:
        """What the command is called in messages, and what it printed. Raises SecretUnavailable."""
        command = list(reference) if isinstance(reference, (list, tuple)) else []
        if not command or not all(isinstance(part, str) for part in command):
            raise SecretUnavailable("credentialRef.exec must be a list: a command and its arguments")
        name = f"credential command {command[0]}"
        return name, self._run(command, name)

    def _run(self, command: list[str], name: str) -> bytes:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise SecretUnavailable(f"{name} cannot be run: {error.strerror}") from None
        except ValueError:
            raise SecretUnavailable(f"{name} cannot be run: the command or an argument holds a NUL character") from None
        with process:
            try:
                output, _ = process.communicate(timeout=self._timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                raise SecretUnavailable(
                    f"{name} did not end within {self._timeout:g} s; the command must not wait for input"
                ) from None
            except BaseException:
                _end(process)
                raise
        if process.returncode != 0:
            raise SecretUnavailable(
                f"{name} failed with exit code {process.returncode}; run the command by hand to see why"
            )
        return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group: a child of the command that holds its output open would be waited for otherwise."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
