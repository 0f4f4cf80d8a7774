"""Collections of a BMC, read within bounds. A member that is listed but not there (404) is left out: it was pulled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from drivers.base import AuthenticationFailed, DriverError, Forbidden, Unreachable
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish_system import firmware_text
from drivers.bmc.redfish.wire.redfish_errors import Broken, NotFound
from drivers.bmc.redfish.wire.redfish_login import path_of_reference

EXPAND = "?$expand=.($levels=1)"
"""Members in place of links to them (DSP0266 7.3.1), where the service root offers it."""

T = TypeVar("T")
RedfishDocument = dict[str, Any]


class PartUnreadable(Exception):
    """A part was not offered, or could not be read."""


class Listed(msgspec.Struct):
    """What a list has. `unread`: names of what could not be read of it, empty for a page. `why`: of the last one."""

    found: list[Any]
    unread: list[str] = []
    why: Exception | None = None


class Reader:
    """GETs within bounds, each resource once."""

    def __init__(self, get: Callable[[str], RedfishDocument], expands: bool, requests: int, seconds: float) -> None:
        self._get, self._expands = get, expands
        self._left, self._until = requests, scheduling.monotonic() + seconds
        self._was_silent = False

    def members(self, link: object) -> Listed:
        """A collection's members that are in the machine. Raises PartUnreadable where nothing of it can be read;
        AuthenticationFailed, Unreachable."""
        path = path_of(link)
        first = self._first_page(path)
        if not isinstance(first.get("Members"), list):
            raise PartUnreadable
        return self.documents(self.linked(first, "Members", path))

    def documents(self, links: Listed) -> Listed:
        """The documents of these links, as far as they exist; in the order of their paths, as BMCs change theirs. One
        that cannot be read costs no other. Raises AuthenticationFailed, Unreachable."""
        all_of = Listed([], list(links.unread), links.why)
        by_path: dict[str, RedfishDocument] = {}
        for one in links.found:
            try:
                by_path[path_of(one)] = one
            except PartUnreadable as error:
                all_of.unread.append("")
                all_of.why = error
        for path in sorted(by_path):
            try:
                document = self._document(path, by_path[path])
            except PartUnreadable as error:
                all_of.why = error
                all_of.unread.append(firmware_text(path.rpartition("/")[2]) or "")
                continue
            if document is not None and not is_absent(document):
                all_of.found.append(document)
        return all_of

    def linked(self, document: RedfishDocument, name: str, base: object = None) -> Listed:
        """What a list of links within a document has, on all its pages (DSP0266, partial results). `base`: where the
        document was read, if it does not say so. A list that is null, or is no list, is unknown. Raises as
        `documents`."""
        all_of = Listed([], [])
        page, pages, base = document, set[str](), base or document.get("@odata.id")
        while True:
            listed = page.get(name, page.get("Members", []))
            all_of.found += listed if isinstance(listed, list) else []
            try:
                following = next_page(page, name, base) or next_page(page, "Members", base)
                if following is None and isinstance(listed, dict):
                    following = path_of(listed)  # A link to the list, in its place.
                elif not isinstance(listed, list | dict):
                    raise PartUnreadable
                if following is None or following in pages:
                    return all_of
                pages.add(following)
                page, base = self._read(following), following
            except (PartUnreadable, NotFound) as error:
                all_of.unread.append("")
                all_of.why = error
                return all_of

    def _document(self, path: str, given: RedfishDocument) -> RedfishDocument | None:
        if any(not name.startswith("@odata.") for name in given):
            return given
        try:
            document = self._read(path)
        except NotFound:
            return None
        if "Id" not in document and "error" in document:
            # 200 with an error in it (recorded from an Intel S2600BPB).
            raise PartUnreadable
        return document

    def _first_page(self, path: str) -> RedfishDocument:
        if self._expands:
            try:
                page = self._read(path + EXPAND)
                if isinstance(page.get("Members"), list):
                    return page
            except (PartUnreadable, NotFound):
                pass
            # It promised what it cannot do, so it is not asked for it again.
            self._expands = False
        return self._read(path)

    def _read(self, path: str) -> RedfishDocument:
        """One GET. Raises NotFound; PartUnreadable; AuthenticationFailed; Unreachable at the second GET without an
        answer."""
        if self._left <= 0 or scheduling.monotonic() >= self._until:
            raise PartUnreadable
        self._left -= 1
        try:
            return self._get(path)
        except (NotFound, AuthenticationFailed) as error:
            if isinstance(error, Forbidden):
                raise PartUnreadable from error
            raise
        except Unreachable as error:
            # One resource may be too slow or too large; a BMC that is gone must not be waited for at each.
            if self._was_silent and not isinstance(error, Broken):
                raise
            self._was_silent = self._was_silent or not isinstance(error, Broken)
            raise PartUnreadable from error
        except (DriverError, ValueError) as error:
            raise PartUnreadable from error


def read_part(read: Callable[[], T]) -> T | None:
    """What was read; None for a part that was not."""
    try:
        return read()
    except (PartUnreadable, NotFound):
        return None


def next_page(page: RedfishDocument, name: str, base: object) -> str | None:
    """Where the rest of a list is that this page has a part of; None: it is whole. `base`: where the page was read, as
    some write a reference that is relative. Others write a whole URL, whose host is dropped, or an object. Raises
    PartUnreadable for what is no link."""
    link = page.get(f"{name}@odata.nextLink")
    if link is None and name == "Members":
        link = page.get("@odata.nextLink")  # As OData has it, and not Redfish.
    if link is None or link == "":
        return None
    text = link.get("@odata.id") if isinstance(link, dict) else link
    try:
        path = path_of_reference(base if isinstance(base, str) else "", text) if isinstance(text, str) else None
    except ValueError:
        path = None
    return path_of({"@odata.id": path})


def path_of(link: object) -> str:
    """Where a link leads. Raises PartUnreadable for what is no link."""
    path = link.get("@odata.id") if isinstance(link, dict) else None
    if not isinstance(path, str) or not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise PartUnreadable
    return path.replace(" ", "%20").rstrip("/")


def is_absent(document: RedfishDocument) -> bool:
    status = document.get("Status")
    return isinstance(status, dict) and status.get("State") == "Absent"
