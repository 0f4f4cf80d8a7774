"""The proposing of found machines by `groundstate run`: its options, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from reconciler.commands.options import option
from reconciler.commands.output import FOLDER
from reconciler.commands.workspace import fail
from reconciler.daemon.proposals import Schedule
from reconciler.daemon.service import Propose
from reconciler.desired.git.proposal_branch import ProposalBranch
from reconciler.desired.git.repository import Repository
from reconciler.desired.git.source import DesiredSource
from reconciler.onboarding.discovery import HTTPS
from reconciler.operations.where import Where

F = TypeVar("F", bound=Callable[..., Any])


class ProposeOptions(msgspec.Struct, frozen=True):
    """How it is asked for; no branch: it is not."""

    branch: str | None = None
    interval: float = 3600.0
    port: int = HTTPS


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


def proposal(options: ProposeOptions, source: DesiredSource, where: Where) -> Propose | None:
    """What the daemon is to propose, if it was asked to. Exits with words where that cannot be; raises SourceError."""
    if options.branch is None:
        return None
    if not isinstance(source, Repository):
        fail("--propose-branch needs commits to start from; leave --work-tree out")
    if where.ref.removeprefix("refs/heads/") == options.branch:
        fail(f"--propose-branch {options.branch}: that branch is the one that is followed; name another")
    schedule = Schedule(every=options.interval, port=options.port)
    return Propose(ProposalBranch(source, options.branch, FOLDER), schedule)
