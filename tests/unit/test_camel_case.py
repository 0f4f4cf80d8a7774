"""Documents name the fields of structs in camelCase, and leave data alone."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from drivers.base import BootEnabled, BootOverride, BootTarget, ResetType, SystemState
from reconciler.kinds import KINDS
from reconciler.views.camel_case import camel_form


class Port(msgspec.Struct, omit_defaults=True, tag="port"):
    link_up: bool = False
    seen_at: datetime | None = None


class Fabric(msgspec.Struct, rename={"by_name": "by_name"}):
    by_name: dict[str, Port]
    all_of_them: tuple[Port, ...] = ()


def test_fields_are_renamed_at_every_depth_and_keys_of_data_are_not() -> None:
    port = Port(True, datetime(2026, 1, 1, tzinfo=UTC))
    said = {"type": "port", "linkUp": True, "seenAt": "2026-01-01T00:00:00Z"}
    assert camel_form(Fabric({"swp_1": port}, (Port(),))) == {
        "byName": {"swp_1": said},
        "allOfThem": [{"type": "port"}],
    }


def test_what_a_bmc_reports() -> None:
    state = SystemState(
        allowed_resets=(ResetType.ON,), boot=BootOverride(target=BootTarget.PXE, enabled=BootEnabled.ONCE)
    )
    found = camel_form(state)
    assert found["allowedResets"] == ["On"]
    assert not [name for name in (*found, *found["boot"]) if "_" in name]


def test_no_observed_type_of_a_kind_is_a_text_that_would_be_left_as_it_is() -> None:
    for kind in KINDS.values():
        assert kind.observed_type is None or issubclass(kind.observed_type, msgspec.Struct), kind.name
