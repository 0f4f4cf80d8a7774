"""The player of recorded answers notices what is asked otherwise; a tape that anything passes would prove nothing."""

from __future__ import annotations

import pytest

from drivers.base import DriverError, IpamNetwork, Prefix
from drivers.ipam.netbox.netbox import NetboxIpam
from drivers.testing.ipam_networks import DUAL
from tests.drivers.netbox_fixture import FLEET
from tests.drivers.netbox_tape import playing

NAME = "test_network_put_is_idempotent"


def as_recorded(ipam: NetboxIpam, prefixes: tuple[Prefix, ...] = DUAL, owner: str = "a") -> None:
    ipam.put_network("lan", IpamNetwork(prefixes))
    ipam.acquire("lan", owner)


@pytest.mark.parametrize(
    "changed", [{"owner": "b"}, {"prefixes": DUAL[:1]}, {"prefixes": DUAL[::-1]}], ids=["owner", "fewer", "order"]
)
def test_a_request_that_is_otherwise_fails(changed: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match="recorded is"), playing(NAME) as url:  # noqa: PT012
        ipam = NetboxIpam(url, lambda: "t", fleet=FLEET)
        with pytest.raises(DriverError):
            as_recorded(ipam, **changed)  # type: ignore[arg-type]
        ipam.close()


def test_requests_that_are_not_made_fail() -> None:
    with pytest.raises(AssertionError, match="recorded requests were not made"), playing(NAME) as url:  # noqa: PT012
        ipam = NetboxIpam(url, lambda: "t", fleet=FLEET)
        as_recorded(ipam)
        ipam.close()
