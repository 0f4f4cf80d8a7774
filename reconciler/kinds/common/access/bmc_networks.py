"""Which addresses a BMC or a switch may have: decided from the settings of the operator, never from a document."""

from __future__ import annotations

import json
from collections.abc import Sequence

from reconciler.kinds.common.access.credentials import WHERE, Grants, bare_address, single_address_network
from reconciler.model.values.address_range import is_within

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""Where simulated BMCs are: all that may be reached while the settings name no network."""


def bmc_networks(grants: Grants) -> tuple[str, ...]:
    """Prefixes and ranges: `bmc_networks` of the settings, and wherever a login may go. Without any, loopback."""
    allowed = grants.document_credentials
    logins = [*grants.credentials.values(), *([allowed] if allowed is not None else [])]
    named = [*(grants.bmc_networks or ()), *(network for one in logins for network in one.networks)]
    return tuple(dict.fromkeys(named)) if named or grants.bmc_networks is not None else LOOPBACK


def connection_refusal(grants: Grants, address: str, number: str, what: str = "BMCs") -> str | None:
    """Why no connection may be made to the number that the address of a document leads to, and how to allow it; None:
    it may. `what`: what is at such an address, as messages call it."""
    at, networks = bare_address(number), bmc_networks(grants)
    if is_within(at, networks):
        return None
    line = json.dumps([*(grants.bmc_networks or ()), single_address_network(at)])
    allowed = f"only in {', '.join(networks)}" if networks else "nowhere"
    return (
        f"{address} has the IP address {at}, but the settings allow {what} {allowed}; nothing was sent. If the "
        f"address is right, write bmc_networks = {line} in {WHERE}{_also(what)}"
    )


def _also(what: str) -> str:
    return "" if what == "BMCs" else f" (the setting is for BMCs and {what})"


def foreseen_connection_refusal(
    grants: Grants, address: str, leads_to: Sequence[str], what: str = "BMCs"
) -> str | None:
    """What will be refused at each of the numbers; where one of them may be reached, or none is known, the connection
    decides."""
    said = [connection_refusal(grants, address, number, what) for number in leads_to]
    return said[0] if said and None not in said else None
