"""Collections of a BMC, read within bounds. A member that is listed but not there (404) is left out: it was pulled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

from drivers.base import AuthenticationFailed, DriverError, Unreachable
from drivers.base.support import scheduling
from drivers.bmc.redfish.wire.redfish_errors import Broken, Forbidden, NotFound

EXPAND = "?$expand=.($levels=1)"
"""Members in place of links to them (DSP0266 7.3.1), where the service root offers it."""

T = TypeVar("T")
RedfishDocument = dict[str, Any]


class PartUnreadable(Exception):
    """A part was not offered, or not to be read to its end."""


class Reader:
    """GETs within bounds, each resource once."""

    def __init__(self, get: Callable[[str], RedfishDocument], expands: bool, requests: int, seconds: float) -> None:
        self._get, self._expands = get, expands
        self._left, self._until = requests, scheduling.monotonic() + seconds
        self._was_silent = False

    def members(self, link: object) -> list[RedfishDocument]:
        """A collection's members that are in the machine. Raises PartUnreadable, AuthenticationFailed, Unreachable."""
        return self.documents(list(self._listed(path_of(link))))

    def documents(self, listed: object) -> list[RedfishDocument]:
        """What is there of a list of links, or of whole documents; in the order of their paths, as BMCs change theirs.

        Raises as `members`.
        """
        if not isinstance(listed, list):
            raise PartUnreadable
        by_path = {path_of(one): one for one in listed}
        found = (self._document(path, by_path[path]) for path in sorted(by_path))
        return [one for one in found if one is not None and not is_absent(one)]

    def linked(self, document: RedfishDocument, name: str) -> list[object]:
        """What a list of links within a document has, on all its pages (DSP0266, partial results). Raises as
        `members`."""
        found: list[object] = []
        page = document
        while True:
            listed = page.get(name, page.get("Members"))
            found += listed if isinstance(listed, list) else []
            following = next_page(page, name) or next_page(page, "Members")
            if following is None:
                return found
            page = self._read(following)

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

    def _listed(self, path: str) -> Iterator[object]:
        """What a collection lists, on all its pages."""
        page = self._first_page(path)
        while True:
            members = page.get("Members")
            if not isinstance(members, list):
                raise PartUnreadable
            yield from members
            following = next_page(page, "Members")
            if following is None:
                return
            # A BMC that links pages in a circle ends at the bound of requests.
            page = self._read(following)

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


def part(read: Callable[[], T]) -> T | None:
    """What was read; None for a part that was not."""
    try:
        return read()
    except (PartUnreadable, NotFound):
        return None


def next_page(page: RedfishDocument, name: str) -> str | None:
    """Where the rest of a list is that this page has a part of; None: it is whole. Raises PartUnreadable for what is no
    link. Some write a whole URL, whose host is dropped, and some an object."""
    link = page.get(f"{name}@odata.nextLink")
    if link is None or link == "":
        return None
    text = link.get("@odata.id") if isinstance(link, dict) else link
    try:
        parts = urlsplit(text) if isinstance(text, str) else None
    except ValueError:
        parts = None
    if parts is None:
        raise PartUnreadable
    return path_of({"@odata.id": parts.path + (f"?{parts.query}" if parts.query else "")})


def path_of(link: object) -> str:
    """Where a link leads. Raises PartUnreadable for what is no link."""
    path = link.get("@odata.id") if isinstance(link, dict) else None
    if not isinstance(path, str) or not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise PartUnreadable
    return path.replace(" ", "%20").rstrip("/")


def is_absent(document: RedfishDocument) -> bool:
    status = document.get("Status")
    return isinstance(status, dict) and status.get("State") == "Absent"
