"""Lines for a narrow terminal."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from reconciler.views.render.folding import folded

LINES = st.lists(st.text("ab `\x1b", max_size=60), max_size=4).map("\n".join)


def test_a_long_line_goes_on_deeper_than_it_begins() -> None:
    assert (
        folded("  held by guard racks: would take down 4", 20) == "  held by guard\n    racks: would\n    take down 4"
    )


def test_columns_of_a_line_that_fits_stay_as_they_are() -> None:
    assert folded("a   b\n\n  c   d", 20) == "a   b\n\n  c   d"


def test_colours_take_no_room() -> None:
    assert folded("\x1b[33m1234 678\x1b[0m", 8) == "\x1b[33m1234 678\x1b[0m"


def test_a_command_stays_whole_so_that_it_can_be_copied() -> None:
    command = "`groundstate override racks --for 1h --reason WHY`"
    assert folded(f"to proceed: {command} now", 30) == f"to proceed:\n  {command}\n  now"


@given(LINES, st.integers(1, 50))
def test_nothing_but_blanks_is_added_or_lost(text: str, width: int) -> None:
    assert re.sub(r"\s", "", folded(text, width)) == re.sub(r"\s", "", text)
