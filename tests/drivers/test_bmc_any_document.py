"""Whatever a BMC says about its system, it is read as far as it makes sense, and no further."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from drivers.bmc.redfish.redfish_system import ParsedSystem, system_state
from tests.drivers.bmc_servers import SYSTEM, system

WHOLE = system(**{"@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{SYSTEM}/Settings"}}})

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path to each value in a document."""
    for name in value if isinstance(value, dict) else ():
        yield (*path, name)
        yield from places(value[name], (*path, name))


def changed(changes: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """The whole document with other values in these places."""
    document: dict[str, Any] = json.loads(json.dumps(WHOLE))
    for path, value in changes.items():
        inner: Any = document
        for name in path[:-1]:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[path[-1]] = value
    return document


def read(document: dict[str, Any]) -> SystemState:
    # A document that was read already needs no connection.
    looked: Any = ParsedSystem(None, SYSTEM, document, None)  # type: ignore[arg-type]
    return system_state(looked, None)


@given(st.dictionaries(st.sampled_from(list(places(WHOLE))), values, max_size=5).map(changed))
def test_no_value_in_any_place_stops_the_reading(document: dict[str, Any]) -> None:
    state = read(document)
    assert msgspec.json.decode(msgspec.json.encode(state), type=SystemState) == state


@given(st.dictionaries(st.text(), values))
def test_no_document_stops_the_reading(document: dict[str, Any]) -> None:
    read(document)


@given(st.sampled_from([path for path in places(WHOLE) if path != ("PowerState",)]), values)
def test_an_odd_value_elsewhere_does_not_hide_the_power_state(path: tuple[str, ...], value: Any) -> None:
    assert read(changed({path: value})).power is PowerState.ON


@given(values)
def test_a_power_state_that_is_none_of_redfish_is_unknown(value: Any) -> None:
    power = read(changed({("PowerState",): value})).power
    assert power is None or power.value == value
