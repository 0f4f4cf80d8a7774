"""The options of the boot service of `groundstate run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from reconciler.commands.options import option
from reconciler.operations.serving.serve_boot import BootOptions

F = TypeVar("F", bound=Callable[..., Any])
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def boot_options(command: F) -> F:
    """--boot-address and what belongs to it."""
    for decorate in reversed(
        (
            option(
                "--boot-address",
                metavar="ADDRESS",
                help=("Run the boot service, which machines reach at this address."),
            ),
            option(
                "--boot-listen",
                metavar="ADDRESS",
                help="Listen only on this address.  [default: --boot-address if this host has that address, else all]",
            ),
            option(
                "--boot-image",
                type=_FOLDER,
                metavar="DIR",
                help=("Directory with the agent's vmlinuz and initrd, made by `groundstate boot image`."),
            ),
            option(
                "--boot-files",
                type=_FOLDER,
                metavar="DIR",
                help="Directory with files to serve, named by their SHA-256.  [default: beside the store]",
            ),
            option(
                "--boot-port",
                default=9809,
                type=click.IntRange(0, 65535),
                help=("Port for scripts and files, over plain HTTP."),
            ),
            option(
                "--boot-agent-port",
                default=9810,
                type=click.IntRange(0, 65535),
                help=("Port for the API of the agent, over HTTPS."),
            ),
            option(
                "--boot-cert",
                type=_FILE,
                metavar="FILE",
                help="Certificate of the boot service (PEM). By default groundstate makes a certificate.",
            ),
            option("--boot-key", type=_FILE, metavar="FILE", help="The key of --boot-cert (PEM)."),
            option("--boot-loaders", type=_FOLDER, metavar="DIR", help="Directory with ipxe.efi and undionly.kpxe."),
        )
    ):
        command = decorate(command)
    return command


def boot_from(values: dict[str, Any]) -> BootOptions:
    """Take the boot options out of a command's values."""
    names = ("address", "listen", "image", "files", "port", "agent_port", "cert", "key", "loaders")
    return BootOptions(**{name: values.pop(f"boot_{name}") for name in names})
