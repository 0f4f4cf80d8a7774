"""What a fleet keeps in NetBox, and how it differs from what people made: one tag and three custom fields.

An object is the fleet's when it has the tag (named as the fleet) *and* an owner that begins with `FLEET:`. Prefixes are
networks' prefixes, IP ranges marked as populated their reserved parts, IP addresses the allocations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar, cast

from drivers.base import (
    About,
    AuthenticationFailed,
    Conflict,
    Rejected,
    Unreadable,
    clean,
    excerpt,
)
from drivers.base.support import scheduling
from drivers.ipam.addresses import parse_address, text_of
from drivers.ipam.netbox.netbox_failures import NONSENSE
from drivers.ipam.netbox.netbox_rows import (
    AddressRow,
    PrefixRow,
    RangeRow,
    choice_value,
    chunks,
    custom_field,
    declared_block,
    dict_or_empty,
    list_or_empty,
    nested_id,
    nested_name,
    null,
    object_id,
    page_url,
    reserved_there,
)
from drivers.ipam.netbox.netbox_wire import NetboxConnection, NetboxRefused, Record

T = TypeVar("T")

OWNER, NETWORK, DATA = "groundstate_owner", "groundstate_network", "groundstate_data"
PREFIXES, RANGES, ADDRESSES = "ipam/prefixes/", "ipam/ip-ranges/", "ipam/ip-addresses/"

FIELDS: dict[str, Record] = {
    OWNER: {
        "label": "groundstate owner",
        "type": "text",
        "unique": True,
        "description": (
            "The owner of the object, as FLEET:OWNER. groundstate sets this field. If groundstate should not manage "
            "the object any more, clear the field and remove the tag."
        ),
    },
    NETWORK: {
        "label": "groundstate network",
        "type": "text",
        "unique": False,
        "description": "The groundstate Network to which the object belongs. groundstate sets this field.",
    },
    DATA: {
        "label": "groundstate data",
        "type": "json",
        "unique": False,
        "description": "What groundstate must remember of the object, such as reserved parts. groundstate sets this "
        "field.",
    },
}
OBJECT_TYPES = ("ipam.prefix", "ipam.iprange", "ipam.ipaddress")
LARGEST_RANGE = 2**31 - 1
"""Addresses in an IP range: the number has to fit into a 32-bit column (ipam.IPRange.size)."""
_FLEET = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?\Z", re.ASCII)
_SLUG = re.compile(r"[^a-z0-9_-]+")


class Records:
    """The fleet's objects, read and made. Safe for several threads. Raises Rejected for a fleet's name that cannot be
    a tag's."""

    def __init__(self, wire: NetboxConnection, fleet: str) -> None:
        if not _FLEET.match(fleet):
            raise Rejected(
                f"--ipam-fleet {fleet!r}: the name of a fleet has at most 50 characters: a-z, 0-9, and - between them"
            )
        self.wire, self.fleet = wire, fleet
        self._lock = scheduling.lock()
        self._is_set_up = False

    # What is there

    def prefixes(self, populated: Sequence[RangeRow] | None = None, **filters: Any) -> list[PrefixRow]:
        """The fleet's prefixes, by network and position. `populated`: the ranges, where they are known already."""
        populated = self.ranges() if populated is None else populated
        rows = [
            self._read(PREFIXES, one, lambda one: self._prefix(one, populated))
            for one in self._ours(PREFIXES, **filters)
        ]
        return sorted((row for row in rows if row), key=lambda row: (row.network, row.position, row.id))

    def ranges(self, **filters: Any) -> list[RangeRow]:
        """Every IP range that NetBox gives no addresses of, the fleet's and people's.

        One of people's that makes no sense is left out: should it be in the way, NetBox will say so.
        """
        found = []
        for one in self.wire.all(RANGES, mark_populated="true", **filters):
            try:
                found.append(self._read(RANGES, one, self._range))
            except Unreadable:
                if self.owner_of(one) is not None and self.is_tagged(one):
                    raise
        return found

    def addresses(self, **filters: Any) -> list[AddressRow]:
        """The fleet's addresses, by owner."""
        rows = [self.address(record) for record in self._ours(ADDRESSES, **filters)]
        return sorted((row for row in rows if row.owner is not None), key=lambda row: row.owner or "")

    def held_by(self, owners: Iterable[str]) -> dict[str, AddressRow]:
        """What these owners hold, the tag or not. Raises Conflict for one that someone took the tag off."""
        found: dict[str, AddressRow] = {}
        for some in chunks([self.own(owner) for owner in owners]):
            for record in self.wire.all(ADDRESSES, **{f"cf_{OWNER}": some}):
                row = self.address(record)
                if row.owner is not None and self.own(row.owner) in some:
                    found[row.owner] = row
        return found

    def at(self, numbers: Iterable[int], vrf: int | None) -> dict[int, AddressRow]:
        """Who has these addresses."""
        found: dict[int, AddressRow] = {}
        for some in chunks([text_of(number) for number in numbers]):
            for record in self.wire.all(ADDRESSES, address=some, vrf_id=null(vrf)):
                row = self.address(record)
                found.setdefault(row.number, row)
        return found

    def address(self, record: Mapping[str, Any]) -> AddressRow:
        """Read an address. Raises Unreadable, saying which."""
        return self._read(ADDRESSES, record, self._address)

    def _read(self, path: str, record: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]) -> T:
        """A record, or in words which one makes no sense. It is never left out: what is unknown is not gone."""
        try:
            return read(record)
        except (*NONSENSE, Rejected) as error:
            where = clean(page_url(record) or f"{self.wire.url}/api/{path}{record.get('id')}/")
            why = f"the object has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
            raise Unreadable(
                f"the NetBox object {excerpt(where, 200)} is not valid: {excerpt(why, 200)}; correct the object "
                f"in NetBox, or remove the tag {self.fleet} from it"
            ) from None

    def _address(self, record: Mapping[str, Any]) -> AddressRow:
        said = dict_or_empty(custom_field(record, DATA))
        about = About(
            ephemeral=said.get("ephemeral") is True,
            dns_name=str(record.get("dns_name") or ""),
            tags=tuple(str(tag) for tag in list_or_empty(said.get("tags")) if isinstance(tag, str)),
            project=nested_name(record.get("tenant")),
        )
        return AddressRow(
            id=object_id(record["id"]),
            owner=self.owner_of(record),
            tagged=self.is_tagged(record),
            network=str(custom_field(record, NETWORK) or ""),
            number=parse_address(str(record["address"]).partition("/")[0]),
            vrf=nested_id(record.get("vrf")),
            about=about,
            url=page_url(record),
        )

    def _prefix(self, record: Mapping[str, Any], populated: Sequence[RangeRow]) -> PrefixRow | None:
        if self.owner_of(record) is None:
            return None
        said = dict_or_empty(custom_field(record, DATA))
        vrf, container = nested_id(record.get("vrf")), choice_value(record.get("status")) == "container"
        declared = declared_block(str(record["prefix"]), said, container=container)
        return PrefixRow(
            id=object_id(record["id"]),
            network=str(custom_field(record, NETWORK) or ""),
            position=said["position"] if isinstance(said.get("position"), int) else 0,
            block=reserved_there(declared, [one.interval for one in populated if one.vrf == vrf], container=container),
            declared=declared,
            vrf=vrf,
            namespace=nested_name(record.get("vrf")),
            container=container,
            parent=said["parent"] if isinstance(said.get("parent"), str) else None,
            shared=said.get("shared") is True,
            project=nested_name(record.get("tenant")),
            url=page_url(record),
        )

    def _range(self, record: Mapping[str, Any]) -> RangeRow:
        lo, hi = (parse_address(str(record[end]).partition("/")[0]) for end in ("start_address", "end_address"))
        return RangeRow(
            id=object_id(record["id"]),
            owner=self.owner_of(record) if self.is_tagged(record) else None,
            network=str(custom_field(record, NETWORK) or ""),
            interval=(lo, hi),
            vrf=nested_id(record.get("vrf")),
            url=page_url(record),
        )

    def _ours(self, path: str, **filters: Any) -> list[Record]:
        try:
            return [one for one in self.wire.all(path, tag=self.fleet, **filters) if self.is_tagged(one)]
        except NetboxRefused as refused:
            # NetBox refuses to look for a tag that there is not.
            if refused.status == HTTPStatus.BAD_REQUEST and isinstance(refused.body, dict) and "tag" in refused.body:
                self._refuse_lost_tag()
                return []
            raise

    def _refuse_lost_tag(self) -> None:
        """A fleet that never wrote has nothing; one whose tag was deleted has everything still."""
        for path in (PREFIXES, ADDRESSES):
            lost = [one for one in self.wire.all(path, **{f"cf_{OWNER}__isw": f"{self.fleet}:"}) if self.owner_of(one)]
            if lost:
                raise Rejected(
                    f"{self.wire.url}: NetBox has no tag {self.fleet} any more, but {len(lost)} objects have its "
                    f"owners, such as {page_url(lost[0])}; create the tag again and add it to these objects, or clear "
                    f"their {OWNER}"
                )

    def owner_of(self, record: Mapping[str, Any]) -> str | None:
        """The owner, without the fleet; None if it belongs to another fleet, or has no owner."""
        fleet, colon, owner = str(custom_field(record, OWNER) or "").partition(":")
        return owner if colon and fleet == self.fleet else None

    def is_tagged(self, record: Mapping[str, Any]) -> bool:
        """Whether it has the fleet's tag."""
        tags = record.get("tags")
        return isinstance(tags, list) and any(isinstance(tag, dict) and tag.get("slug") == self.fleet for tag in tags)

    # What is to be there

    def own(self, owner: str) -> str:
        """The owner as NetBox keeps it."""
        return f"{self.fleet}:{owner}"

    def marks(self, owner: str, network: str, data: Mapping[str, object]) -> Record:
        """What makes an object the fleet's."""
        fields = {OWNER: self.own(owner), NETWORK: network, DATA: dict(data) or None}
        return {"tags": [{"slug": self.fleet}], "custom_fields": fields}

    def vrf(self, namespace: str, *, make: bool = False) -> int | None:
        """The VRF of a namespace; "" is the global table, None. Raises Rejected for one that is not known."""
        if not namespace:
            return None
        found = self._named("ipam/vrfs/", namespace)
        if found is None and make:
            body = {"name": namespace, "enforce_unique": True, "tags": [{"slug": self.fleet}]}
            found = self._make("ipam/vrfs/", body)
        if found is None:
            raise Rejected(f"{self.wire.url}: no VRF is named {namespace}; create the VRF in NetBox")
        return object_id(found.get("id"))

    def tenants(self, projects: Iterable[str]) -> dict[str, int | None]:
        """The tenants of projects, made where there are none; "" is None."""
        found: dict[str, int | None] = {"": None}
        for project in sorted(set(projects) - {""}):
            one = self._named("tenancy/tenants/", project)
            if one is None:
                slug = _SLUG.sub("-", project.lower()).strip("-")[:100] or self.fleet
                body = {"name": project, "slug": slug, "tags": [{"slug": self.fleet}]}
                one = self._make("tenancy/tenants/", body)
            found[project] = object_id(one.get("id"))
        return found

    def set_up(self) -> None:
        """Make the tag and the custom fields where they are missing. Idempotent, and after once nothing.

        Raises AuthenticationFailed, saying what to make, when the token may not; Conflict when a custom field of one of
        the names is of another kind.
        """
        with self._lock:
            if self._is_set_up:
                return
            try:
                self._set_up()
            except AuthenticationFailed as error:
                raise AuthenticationFailed(f"{error}. {self._to_be_made()}") from None
            self._is_set_up = True

    def _set_up(self) -> None:
        there = {one.get("name"): one for one in self.wire.all("extras/custom-fields/", name=list(FIELDS))}
        for name, field in FIELDS.items():
            found = there.get(name)
            if found is None:
                self._make(
                    "extras/custom-fields/", {"name": name, "object_types": list(OBJECT_TYPES), **_EXACT, **field}
                )
            else:
                self._refuse_other(found, field)
        if not self.wire.all("extras/tags/", slug=self.fleet):
            about = "groundstate created these objects, and changes and deletes them"
            self._make("extras/tags/", {"name": self.fleet, "slug": self.fleet, "description": about})

    def _refuse_other(self, found: Record, field: Record) -> None:
        missing = [one for one in OBJECT_TYPES if one not in list_or_empty(found.get("object_types"))]
        logic = choice_value(found.get("filter_logic"))
        if choice_value(found.get("type")) != field["type"] or found.get("unique", False) != field["unique"] or missing:
            raise Conflict(
                f"{page_url(found)}: the custom field differs from what groundstate needs. {self._to_be_made()}"
            )
        if found["name"] == OWNER and logic != "exact":
            raise Conflict(f"{page_url(found)}: the filter logic of the custom field must be Exact, not {logic}")

    def _to_be_made(self) -> str:
        fields = ", ".join(
            f"{name} ({field['type']}, {'unique, ' if field['unique'] else ''}filter logic exact)"
            for name, field in FIELDS.items()
        )
        return (
            f"An administrator of NetBox must create a tag with the slug {self.fleet}, and for "
            f"{', '.join(OBJECT_TYPES)} the custom fields {fields}; see docs/netbox.md"
        )

    def _named(self, path: str, name: str) -> Record | None:
        return next((one for one in self.wire.all(path, name=name) if one.get("name") == name), None)

    def _make(self, path: str, body: Record) -> Record:
        """Make it, or find that someone else has meanwhile."""
        try:
            return cast("Record", self.wire.post(path, body))
        except NetboxRefused:
            found = self._named(path, str(body["name"]))
            if found is None:
                raise
            return found


_EXACT = {"filter_logic": "exact", "required": False}
