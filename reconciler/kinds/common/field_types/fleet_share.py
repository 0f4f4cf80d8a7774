"""A number of machines, or a share of a fleet or of a part of it."""

from __future__ import annotations

from typing import Self

import msgspec


class FleetShare(msgspec.Struct, frozen=True):
    """A number of machines, or a share of the fleet."""

    count: int | None = None
    """A number of resources; None: it is a share."""
    percent: float | None = None
    """A share of the fleet; None: it is a number."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """`5` or `10%`. Raises ValueError saying what is accepted."""
        number = text.strip().removesuffix("%")
        try:
            value = float(number) if text.strip().endswith("%") else int(number)
        except ValueError:
            raise ValueError(
                f"{text!r} is neither a number of machines (such as 5) nor a share (such as 10%)"
            ) from None
        if not value >= 0 or (text.strip().endswith("%") and value > 100):  # nan compares with nothing
            raise ValueError(f"{text!r} is out of range: a share is between 0% and 100%")
        return cls(percent=value) if text.strip().endswith("%") else cls(count=int(value))

    def of(self, total: int) -> float:
        """The limit in machines, of a fleet of `total`."""
        if self.count is not None:
            return float(self.count)
        return round(total * (self.percent or 0.0) / 100.0, 6)  # 9.2% of 750 is 69, and not 68.99999999999999.

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{self.percent:g}%"


TENTH = FleetShare(percent=10.0)
