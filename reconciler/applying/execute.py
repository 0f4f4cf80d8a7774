"""One Action -> one request. The only place where something is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from drivers.base import Bmc, Ipam
from reconciler.model.action import (
    Acquire,
    Action,
    DropNetwork,
    Forget,
    PowerOff,
    PowerOn,
    PutNetwork,
    Release,
    SetBoot,
    SetIndicator,
)


def execute(action: Action, ipam: Ipam, bmc: Callable[[], Bmc]) -> None:
    """Send it, once; `bmc` opens the machine's system. Raises DriverError."""
    match action:
        case PowerOn(reset_type=reset_type) | PowerOff(reset_type=reset_type):
            bmc().reset(reset_type)
        case SetBoot(override=override):
            bmc().set_boot(override)
        case SetIndicator(led=led):
            bmc().set_indicator(led)
        case PutNetwork(key=key, prefixes=prefixes):
            ipam.put_network(key.name, prefixes)
        case DropNetwork(key=key):
            ipam.drop_network(key.name)
        case Acquire(key=key, network=network, address=address, family=family):
            ipam.acquire(network, str(key), address=address, family=family)
        case Release(key=key):
            ipam.release(str(key))
        case Forget():
            pass
        case _:
            assert_never(action)
