"""What the agent sends, read as far as it makes sense: one tool's bad output costs that part and no machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from drivers.base import printable, printable_lines, read_json

T = TypeVar("T")

_PARTS = ("lshw", "lsblk", "serials", "addr", "link", "lldp", "dmi", "cpuinfo", "memory_kb")
"""The parts of an inventory, each the output of a tool, as the agent's `inventory` puts them together."""

_MARK = re.compile(rb'[{,]\s*"(' + "|".join(_PARTS).encode() + rb')"\s*:')
_INVENTORY = re.compile(rb'"inventory"\s*:\s*(?=\{)')


class Registration(msgspec.Struct, frozen=True):
    """What the agent says of itself and of the machine that it runs on."""

    order: str
    uuid: str = ""
    serial: str = ""
    macs: tuple[str, ...] = ()
    agent: str = ""
    inventory: Mapping[str, Any] = {}


class AgentReport(msgspec.Struct, frozen=True):
    """A fact, as the agent reports it."""

    type: str
    detail: str = ""


def read_registration(body: bytes) -> Registration:
    """The registration in a body. Raises ValueError, saying why, for what is none."""
    try:
        found = read_json(body)
    except ValueError:
        found = _in_parts(body)
        if found is None:
            raise
    return _converted(found, Registration)


def read_report(body: bytes) -> AgentReport:
    """The fact in a body, its detail with its lines. Raises ValueError, saying why, for what is none."""
    return _converted(read_json(body, make=printable_lines), AgentReport)


def _converted(found: object, type_: type[T]) -> T:
    try:
        return msgspec.convert(found, type_)
    except msgspec.ValidationError as error:
        raise ValueError(printable(str(error))) from None


def _in_parts(body: bytes) -> Any:
    """The body with each part of its inventory read separately, None for a part that cannot be read; None where the
    rest makes none either."""
    begun = _INVENTORY.search(body)
    if begun is None:
        return None
    try:
        found = read_json(body[: begun.end()] + b"null}")
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return {**found, "inventory": dict(_parts(body[begun.end() :]))}


def _parts(text: bytes) -> Iterator[tuple[str, Any]]:
    """Each part once, from its name to the name of the next."""
    first: dict[bytes, re.Match[bytes]] = {}
    for mark in _MARK.finditer(text):
        first.setdefault(mark[1], mark)
    marks = list(first.values())
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        said = text[mark.end() : end].strip()
        # Behind the last one the inventory and the registration are closed.
        said = said[:-2].rstrip() if end == len(text) and said.endswith(b"}}") else said
        try:
            yield mark[1].decode(), read_json(said)
        except ValueError:
            yield mark[1].decode(), None


# Made here, as msgspec crashes where several threads are the first to meet a type at once.
_converted({"order": ""}, Registration), _converted({"type": ""}, AgentReport)
