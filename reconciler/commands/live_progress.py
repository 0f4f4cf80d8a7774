"""Progress of an apply: a line for each change, and on a terminal live rows of what is not done yet below them."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from drivers.base import clean
from reconciler.commands.terminal import on_terminal
from reconciler.views.progress import Progress, ProgressRow, ProgressStage

if TYPE_CHECKING:
    from rich.console import RenderableType

LINES = 24
_MARK = {
    ProgressStage.QUEUED: "·",
    ProgressStage.WORKING: "…",
    ProgressStage.DONE: "✓",
    ProgressStage.PAUSED: "‖",
    ProgressStage.HELD: "‖",
    ProgressStage.FAILED: "✗",
}
_COLOUR = {
    ProgressStage.QUEUED: "dim",
    ProgressStage.WORKING: "cyan",
    ProgressStage.DONE: "green",
    ProgressStage.PAUSED: "dim",
    ProgressStage.HELD: "yellow",
    ProgressStage.FAILED: "red",
}


class Board:
    """Shows rows as they change. One thread at a time calls `show`."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self._progress, self._stream = progress, stream
        self._live: Any = None

    def __enter__(self) -> Self:
        if on_terminal(self._stream):
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream)
            self._live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, row: ProgressRow | None) -> None:
        """A row changed. Each change is a line, which stays; on a terminal the live rows are below these lines."""
        if row is None:
            return
        if self._live is not None:
            self._live.console.print(_line(row))
        else:
            # Nobody listens any more; what was begun is finished all the same.
            with suppress(OSError):
                self._stream.write(clean(f"{row.key}: {row.text}") + "\n")
                self._stream.flush()

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        rows = sorted(self._progress.open, key=lambda row: (row.stage is not ProgressStage.WORKING, row.key))
        table = Table(box=None, show_header=False, pad_edge=False)
        for row in rows[:LINES]:
            colour = _COLOUR[row.stage]
            table.add_row(Text(_MARK[row.stage], colour), Text(str(row.key), "bold"), Text(clean(row.text), colour))
        every = len(self._progress.rows)
        table.add_row("", Text(f"{every - len(rows)} of {every} done", "dim"), "")
        return table


def _line(row: ProgressRow) -> RenderableType:
    from rich.text import Text

    colour = _COLOUR[row.stage]
    return Text.assemble((f"{_MARK[row.stage]}  ", colour), (str(row.key), "bold"), (f": {clean(row.text)}", colour))
