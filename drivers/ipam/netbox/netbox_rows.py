"""Objects of NetBox as rows, and rows as what an Ipam speaks of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from drivers.base import About, Allocation, IpamNetwork, Prefix, Rejected
from drivers.ipam.addresses import Block, Interval, joined, parse_prefix, subtract, text_of

_LARGEST_ID = 2**63 - 1
URL_LENGTH = 2000
"""Characters of values in one look-up; gunicorn refuses a request line of more than 4094."""


class PrefixRow(msgspec.Struct, frozen=True):
    """A prefix of a network, as it stands in NetBox. `vrf` is the VRF's id, None the global table.

    `block`: with the reserved parts that NetBox keeps back; `declared`: with all that were asked for.
    """

    id: int
    network: str
    position: int
    block: Block
    declared: Block
    vrf: int | None
    namespace: str
    container: bool
    parent: str | None
    shared: bool
    project: str
    url: str


class AddressRow(msgspec.Struct, frozen=True):
    """An address as it stands in NetBox; `owner` None: not the fleet's."""

    id: int
    owner: str | None
    tagged: bool
    network: str
    number: int
    vrf: int | None
    about: About
    url: str

    @property
    def holder(self) -> str:
        """Who has it, in words."""
        return self.owner if self.owner is not None and self.tagged else f"NetBox ({self.url})"


class RangeRow(msgspec.Struct, frozen=True):
    """An IP range that is marked as populated; `owner` None: not the fleet's."""

    id: int
    owner: str | None
    network: str
    interval: Interval
    vrf: int | None
    url: str


def network_of(rows: Sequence[PrefixRow]) -> IpamNetwork:
    """A network from its prefixes. What they do not agree on is as the first says."""
    first = rows[0]
    return IpamNetwork(
        prefixes=tuple(row.block.prefix for row in rows),
        parent=first.parent,
        namespace=first.namespace,
        container=first.container,
        shared=first.shared,
        project=first.project,
    )


def allocation_of(row: AddressRow) -> Allocation:
    """What an owner holds. `row` is the fleet's."""
    return Allocation(row.owner or "", row.network, text_of(row.number), row.about)


def extra_data(about: About) -> dict[str, object]:
    """What of an About is kept as data; the rest has fields of NetBox's own."""
    said: dict[str, object] = {}
    if about.ephemeral:
        said["ephemeral"] = True
    if about.tags:
        said["tags"] = list(about.tags)
    return said


def reserved_in(block: Block, *, container: bool) -> list[Interval]:
    """The parts of a prefix that are reserved by name."""
    # Read without a name of any, a prefix says which of the others it keeps back.
    plain = parse_prefix(Prefix(block.cidr), container=container).usable
    return subtract(plain, block.usable)


def null(vrf: int | None) -> int | str:
    """A VRF for a filter."""
    return "null" if vrf is None else vrf


def chunks(values: Sequence[str]) -> Iterable[list[str]]:
    """The values, some at a time, so that a URL can hold them."""
    some: list[str] = []
    length = 0
    for value in values:
        if some and length + len(value) > URL_LENGTH:
            yield some
            some, length = [], 0
        some.append(value)
        # Its name, and what is escaped.
        length += len(value) + 32
    if some:
        yield some


def declared_block(cidr: str, said: Mapping[str, Any], *, container: bool) -> Block:
    """A prefix as it was asked for, in the spelling in which it was."""
    reserved = tuple(str(part) for part in list_or_empty(said.get("reserved")))
    try:
        block = parse_prefix(Prefix(str(said.get("cidr")), reserved), container=container)
        if block.cidr == cidr:
            return block
        return parse_prefix(Prefix(cidr, reserved), container=container)
    except Rejected:
        # Somebody has edited what groundstate keeps; it counts as not said.
        return parse_prefix(Prefix(cidr), container=container)


def reserved_there(declared: Block, populated: Sequence[Interval], *, container: bool) -> Block:
    """What was asked for, without the reserved parts that NetBox does not keep back (any more)."""
    kept = joined(populated)

    def there(part: str) -> bool:
        one = parse_prefix(Prefix(declared.cidr, (part,)), container=container)
        return not subtract(reserved_in(one, container=container), kept)

    parts = tuple(part for part in declared.prefix.reserved if there(part))
    return parse_prefix(Prefix(declared.prefix.cidr, parts), container=container)


def custom_field(record: Mapping[str, Any], name: str) -> object:
    fields = record.get("custom_fields")
    return fields.get(name) if isinstance(fields, dict) else None


def dict_or_empty(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_or_empty(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def choice_value(choice: object) -> object:
    return choice.get("value") if isinstance(choice, dict) else choice


def nested_name(nested: object) -> str:
    return str(nested.get("name") or "") if isinstance(nested, dict) else ""


def nested_id(nested: object) -> int | None:
    return object_id(nested["id"]) if isinstance(nested, dict) else None


def object_id(value: object) -> int:
    """An object's id. Raises ValueError for what is none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_ID:
        return value
    raise ValueError(f"{value!r} is not an id")


def page_url(record: Mapping[str, Any]) -> str:
    """Where a person finds it."""
    return str(record.get("display_url") or str(record.get("url", "")).replace("/api/", "/", 1))
