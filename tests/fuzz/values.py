"""What the fuzz targets are fed with: sound things, odd things, and sound things with odd things in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ODD_TEXTS = (
    *("", " ", "X\ud800", "\udfff", "\x00", "\x1b[2J\x1b]0;x\x07", "\u202eabc", "\u2028", "\r\nForged: line", "\x85"),
    *("http://[", "http://[/x.iso", "//[::1", "http://a]b/", "http://h:99999/", "/redfish/v1/../..", "file:///etc/x"),
    *("9" * 5000, "1e999", "-1", "NaN", "Infinity", "0x10", "\u0663", "None", "null", "true", "a" * 300, "[" * 200),
    *("10.0.0.0/99", "::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.0/0", "52:54:00:00:00:01", "%s%n", "{0}", "$(id)"),
)
TEXTS = (
    st.sampled_from(ODD_TEXTS)
    | st.text(max_size=20)
    | st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=5)
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**300, -(10**300), 1e308, float("inf"), float("nan")])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to each value within a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*path, name)
        yield from places(one, (*path, name))


GONE = object()


def changed(document: Any, changes: list[tuple[tuple[str | int, ...], Any]]) -> Any:
    """A copy with other values in these places; GONE takes one out."""
    copy = json.loads(json.dumps(document))
    for path, value in changes:
        inner = copy
        for name in path[:-1]:
            found = isinstance(inner, dict) and name in inner
            listed = isinstance(inner, list) and isinstance(name, int) and name < len(inner)
            inner = inner[name] if found or listed else None
        last = path[-1]
        if isinstance(inner, dict):
            inner[last] = value
            if value is GONE:
                del inner[last]
        elif isinstance(inner, list) and isinstance(last, int) and last < len(inner) and value is not GONE:
            inner[last] = value
    return copy


def around(document: Any) -> st.SearchStrategy[Any]:
    """The document with up to four odd values in it, or without some of it."""
    change = st.tuples(st.sampled_from(list(places(document))), VALUES | st.just(GONE))
    return st.lists(change, max_size=4).map(lambda changes: changed(document, changes))


def as_bytes(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """As JSON on the wire, sometimes with a few bytes of it changed."""
    whole = values.map(lambda value: json.dumps(value).encode())
    return whole | mangled(whole)


def mangled(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """With a piece replaced by other bytes."""

    def made(content: bytes, at: int, size: int, piece: bytes) -> bytes:
        begin = at % (len(content) + 1)
        return content[:begin] + piece + content[begin + size :]

    pieces = st.binary(max_size=4) | st.sampled_from(
        [b"\xff", b"\\ud800", b"\x00", b"[" * 2000, b'{"a":' * 2000, b"9" * 5000, b"\xef\xbb\xbf", b"}", b'"', b"1e999"]
    )
    return st.builds(made, contents, st.integers(0, 10_000), st.integers(0, 8), pieces)
