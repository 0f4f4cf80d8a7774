"""The end of what a console said, in a ring of fixed size.

A buffer that grows leaves pieces of memory behind that are too small for the next one. With 200 consoles, that was more
than all that they hold."""

from __future__ import annotations


class RecentOutput:
    """The last `most` bytes. Nothing is allocated before the first one."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._ring = bytearray()

    def __bytes__(self) -> bytes:
        if self._count <= self._most:
            return bytes(self._ring[: self._count])
        at = self._count % self._most
        return bytes(self._ring[at:] + self._ring[:at])

    def add(self, data: bytes) -> None:
        """Keep it in place of the oldest."""
        if not self._ring:
            self._ring = bytearray(self._most)
        kept = data[-self._most :]
        self._count += len(data) - len(kept)
        at = self._count % self._most
        end = kept[: self._most - at]
        self._ring[at : at + len(end)] = end
        self._ring[: len(kept) - len(end)] = kept[len(end) :]
        self._count += len(kept)

    def clear(self) -> None:
        """Forget all of it."""
        self._ring, self._count = bytearray(), 0
