"""A system's virtual drives that take a CD (DSP0268, VirtualMedia): what is in them, and how that is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from drivers.base import DriverError, Rejected, Unsupported, is_image
from drivers.bmc.redfish.redfish_reader import Listed, PartUnreadable, Reader, RedfishDocument, path_of
from drivers.bmc.redfish.redfish_system import firmware_text
from drivers.bmc.redfish.wire.redfish_errors import NotFound

_MAX_REQUESTS = 40
"""GETs for one look: Lenovo lists ten drives."""
_MAX_SECONDS = 60.0
_LONGEST_URL = 2048
INSERT, EJECT = "#VirtualMedia.InsertMedia", "#VirtualMedia.EjectMedia"
_DISCS = frozenset({"CD", "DVD"})
_NOT_OURS = ("RDOC",)
"""Lenovo's drives for files that were uploaded to the BMC, which take no URL (lenovo/python-redfish-lenovo#21)."""


class Drive(msgspec.Struct, frozen=True):
    """One virtual drive. `image`: the URL of what is in it. `insert`, `eject`: where the actions are sent; None where
    the drive is written to instead (Lenovo XCC)."""

    path: str
    image: str | None
    insert: str | None
    eject: str | None


class Request(msgspec.Struct, frozen=True):
    """A write to send: its method, path and body."""

    method: str
    path: str
    body: dict[str, Any]


def read_drives(
    system: RedfishDocument,
    get: Callable[[str], RedfishDocument],
    managers: str = "/redfish/v1/Managers",
    *,
    expands: bool,
    some: bool = False,
) -> tuple[Drive, ...]:
    """The drives of the ComputerSystem with this document, () where there are none: the system's own, else its
    manager's. `get` as with read_inventory. Raises DriverError when they are offered and cannot be read; `some`: only
    when none can be, where any of them will do."""
    reader = Reader(get, expands, _MAX_REQUESTS, _MAX_SECONDS)
    try:
        for owner in _owners(system, reader, managers):
            if "VirtualMedia" in owner and (found := _members(reader, owner, some)):
                return tuple(sorted(map(_drive, found), key=lambda drive: (drive.insert is None, drive.path)))
    except PartUnreadable as error:
        raise _why(error) from error
    return ()


def media_of(drives: tuple[Drive, ...]) -> tuple[str, ...]:
    """The URLs of the images in them."""
    return tuple(sorted(drive.image for drive in drives if drive.image is not None))


def to_insert(drives: tuple[Drive, ...], url: str) -> Request:
    """How the image gets into the first free drive. Raises Rejected when none is free, Unsupported without drives.

    Only required fields are sent: Supermicro refuses Inserted and WriteProtected, and a PATCH without Inserted is
    ignored (Ironic's sushy, janders).
    """
    if not drives:
        raise Unsupported("BMC has no virtual drive for CD images, so the machine cannot start from virtual media")
    free = next((drive for drive in drives if drive.image is None), None)
    if free is None:
        raise Rejected(
            f"all virtual drives are in use, with {', '.join(media_of(drives))}; eject one of these images on the BMC"
        )
    if free.insert is None:
        return Request("PATCH", free.path, {"Image": url, "Inserted": True, "WriteProtected": True})
    return Request("POST", free.insert, {"Image": url})


def to_eject(drives: tuple[Drive, ...], url: str) -> Request | None:
    """How the image gets out of the drive that it is in; None when it is in none."""
    drive = next((drive for drive in drives if drive.image is not None and is_image(drive.image, url)), None)
    if drive is None:
        return None
    if drive.eject is None:
        return Request("PATCH", drive.path, {"Image": None, "Inserted": False})
    return Request("POST", drive.eject, {})


def more_is_wanted(request: Request, refusal: DriverError) -> Request | None:
    """The same with what a refusal names as missing: TransferProtocolType (Cisco C845A), TransferMethod (Nokia)."""
    said, wanted = str(refusal), dict(request.body)
    if "TransferProtocolType" in said:
        wanted["TransferProtocolType"] = str(wanted.get("Image", "")).partition(":")[0].upper()
    if "TransferMethod" in said:
        wanted["TransferMethod"] = "Stream"
    return Request(request.method, request.path, wanted) if wanted != request.body else None


def _owners(system: RedfishDocument, reader: Reader, managers: str) -> Iterator[RedfishDocument]:
    """The system, then the managers that it names, else the BMC's only one: Huawei and Cray name none."""
    yield system
    links = system.get("Links")
    named = links.get("ManagedBy") if isinstance(links, dict) else None
    if named:
        managing = reader.documents(Listed(named if isinstance(named, list) else [named]))
        yield from managing.found
    else:
        managing = reader.members({"@odata.id": managers})
        yield from managing.found if len(managing.found) == 1 and not managing.unread else ()
    if managing.why is not None:
        raise managing.why


def _members(reader: Reader, owner: RedfishDocument, some: bool) -> list[RedfishDocument]:
    try:
        listed = reader.members(owner["VirtualMedia"])
    except NotFound:  # sushy-emulator 404s at the manager's, others at the system's
        return []
    found = [one for one in listed.found if _takes_discs(one)]
    if listed.why is not None and not (some and found):
        raise listed.why
    return found


def _takes_discs(document: RedfishDocument) -> bool:
    if str(document.get("Id", "")).startswith(_NOT_OURS):
        return False
    types = document.get("MediaTypes")
    return not isinstance(types, list) or not types or bool(_DISCS & {one for one in types if isinstance(one, str)})


def _drive(document: RedfishDocument) -> Drive:
    # Supermicro keeps the Image of what is not connected any more (community.general#7470); Gigabyte says "None".
    via = firmware_text(document.get("ConnectedVia"))
    gone = document.get("Inserted") is False or via == "NotConnected"
    # What somebody has in it by the BMC's console has no URL.
    unnamed = via if document.get("Inserted") is True else None
    return Drive(
        path_of({"@odata.id": document.get("@odata.id")}),
        None if gone else firmware_text(document.get("Image"), _LONGEST_URL) or unnamed,
        _target(document, INSERT),
        _target(document, EJECT),
    )


def _target(document: RedfishDocument, name: str) -> str | None:
    actions = document.get("Actions")
    action = actions.get(name) if isinstance(actions, dict) else None
    target = action.get("target") if isinstance(action, dict) else None
    return target if isinstance(target, str) else None


def _why(error: PartUnreadable) -> DriverError:
    cause = error.__cause__
    return (
        cause
        if isinstance(cause, DriverError)
        else Rejected("the BMC's answer about its virtual drives cannot be read; update the BMC's firmware")
    )
