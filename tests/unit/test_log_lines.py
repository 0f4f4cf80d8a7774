"""What the daemon logs for a person: lines as `groundstate events` prints them."""

from __future__ import annotations

import io
import os
import re

import pytest

from reconciler.services.log import logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def line(stream: io.StringIO, event: str, **fields: object) -> str:
    logger(stream, json=False).warning(event, **fields)
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "AT", stream.getvalue())


def test_a_line_has_its_type_its_resource_and_then_what_happened() -> None:
    said = line(
        io.StringIO(), "DriftDetected", key="Machine/m1", message="spec.power\nis Off", action="2-1", by="daemon"
    )
    assert said == "AT  Warning  Machine/m1  DriftDetected: spec.power is Off  action=2-1  [daemon]\n"


def test_a_line_without_a_message_shows_its_fields() -> None:
    assert line(io.StringIO(), "Started", port=9808) == "AT  Warning  Started  port=9808\n"


def test_on_a_terminal_a_long_line_is_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's terminal of 80 columns."""
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))
    said = line(Terminal(), "Held", key="Machine/m1", message=" ".join(["word"] * 40))
    first, *rest = said.splitlines()
    assert max(map(len, (first, *rest))) <= 80
    assert all(one.startswith("    word") for one in rest)


def test_a_traceback_follows_its_line() -> None:
    stream = io.StringIO()
    try:
        raise ValueError("odd")
    except ValueError as error:
        logger(stream, json=False).error("StepFailed", exc_info=error)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("Error    StepFailed")
    assert rest[-1] == "ValueError: odd"
