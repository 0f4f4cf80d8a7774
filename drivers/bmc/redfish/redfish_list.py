"""The systems behind one BMC. What can be read of their list is used; what cannot be is reported apart from what is not
there."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import msgspec

from drivers.base import (
    AuthenticationFailed,
    DriverError,
    Forbidden,
    ListedSystems,
    Rejected,
    Unreachable,
    Unsupported,
)
from drivers.bmc.redfish.redfish_reader import PartUnreadable, next_page
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector
from drivers.bmc.redfish.wire.redfish_errors import Broken, NotFound
from drivers.bmc.redfish.wire.redfish_http import Reply

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""An id that can be used in a path unchanged."""
_MOST_PAGES = 50
_NAMED, _SHOWN = 20, 100
"""Systems in a message, and characters of each name."""


class SystemList(msgspec.Struct, frozen=True):
    """`paths`: of the systems, by their ids. `odd`: how many members have no path. `unread`: why the list was not read
    to its end."""

    paths: dict[str, str]
    odd: int = 0
    unread: DriverError | None = None

    @property
    def listed(self) -> ListedSystems:
        """The ids alone, by name."""
        return ListedSystems(tuple(sorted(self.paths)), None if self.unread is None else str(self.unread))

    @property
    def names(self) -> str:
        """The ids, for a message."""
        more = f" and {len(self.paths) - _NAMED} more" if len(self.paths) > _NAMED else ""
        return (", ".join(name[:_SHOWN] for name in sorted(self.paths)[:_NAMED]) or "none") + more


def list_systems(connector: OneShotConnector) -> SystemList:
    """All pages of the BMC's systems. Raises DriverError and ValueError when the first page cannot be read, or nothing
    in it makes sense."""
    listed: list[object] = []
    unread: DriverError | None = None
    page: str | None = connector.systems_uri()
    read, count = set[str](), 0
    while page is not None and page not in read:
        if len(read) == _MOST_PAGES:
            unread = Unreachable(f"{connector.url}: the list of systems has more than {_MOST_PAGES} pages")
            break
        read.add(page)
        try:
            document, members = _page(connector, page)
            listed += members
            count = _count(document)
            page = next_page(document, "Members", page)
        except (DriverError, ValueError, PartUnreadable) as error:
            if not (listed or len(read) > 1) or not can_go_on(error):
                raise
            why = str(error) if isinstance(error, DriverError) else f"{connector.url}: a page is not valid Redfish"
            unread = Unreachable(f"{why} (a page of the list of systems)")
            break
    if unread is None and len(listed) < count:
        unread = Unreachable(
            f"{connector.url}: BMC lists only {len(listed)} of {count} systems; it may still be starting"
        )
    return _listed(listed, unread)


def _page(connector: OneShotConnector, path: str) -> tuple[dict[str, Any], list[object]]:
    """A page of the list, and the members on it."""
    document: dict[str, Any] = connector.get(path).json()
    members = document.get("Members")
    if not isinstance(members, list):
        raise ValueError("the list of systems has no Members")
    return document, members


def _count(page: dict[str, Any]) -> int:
    """How many members all pages together should have; 0: not said."""
    count = page.get("Members@odata.count")
    return count if isinstance(count, int) else 0


def _listed(members: list[object], unread: DriverError | None) -> SystemList:
    found = [one["@odata.id"] for one in members if isinstance(one, dict) and isinstance(one.get("@odata.id"), str)]
    paths = {path.rstrip("/").rpartition("/")[2]: path for path in found}
    odd = len(members) - len(found)
    if odd and not paths:
        raise ValueError("the members of the list of systems have no path")
    return SystemList(paths, odd, unread)


def system_by_path(connector: OneShotConnector, system_id: str | None) -> tuple[str, Reply] | None:
    """The system where Redfish has it, below the list by its id, so that the list need not be read. None: the list must
    be read, because the path has no system, or another one. Raises DriverError."""
    if system_id is None or not _ID.fullmatch(system_id):
        return None
    path = f"{connector.systems_uri().rstrip('/')}/{system_id}"
    try:
        reply: Reply = connector.get(path)
        document = reply.json()
    except (Rejected, Unsupported, Forbidden, Broken, ValueError):
        return None
    own = document.get("@odata.id")
    names = {document.get("Id"), own.rstrip("/").rpartition("/")[2] if isinstance(own, str) else None}
    return (path, reply) if system_id in names else None


def find_system(connector: OneShotConnector, system_id: str | None) -> str:
    """The path of the system by its id; never the first of several, which may be a DPU (tinkerbell/rufio#313). A system
    or a page that cannot be read hides no other. Raises DriverError; Rejected alone says what to write in a document.
    """
    found = list_systems(connector)
    if system_id is None:
        return _only(connector.url, found)
    if system_id in found.paths:
        return found.paths[system_id]
    unread = found.unread
    for path in found.paths.values():
        try:
            if connector.get(path).json().get("Id") == system_id:
                return path
        except NotFound:
            continue
        except DriverError as error:
            if not can_go_on(error):
                raise
            unread = unread or error
        except ValueError as error:
            unread = unread or Unreachable(f"{connector.url}: {path} is not valid Redfish: {error}")
    if unread is None and not found.paths:
        unread = Unreachable(f"{connector.url}: BMC lists no system just now; it may still be starting")
    if unread is not None:
        _not_found(connector.url, system_id, unread)
    raise Rejected(f"{connector.url}: BMC has no system {system_id}; set bmc.systemId to one of: {found.names}")


def _only(url: str, found: SystemList) -> str:
    if not found.paths and found.unread is None:
        raise Unreachable(f"{url}: BMC lists no system just now; it may still be starting")
    if len(found.paths) + found.odd > 1:
        raise Rejected(f"{url}: BMC has several systems; set bmc.systemId to one of: {found.names}")
    if found.unread is not None:
        raise found.unread
    return next(iter(found.paths.values()))


def _not_found(url: str, system_id: str, unread: DriverError) -> NoReturn:
    """What was not read may be the system, so that nothing is wrong with the document."""
    raise Unreachable(
        f"{url}: system {system_id} was not found, but a part of the list of systems could not be read: "
        f"{str(unread).removeprefix(f'{url}: ')}"
    )


def can_go_on(error: Exception) -> bool:
    """Whether other resources may be asked for after this error; a login that does not hold, holds for none."""
    return not isinstance(error, AuthenticationFailed) or isinstance(error, Forbidden)
