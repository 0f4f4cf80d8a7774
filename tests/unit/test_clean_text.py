"""Text from elsewhere is made fit to be kept and shown, once, where it enters."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import clean, cleaned, encodable, printable, read_json

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cf"]))
"""With unpaired surrogates, which `text()` leaves out by default."""
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("PowerEdge  R640", "PowerEdge R640"),
        ("X\ud800", "X\\ud800"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("one\r\n\ttwo", "one two"),
        ("Žluťoučký kůň 🐎", "Žluťoučký kůň 🐎"),
    ],
)
def test_what_is_not_printable_is_written_out(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@given(ANY_TEXT)
def test_cleaned_text_is_printable_can_be_encoded_and_stays_as_it_is(text: str) -> None:
    for make in (clean, printable):
        once = make(text)
        assert once.isprintable()
        assert make(once) == once
        once.encode()
    encodable(text).encode()


@given(ANY_JSON)
def test_any_json_comes_out_fit_for_every_reader(value: Any) -> None:
    found = read_json(json.dumps(value))
    assert json.loads(json.dumps(found, allow_nan=False).encode()) == found
    assert cleaned(found) == found


@given(ANY_JSON, st.sampled_from([None, 1, 2]))
def test_json_in_which_nothing_is_wrong_is_read_like_any_other(value: Any, indent: int | None) -> None:
    """Harmless answers take a shorter way, which must not be another one."""
    text = json.dumps(value, indent=indent, ensure_ascii=False).encode(errors="surrogatepass")
    with_escapes = json.dumps(value, indent=indent)
    for written in (text, with_escapes, with_escapes.replace("/", "\\/")):
        found = json.loads(written.decode(errors="replace") if isinstance(written, bytes) else written, strict=False)
        for depth in (1, 2, 64):
            assert read_json(written, depth) == cleaned(found, depth)


@given(st.binary() | st.binary().map(lambda raw: b'{"Model": "' + raw + b'"}'))
def test_any_bytes_are_json_or_no_json(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_json(content)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"a": "\xe9", "b": 1}', {"a": "\ufffd", "b": 1}),
        (b'{"a": "x\x01y", "b": 1}', {"a": "x\\x01y", "b": 1}),
        (b'{"a": %s, "b": 1}' % (b"9" * 5000), {"a": None, "b": 1}),
        (b'{"a": 1e999, "b": NaN}', {"a": None, "b": None}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_what_is_wrong_with_one_value_costs_that_one(content: bytes, found: object) -> None:
    assert read_json(content) == found


@pytest.mark.parametrize("times", [65, 900, 9_000])
@pytest.mark.parametrize(("opened", "closed"), [(b'{"a":', b"}"), (b"[", b"]"), (b'["[{\\"",', b"]")])
def test_what_is_nested_too_deeply_costs_that_part_alone(opened: bytes, closed: bytes, times: int) -> None:
    """A JSON field of one NetBox record, or what one vendor adds, hides nothing of the rest."""
    deep = opened * times + b"1" + closed * times
    found = read_json(b'{"deep": %s, "also": [%s], "b": {"c": [1, "]"]}}' % (deep, deep))
    assert found["b"] == {"c": [1, "]"]}
    assert found["deep"]


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b"[" * 5_000 + b"]" * 100, b'{"a":' * 11_000 + b"1" + b"}" * 11_000]
)
def test_what_is_nested_beyond_reason_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(content)
