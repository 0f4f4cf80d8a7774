"""The requests and answers of a simulated BMC, as values, and what a BMC says when it refuses (DSP0266, DSP0268)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from drivers.bmc.simulator.redfish_tree import RedfishObject

_ENCODER = msgspec.json.Encoder()


class RedfishRequest(msgspec.Struct, frozen=True):
    """What arrived. `path`: with the query. `headers`: by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def place(self) -> str:
        """The path without query, and without a slash at the end."""
        return self.path.partition("?")[0].rstrip("/")

    def document(self) -> RedfishObject | None:
        """The object in the body; None where there is none."""
        try:
            found: Any = msgspec.json.decode(self.body or b"{}")
        except msgspec.DecodeError:
            return None
        return found if isinstance(found, dict) else None


class RedfishResponse(msgspec.Struct, frozen=True):
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class BmcRefusal(Exception):
    """Ends a request with an error. `message_id`: of the Base registry."""

    def __init__(self, status: int, message_id: str, message: str, related: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message_id, self.related = status, message_id, related

    def response(self) -> RedfishResponse:
        """The answer."""
        return refusal_response(self.status, self.message_id, str(self), self.related)


def refusal_response(status: int, message_id: str, message: str, related: str | None = None) -> RedfishResponse:
    """An error in the form of DSP0266 8.6."""
    name = f"Base.1.18.{message_id}" if "." not in message_id else message_id
    entry: RedfishObject = {"MessageId": name, "Message": message, "MessageSeverity": "Critical"}
    if related:
        entry["RelatedProperties"] = [related]
    body = {"error": {"code": name, "message": message, "@Message.ExtendedInfo": [entry]}}
    return RedfishResponse(status, encode(body))


def encode(document: object) -> bytes:
    """As JSON."""
    return _ENCODER.encode(document)


def etag(body: bytes) -> str:
    """The ETag of a resource with this body."""
    return f'"{zlib.crc32(body):08x}"'
