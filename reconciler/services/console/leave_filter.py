"""Keeps people on the line: the key sequences that lead from a console into the BMC's own shell never reach the BMC.

In that shell a person would have the rights of groundstate. No I/O and no clock: bytes in, bytes out, wherever the
bytes are cut.

An incomplete sequence is held back until its next byte shows that it is none. The owner of the filter releases it
after a short time, because a machine must get an ESC that is typed alone. A released byte stays in mind: if the rest
of the sequence comes later, the byte that completes it is dropped. How long a BMC waits between two bytes is not known,
and MS-VUVP 2.2.1 allows it 2 s, so no time makes the rest harmless.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_PADDING = 0
"""NUL passes, and does not interrupt a sequence: serial lines use it as padding, which a BMC may skip."""


class Filtered(msgspec.Struct, frozen=True):
    """What may be sent now, and how many sequences were dropped."""

    passed: bytes
    dropped: int = 0


class LeaveFilter:
    """The bytes of one line towards its BMC. `sequences`: those that leave the line there, none of them empty."""

    def __init__(self, sequences: Iterable[bytes]) -> None:
        self._sequences = tuple(sequences)
        self._begins = {one[:size] for one in self._sequences for size in range(1, len(one))}
        self._longest = max(map(len, self._sequences), default=1) - 1
        self._steps: dict[bytes, dict[int, bytes | None]] = {}
        self._sent, self._held = b"", bytearray()
        self._begun = b""
        """The begin of a sequence with which all that was typed ends, be it sent or held."""

    @property
    def holds(self) -> bool:
        """Whether bytes are held back."""
        return bool(self._held)

    def take(self, data: bytes) -> Filtered:
        """Filter what was typed next."""
        if not self._sequences:
            return Filtered(data)
        passed, kept_in_mind, dropped = bytearray(), 0, 0
        held = self._held
        for byte in data:
            if byte == _PADDING:
                (held or passed).append(byte)
                continue
            held.append(byte)
            begun = self._step(byte)
            if begun is None:
                held.clear()
                dropped += 1
                self._note(passed[kept_in_mind:])
                kept_in_mind = len(passed)
                self._begun = self._begin_at_end(self._sent)
                continue
            self._begun = begun
            count = _without(held, len(begun)) if begun else len(held)
            passed += held[:count]
            del held[:count]
        self._note(passed[kept_in_mind:])
        return Filtered(bytes(passed), dropped)

    def release(self) -> bytes:
        """What is held back, to be sent now."""
        out = bytes(self._held)
        self._held.clear()
        self._note(out)
        return out

    def forget(self) -> None:
        """Drop what is held back."""
        self._held.clear()
        self._begun = self._begin_at_end(self._sent)

    def _step(self, byte: int) -> bytes | None:
        """With which begin of a sequence the stream ends after this byte; None: with a whole one."""
        known = self._steps.setdefault(self._begun, {})
        if byte not in known:
            stream = self._begun + bytes([byte])
            known[byte] = None if stream.endswith(self._sequences) else self._begin_at_end(stream)
        return known[byte]

    def _begin_at_end(self, stream: bytes) -> bytes:
        ends = (stream[-size:] for size in range(min(self._longest, len(stream)), 0, -1))
        return next((one for one in ends if one in self._begins), b"")

    def _note(self, sent: bytes | bytearray) -> None:
        if sent and self._longest:
            self._sent = bytes(self._sent + sent.replace(b"\x00", b""))[-self._longest :]


def _without(held: bytearray, size: int) -> int:
    """How many bytes come before the last `size` of `held`, padding not counted."""
    at = len(held)
    while at and size:
        at -= 1
        size -= held[at] != _PADDING
    return at
