"""The key sequences that lead into a BMC's shell never pass, wherever the bytes and the time limits fall."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.services.console.leave_filter import LeaveFilter

ESC = b"\x1b("
DELL = b"\x1c"
SEQUENCES = st.sampled_from([(DELL,), (ESC,), (b"\x05c",), (ESC, DELL), (b"aba", b"bb"), (b"\r~.", ESC)])
TYPED = st.lists(st.sampled_from([b"\x1b", b"(", b"\x1c", b"\x05", b"c", b"a", b"b", b"\r", b"~", b".", b"\x00", b"x"]))
RELEASE = None
STEPS = st.lists(st.one_of(st.none(), TYPED.map(b"".join)))


def through(sequences: tuple[bytes, ...], steps: list[bytes | None]) -> tuple[bytes, int]:
    """All that passes, and what was dropped. `None` is the end of the time limit."""
    leave, passed, dropped = LeaveFilter(sequences), bytearray(), 0
    for step in steps:
        if step is None:
            passed += leave.release()
        else:
            found = leave.take(step)
            passed += found.passed
            dropped += found.dropped
    return bytes(passed + leave.release()), dropped


@given(SEQUENCES, STEPS)
def test_no_sequence_ever_passes(sequences: tuple[bytes, ...], steps: list[bytes | None]) -> None:
    passed, _ = through(sequences, steps)
    assert not any(one in passed.replace(b"\x00", b"") for one in sequences)


@given(SEQUENCES, STEPS)
def test_what_is_no_sequence_passes_unchanged(sequences: tuple[bytes, ...], steps: list[bytes | None]) -> None:
    typed = b"".join(step for step in steps if step is not None)
    passed, dropped = through(sequences, steps)
    if not any(one in typed.replace(b"\x00", b"") for one in sequences):
        assert (passed, dropped) == (typed, 0)
    else:
        assert dropped > 0


@given(SEQUENCES, TYPED.map(b"".join))
def test_where_the_bytes_are_cut_makes_no_difference(sequences: tuple[bytes, ...], typed: bytes) -> None:
    whole = through(sequences, [typed])
    for cut in range(len(typed) + 1):
        assert through(sequences, [typed[:cut], typed[cut:]]) == whole
    assert through(sequences, [typed[at : at + 1] for at in range(len(typed))]) == whole


@given(SEQUENCES, STEPS)
def test_only_the_begin_of_a_sequence_is_held_back(sequences: tuple[bytes, ...], steps: list[bytes | None]) -> None:
    leave = LeaveFilter(sequences)
    for step in steps:
        if step is None:
            leave.release()
            continue
        leave.take(step)
        held = bytes(leave._held).replace(b"\x00", b"")
        assert not held or any(len(held) < len(one) for one in sequences)


def test_an_escape_that_was_passed_on_still_counts() -> None:
    """The time limit ends between the two bytes: the BMC has the first, and must not get the second."""
    leave = LeaveFilter([ESC])
    assert (leave.take(b"\x1b").passed, leave.release()) == (b"", b"\x1b")
    found = leave.take(b"((x(")
    assert (found.passed, found.dropped) == (b"x(", 2)


def test_keys_that_begin_with_an_escape_pass_at_once() -> None:
    assert LeaveFilter([ESC]).take(b"\x1b[A").passed == b"\x1b[A"


def test_a_line_without_such_sequences_holds_nothing_back() -> None:
    leave = LeaveFilter(())
    assert leave.take(bytes(range(256))).passed == bytes(range(256))
    assert not leave.holds
