"""What is recorded, how much of it is kept, and for whom."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.commands.console_command import without_control
from reconciler.kinds.common.machine_facts import FactType, LifecycleFacts
from reconciler.kinds.console.grants import tenancy
from reconciler.model.resource import ResourceKey
from reconciler.services.boot.machines.provisioning import MachineProvisioning
from reconciler.services.console.recording import (
    KEPT,
    MOST_MARKS,
    Recorder,
    last_order,
    last_words,
    read_marks,
    read_recording,
    recordings,
    remove_old,
)

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def recorder(folder: Path) -> Recorder:
    return Recorder(folder / "r1-01", lambda: NOW)


def kept(folder: Path) -> bytes:
    (found,) = recordings(folder / "r1-01")
    return read_recording(folder / "r1-01", found)


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=60), st.integers(0, 60))
def test_the_end_of_what_was_said_is_kept_within_the_limit(said: list[bytes], restart: int) -> None:
    """lxc/lxc#1857: a log without a limit fills the disk. CCI-MOC/hil#418: a restart lost it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writing = recorder(folder)
        writing.begin("claim-web-0", 1024)
        for index, data in enumerate(said):
            if index == restart:
                writing.close()
                writing = recorder(folder)
                writing.begin("claim-web-0", 1024)
            writing.write(data)
        writing.mark("order Install 1")
        whole = b"".join(said)
        found = kept(folder)
        assert whole.endswith(found)
        assert len(found) <= 1024 + 200
        assert len(found) >= min(len(whole), 512 - 100)
        assert writing.size == len(whole)
        (recording,) = recordings(folder / "r1-01")
        assert recording.begin + recording.size == len(whole)
        assert read_marks(folder / "r1-01", "claim-web-0")[-1].offset == len(whole)
        for offset in (0, len(whole) // 2, len(whole)):
            assert read_recording(folder / "r1-01", recording, offset) == whole[max(offset, recording.begin) :]
        writing.close()


def test_files_are_of_groundstates_user_alone(tmp_path: Path) -> None:
    os.umask(0o022)
    writing = recorder(tmp_path)
    writing.begin("claim-web-0", 64)
    writing.write(b"x" * 40)
    writing.opened("handle")
    writing.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "r1-01").iterdir()}
    assert set(modes.values()) == {0o600}
    assert set(modes) == {"claim-web-0.log", "claim-web-0.log.old", "claim-web-0.index", "session"}
    assert (tmp_path / "r1-01").stat().st_mode & 0o777 == 0o700


def test_a_link_in_the_place_of_a_recording_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "r1-01").mkdir()
    (tmp_path / "r1-01" / "claim-web-0.log").symlink_to(tmp_path / "other")
    writing = recorder(tmp_path)
    with pytest.raises(OSError, match="symbolic"):
        writing.begin("claim-web-0", 64)
    assert not (tmp_path / "other").exists()


def test_marks_are_bounded_too(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    writing.begin("claim-web-0", 1024)
    for number in range(MOST_MARKS + 10):
        writing.mark(f"order {number}")
    writing.close()
    marks = read_marks(tmp_path / "r1-01", "claim-web-0")
    assert len(marks) <= MOST_MARKS
    assert marks[-1].words == f"order {MOST_MARKS + 9}"


def test_old_recordings_are_removed_and_the_handle_of_a_line_is_not(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    writing.begin("claim-web-0", 1024)
    writing.write(b"old")
    writing.opened("handle")
    writing.close()
    long_ago = (NOW - KEPT - timedelta(days=1)).timestamp()
    for path in (tmp_path / "r1-01").iterdir():
        os.utime(path, (long_ago, long_ago))
    assert [path.name for path in remove_old(tmp_path, NOW)] == ["claim-web-0.log"]
    assert [path.name for path in (tmp_path / "r1-01").iterdir()] == ["session"]


def test_a_recording_is_removed_as_a_whole(tmp_path: Path) -> None:
    """Without its index, nothing says where in it the last installation began."""
    writing = recorder(tmp_path)
    writing.begin("claim-web-0", 1 << 20)
    writing.mark("order Install 7")
    writing.write(b"new")
    writing.close()
    long_ago = (NOW - KEPT - timedelta(days=1)).timestamp()
    index, log = sorted((tmp_path / "r1-01").iterdir())
    os.utime(index, (long_ago, long_ago))
    os.utime(log, (NOW.timestamp(), NOW.timestamp()))
    assert list(remove_old(tmp_path, NOW)) == []
    assert last_order(tmp_path / "r1-01", "claim-web-0") == 0


def test_a_recording_that_was_removed_while_its_machine_was_silent_goes_on_in_a_new_file(tmp_path: Path) -> None:
    """A console that is held always can say nothing for longer than recordings are kept."""
    writing = recorder(tmp_path)
    writing.begin("claim-web-0", 1024)
    writing.write(b"old")
    writing.mark("order Install 7")
    long_ago = (NOW - KEPT - timedelta(days=1)).timestamp()
    for path in (tmp_path / "r1-01").iterdir():
        os.utime(path, (long_ago, long_ago))
    assert len(list(remove_old(tmp_path, NOW))) == 2
    writing.write(b"new")
    writing.mark("order Wipe 8")
    writing.close()
    assert kept(tmp_path) == b"new"
    assert last_order(tmp_path / "r1-01", "claim-web-0") == 3


def test_the_longest_names_can_be_recorded(tmp_path: Path) -> None:
    lifecycles = [LifecycleFacts(claim="c" * 252 + end, slot=999, claimed_at=NOW) for end in "xy"]
    names = [tenancy(one).name for one in lifecycles]
    assert names[0] != names[1]
    writing = Recorder(tmp_path / ("m" * 253), lambda: NOW)
    writing.begin(names[0], 4)
    writing.write(b"longer than half")
    writing.close()
    assert [one.name for one in recordings(tmp_path / ("m" * 253))] == [names[0]]


def test_the_last_line_of_the_order_under_way_without_terminal_control(tmp_path: Path) -> None:
    folder = tmp_path / "r1-01"
    assert last_words(folder) == ""
    writing = recorder(tmp_path)
    writing.begin("claim-web-0", 1 << 20)
    writing.write(b"an earlier boot\r\n")
    assert last_words(folder) == "", "no boot request was recorded"
    writing.mark("order Install 7")
    assert last_words(folder) == "the console was recorded as claim-web-0, and is empty"
    writing.write(b"x" * 10_000 + b"\r\n\x1b[31mwipefs: /dev/sda: busy\x1b[0m\r\n\r\n  ")
    assert last_words(folder) == 'the console was recorded as claim-web-0 and ends with "wipefs: /dev/sda: busy"'
    writing.close()


def test_an_order_begins_where_it_was_marked_first(tmp_path: Path) -> None:
    """A daemon that was killed meanwhile marks it again."""
    folder, writing = tmp_path / "r1-01", recorder(tmp_path)
    writing.begin("claim-web-0", 1 << 20)
    assert last_order(folder, "claim-web-0") is None
    for order, begin in (("Inspect 1", 0), ("Inspect 1", 0), ("Install 2", 20), ("Install 2", 20)):
        writing.mark(f"order {order}")
        writing.write(b"0123456789")
        assert last_order(folder, "claim-web-0") == begin
    writing.close()


def test_a_failure_of_the_agent_names_the_recording_and_its_last_line() -> None:
    class Reported:
        def report(self, *said: Any) -> bool:
            self.said = said
            return True

    fleet: Any = Reported()
    nothing: Any = None
    for words, shown in (
        ("", "no disk"),
        ("recorded", "no disk; recorded (`groundstate console log m1 --last-order`)"),
    ):
        told: dict[str, str] = {"m1": words}
        boot = MachineProvisioning(fleet, lambda _: None, nothing, nothing, lambda: NOW, console_words=told.__getitem__)
        assert boot.report(ResourceKey("Machine", "m1"), "7", FactType.AGENT_FAILED, "no disk")
        assert fleet.said[-1] == shown


def test_a_handle_that_cannot_be_read_is_one_that_no_bmc_has(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    writing.opened("")
    (tmp_path / "r1-01" / "session").write_bytes(b"\xff\xfe\x00")
    assert writing.former() != ""
    writing.closed()
    assert writing.former() == ""


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_cannot_be_read_costs_no_service(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("no folder")
    assert list(remove_old(tmp_path / folder, NOW)) == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ([b"\x1b[31mred\x1b[0m\n"], "red\n"),
        ([b"\x1b]0;title\x07text"], "text"),
        (["\x9b31mred".encode()], "31mred"),
        ([b"\x9b2Jx"], "\N{REPLACEMENT CHARACTER}2Jx"),
        (["caf\u00e9".encode()[:4], "caf\u00e9".encode()[4:]], "caf\u00e9"),
        (["\u202etxt.exe".encode()], "txt.exe"),
        ([b"\x1b]hidden\nshown\x07"], "hidden\nshown"),
        ([b"a\x1b", b"[2Jb"], "a[2Jb"),
    ],
)
def test_a_log_has_nothing_that_steers_a_terminal(said: list[bytes], shown: str) -> None:
    """C1 control (U+0080 to U+009F) is control for a terminal in UTF-8 too."""
    assert "".join(without_control(said)) == shown
