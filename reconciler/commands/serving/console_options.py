"""The options of the console service of `groundstate run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from reconciler.commands.options import option
from reconciler.operations.serving.serve_consoles import ConsoleOptions

F = TypeVar("F", bound=Callable[..., Any])


def console_options(command: F) -> F:
    """--console-listen and what belongs to it."""
    for decorate in reversed(
        (
            option(
                "--console-listen",
                metavar="HOST:PORT",
                help="Serve the serial consoles of machines over SSH at this address.",
            ),
            option(
                "--console-host-key",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="Host key of the console service. A missing file is created.  [default: beside the store]",
            ),
            option(
                "--console-idle",
                default=7200.0,
                type=click.FloatRange(60),
                metavar="SECONDS",
                help="End a console session in which nothing was typed for so long.",
            ),
        )
    ):
        command = decorate(command)
    return command


def console_from(values: dict[str, Any]) -> ConsoleOptions:
    """Take the console options out of a command's values."""
    return ConsoleOptions(**{name: values.pop(f"console_{name}") for name in ("listen", "host_key", "idle")})
