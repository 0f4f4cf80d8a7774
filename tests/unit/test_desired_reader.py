"""The strict YAML reader: what it reads as what, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.manifest.yaml_reader import (
    MAX_YAML_DEPTH,
    MAX_YAML_NODES,
    YamlFault,
    decode,
    read_documents,
    shown_value,
)
from reconciler.desired.rules.diagnostic_codes import DIAGNOSTICS


def only(text: str) -> Any:
    (document,) = read_documents(text)
    assert document.faults == []
    return document.value


def faults(text: str) -> list[str]:
    return [fault.code for document in read_documents(text) for fault in document.faults]


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("On", "On"),
        ("off", "off"),
        ("no", "no"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ('""', ""),
        ("'true'", "true"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("-0", 0),
        ("010", "010"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("12:30", "12:30"),
        ("22:22:22", "22:22:22"),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("10:20:30:40:50:59", "10:20:30:40:50:59"),
        ("1.10", 1.1),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("-", [None]),
        ("1.2.3", "1.2.3"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1"),
        ("2024-13-45", "2024-13-45"),
        ("2027-01-31", "2027-01-31"),
        ("9223372036854775807", 9223372036854775807),
        ("=", "="),
        ("|-\n  two\n  lines", "two\nlines"),
    ],
)
def test_plain_scalars_are_read_by_the_core_rules(spelled: str, value: object) -> None:
    found = only(f"a:\n  {spelled}\n" if spelled == "-" else f"a: {spelled}\n")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("key", ["1", "true", "~", "null", "1.10", "on", "0x10", '"a b"'])
def test_keys_stay_text(key: str) -> None:
    assert only(f"{key}: x") == {key.strip('"'): "x"}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("a: &x 1\nb: *x", ["yaml-anchor", "yaml-alias"]),
        ("a: &x [*x]", ["yaml-anchor", "yaml-alias"]),
        ("a: 1\na: 2", ["duplicate-key"]),
        ("a: {b: 1, b: 2}", ["duplicate-key"]),
        ("a: 1\n'a': 2", ["duplicate-key"]),
        ("<<: {a: 1}", ["yaml-merge"]),
        ("a: !!int 3", ["yaml-tag"]),
        ("a: !!python/object:os.system x", ["yaml-tag"]),
        ("a: !secret x", ["yaml-tag"]),
        ("a: !!map {}", ["yaml-tag"]),
        ("%TAG !e! tag:example,2000:\n---\na: 1", ["yaml-directive"]),
        ("%YAML 1.1\n---\na: on", ["yaml-directive"]),
        ("%YAML 1.3\n---\na: on", ["yaml-syntax"]),
        ("? [a]\n: 1", ["yaml-key"]),
        ("{a: 1}: 2", ["yaml-key"]),
        ("? " * 20_000, ["yaml-key"]),
        ("[" * 100_000, ["yaml-too-deep"]),
        ("{a: " * 30_000, ["yaml-too-deep"]),
        ("- " * 50_000, ["yaml-too-deep"]),
        ("\n".join(" " * n + "a:" for n in range(2_000)), ["yaml-too-deep"]),
        ("a: [" + "1," * (MAX_YAML_NODES + 1) + "]", ["yaml-too-large"]),
        ("a: " + "9" * 20, ["number-too-long"]),
        ("a: -" + "9" * 5_000, ["number-too-long"]),
        ("a: 1." + "9" * 5_000, ["number-too-long"]),
        ("a: 1.0e999", ["number-too-long"]),
        ("a:\t[", ["yaml-syntax"]),
        ("\ta: 1", ["yaml-syntax"]),
        ("a: 'x", ["yaml-syntax"]),
        ("a: b: c", ["yaml-syntax"]),
        ('a: "\\ud800"', ["yaml-syntax"]),
        ("a: \x01", ["control-character"]),
        ("a: \ufffe", ["control-character"]),
        ("@a", ["yaml-syntax"]),
    ],
    ids=lambda value: value[:24].encode("unicode_escape").decode() if isinstance(value, str) else None,
)
def test_hostile_documents_are_refused(text: str, codes: list[str]) -> None:
    assert faults(text) == codes
    assert all(code in DIAGNOSTICS for code in codes)


def test_a_billion_laughs_is_refused_where_the_first_anchor_stands() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10))
    (document,) = read_documents(f"l0: &l0 [lol]\n{levels}")
    assert document.faults[0] == YamlFault(
        "yaml-anchor",
        1,
        5,
        "the document has an anchor (&'l0')",
        ("groundstate accepts neither anchors nor aliases, so that each part can be read alone"),
        "remove the anchor",
    )


def test_the_greatest_depth_that_is_allowed_is_read() -> None:
    assert faults("[" * MAX_YAML_DEPTH + "]" * MAX_YAML_DEPTH) == []
    assert faults("[" * (MAX_YAML_DEPTH + 1) + "]" * (MAX_YAML_DEPTH + 1)) == ["yaml-too-deep"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n---\n# x\n---\n...\n"])
def test_empty_documents_are_no_documents(text: str) -> None:
    assert list(read_documents(text)) == []


def test_documents_of_one_file_are_read_apart() -> None:
    found = [(d.value, d.line, d.column) for d in read_documents("# c\na: 1\n---\n---\n  b: 2\n...\n# d\n---\n- 3\n")]
    assert found == [({"a": 1}, 2, 1), ({"b": 2}, 5, 3), ([3], 9, 1)]


@pytest.mark.parametrize("broken", ["a: [", "a: 'x", "\ta: 1", "a: b: c", "{a: 1}: 2", "[" * 50, "a: \x01"])
def test_a_broken_document_does_not_stop_the_next(broken: str) -> None:
    documents = list(read_documents(f"first: 1\n---\n{broken}\n---\nlast: 3\n"))
    assert documents[-1].value == {"last": 3}
    assert documents[-1].line == 5
    assert not documents[-1].faults
    assert any(document.faults for document in documents)


def test_broken_documents_without_end_are_not_read_without_end() -> None:
    assert len(faults("---\n[\n" * 100_000)) <= 100


def test_faults_have_the_place_of_what_is_at_fault() -> None:
    (document,) = read_documents("# c\na:\n  b: 1\n  c: 2\n  b: 3\n", positions=True)
    (fault,) = document.faults
    assert (fault.line, fault.column, fault.why) == (5, 3, "the same key is on line 3")


def test_every_key_and_value_has_its_place_when_asked_for() -> None:
    (document,) = read_documents("a:\n- x: é\n  y: {z: 1.10}\n", positions=True)
    items = document.value["a"]
    mark = document.marks[id(items[0]["y"]), "z"]
    assert (mark.key, mark.value, mark.text) == ((3, 7), (3, 10), "1.10")
    assert document.marks[id(items), 0].value == (2, 3)
    assert document.marks[id(document.value), "a"].key == (1, 1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a: caf\xe9\n", "the file is not UTF-8: byte 0xe9"),
        ("a: 1".encode("utf-16"), "the file is UTF-16"),
        ("a: 1".encode("utf-16-be"), "the file contains a NUL character"),
        (b"a: b\0c", "the file contains a NUL character"),
        (b"a: \xed\xa0\x80", "the file is not UTF-8: byte 0xed"),
    ],
)
def test_only_utf_8_is_read(data: bytes, what: str) -> None:
    found = decode(data)
    assert isinstance(found, YamlFault)
    assert found.what == what


def test_the_place_of_a_bad_byte_is_told() -> None:
    found = decode(b"a: 1\nb: caf\xe9\n")
    assert isinstance(found, YamlFault)
    assert (found.line, found.column) == (2, 7)


def test_a_byte_order_mark_is_taken_off() -> None:
    text = decode(b"\xef\xbb\xbfa: 1")
    assert text == "a: 1"


def test_what_is_shown_of_a_value_is_short_and_moves_no_cursor() -> None:
    assert (
        shown_value("a\x1b[2Jb\n" + "x" * 100)
        == "'a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}" + "x" * 53 + "...'"
    )


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=12)
KEYS = TEXT.filter(lambda key: key != "<<")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19) + 1, 10**19 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: len(repr(number)) < 40)
    | TEXT
    | st.sampled_from(["On", "no", "12:30", "010", "1.10", "null", "~", "52:54:00:12:34:56", "=", "2020-01-01", "y"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


def quoted(value: Any) -> str:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump(value, Dumper=Dumper, allow_unicode=True))


@given(VALUES.filter(lambda value: value is not None))
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(value: Any) -> None:
    text = quoted(value)
    reference = yaml.safe_load(text)
    (document,) = read_documents(text)
    assert document.faults == []
    assert same(document.value, reference), text


def same(found: Any, reference: Any) -> bool:
    if isinstance(reference, float):
        return isinstance(found, float) and math.isclose(found, reference)
    if isinstance(reference, dict):
        return list(found) == list(reference) and all(same(found[key], reference[key]) for key in reference)
    if isinstance(reference, list):
        return len(found) == len(reference) and all(map(same, found, reference))
    return type(found) is type(reference) and found == reference


@given(st.text(st.sampled_from("ab:-[]{}#&*!|>'\"%@`?,~ \n\t<=.0189\\\x01é"), max_size=60))
def test_no_text_makes_it_raise_and_both_ways_of_reading_agree(text: str) -> None:
    quick = [(d.value, d.line, d.column, [f.code for f in d.faults]) for d in read_documents(text)]
    careful = [(d.value, d.line, d.column, [f.code for f in d.faults]) for d in read_documents(text, positions=True)]
    assert quick == careful
