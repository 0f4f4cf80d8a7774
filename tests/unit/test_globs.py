"""Patterns: what they match, and the words that several match at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.catalogue.globs import Glob, parse_glob, witnesses

pieces = st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "[a-c]", "/", "\\*"])
patterns = st.lists(pieces, max_size=5).map("".join)
words = st.text("abc/*", max_size=6)


@pytest.mark.parametrize(
    ("pattern", "fits", "differs"),
    [
        ("/dev/nvme*", ["/dev/nvme", "/dev/nvme0n1", "/dev/nvme/x"], ["/dev/sda", "x/dev/nvme"]),
        ("sd?", ["sda", "sd?"], ["sd", "sdaa", "SDA"]),
        ("sd[a-c]", ["sda", "sdc"], ["sdd", "sd-"]),
        ("sd[!a-c]", ["sdd", "sd-"], ["sda", "sd"]),
        ("sd[^a]", ["sdb"], ["sda"]),
        ("[]x]", ["]", "x"], ["", "[]x]"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("NVIDIA [\\]]", ["NVIDIA ]"], ["NVIDIA"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("*", ["", "anything\nat all"], []),
        ("Xeon(R) .+", ["Xeon(R) .+"], ["Xeon(R) xx"]),
    ],
)
def test_a_pattern_means_what_a_shell_means(pattern: str, fits: list[str], differs: list[str]) -> None:
    assert [word for word in [*fits, *differs] if parse_glob(pattern).matches(word)] == fits


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("sd[a", "the '[' at character 3 is not closed by ']'"),
        ("[", "the '[' at character 1 is not closed by ']'"),
        ("[]", "the '[' at character 1 is not closed by ']'"),
        ("sd[c-a]", "the range c-a begins after its end"),
        ("sd\\", "the backslash at the end has no character to escape"),
    ],
)
def test_a_malformed_pattern_says_what_is_wrong(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match="^" + why.replace("[", r"\[").replace("(", r"\(") + "$"):
        parse_glob(pattern)


def matching(globs: list[Glob], word: str) -> frozenset[int]:
    return frozenset(index for index, glob in enumerate(globs) if glob.matches(word))


@given(st.lists(patterns, max_size=4))
def test_a_witness_matches_what_it_is_said_to_match_and_nothing_else(texts: list[str]) -> None:
    globs = [parse_glob(text) for text in texts]
    for matched, word in witnesses(globs).items():
        assert matching(globs, word) == matched


@given(st.lists(patterns, max_size=4), words)
def test_whatever_a_word_matches_has_a_witness_that_is_no_longer(texts: list[str], word: str) -> None:
    globs = [parse_glob(text) for text in texts]
    found = witnesses(globs)[matching(globs, word)]
    assert not word or len(found) <= len(word)


def test_patterns_that_look_different_meet() -> None:
    both = witnesses([parse_glob("/dev/nvme*"), parse_glob("/dev/*n1")])[frozenset({0, 1})]
    assert both == "/dev/nvmen1"
