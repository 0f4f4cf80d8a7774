"""What a driver says is kept only if it can be read again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, cast

import pytest

from drivers.base import SystemState
from reconciler.model.resource import ResourceKey
from reconciler.observed.connections import Connections
from reconciler.observed.poller import Poller
from tests.unit import planning_worlds as made

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MACHINES = [made.machine(name) for name in ("good", "odd")]
KEYS = [one.key for one in MACHINES]
DESIRED = made.desired(*MACHINES)


class Ways:
    """Connections to a driver from outside, which says of one machine what its type does not allow."""

    ipam = pools = None
    reach = staticmethod(lambda backend, _now: backend)
    more_backends: ClassVar[dict[str, Any]] = {}

    def __init__(self, said: Any) -> None:
        self._said, self._name = said, ""

    def bmc(self, key: ResourceKey, _way: object) -> Ways:
        ways = Ways(self._said)
        ways._name = key.name
        return ways

    def read(self, *, media: bool) -> Any:
        assert not media
        return self._said if self._name == "odd" else SystemState(model="X")


@pytest.mark.parametrize(
    "said",
    [
        SystemState(model=cast("str", 7)),
        SystemState(model="X\ud800"),
        SystemState(power=cast("Any", "Sideways")),
        SystemState(media=cast("Any", ({"a": 1},))),
        cast("Any", ["no", "state"]),
        cast("Any", object()),
    ],
    ids=["number", "surrogate", "power", "media", "list", "object"],
)
def test_what_could_not_be_read_again_makes_that_machine_unknown(said: Any) -> None:
    """The store would give it back to every command, as an error, and to the daemon at each start."""
    looks = Poller(cast("Connections", Ways(said)), lambda: NOW).observe_all(KEYS, DESIRED)
    found = {seen.key.name: seen for seen in looks}
    assert found["good"].value == SystemState(model="X")
    error = found["odd"].error
    assert error is not None
    assert error.reason == "Internal"
    assert "the driver failed unexpectedly" in error.message
