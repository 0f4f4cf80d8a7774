"""What a session does besides typing: commands that begin with `~`, after Enter alone, as ssh and conserver have them.

No I/O: bytes in, bytes and commands out, wherever the bytes are cut."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum


class SessionCommand(Enum):
    """What can be asked for with `~` and a letter."""

    END = "."
    WRITE = "w"
    BREAK = "b"
    REPLAY = "l"
    WHO = "r"
    STEAL = "s"
    HELP = "?"


HELP = (
    "After Enter:\r\n"
    "  ~.  end the session.\r\n"
    "  ~w  type from now on. The person who types now only watches then.\r\n"
    "  ~b  send a break.\r\n"
    "  ~l  show the last output again.\r\n"
    "  ~r  show who is connected.\r\n"
    "  ~s  type, and take the line from another session at the BMC.\r\n"
    "  ~~  type a tilde.\r\n"
    "With ssh, type ~~ in place of ~, as ssh has escapes of its own."
)
_COMMANDS = {one.value.encode(): one for one in SessionCommand}
_TILDE = b"~"


class EscapeReader:
    """Reads what one session types."""

    def __init__(self) -> None:
        self._at_begin, self._tilde = True, False

    def read(self, data: bytes) -> Iterator[bytes | SessionCommand]:
        """The bytes that are for the machine, and the commands, in order."""
        typed = bytearray()
        for number in data:
            byte = bytes([number])
            if self._tilde:
                self._tilde = False
                command = _COMMANDS.get(byte)
                if command is not None:
                    if typed:
                        yield bytes(typed)
                        typed.clear()
                    yield command
                    continue
                # The tilde was the machine's after all.
                typed += _TILDE if byte == _TILDE else _TILDE + byte
            elif self._at_begin and byte == _TILDE:
                self._tilde = True
                continue
            else:
                typed += byte
            self._at_begin = byte in b"\r\n"
        if typed:
            yield bytes(typed)
