"""`groundstate history`: who changed what in which commit, for one object, from git and the ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.completion import complete_target
from reconciler.commands.options import option, output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.workspace import exit_in_words, fail, on_terminal, open_desired_source, open_store
from reconciler.kinds import KINDS, find_kind
from reconciler.model.event import Event, EventReason
from reconciler.model.resource import Commit, ResourceKey, Revision
from reconciler.operations.where import Where
from reconciler.views.render.change_history import (
    Edit,
    Entry,
    What,
    entry_form,
    interleaved,
    masked_value,
    render_history,
)
from reconciler.views.render.words import ansi, author, clean, moment, unpainted
from reconciler.views.render.words import commit as commit_in_words

if TYPE_CHECKING:
    from reconciler.desired.git.revisions import Moment
    from reconciler.desired.git.source import DesiredSource

_MANY = 100_000


@click.command("history", short_help="Show which commit changed a resource, by whom.")
@click.argument("target", nargs=-1, required=True, metavar="KIND/NAME", shell_complete=complete_target)
@option("--at", metavar="TIME", help="The document as it was then: 2026-01-31, '2 days ago', or a commit or branch.")
@option("--since", metavar="TIME", help="Only what is not older: 2026-01-31, '2 days ago', or a commit.")
@option("--limit", "-n", default=50, type=click.IntRange(1, _MANY), help="How many entries, the newest.")
@option("--events/--no-events", default=True, help="With what happened to it, from the ledger.")
@where_options
@output_option("text", "json", "yaml", default="text")
def history_command(
    target: tuple[str, ...],
    at: str | None,
    since: str | None,
    limit: int,
    events: bool,
    output: str,
    **values: Any,
) -> None:
    """Show each commit that changed the document, whatever file it stood in, and what was done about it, newest first.

    Edits of other documents in the same file, comments and the order of keys are no changes of it. What is gone can be
    asked for too. Times are when a commit was made, in UTC; of a day, --at means its end and --since its begin.

    \b
    Examples:
      groundstate history machine/r12-01
      groundstate history machine/r12-01 --since '2 weeks ago'
      groundstate history network/shop --at 2026-01-31
      groundstate history machine/r12-01 --no-events -o json
    """
    key, where = _key(target), where_from(values)
    if where.work_tree:
        raise click.UsageError("history is read from commits; leave --work-tree out")
    with exit_in_words():
        source = open_desired_source(where)
        revision = source.snapshot().revision
        if at is not None:
            _show_at(key, source, source.moment(revision, at), where, output)
            return
        begin = source.moment(revision, since).at if since else None
        told = _events(where, key, limit) if events else []
        entries = interleaved(source.history(revision, key).edits(), told)
        wanted = takewhile(lambda one: begin is None or one.at >= begin, entries)
        shown = list(islice(wanted, limit))
        if not shown and begin is None:
            fail(f"{key} is in no commit of {revision.ref}, and has no events; check kind and name")
    _print(shown, output)


def _key(target: tuple[str, ...]) -> ResourceKey:
    """`machine/r1` or `machine r1`."""
    said = "/".join(target)
    word, slash, name = said.partition("/")
    kind = find_kind(word)
    if kind is None:
        fail(f"{word!r} is not a kind; kinds are {', '.join(one.plural for one in KINDS.values())}")
    if not slash or not name or "/" in name:
        fail(f"{' '.join(target)!r} names no object; write {kind.name.lower()}/NAME")
    return ResourceKey(kind.name, name)


def _events(where: Where, key: ResourceKey, limit: int) -> list[Event]:
    store = open_store(where)
    try:
        return [entry.event for entry in store.events(key, limit=limit, newest_first=True)]
    finally:
        store.close()


def _print(entries: Iterable[Entry], output: str) -> None:
    if output != "text":
        click.echo(dump([entry_form(entry) for entry in entries], output))
        return
    color = on_terminal(sys.stdout)
    for line in render_history(entries, ansi if color else unpainted):
        click.echo(line, color=color)


def _show_at(key: ResourceKey, source: DesiredSource, asked: Moment, where: Where, output: str) -> None:
    """The document as it was, as YAML that can be committed again: all that is said about it stands in comments."""
    when = f"in commit {commit_in_words(asked.commit)}" if asked.commit and asked.named else f"at {moment(asked.until)}"
    if asked.commit is None:
        fail(f"{key} did not exist {when}: there was no commit yet")
    then = source.history(Revision(asked.commit.sha, where.ref, source.location, asked.commit), key)
    found, last = then.at(), next(then.edits(), None)
    if found is None or last is None:
        fail(_missing(key, when, last))
    if found.version.value is None:
        fail(f"{key} cannot be told {when}: {found.file}: {clean(found.version.fault)}")
    if output == "json":
        click.echo(dump(masked_value(found.version.value), "json"))
        return
    click.echo(f"# {clean(str(key))} {when}, as of commit {commit_in_words(last.commit)} in {clean(found.file)}")
    for line in _in_force(where, asked, asked.commit):
        click.echo(f"# {clean(line)}")
    click.echo(dump(masked_value(found.version.value), "yaml"))


def _missing(key: ResourceKey, when: str, last: Edit | None) -> str:
    if last is None or last.what is not What.REMOVED:
        return f"{key} did not exist {when}: no commit up to then declares it"
    who = f"commit {last.commit.short} ({author(last.commit)}) at {moment(last.committed.astimezone(UTC))}"
    return f"{key} did not exist {when} any more: {who} removed it"


def _in_force(where: Where, asked: Moment, commit: Commit) -> Iterable[str]:
    """What the ledger says of the time, or of when the commit that was named took force."""
    store = open_store(where)
    try:
        until = None if asked.named else asked.until
        told = [one.event for one in store.events(of_fleet=True, until=until, limit=_MANY, newest_first=True)]
    finally:
        store.close()
    applied = [one for one in told if one.reason == EventReason.REVISION_APPLIED]
    if asked.named:
        times = [one.at for one in applied if one.revision == commit.sha]
        yield from [f"in force since {moment(times[-1])}"] if times else []
    elif applied:
        yield f"in force then: {applied[0].message.partition(';')[0]}, since {moment(applied[0].at)}"
