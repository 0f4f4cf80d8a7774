"""Where serial lines that are no BMC's may be: decided from the settings of the operator, never from a document.

What users type is sent there unchanged. A document that could name any port or socket of this host could connect them
to its database.
"""

from __future__ import annotations

import json

from reconciler.kinds.common.access.credentials import (
    WHERE,
    Grants,
    bare_address,
    matches,
    single_address_network,
)
from reconciler.model.values.address_range import is_within

_UNIX = "unix:"


def console_line_refusal(grants: Grants, where: str) -> str | None:
    """Why no connection may be made to an IP address or to `unix:/PATH`, and how to allow it; None: it may."""
    if where.startswith(_UNIX):
        patterns = tuple(one.removeprefix(_UNIX) for one in grants.console_lines if one.startswith(_UNIX))
        if matches(where.removeprefix(_UNIX), patterns):
            return None
        line = json.dumps([*grants.console_lines, where])
    else:
        networks = [one for one in grants.console_lines if not one.startswith(_UNIX)]
        if is_within(bare_address(where), networks):
            return None
        line = json.dumps([*grants.console_lines, single_address_network(bare_address(where))])
    return (
        f"the settings do not allow a console at {where}; nothing was sent. If the address is right, write "
        f"console_lines = {line} in {WHERE}"
    )
