"""The rows of a run are shown in order, and no thread waits for the row of another one."""

from __future__ import annotations

import threading

from reconciler.model.resource import ResourceKey
from reconciler.operations.apply_plan import ProgressReports
from reconciler.views.progress import ProgressRow, ProgressStage


def row(number: int) -> ProgressRow:
    return ProgressRow(ResourceKey("Machine", f"m{number}"), ProgressStage.WORKING, f"row {number}")


def test_a_row_that_takes_long_to_show_holds_up_no_other_thread() -> None:
    shown: list[ProgressRow] = []
    is_shown, may_end = threading.Event(), threading.Event()

    def show(one: ProgressRow) -> None:
        is_shown.set()
        may_end.wait()
        shown.append(one)

    reports = ProgressReports(show)
    slow = threading.Thread(target=reports.put, args=(row(1),))
    slow.start()
    is_shown.wait()
    reports.put(row(2))
    reports.put(row(3))
    assert shown == []
    may_end.set()
    slow.join()
    assert shown == [row(1), row(2), row(3)]


def test_finish_waits_for_the_thread_that_shows_a_row() -> None:
    shown: list[ProgressRow] = []
    is_shown, may_end = threading.Event(), threading.Event()

    def show(one: ProgressRow) -> None:
        is_shown.set()
        may_end.wait()
        shown.append(one)

    reports = ProgressReports(show)
    slow = threading.Thread(target=reports.put, args=(row(1),))
    slow.start()
    is_shown.wait()
    threading.Timer(0.01, may_end.set).start()
    reports.finish()
    assert shown == [row(1)]


def test_a_row_that_cannot_be_shown_keeps_no_later_one_from_being_shown() -> None:
    shown: list[ProgressRow] = []

    def show(one: ProgressRow) -> None:
        if one == row(1):
            raise ValueError("cannot be shown")
        shown.append(one)

    reports = ProgressReports(show)
    try:
        reports.put(row(1))
    except ValueError:
        reports.put(row(2))
    assert shown == [row(2)]
