"""The managed fields of a document, desired beside observed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from reconciler.model.plans.plan import digest


class Field(msgspec.Struct, frozen=True):
    """A managed field: its path in the document, what is desired and what is observed (JSON-encodable), and whether
    they mean the same. `once`: a one-time order, which is not a standing state. `along`: the path of the field with
    which its value changes: an address is of a network, and is another one in another network. `unknown`: what is
    there does not say its value now, so that it neither drifted nor is as declared."""

    path: str
    desired: Any
    observed: Any
    equal: bool
    once: bool = False
    along: str | None = None
    unknown: bool = False

    def fingerprint(self, spec: Any) -> str:
        """What a terminal failure holds for: the document and what is observed. A one-time order that failed is not
        given again whatever is observed, or declared of something else."""
        return digest((self.path, self.desired, None) if self.once else (self.path, spec, self.observed))


def drifted(field: Field, fields: Iterable[Field], applied: Mapping[str, Any]) -> bool:
    """Whether a field that differs was as declared, and git asks for nothing else since. That holds for the field and
    for the one along with which it changes. `applied`: the values that were last seen to be as declared, by path."""
    if field.equal or field.once or field.unknown or field.path not in applied or applied[field.path] != field.desired:
        return False
    leader = next((one for one in fields if one.path == field.along), None)
    return leader is None or leader.equal or drifted(leader, (), applied)
