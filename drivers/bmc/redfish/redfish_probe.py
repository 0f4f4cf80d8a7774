"""Whether a host is a BMC that speaks Redfish, asked without a login: DSP0266 wants the service root open to all."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from drivers.base import FoundBmc, Rejected, Tls, Unreachable
from drivers.bmc.redfish.redfish_system import firmware_text
from drivers.bmc.redfish.wire.redfish_errors import INFO, error_of_reply
from drivers.bmc.redfish.wire.redfish_http import (
    REQUEST_SECONDS,
    BmcAddress,
    RedfishConnection,
    Reply,
    parse_bmc_address,
)
from drivers.bmc.redfish.wire.redfish_requests import SERVICE_ROOT, RedfishRequests
from drivers.bmc.redfish.wire.redfish_tls import context_for, fingerprint

_HEADERS = {"OData-Version": "4.0", "Accept": "application/json"}
_LONGEST = 80
_NOT_NOW = frozenset({408, 423, 429})
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING"})
"""What OpenSSL says of a service without TLS, or of one that hangs up."""


def probe(text_of: str, tls: Tls, seconds: float) -> FoundBmc | None:
    """What listens there, if it may be a BMC. It is asked over the certificate that it showed first, trusted or not:
    nothing secret is sent. Raises Rejected for a malformed address, and Unreachable for what listens and cannot be
    read."""
    address = parse_bmc_address(text_of, tls)
    if address.scheme != "https":
        raise Rejected(f"{text_of}: only https addresses can be probed")
    seen = _certificate(address, Tls(insecure=True), seconds)
    if seen is None:
        return None
    root = _root(address, seen, seconds)
    document = _document(root)
    is_sure = root.status_code == 200 and _is_root(document)
    if not is_sure and root.status_code != 401:
        _raise_if_redfish(address, root)
        return None
    trusted = tls.insecure or (seen == tls.fingerprint if tls.fingerprint else _holds(address, tls, seconds))
    said = (firmware_text(document.get(name)) or "" for name in ("Vendor", "Product", "Name"))
    return FoundBmc(address.url, is_sure, trusted, seen, " ".join(filter(None, said))[:_LONGEST])


def _raise_if_redfish(address: BmcAddress, root: Reply) -> None:
    """Raises Unreachable for an answer that a BMC may give in place of its service root, and a web page does not."""
    if root.status_code == 200 and root.content.lstrip()[:1] == b"{" and not _document(root):
        raise Unreachable(f"{address.url}: the answer to GET {SERVICE_ROOT} is broken")
    if root.status_code == 403 or INFO.encode() in root.content:
        raise Unreachable(str(error_of_reply("GET", SERVICE_ROOT, address.url, root)))


def _holds(address: BmcAddress, tls: Tls, seconds: float) -> bool:
    with contextlib.suppress(Unreachable):
        return _certificate(address, tls, seconds) is not None
    return False


def _certificate(address: BmcAddress, tls: Tls, seconds: float) -> str | None:
    """The fingerprint of the certificate that is shown; None: no connection, or the trust does not hold."""
    try:
        with socket.create_connection((address.host, address.port), seconds) as plain:
            plain.settimeout(max(seconds, REQUEST_SECONDS))
            try:
                with context_for(tls).wrap_socket(plain, server_hostname=address.certified) as connection:
                    return fingerprint(connection)
            except TimeoutError:
                raise _silent(address, "a TLS handshake", max(seconds, REQUEST_SECONDS)) from None
    except (OSError, UnicodeError) as error:
        why = error.reason if isinstance(error, ssl.SSLError) else None
        if tls.insecure and why and why not in _NO_TLS:
            # Such as a BMC that wants a certificate of its client, or has no cipher that is known today.
            raise Unreachable(
                f"{address.url}: the host accepts connections, but a TLS handshake failed: {why}"
            ) from None
        return None


def _silent(address: BmcAddress, what: str, seconds: float) -> Unreachable:
    return Unreachable(f"{address.url}: the host accepts connections, but {what} got no answer within {seconds:g} s")


def _root(address: BmcAddress, seen: str, seconds: float) -> Reply:
    wire = RedfishConnection(address, Tls(fingerprint=seen, old_ciphers=True), max(seconds, REQUEST_SECONDS))
    requests = RedfishRequests(wire, wire.seconds)
    try:
        reply = requests.send("GET", SERVICE_ROOT, _HEADERS, None, None)
        if reply.status_code == 404:
            reply = requests.send("GET", SERVICE_ROOT.rstrip("/"), _HEADERS, None, None)  # DSP0266, 6.5.3, has both.
    except Unreachable as error:
        if isinstance(error.__context__, TimeoutError):
            raise _silent(address, f"GET {SERVICE_ROOT}", wire.seconds) from None
        raise
    finally:
        wire.close()
    if reply.status_code >= 500 or reply.status_code in _NOT_NOW:
        # A BMC that starts, or has no session left: who looks for BMCs wants to know.
        raise Unreachable(f"{address.url}: GET {SERVICE_ROOT} was answered with HTTP {reply.status_code}")
    return reply


def _document(root: Reply) -> dict[str, Any]:
    try:
        return root.json()
    except ValueError:
        return {}


def _is_root(document: dict[str, Any]) -> bool:
    kind, systems = document.get("@odata.type"), document.get("Systems")
    where = systems.get("@odata.id") if isinstance(systems, dict) else None
    return (
        isinstance(document.get("RedfishVersion"), str)
        or (isinstance(kind, str) and kind.startswith("#ServiceRoot."))
        or (isinstance(where, str) and where.startswith(SERVICE_ROOT))
    )
