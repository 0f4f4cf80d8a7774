"""The options by which `groundstate run` proposes found machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from reconciler.commands.options import option
from reconciler.onboarding.discovery import HTTPS
from reconciler.operations.serving.run_daemon import ProposeOptions

F = TypeVar("F", bound=Callable[..., Any])


def propose_options(command: F) -> F:
    """--propose-branch and what belongs to it."""
    for decorate in reversed(
        (
            option(
                "--propose-branch",
                metavar="NAME",
                help="Scan the partitions' bmcNetworks for BMCs; push undeclared machines to this branch.",
            ),
            option(
                "--propose-interval",
                default=3600.0,
                type=click.FloatRange(1),
                help="Seconds between two scans of the bmcNetworks.",
            ),
            option("--propose-port", default=HTTPS, type=click.IntRange(1, 65535), help="TCP port of the BMCs."),
        )
    ):
        command = decorate(command)
    return command


def propose_from(values: dict[str, Any]) -> ProposeOptions:
    """Take the options out of a command's values."""
    return ProposeOptions(**{name: values.pop(f"propose_{name}") for name in ("branch", "interval", "port")})
