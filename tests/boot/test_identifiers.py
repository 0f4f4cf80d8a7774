"""MAC addresses and UUIDs of machines that ask the boot service."""

from __future__ import annotations

import uuid as uuids

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.services.boot import identifiers

MAC, UUID = "52:54:00:ab:cd:ef", "22334455-6677-8899-aabb-ccddeeff0011"


def test_of_several_each_is_taken_once_in_order() -> None:
    assert identifiers.macs(["", "525400ABCDEF", "x", "525400000001", MAC]) == (MAC, "52:54:00:00:00:01")


@pytest.mark.parametrize("text", [UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}"])
def test_a_uuid_is_known_in_any_form(text: str) -> None:
    assert identifiers.uuid(text) == UUID


@pytest.mark.parametrize("text", ["", "x", UUID[:-1], UUID + "0", *sorted(identifiers.NO_UUID)])
def test_what_many_machines_have_is_no_uuid(text: str) -> None:
    assert identifiers.uuid(text) is None


@given(st.uuids())
def test_turned_is_as_python_reads_smbios_bytes(one: uuids.UUID) -> None:
    assert identifiers.byte_swapped_uuid(str(one)) == str(uuids.UUID(bytes_le=one.bytes))
    assert identifiers.byte_swapped_uuid(identifiers.byte_swapped_uuid(str(one))) == str(one)
    assert identifiers.same_uuid(str(one), identifiers.byte_swapped_uuid(str(one)))


@given(st.text(max_size=80))
def test_anything_else_is_none_or_in_the_one_form(text: str) -> None:
    found = identifiers.uuid(text)
    assert found is None or (len(found) == 36 and found == found.lower())
