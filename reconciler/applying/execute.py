"""One Action -> one request. The only place where something is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from drivers.base import Bmc, Ipam, Pools
from reconciler.model.action import (
    AcceptSystem,
    Acquire,
    AcquireNumber,
    Action,
    Bind,
    Claim,
    DescribeAddress,
    DropNetwork,
    DropPool,
    EjectMedia,
    Forget,
    Free,
    InsertMedia,
    PinImage,
    PowerOff,
    PowerOn,
    PutNetwork,
    PutPool,
    Release,
    ReleaseNumber,
    Rename,
    RequestBoot,
    SetBoot,
    SetIndicator,
    Settle,
    Transfer,
    Unclaim,
)


def execute(action: Action, ipam: Ipam, pools: Pools, bmc: Callable[[], Bmc]) -> None:
    """Send it, once; `bmc` opens the machine's system. Raises DriverError."""
    match action:
        case PowerOn(reset_type=reset_type) | PowerOff(reset_type=reset_type):
            bmc().reset(reset_type)
        case SetBoot(override=override):
            bmc().set_boot(override)
        case SetIndicator(led=led):
            bmc().set_indicator(led)
        case InsertMedia(url=url):
            bmc().insert_media(url)
        case EjectMedia(url=url):
            bmc().eject_media(url)
        case PutNetwork(key=key, network=network, lengths=lengths):
            ipam.put_network(key.name, network, dict(lengths))
        case DropNetwork(key=key):
            ipam.drop_network(key.name)
        case Acquire(key=key, network=within, address=address, family=family, about=about):
            ipam.acquire(within, str(key), address=address, family=family, about=about)
        case DescribeAddress(key=key, about=about):
            ipam.describe(str(key), about)
        case Release(key=key):
            ipam.release(str(key))
        case Transfer(key=key, was=was):
            ipam.transfer(was, str(key))
        case PutPool(key=key, ranges=ranges):
            pools.put_pool(key.name, ranges)
        case DropPool(key=key):
            pools.drop_pool(key.name)
        case AcquireNumber(key=key, pool=pool, number=number, ephemeral=ephemeral):
            pools.acquire_number(pool, str(key), number=number, ephemeral=ephemeral)
        case ReleaseNumber(key=key):
            pools.release_number(str(key))
        case (
            Bind()
            | PinImage()
            | Rename()
            | Claim()
            | Unclaim()
            | RequestBoot()
            | Settle()
            | AcceptSystem()
            | Free()
            | Forget()
        ):
            pass  # See applying/record_actions.py.
        case _:
            assert_never(action)
