"""A NetBox for tests: the real one that the environment names, emptied, or recorded answers of it.

GROUNDSTATE_NETBOX_URL and GROUNDSTATE_NETBOX_TOKEN name it; `./dev netbox --test` starts one and sets both. Everything
in its IPAM is deleted before each test: never name one that is in use.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from drivers.ipam.netbox.netbox import NetboxIpam
from tests.drivers import netbox_tape

URL, TOKEN = "GROUNDSTATE_NETBOX_URL", "GROUNDSTATE_NETBOX_TOKEN"
WRITE = "GROUNDSTATE_NETBOX_TAPES"
FLEET = "test-fleet"
TABLES = ("ipam/ip-addresses", "ipam/ip-ranges", "ipam/prefixes", "ipam/vrfs", "tenancy/tenants")


class Person:
    """Somebody who works in NetBox by hand."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self._session = f"{url.rstrip('/')}/api/", requests.Session()
        self._session.headers["Authorization"] = f"Token {token}"

    def get(self, path: str, **filters: object) -> list[dict[str, Any]]:
        """Every object there."""
        answer = self._send("GET", path, params={"limit": 1000, **filters})
        return list(answer["results"])

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Make something."""
        return dict(self._send("POST", path, json=body))

    def patch(self, path: str, body: object) -> None:
        """Change something."""
        self._send("PATCH", path, json=body)

    def delete(self, path: str, body: object = None) -> None:
        """Delete something."""
        self._send("DELETE", path, json=body)

    def empty(self) -> None:
        """Delete everything that a test may have made."""
        for table in TABLES:
            while found := self.get(f"{table}/", brief=1):
                self.delete(f"{table}/", [{"id": one["id"]} for one in found])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _send(self, method: str, path: str, **options: Any) -> Any:
        reply = self._session.request(method, self.url + path, timeout=60, **options)
        assert reply.ok, f"{method} {path}: {reply.status_code} {reply.text[:300]}"
        return reply.json() if reply.content else {}


def real() -> tuple[str, str]:
    """URL and token of the real one; skips where there is none."""
    url, token = os.environ.get(URL), os.environ.get(TOKEN)
    if not url or not token:
        pytest.skip(f"no NetBox: {URL} and {TOKEN} name one, and ./dev netbox --test starts one")
    return url, token


@contextmanager
def netbox(request: pytest.FixtureRequest) -> Iterator[NetboxIpam]:
    """The driver over the real NetBox, emptied; its exchanges go onto tape where that is asked for."""
    url, token = real()
    person = Person(url, token)
    person.empty()
    person.close()
    with contextlib.ExitStack() as stack:
        if os.environ.get(WRITE) == "write":
            url = stack.enter_context(netbox_tape.recording(tape_of(request), url))
        ipam = NetboxIpam(url, lambda: token, fleet=FLEET)
        stack.callback(ipam.close)
        yield ipam


@contextmanager
def recorded(request: pytest.FixtureRequest) -> Iterator[NetboxIpam]:
    """The driver over what a real NetBox answered in this test; skips where that was not recorded."""
    name = tape_of(request)
    if netbox_tape.box().get(name) is None:
        pytest.skip(f"no tape of {name}; {WRITE}=write beside a real NetBox records one")
    with netbox_tape.playing(name) as url:
        ipam = NetboxIpam(url, lambda: "recorded", fleet=FLEET)
        try:
            yield ipam
        finally:
            ipam.close()


def tape_of(request: pytest.FixtureRequest) -> str:
    """The name of a test's tape, whichever of the two subjects it runs over."""
    return str(request.node.name)
