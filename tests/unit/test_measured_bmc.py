"""What is measured of requests to BMCs: every method of the port, and the reason of what fails."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from drivers.base import Bmc, BmcRequest, Busy, DriverError, ErrorReason, MeasuredBmc, Rejected

METHODS = sorted(name for name, _ in inspect.getmembers(Bmc, inspect.isfunction) if not name.startswith("_"))


class Answering:
    """A BMC of which every method gives the same answer, or raises it."""

    def __init__(self, answer: object) -> None:
        self._answer, self.asked = answer, list[tuple[str, tuple[Any, ...]]]()

    def __getattr__(self, name: str) -> Any:
        def asked(*arguments: Any, **named: Any) -> object:
            self.asked.append((name, (*arguments, *named.values())))
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

        return asked


def ask(bmc: Any, method: str) -> object:
    wanted = inspect.signature(getattr(Bmc, method)).parameters
    return getattr(bmc, method)(*["argument"] * (len(wanted) - 1 - (method == "read")))


@pytest.mark.parametrize("method", METHODS)
def test_each_request_reaches_the_bmc_and_is_reported_once(method: str) -> None:
    told: list[BmcRequest] = []
    bmc = Answering("answer")
    assert ask(MeasuredBmc(bmc, "fake", told.append), method) == "answer"
    assert [name for name, _ in bmc.asked] == [method]
    assert [(one.driver, one.operation, one.error) for one in told] == [("fake", method.replace("_", "-"), None)]
    assert told[0].seconds >= 0


class OfADriver(Rejected):
    """A subclass, as drivers have them."""


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Busy("later"), ErrorReason.BUSY),
        (OfADriver("no"), ErrorReason.REJECTED),
        (DriverError("odd"), ErrorReason.FAILED),
        (KeyError("a defect of the driver"), ErrorReason.INTERNAL),
    ],
)
def test_a_failure_is_reported_by_its_reason_and_raised(failure: Exception, reason: ErrorReason) -> None:
    told: list[BmcRequest] = []
    with pytest.raises(type(failure)):
        MeasuredBmc(Answering(failure), "fake", told.append).read()
    assert [one.error for one in told] == [reason]
