"""What a resource is called: by its kind and its name."""

from __future__ import annotations

import msgspec


class ResourceKey(msgspec.Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """Names are unique per kind."""

    kind: str
    """The kind's name."""
    name: str
    """Unique in its kind."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ResourceKey:
        """`Kind/name` as `str()` prints it. Raises ValueError."""
        kind, slash, name = text.partition("/")
        if not (kind and slash and name):
            raise ValueError(f"{text!r} is not Kind/name")
        return cls(kind, name)
