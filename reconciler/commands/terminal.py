"""What commands say beside their output: errors, notes, and the exit code that goes with an error."""

from __future__ import annotations

import errno
import gc
import os
import select
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

import click

from drivers.base import printable_lines
from reconciler import runtime
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.values.redact import redacted
from reconciler.operations.operation_error import FailureReason, OperationError, operation_error
from reconciler.views.render.folding import folded

_COLLECTIONS = 100
"""Of younger garbage before one of all; Python's own number is 10."""

EXIT_ERROR = 1
"""Of every failure; 2 and 3 say what a plan has found."""
EXIT_TAKEN_OVER = 75
"""Another process has taken over the store: whatever starts this one may start it again (EX_TEMPFAIL of sysexits)."""


def relax_garbage_collection(new_objects: int | None = None) -> None:
    """For commands that run for hours: collect garbage, but leave out permanent objects.

    Old objects are checked less often. With 10,000 machines that stops every thread for half a second. `new_objects`:
    how many come before the youngest ones are checked; None: Python's own number."""
    gc.freeze()
    gc.enable()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(new_objects or young, middle, _COLLECTIONS)


def on_terminal(stream: object) -> bool:
    """Whether colour and live lines make sense there (NO_COLOR, no-color.org)."""
    isatty: Callable[[], bool] = getattr(stream, "isatty", lambda: False)
    return isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def wait_while_read(seconds: float) -> None:
    """Sleep. Raises BrokenPipeError as soon as the reader of stdout is gone: `get -w | head` ends then, and not at the
    next change."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # That the reader is gone is reported without being asked for.
    except (OSError, ValueError):
        runtime.sleep(seconds)  # It is no file.
        return
    if poll.poll(seconds * 1000):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def fitting(text: str, stream: TextIO, indent: int = 2) -> str:
    """The text, with lines that the terminal would break within a word broken between words."""
    return folded(text, shutil.get_terminal_size().columns, indent) if stream.isatty() else text


def fail(message: str) -> NoReturn:
    """Say it on stderr and leave with 1."""
    _say_error(message)
    raise click.exceptions.Exit(EXIT_ERROR)


def say_notes(notes: Iterable[str]) -> None:
    """What an operation noted, on stderr; once, however many operations of the command noted it."""
    for text in notes:
        if text not in _said:
            _said.add(text)
            click.echo(fitting(f"note: {text}", sys.stderr), err=True)


_said: set[str] = set()


@contextmanager
def exit_in_words() -> Iterator[None]:
    """Turn the errors that a person can do something about into words and exit code 1."""
    try:
        yield
    except Exception as error:
        failed = operation_error(error)
        if failed is None:
            raise
        _say_failure(failed)
        code = EXIT_TAKEN_OVER if failed.reason is FailureReason.TAKEN_OVER else EXIT_ERROR
        raise click.exceptions.Exit(code) from error


def _say_failure(failed: OperationError) -> None:
    say_notes(failed.notes)
    match failed.reason:
        case FailureReason.INVALID:
            _say_diagnostics(failed)
        case FailureReason.NOT_ADMITTED:
            _say_refusals(failed.diagnostics)
        case _:
            _say_error(str(failed))
    say_notes(failed.afterwards)


def _say_error(message: str) -> None:
    said = fitting(f"error: {printable_lines(redacted(message))}", sys.stderr)
    click.secho(said, fg="red", err=True, color=on_terminal(sys.stderr))


def _say_diagnostics(failed: OperationError) -> None:
    from reconciler.desired.report import render_diagnostics

    color = on_terminal(sys.stderr)
    text = render_diagnostics("text", failed.diagnostics, files=failed.files, color=color)
    click.echo(text.rstrip("\n"), err=True, color=True)


def _say_refusals(diagnostics: Iterable[Diagnostic]) -> None:
    for one in diagnostics:
        said = "; ".join(part for part in (f"{one.code}: {one.summary}", one.detail, one.hint) if part)
        click.echo(f"{one.source}: {said}" if one.source else said, err=True)
