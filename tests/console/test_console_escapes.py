"""What a session does besides typing: `~` and a letter, after Enter alone, wherever the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.services.console.escapes import EscapeReader, SessionCommand

TYPED = st.lists(
    st.sampled_from([b"~", b"\r", b"\n", b".", b"w", b"b", b"x", b"~~", b"\r~", b"\x1b", b"\xff"]), max_size=30
).map(b"".join)


def read(*pieces: bytes) -> list[bytes | SessionCommand]:
    """What comes out, neighbouring bytes joined."""
    reader, found = EscapeReader(), list[bytes | SessionCommand]()
    for piece in pieces:
        for part in reader.read(piece):
            before = found[-1] if found else None
            if isinstance(part, bytes) and isinstance(before, bytes):
                found[-1] = before + part
            else:
                found.append(part)
    return found


@pytest.mark.parametrize(
    ("typed", "comes"),
    [
        (b"~.", [SessionCommand.END]),
        (b"ls\r~w", [b"ls\r", SessionCommand.WRITE]),
        (b"a~.", [b"a~."]),
        (b"\r~~.", [b"\r~."]),
        (b"\r~x", [b"\r~x"]),
        (b"~b~b", [SessionCommand.BREAK, SessionCommand.BREAK]),
        (b"\n~?", [b"\n", SessionCommand.HELP]),
        (b"~", []),
        (b"~\r~.", [b"~\r", SessionCommand.END]),
    ],
)
def test_commands_come_after_enter_alone(typed: bytes, comes: list[bytes | SessionCommand]) -> None:
    assert read(typed) == comes


@given(TYPED, st.data())
def test_where_the_bytes_are_cut_makes_no_difference(typed: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(typed)))
    whole = read(typed)
    assert read(typed[:cut], typed[cut:]) == whole
    assert read(*(bytes([byte]) for byte in typed)) == whole


@given(st.binary(max_size=200).filter(lambda data: b"~" not in data))
def test_what_has_no_tilde_passes_unchanged(typed: bytes) -> None:
    assert b"".join(part for part in EscapeReader().read(typed) if isinstance(part, bytes)) == typed
