"""The clock, chance and the name of whoever acts."""

from __future__ import annotations

import getpass
import os
import random
import socket
from datetime import UTC, datetime

RANDOM = random.SystemRandom()


def now() -> datetime:
    """The one clock of the program."""
    return datetime.now(UTC)


def operator(verb: str) -> str:
    """Who acts, for the ledger: `ada@host (apply)`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} ({verb})"
