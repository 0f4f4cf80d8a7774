"""Which image a reference means, and which is given out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.kinds.catalogue.image import Refusal, choose_image, expired, parse_reference
from reconciler.model.resource import Resource
from tests.unit.planning_worlds import desired, image

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLEET = [
    image("debian-12.0.20260101", classification="supported"),
    image("debian-12.0.20260201", classification="supported", expires="2026-02-28"),
    image("debian-12.1.1", classification="supported", expires="2026-03-01"),
    image("debian-12.10.1", classification="deprecated"),
    image("debian-13.0.1"),
    image("debian-slim-12.0.9", classification="supported"),
    image("ubuntu-24.04.1", classification="supported"),
]


def chosen(text: str, *images: Resource[Any]) -> str:
    found = choose_image(text, desired(*(images or FLEET)), NOON)
    return found.by if isinstance(found, Refusal) else found.key.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("debian-12", "debian-12.1.1"),
        ("debian-12.0", "debian-12.0.20260101"),
        ("debian-12.0.20260101", "debian-12.0.20260101"),
        ("debian-12.0.20260201", "image-expired"),
        ("debian-12.10.1", "image-deprecated"),
        ("debian-12.10", "image-deprecated"),
        ("debian-13", "image"),
        ("debian-13.0.1", "debian-13.0.1"),
        ("debian-slim-12", "debian-slim-12.0.9"),
        ("ubuntu-24.4", "ubuntu-24.04.1"),
        ("ubuntu-24.04", "ubuntu-24.04.1"),
        ("debian-1", "image"),
        ("rocky-9", "image"),
    ],
)
def test_a_reference_means_the_newest_that_is_supported_and_a_full_one_that_one(text: str, name: str) -> None:
    assert chosen(text) == name


def test_versions_are_compared_as_numbers() -> None:
    assert chosen(
        "a-1", image("a-1.9.9", classification="supported"), image("a-1.10.0", classification="supported")
    ) == ("a-1.10.0")


@pytest.mark.parametrize(
    "text", ["debian", "debian-", "debian-12.", "debian-12.0.1.2", "Debian-12", "-12", "debian_12"]
)
def test_what_has_not_the_form_is_no_reference(text: str) -> None:
    assert parse_reference(text) is None


def test_the_last_day_is_the_last_on_which_it_is_given_out() -> None:
    one = image("a-1.0.0", expires="2026-03-01").spec
    assert not expired(one, datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    assert expired(one, datetime(2026, 3, 2, tzinfo=UTC))
