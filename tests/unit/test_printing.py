"""What `-o json` and `-o yaml` say is the same data."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
import yaml

from reconciler.commands.printing import dump
from reconciler.model.outcome import ConditionReason
from reconciler.model.resource import ResourceKey

VALUES = [
    pytest.param({"reason": ConditionReason.HELD}, id="a reason of a closed list"),
    pytest.param({ConditionReason.HELD: 1}, id="counted by reason"),
    pytest.param({"since": datetime(2026, 11, 29, 12, 30, tzinfo=UTC)}, id="a time"),
    pytest.param([ResourceKey("Machine", "r12-01")], id="a struct"),
    pytest.param({"power": None, "ports": (1, 2), "open": True}, id="plain data"),
]


@pytest.mark.parametrize("value", VALUES)
def test_yaml_says_the_same_as_json(value: object) -> None:
    assert yaml.safe_load(dump(value, "yaml")) == msgspec.json.decode(dump(value, "json"))
