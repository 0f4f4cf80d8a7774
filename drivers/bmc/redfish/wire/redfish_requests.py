"""One request of a BMC with what may follow on it and harms nothing: a redirect, and a compressed answer."""

from __future__ import annotations

from drivers.base import Peer, Unreachable, excerpt
from drivers.bmc.redfish.wire.redfish_http import RedfishConnection, Reply
from drivers.bmc.redfish.wire.redfish_login import path_of_reference

SERVICE_ROOT = "/redfish/v1/"
MOVED = frozenset({301, 302, 303, 307, 308})
_SHOWN = 200
_COMPRESSED = "gzip"
_MOST_MOVES = 3


class RedfishRequests:
    """The requests of one BMC, each with the headers of the caller's login. `patience`: seconds for an answer of a BMC
    that is there, as it answered just before; the first answer has the time of the wire."""

    __slots__ = ("_encoding", "_is_there", "_patience", "_url", "_wire", "is_quick")

    def __init__(self, wire: RedfishConnection, patience: float) -> None:
        self._wire = wire
        self._url = wire.address.url
        self._patience = patience
        self._is_there = False
        self._encoding = "identity"
        self.is_quick = False
        """Whether what is asked is known to be answered soon, so that a hang is noticed soon."""

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None, peer: Peer | None) -> Reply:
        """The answer, after redirects that may be followed. `peer`: the only one that may see the headers. Raises
        DriverError for what kept the BMC from answering."""
        headers = {"Accept-Encoding": self._encoding, **headers}
        target = self._target(SERVICE_ROOT, path)
        reply = self._send(method, target, headers, body, peer)
        visited = {target}
        while reply.status_code in MOVED and len(visited) <= _MOST_MOVES:
            moved = self._target(target, reply.headers.get("Location", ""))
            if moved in visited or not _may_follow(method, reply.status_code, target, moved):
                break
            target = moved
            visited.add(target)
            reply = self._send(method, target, headers, body, peer)
        if reply.status_code == 406 and method == "GET" and headers["Accept-Encoding"] != _COMPRESSED:
            # iLO 5 since 2.30 gives some resources only compressed (Redfish-Mockup-Creator#56).
            reply = self._send(method, target, {**headers, "Accept-Encoding": _COMPRESSED}, None, peer)
            if target == SERVICE_ROOT and reply.status_code != 406:
                # So it is with every other one, and a write is not sent twice to find out.
                self._encoding = _COMPRESSED
        return reply

    def leads_to_redfish(self, moved: Reply) -> bool:
        """Whether a redirect leads to a resource, and not to a page where a person logs in."""
        return self._target(SERVICE_ROOT, moved.headers.get("Location", "")).startswith("/redfish")

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None, peer: Peer | None) -> Reply:
        seconds = self._patience if self._is_there and not self.is_quick else None
        self._is_there = False
        reply = self._wire.send(method, target, headers, body, peer, seconds)
        self._is_there = True
        return reply

    def _target(self, base: str, reference: str) -> str:
        """The path that a reference means. Its host is dropped, so that a login is never carried elsewhere."""
        try:
            return path_of_reference(base, reference)
        except ValueError:
            raise Unreachable(
                f"{self._url}: the answer of the BMC contains a URL that is not valid: {excerpt(reference, _SHOWN)}"
            ) from None


def _may_follow(method: str, status: int, target: str, moved: str) -> bool:
    """307 and 308 repeat what was sent (RFC 9110, 15.4). Older Supermicro and Lenovo move a path to the same with a
    slash (check_redfish#187): nothing was done then, whatever was sent. A GET goes to another resource, not to a page.
    """
    if not moved.startswith("/redfish"):
        return False
    slash = moved.rstrip("/") == target.rstrip("/") and status == 301
    return method == "GET" or status in (307, 308) or slash
