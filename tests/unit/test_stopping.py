"""Stopping: a signal is heard whatever the main thread is at, and a process that does not end by itself is ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.daemon import shutdown
from reconciler.daemon.shutdown import Deadline, Stacks

ROOT = Path(__file__).resolve().parents[2]

AT_EVERY_STEP = """
import os, signal, sys, threading
from datetime import UTC, datetime
from reconciler.workqueue.loop import Loop
from reconciler.workqueue.queue import WorkQueue
from reconciler.daemon.shutdown import stopped_by_signals

def round(at):
    done, stop = 0, threading.Event()
    def step(frame, event, argument):
        nonlocal done
        done += 1
        if done == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return step
    loop = Loop(WorkQueue(), None, lambda: datetime.now(UTC), lambda: 0.5)
    late = threading.Timer(0.0 if at is None else 0.05, stop.set)
    with stopped_by_signals(stop):
        late.start()
        sys.settrace(step)
        loop.run(stop, 2)
        sys.settrace(None)
    late.cancel()
    late.join()
    return done

steps = round(None)
for at in range(1, steps):
    round(at)
print("heard at", steps)
"""


def test_a_signal_at_any_step_of_the_main_thread_ends_the_loop() -> None:
    """The handler used to set the event itself: in the middle of the main thread's own `stop.wait()`, which holds the
    event's lock for 16 steps, that waited for ever."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EVERY_STEP], cwd=ROOT, timeout=100, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 100


class Ended:
    """A deadline that ends nothing, and what it did: the exit codes and what it reported."""

    def __init__(self, seconds: float = 0.0, blocks: bool = False) -> None:
        self.stop, self.released = threading.Event(), threading.Event()
        self.left, self.reported = list[int](), list[Stacks]()
        self._blocks = blocks
        self.deadline = Deadline(self.stop, self._report, seconds, self.left.append)

    def _report(self, threads: Stacks) -> None:
        self.reported.append(threads)
        if self._blocks:
            self.released.wait()

    def run(self) -> None:
        """From the stop to the end."""
        self.deadline.start()
        self.stop.set()
        self.deadline._thread.join()
        self.released.set()


def test_what_does_not_end_in_time_is_ended_and_says_where_each_thread_stands() -> None:
    stuck, secret = threading.Event(), "hunter2"

    def waits_for_nobody(_password: str) -> None:
        stuck.wait()

    thread = threading.Thread(target=waits_for_nobody, args=(secret,), name="worker-7", daemon=True)
    thread.start()
    ended = Ended()
    ended.run()
    stuck.set()
    assert ended.left == [1]
    said = ended.reported[0]["worker-7"]
    assert any("test_stopping.py" in line and line.endswith("waits_for_nobody") for line in said)
    assert said[-1].endswith((" wait", "waits_for_nobody"))
    assert secret not in str(ended.reported)


def test_a_report_that_nobody_reads_keeps_no_process_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "REPORT_SECONDS", 0.01)
    ended = Ended(blocks=True)
    ended.run()
    assert ended.left == [1]


def test_what_has_closed_everything_leaves_with_0_though_threads_of_a_pool_are_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "LINGER_SECONDS", 0.0)
    ended = Ended(seconds=1000)
    ended.deadline.closed()
    ended.run()
    assert (ended.left, ended.reported) == ([0], [])


def test_what_goes_on_is_not_ended() -> None:
    ended = Ended()
    ended.deadline.cancel()
    ended.run()
    assert (ended.left, ended.reported) == ([], [])
