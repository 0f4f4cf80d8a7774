"""The name of the actor, for the ledger."""

from __future__ import annotations

import getpass
import os

from reconciler import runtime


def operator(verb: str) -> str:
    """`ada@host (apply)`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{runtime.local_host_name()} ({verb})"
