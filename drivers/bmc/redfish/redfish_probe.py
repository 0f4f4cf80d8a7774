"""Whether a host is a BMC that speaks Redfish, asked without a login: DSP0266 wants the service root open to all."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from drivers.base import FoundBmc, Rejected, Tls, Unreachable
from drivers.bmc.redfish.redfish_system import firmware_text
from drivers.bmc.redfish.wire.redfish_connector import SERVICE_ROOT
from drivers.bmc.redfish.wire.redfish_http import BmcAddress, RedfishConnection, Reply, parse_bmc_address
from drivers.bmc.redfish.wire.redfish_tls import context_for, fingerprint

_HEADERS = {"OData-Version": "4.0", "Accept": "application/json", "Accept-Encoding": "identity"}
_LONGEST = 80


def probe(text_of: str, tls: Tls, seconds: float) -> FoundBmc | None:
    """What listens there, if it may be a BMC. It is asked over the certificate that it showed first, trusted or not:
    nothing secret is sent. Raises Rejected for a malformed address."""
    address = parse_bmc_address(text_of, tls)
    if address.scheme != "https":
        raise Rejected(f"{text_of}: only https addresses can be probed")
    seen = _certificate(address, Tls(insecure=True), seconds)
    if seen is None:
        return None
    root = _root(address, seen)
    if root is None:
        return None
    document = _document(root)
    is_sure = root.status_code == 200 and _is_root(document)
    if not is_sure and root.status_code != 401:
        return None
    trusted = tls.insecure or (seen == tls.fingerprint if tls.fingerprint else _holds(address, tls, seconds))
    said = (firmware_text(document.get(name)) or "" for name in ("Vendor", "Product", "Name"))
    return FoundBmc(address.url, is_sure, trusted, seen, " ".join(filter(None, said))[:_LONGEST])


def _holds(address: BmcAddress, tls: Tls, seconds: float) -> bool:
    with contextlib.suppress(Unreachable):
        return _certificate(address, tls, seconds) is not None
    return False


def _certificate(address: BmcAddress, tls: Tls, seconds: float) -> str | None:
    """The fingerprint of the certificate that is shown; None: no connection, or the trust does not hold."""
    try:
        with (
            socket.create_connection((address.host, address.port), seconds) as plain,
            context_for(tls).wrap_socket(plain, server_hostname=address.host) as connection,
        ):
            return fingerprint(connection)
    except (OSError, ssl.SSLError, UnicodeError):
        return None


def _root(address: BmcAddress, seen: str) -> Reply | None:
    wire = RedfishConnection(address, Tls(fingerprint=seen, old_ciphers=True))
    try:
        reply = wire.send("GET", SERVICE_ROOT, _HEADERS)
        if reply.status_code in (301, 302, 307, 308):
            # Older Supermicro move a path to the same without, or with, a slash (check_redfish#187).
            reply = wire.send("GET", SERVICE_ROOT.rstrip("/"), _HEADERS)
    except Unreachable:
        return None
    finally:
        wire.close()
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
