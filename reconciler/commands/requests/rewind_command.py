"""`groundstate rewind`: say that a revision which does not follow the one in force is meant."""

from __future__ import annotations

from typing import Any

import click

from reconciler.commands.options import where_from, where_options
from reconciler.commands.terminal import exit_in_words
from reconciler.operations.requests.rewind_revision import allow_rewind


@click.command("rewind", short_help="Accept a branch that was reset by a forced push.")
@click.argument("sha", metavar="SHA")
@click.option("--reason", default="", metavar="WHY", help="The reason, which is recorded in the ledger.")
@where_options
def rewind_command(sha: str, reason: str, **values: Any) -> None:
    """Allow the commit SHA to come into force, although it is not a descendant of the revision in force.

    Use this command after an intended reset of the branch (a forced push). The permission is valid for one change from
    that revision, and for 24 hours. The daemon uses the permission at its next fetch.

    Exit codes: 0 done, 1 refused; the message says why.

    \b
    Examples:
      groundstate rewind 3f2a91c0de --reason "the last two commits were a mistake, INC-7"
    """
    where = where_from(values)
    with exit_in_words():
        allowed = allow_rewind(where, sha, reason)
    click.echo(allowed.said)
