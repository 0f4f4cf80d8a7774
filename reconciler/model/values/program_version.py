"""The version of the program that runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """Of the installed package; "unknown" where groundstate runs from its source tree and is not installed."""
    try:
        return version("groundstate")
    except PackageNotFoundError:
        return "unknown"
