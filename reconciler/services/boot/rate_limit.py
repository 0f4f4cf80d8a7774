"""How much of a flood gets through: the first of a kind at once, the rest as a number."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from reconciler import runtime

QUIET = timedelta(minutes=10)
"""So long after one of a kind, others like it are only counted."""

MAX_EVENTS = 20
"""Of one kind, from however many addresses, in QUIET."""

REMEMBERED = 4096
"""Kinds and addresses that are kept in mind; beyond these, the oldest are forgotten."""


class EventLimit:
    """Decides of each (kind, address) whether it is reported. Safe for use by several threads."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._untold: dict[str, int] = {}
        self._told: dict[str, list[datetime]] = {}
        self._lock = runtime.lock()

    def passes(self, kind: str, address: str, now: datetime) -> int | None:
        """None: it is not reported. Else the number of the kind, from anywhere, that were not reported before it."""
        place = (kind, client_network(address))
        with self._lock:
            recent = [at for at in self._told.get(kind, []) if now - at < QUIET]
            last = self._last.get(place)
            if len(recent) >= MAX_EVENTS or (last is not None and now - last < QUIET):
                self._untold[kind] = self._untold.get(kind, 0) + 1
                return None
            self._told[kind] = [*recent, now]
            self._last[place] = now
            self._last.move_to_end(place)
            if len(self._last) > REMEMBERED:
                self._last.popitem(last=False)
            return self._untold.pop(kind, 0)


class RateLimit:
    """So many of something for each address in `window`, and no more. Safe for use by several threads."""

    def __init__(self, most: int, window: timedelta) -> None:
        self._most, self._window = most, window
        self._seen: OrderedDict[str, list[datetime]] = OrderedDict()
        self._lock = runtime.lock()

    def allows(self, address: str, now: datetime) -> bool:
        """Whether one more is within the limit; it counts if so."""
        place = client_network(address)
        with self._lock:
            recent = [at for at in self._seen.pop(place, []) if now - at < self._window]
            allowed = len(recent) < self._most
            self._seen[place] = [*recent, now] if allowed else recent
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            return allowed


class PacedLog:
    """A log in which no client fills the disk: of each address, and of all together, so many lines a minute. The next
    line has the number of lines that were left out. Safe for use by several threads."""

    def __init__(self, log: Any, now: Callable[[], datetime], each: int = 120, total: int = 3000) -> None:
        self._log, self._now = log, now
        self._paces = (RateLimit(each, timedelta(minutes=1)), RateLimit(total, timedelta(minutes=1)))
        self._left_out: Counter[str] = Counter()

    def bind(self, **fields: object) -> PacedLog:
        """The same log, whose lines all have these fields."""
        bound = copy(self)
        bound._log = self._log.bind(**fields)
        return bound

    def debug(self, event: str, **fields: Any) -> None:
        """A line about `client`."""
        self._say(self._log.debug, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """A line about `client`."""
        self._say(self._log.info, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """A line about `client`, or about all of them."""
        self._say(self._log.error, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """The same, with the traceback of what is being handled."""
        self._say(self._log.exception, event, fields)

    def _say(self, say: Callable[..., object], event: str, fields: dict[str, Any]) -> None:
        each, total = self._paces
        now = self._now()
        if not each.allows(str(fields.get("client", "")), now) or not total.allows("", now):
            self._left_out["left_out"] += 1
            return
        left_out = self._left_out.pop("left_out", 0)
        say(event, **fields, **({"left_out": left_out} if left_out else {}))


def client_network(address: str) -> str:
    """A client with one IPv6 address has the whole /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address
