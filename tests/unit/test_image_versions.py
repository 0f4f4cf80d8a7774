"""Constraints on versions, as Masterminds/semver reads them."""

from __future__ import annotations

import pytest

from reconciler.kinds.catalogue.image_versions import constraint, parse_version


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        ("*", ["0.0.0", "99.1.20260101"], []),
        ("12.0.20260101", ["12.0.20260101"], ["12.0.20260102"]),
        ("= 12.0", ["12.0.0", "12.0.20260101"], ["12.1.0", "11.9.9"]),
        ("!= 12.0", ["12.1.0", "11.9.9"], ["12.0.0", "12.0.20260101"]),
        ("> 11", ["12.0.0"], ["11.0.0", "11.9.9"]),
        ("> 11.1", ["11.2.0"], ["11.1.0", "11.1.9"]),
        ("> 11.1.1", ["11.1.2"], ["11.1.1"]),
        ("< 11", ["10.9.9"], ["11.0.0", "12.0.0"]),
        (">= 12.0", ["12.0.0", "13.0.0"], ["11.9.9"]),
        ("=> 12.0", ["12.0.0", "13.0.0"], ["11.9.9"]),
        ("<= 11", ["11.9.9", "1.0.0"], ["12.0.0"]),
        ("=< 11.1", ["11.1.9"], ["11.2.0"]),
        ("~ 1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3.0"]),
        ("~> 24.4", ["24.04.20260101", "24.4.0"], ["24.5.0", "24.3.9"]),
        ("~1", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.9"], ["0.1.0"]),
        ("^0", ["0.9.9"], ["1.0.0"]),
        (">= 12.0, < 14, != 13.1", ["12.0.0", "13.0.9"], ["14.0.0", "13.1.5", "11.0.0"]),
    ],
)
def test_a_constraint_allows(text: str, allowed: list[str], refused: list[str]) -> None:
    held = constraint(text)
    assert [one for one in [*allowed, *refused] if held.allow(parse_version(one))] == allowed


@pytest.mark.parametrize("text", ["", "latest", ">= ", ">> 1", "1.2.3.4", "1,", ">= 12 < 13", "1.*", "-1"])
def test_a_malformed_constraint_names_the_term(text: str) -> None:
    with pytest.raises(ValueError, match="is not an operator"):
        constraint(text)


@pytest.mark.parametrize("text", ["12", "12.0", "1.2.3.4", "a.b.c"])
def test_a_version_is_three_numbers(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_version(text)
