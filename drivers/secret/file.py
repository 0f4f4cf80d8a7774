"""Credentials in a file that not everyone may read: JSON, or `user:password` on the first line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from drivers.base import Credential, SecretUnavailable
from drivers.secret.credential_text import from_json, from_pair

LIMIT = 64 * 1024
"""Bytes; no credential is longer, and a wrong path may lead to a huge file."""


class FileSource:
    """Resolves `{"file": path}`. The file is read at each call, so a changed password needs no restart."""

    def resolve(self, reference: object) -> Credential:
        """See SecretSource."""
        if not isinstance(reference, str) or not reference:
            raise SecretUnavailable("credentialRef.file must be the path of a file")
        path = Path(reference).expanduser()
        name = f"credential file {path}"
        text = read_private_file(path, name)
        if text.lstrip().startswith(b"{"):
            return from_json(text, name)
        try:
            lines = text.decode().splitlines()
        except UnicodeDecodeError:
            raise SecretUnavailable(f"{name} is not UTF-8 text") from None
        return from_pair(lines[0] if lines else "", f"the first line of {name}")


def read_private_file(path: Path, name: str) -> bytes:
    """What is in a file that not everyone may read; `name` stands in messages. Raises SecretUnavailable."""
    try:
        # Without O_NONBLOCK a FIFO with no writer would hang the caller.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SecretUnavailable(f"{name} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        # Asked of the open file, not the path, so that it is the one that is read.
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise SecretUnavailable(f"{name} is not a regular file")
        # A group may read it: that is how Kubernetes hands a secret to a service.
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            permissions = f"{stat.S_IMODE(mode):04o}"
            raise SecretUnavailable(f"{name} can be read by other users (mode {permissions}); run: chmod 600 {path}")
        return file.read(LIMIT)
