"""Label selectors as kubectl knows them: `rack=r12,role in (db,web),!spare`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)$")
_EXISTS = re.compile(r"^(?P<op>!?)\s*(?P<key>[^\s!=,()]+)$")
_COMMA = re.compile(r",(?![^(]*\))")


class Unmatched(ValueError):
    """A target or selector that means nothing here; the text says what was meant instead, as far as known."""


class Requirement(msgspec.Struct, frozen=True):
    """One part of a selector: the label's value must (or must not) be among `values`; none means that it must exist."""

    key: str
    values: tuple[str, ...] | None
    negated: bool = False

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Kubernetes' rule: `!=` and `notin` accept what lacks the label."""
        if self.values is None:
            return (self.key in labels) is not self.negated
        return (labels.get(self.key) in self.values) is not self.negated


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """`rack=r12,role in (db,web),!spare`. Raises Unmatched."""
    return tuple(_requirement(part.strip()) for part in _COMMA.split(text) if part.strip())


def _requirement(part: str) -> Requirement:
    if match := _SET.match(part):
        values = tuple(value.strip() for value in match["values"].split(","))
        return Requirement(match["key"], values, match["op"] == "notin")
    if match := _EQUAL.match(part):
        return Requirement(match["key"], (match["value"],), match["op"] == "!=")
    if match := _EXISTS.match(part):
        return Requirement(match["key"], None, match["op"] == "!")
    raise Unmatched(f"{part!r} is not a label selector; write key=value, key!=value, key in (a,b), key or !key")
