"""The two ways in which BMCs and boot programs write the UUID of one machine (DMTF DSP0134, 7.2.1)."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.values.system_uuid import byte_swapped_uuid, either_order, same_uuid


@given(st.uuids())
def test_both_ways_are_of_one_machine_and_have_one_word(found: UUID) -> None:
    other = byte_swapped_uuid(str(found))
    assert same_uuid(str(found), other)
    assert either_order(str(found)) == either_order(other.upper())


@pytest.mark.parametrize(
    ("found", "swapped"),
    [
        ("", ""),
        ("0011", "1100"),
        ("0011-2233", "1100-3322"),
        ("00112233-4455-6677-8899-aabbccddee", "33221100-5544-7766-8899-aabbccddee"),
        ("0011-2233-4455-6677-8899-aabbccddeef", "1100-3322-5544-6677-8899-aabbccddeef"),
    ],
)
def test_what_is_no_uuid_is_swapped_field_by_field(found: str, swapped: str) -> None:
    assert byte_swapped_uuid(found) == swapped
