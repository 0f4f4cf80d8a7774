"""What BMCs of one kind have in common: their documents, how long they take, and what they allow. Pure.

The average times of an answer are those of recorded BMCs."""

from __future__ import annotations

from functools import cache

import msgspec

from drivers.bmc.simulator.built_in_tree import ServerShape, built_in_documents
from drivers.bmc.simulator.redfish_tree import RedfishTree, read_tree
from drivers.bmc.simulator.simulated_system import PowerLag


class BmcProfile(msgspec.Struct, frozen=True):
    """`answer_seconds`: the time of an answer. `session_seconds`: after which an unused session ends. `lockout`:
    refused logins in a row, after which the account is locked for `lockout_seconds`. `task_seconds`: that the Task of a
    write takes; None: writes have no Tasks. `wants_etag`: a PATCH without If-Match is refused."""

    name: str
    tree: RedfishTree
    lag: PowerLag = PowerLag()
    answer_seconds: float = 0.0
    most_sessions: int = 16
    session_seconds: float = 1800.0
    lockout: int = 5
    lockout_seconds: float = 300.0
    task_seconds: float | None = None
    wants_etag: bool = False


_LAG = PowerLag(on=4.0, off=2.0)
_SHAPES = {
    "generic": ServerShape(),
    "tasks": ServerShape(product="BMC that answers each write with a Task"),
    "dell-idrac9": ServerShape(
        manufacturer="Dell Inc.",
        model="PowerEdge R750",
        product="Integrated Dell Remote Access Controller",
        system="System.Embedded.1",
        manager="iDRAC.Embedded.1",
        chassis="System.Embedded.1",
        resets=("On", "ForceOff", "ForceRestart", "GracefulShutdown", "PushPowerButton", "Nmi", "PowerCycle"),
        location_led=True,
        sku=True,
    ),
    "hpe-ilo5": ServerShape(
        manufacturer="HPE",
        model="ProLiant DL385 Gen10 Plus v2",
        product="iLO 5",
        resets=("On", "ForceOff", "GracefulShutdown", "ForceRestart", "Nmi", "PushPowerButton", "GracefulRestart"),
        media_at_system=False,
    ),
    "lenovo-xcc": ServerShape(
        manufacturer="Lenovo", model="ThinkSystem SR670 V2", product="XCC", settings_have_boot=True, resets_by_info=True
    ),
    "supermicro": ServerShape(
        manufacturer="Supermicro", model="SYS-821GE", product="Supermicro BMC", media_at_system=False, expands=False
    ),
    "openbmc": ServerShape(
        manufacturer="OpenBMC",
        model="Reference",
        product="bmcweb",
        system="system",
        manager="bmc",
        chassis="chassis",
        resets_by_info=True,
        media_at_system=False,
        location_led=True,
    ),
}
PROFILES = tuple(_SHAPES)
"""The names of the built-in profiles."""


@cache
def built_in_profile(name: str) -> BmcProfile:
    """A profile by its name. Raises KeyError."""
    profile = BmcProfile(name, read_tree(built_in_documents(_SHAPES[name])), lag=_LAG)
    changes = {
        "tasks": {"task_seconds": 3.0},
        "dell-idrac9": {"answer_seconds": 0.19, "most_sessions": 8},
        "hpe-ilo5": {"answer_seconds": 0.31},
        "lenovo-xcc": {"answer_seconds": 0.38, "wants_etag": True},
        "supermicro": {"answer_seconds": 0.25},
        "openbmc": {"answer_seconds": 0.09, "most_sessions": 64},
    }
    return msgspec.structs.replace(profile, **changes.get(name, {}))


def recorded_profile(name: str, documents: dict[str, dict[str, object]]) -> BmcProfile:
    """The profile of a recorded BMC. Raises ValueError where the documents are no Redfish service."""
    return BmcProfile(name, read_tree(documents), lag=_LAG)
