"""The key sequences that lead into a BMC's shell never pass, wherever the bytes and the time limits fall."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.services.console.leave_filter import LeaveFilter

ESC = b"\x1b("
DELL = b"\x1c"
SEQUENCES = st.sampled_from([(DELL,), (ESC,), (b"\x05c",), (ESC, DELL), (b"aba", b"bb"), (b"\r~.", ESC), (b"aab",)])
Case = tuple[tuple[bytes, ...], list[bytes | None]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sequences, and what is typed: mostly their own bytes, in pieces. `None` is the end of the time limit."""
    sequences = draw(SEQUENCES)
    alphabet = sorted({bytes([byte]) for one in sequences for byte in one} | {b"\x00", b"x"})
    typed = st.lists(st.sampled_from(alphabet), max_size=8).map(b"".join)
    return sequences, draw(st.lists(st.one_of(st.none(), typed), max_size=12))


def without_padding(data: bytes) -> bytes:
    return data.replace(b"\x00", b"")


def expected(sequences: tuple[bytes, ...], steps: list[bytes | None]) -> bytes:
    """What passes, found as slowly and plainly as can be."""
    sent, held = b"", b""
    for step in steps:
        if step is None:
            sent, held = sent + held, b""
        for byte in step or b"":
            held += bytes([byte])
            if byte and without_padding(sent + held).endswith(sequences):
                held = b""
            while held and not may_be_a_part(sequences, sent, held):
                sent, held = sent + held[:1], held[1:]
    return sent + held


def may_be_a_part(sequences: tuple[bytes, ...], sent: bytes, held: bytes) -> bool:
    """Whether all that is held is the begin of a sequence, or goes on with one of which a part was sent."""
    begins = (one[:size] for one in sequences for size in range(len(without_padding(held)), len(one)))
    return held[0] != 0 and any(without_padding(sent + held).endswith(one) for one in begins)


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


@given(cases())
def test_no_sequence_ever_passes(case: Case) -> None:
    sequences, steps = case
    passed, _ = through(sequences, steps)
    assert not any(one in without_padding(passed) for one in sequences)


@given(cases())
def test_what_is_no_sequence_passes_unchanged(case: Case) -> None:
    sequences, steps = case
    typed = b"".join(step for step in steps if step is not None)
    passed, dropped = through(sequences, steps)
    has_one = any(one in without_padding(typed) for one in sequences)
    assert dropped > 0 if has_one else (passed, dropped) == (typed, 0)


@given(cases())
def test_exactly_the_keys_of_a_sequence_are_dropped(case: Case) -> None:
    assert through(*case)[0] == expected(*case)


@given(cases())
def test_where_the_bytes_are_cut_makes_no_difference(case: Case) -> None:
    sequences, steps = case
    typed = b"".join(step for step in steps if step is not None)
    whole = through(sequences, [typed])
    for cut in range(len(typed) + 1):
        assert through(sequences, [typed[:cut], typed[cut:]]) == whole
    assert through(sequences, [typed[at : at + 1] for at in range(len(typed))]) == whole


@given(cases())
def test_only_the_begin_of_a_sequence_is_held_back(case: Case) -> None:
    sequences, steps = case
    leave = LeaveFilter(sequences)
    for step in steps:
        if step is None:
            leave.release()
            continue
        leave.take(step)
        held = without_padding(bytes(leave._held))
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
