"""An HTTP answer that comes to an end, for clients of what may be broken or hostile."""

from __future__ import annotations

import http.client

MAX_INTERIM = 10
"""`100 Continue` ahead of an answer. One is usual; http.client reads on for as long as they come."""


class BoundedResponse(http.client.HTTPResponse):
    """http.client's, which gives up on a flood of interim answers (RFC 9110 15.2). Raises HTTPException then."""

    _interim = 0

    def _read_status(self) -> tuple[str, int, str]:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise http.client.HTTPException(f"more than {MAX_INTERIM} interim answers")
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
        return found
