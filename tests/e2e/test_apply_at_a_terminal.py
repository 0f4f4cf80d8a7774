"""A person at a terminal: asked before anything is sent, and shown what happens."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.desk import Desk, document, machine, network, partition, until


class Terminal:
    """A pseudo-terminal; `program` is the end that a program gets."""

    def __init__(self) -> None:
        self._person, self.program = pty.openpty()
        self._shown = b""
        os.set_blocking(self._person, False)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._person, text.encode())

    def shown(self) -> str:
        """All that was shown so far."""
        with contextlib.suppress(OSError):
            self._shown += os.read(self._person, 1 << 16)
        return self._shown.decode("utf-8", "replace")

    def close(self) -> None:
        """Switch it off."""
        os.close(self._person)
        os.close(self.program)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal."""
    opened = Terminal()
    yield opened
    opened.close()


@pytest.mark.parametrize(("answer", "code", "actions"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0), ("\x04", 1, 0)])
def test_only_a_yes_is_a_yes(desk: Desk, terminal: Terminal, answer: str, code: int, actions: int) -> None:
    desk.commit(lab=[network()])
    with desk.running("apply", stdin=terminal.program) as apply:
        apply.until(lambda: "Apply these changes? [y/N]:" in apply.err, "the question")
        assert "put-network" in apply.out, "the plan is shown before the question"
        terminal.type(answer)
        assert apply.end().code == code
    assert len(desk.told("ActionSent")) == actions


def test_ctrl_c_at_the_question_does_nothing(desk: Desk, terminal: Terminal) -> None:
    desk.commit(lab=[network()])
    with desk.running("apply", stdin=terminal.program) as apply:
        apply.until(lambda: "Apply these changes? [y/N]:" in apply.err, "the question")
        assert apply.end(signal.SIGINT).code == 1
    assert desk.told("ActionSent") == []


def test_progress_is_live_on_a_terminal(desk: Desk, terminal: Terminal) -> None:
    desk.commit(lab=[network()])
    with desk.running("apply", "--yes", stderr=terminal.program, env={"TERM": "xterm"}) as apply:
        until(lambda: "Network/net" in terminal.shown(), "its line")
        until(lambda: terminal.shown() and apply.process.poll() is not None, "its end")
    assert apply.out.splitlines()[-1] == "Applied: 1 of 1 as declared."


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_on_a_terminal_unless_it_is_not_wanted(
    desk: Desk, terminal: Terminal, environment: dict[str, str], coloured: bool
) -> None:
    desk.commit(lab=[network()])
    with desk.running("plan", stdout=terminal.program, env={"TERM": "xterm", **environment}) as plan:
        until(lambda: "Plan: 1 create" in terminal.shown(), "the plan")
        assert plan.end().code == 2
    assert bool(re.search(r"\x1b\[[0-9;]*m", terminal.shown())) is coloured


def test_a_narrow_terminal_cuts_the_widest_columns_alone(desk: Desk, terminal: Terminal) -> None:
    prefixes = [{"cidr": "10.0.0.0/24"}, {"cidr": "2001:db8:20:1::/64"}]
    desk.commit(lab=[document("Network", "storage", prefixes=prefixes, partition="lab"), partition()])
    assert desk.run("apply", "--yes").code == 0
    with desk.running("get", "networks", stdout=terminal.program, env={"TERM": "xterm", "COLUMNS": "70"}) as get:
        until(lambda: "storage" in terminal.shown(), "the table")
        assert get.end().code == 0
    row = re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown()).splitlines()[-1]
    assert len(row) <= 70
    assert re.fullmatch(r"storage   Private   10\.0\.0\.0/24,2001…   -         yes    Ready    \d+s", row)


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_in_the_log_unless_it_is_not_wanted(
    desk: Desk, terminal: Terminal, environment: dict[str, str], coloured: bool
) -> None:
    desk.commit(lab=[network()])
    listen = ("--listen", "127.0.0.1:0")
    with desk.running("run", *listen, stderr=terminal.program, env={"TERM": "xterm", **environment}) as run:
        until(lambda: "RevisionApplied" in terminal.shown(), "the log")
        assert run.end(signal.SIGTERM).code == 0
    assert bool(re.search(r"\x1b\[[0-9;]*m", terminal.shown())) is coloured


def test_events_are_watched_until_ctrl_c(desk: Desk) -> None:
    desk.commit(lab=[network()])
    assert desk.run("apply", "--yes").code == 0
    with desk.running("events", "--watch") as events:
        events.until(lambda: "ActionConfirmed" in events.out, "what was")
        desk.commit(lab=[network(), network("late", "10.9.0.0/24")])
        assert desk.run("apply", "--yes").code == 0
        events.until(lambda: events.out.count("ActionConfirmed") == 2, "what comes")
        assert events.end(signal.SIGINT).code == 0


def test_a_watch_ends_when_its_reader_is_gone(desk: Desk) -> None:
    """`get -w | head -1` ends with head, though nothing changes any more."""
    desk.commit(lab=[partition(), machine("m1", "m1:1")])
    reader, writer = os.pipe()
    with desk.running("get", "machines", "-w", stdout=writer) as watching:
        os.close(writer)
        with os.fdopen(reader, "rb") as lines:
            assert lines.readline().startswith(b"NAME")
        assert watching.end().code == 1
