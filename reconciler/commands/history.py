"""`groundstate history`: who changed what in which commit, for one object, from git and the ledger."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click
import msgspec

from reconciler.commands.get import dump
from reconciler.commands.options import Where, complete_target, option, output_option, where_from, where_options
from reconciler.commands.workspace import fail, now, on_terminal, open_source, open_store, words
from reconciler.desired.history import Version
from reconciler.kinds import KINDS, find
from reconciler.model.event import Event
from reconciler.model.resource import ResourceKey
from reconciler.planning.documents import compare
from reconciler.planning.render.words import ansi, clean, moment, plain, value

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2629800, "year": 31557600}
_AGO = re.compile(rf"(\d+)\s+({'|'.join(_UNITS)})s?\s+ago")


class Entry(msgspec.Struct, frozen=True):
    """A line of the history: a commit that changed the document, or something that happened."""

    at: datetime
    version: Version | None = None
    event: Event | None = None


@click.command("history", short_help="Who changed what in which commit.")
@click.argument("target", metavar="KIND/NAME", shell_complete=complete_target)
@option("--at", metavar="TIME", help="The document as it was then: 2026-01-31, 2026-01-31T12:00Z, '2 days ago'.")
@option("--limit", "-n", default=50, type=click.IntRange(1, 100_000), help="How many entries, the newest.")
@option("--events/--no-events", default=True, help="With what happened to it, from the ledger.")
@where_options
@output_option("text", "json", "yaml", default="text")
def history_command(target: str, at: str | None, limit: int, events: bool, output: str, **values: Any) -> None:
    """Show each commit that changed the document, whatever file it stood in, and what was done about it, newest first.

    \b
    Examples:
      groundstate history machine/r12-01
      groundstate history network/shop --at 2026-01-31
      groundstate history machine/r12-01 --no-events -o json
    """
    key, where = _key(target), where_from(values)
    if where.work_tree:
        raise click.UsageError("history is read from commits; leave --work-tree out")
    with words():
        source = open_source(where)
        revision = source.snapshot().revision
        versions = source.history(revision, key)
        if at is not None:
            _show_at(key, _moment(at), versions, where, output)
            return
        listed = list(islice(versions, limit))
        told = _events(where, key, limit) if events else []
    entries = [Entry(one.commit.at, version=one) for one in listed] + [Entry(one.at, event=one) for one in told]
    if not entries:
        fail(f"{key} is in no commit of {revision.ref}, and nothing is told of it; check kind and name")
    # Stable, so that commits of one second keep git's order.
    entries.sort(key=lambda entry: entry.at, reverse=True)
    _print(entries[:limit], output)
    if source.history_ends() and len(listed) < limit:
        click.echo("note: this is a shallow clone; what came before is not here (git fetch --unshallow)", err=True)


def _key(target: str) -> ResourceKey:
    word, slash, name = target.partition("/")
    kind = find(word)
    if kind is None:
        fail(f"{word!r} is not a kind; kinds are {', '.join(one.plural for one in KINDS.values())}")
    if not slash or not name:
        fail(f"{target!r} names no object; write {kind.name.lower()}/NAME")
    return ResourceKey(kind.name, name)


def _events(where: Where, key: ResourceKey | None, limit: int) -> list[Event]:
    store = open_store(where, create=False)
    try:
        return [entry.event for entry in store.events(key, limit=limit, newest_first=True)]
    finally:
        store.close()


def _moment(text: str) -> datetime:
    """A day means its end: what was declared on that day. Exits for anything that is no time."""
    said = text.strip().lower()
    if match := _AGO.fullmatch(said):
        return now() - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if said in ("now", "yesterday"):
        return now() - timedelta(days=said == "yesterday")
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        fail(f"{text!r} is no time; write 2026-01-31, 2026-01-31T12:00:00Z, or '2 days ago'")
    if len(said) == 10:
        found += timedelta(days=1, microseconds=-1)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _show_at(key: ResourceKey, at: datetime, versions: Iterator[Version], where: Where, output: str) -> None:
    version = next((one for one in versions if one.commit.at <= at), None)
    if version is None:
        fail(f"{key} did not exist at {moment(at)}: no commit up to then declares it")
    if version.unreadable:
        fail(f"{key} cannot be told at {moment(at)}: {version.unreadable}, since commit {version.commit.short}")
    if version.after is None:
        who = f"commit {version.commit.short} by {version.commit.author} at {moment(version.commit.at.astimezone(UTC))}"
        fail(f"{key} did not exist at {moment(at)} any more: {who} removed it")
    if output == "json":
        click.echo(dump(version.after, "json"))
        return
    click.echo(f"# {clean(str(key))} at {moment(at.astimezone(UTC))}, {_where(version)}")
    if in_force := _in_force(where, at):
        click.echo(f"# in force then: {clean(in_force.message.partition(';')[0])}")
    click.echo(dump(version.after, "yaml"))


def _in_force(where: Where, at: datetime) -> Event | None:
    told = _events(where, None, 100_000)
    return next((one for one in told if one.reason == "RevisionApplied" and one.at <= at), None)


def _where(version: Version) -> str:
    commit = version.commit
    return f'as of commit {commit.short} {clean(commit.author)}: "{clean(commit.subject)}" in {clean(version.path)}'


def _verb(version: Version) -> str:
    if version.unreadable:
        return "unreadable"
    if version.before is None:
        return "created"
    if version.after is None:
        return "removed"
    return "moved" if version.moved_from and version.before == version.after else "changed"


def _print(entries: list[Entry], output: str) -> None:
    if output != "text":
        click.echo(dump([_form(entry) for entry in entries], output))
        return
    paint = ansi if on_terminal(sys.stdout) else plain
    for entry in entries:
        if entry.version is not None:
            commit = entry.version.commit
            head = f"{moment(entry.at.astimezone(UTC))}  commit {commit.short}  {clean(commit.author)}: "
            head += f'"{clean(commit.subject)}"'
            click.echo(f"{paint('bold', head)}  {_verb(entry.version)}", color=on_terminal(sys.stdout))
            click.echo("".join(f"    {line}\n" for line in _lines(entry.version)), nl=False)
        elif entry.event is not None:
            who = f"  [{clean(entry.event.by)}]" if entry.event.by else ""
            line = f"{moment(entry.at)}  {entry.event.reason}: {clean(entry.event.message)}{who}"
            click.echo(paint("dim", line), color=on_terminal(sys.stdout))


def _lines(version: Version) -> Iterator[str]:
    if version.moved_from:
        yield f"moved from {clean(version.moved_from)} to {clean(version.path)}"
    elif version.before is None or version.after is None:
        yield f"in {clean(version.path)}"
    if version.unreadable:
        yield clean(version.unreadable)
    elif version.before is not None and version.after is not None:
        for change in compare(version.before, version.after):
            yield f"{clean(change.path)}: {value(change.before)} -> {value(change.after)}"


def _form(entry: Entry) -> dict[str, Any]:
    if entry.version is None:
        return {"at": msgspec.to_builtins(entry.at), "event": msgspec.to_builtins(entry.event)}
    version = entry.version
    return {
        "at": msgspec.to_builtins(entry.at),
        "commit": msgspec.to_builtins(version.commit),
        "file": version.path,
        "change": _verb(version),
        "differences": msgspec.to_builtins(compare(version.before, version.after)),
    }
