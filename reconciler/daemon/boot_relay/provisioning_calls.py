"""The calls of Provisioning as messages to the daemon that decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.services.provisioning_port import Provisioning, Work


class FindCall(msgspec.Struct, frozen=True, tag="find"):
    """See Provisioning.find; `is_sure` False: Provisioning.resembles, by MAC addresses alone."""

    macs: tuple[str, ...]
    uuid: str = ""
    is_sure: bool = True


class ServesCall(msgspec.Struct, frozen=True, tag="serves"):
    """See Provisioning.serves."""

    key: ResourceKey | None
    address: str


class BootRequestCall(msgspec.Struct, frozen=True, tag="boot-request"):
    """See Provisioning.boot_request; `is_unanswered`: Provisioning.unanswered_boot_request."""

    key: ResourceKey
    is_unanswered: bool = False


class WorkCall(msgspec.Struct, frozen=True, tag="work"):
    """See Provisioning.work."""

    key: ResourceKey


class ReportCall(msgspec.Struct, frozen=True, tag="report"):
    """See Provisioning.report."""

    key: ResourceKey
    request_id: str
    fact: FactType
    detail: str


class AgentInventoryCall(msgspec.Struct, frozen=True, tag="inventory"):
    """See Provisioning.took_inventory."""

    key: ResourceKey
    collected: Mapping[str, Any]


class UndeclaredCall(msgspec.Struct, frozen=True, tag="undeclared"):
    """See Provisioning.found."""

    uuid: str | None
    macs: tuple[str, ...]
    collected: Mapping[str, Any]


class RefusedCall(msgspec.Struct, frozen=True, tag="refused"):
    """See Provisioning.refused."""

    key: ResourceKey | None
    reason: EventReason
    message: str


class DiscoversCall(msgspec.Struct, frozen=True, tag="discovers"):
    """See Provisioning.discovers."""

    address: str
    uuid: str
    macs: tuple[str, ...]


ProvisioningCall = (
    FindCall
    | ServesCall
    | BootRequestCall
    | WorkCall
    | ReportCall
    | AgentInventoryCall
    | UndeclaredCall
    | RefusedCall
    | DiscoversCall
)

# Made here: where several threads are the first to make a decoder of a type, the process crashes (msgspec 0.22).
PROVISIONING_CALLS = msgspec.json.Decoder(ProvisioningCall)
_KEY = msgspec.json.Decoder[Any](ResourceKey | None)
_TRUTH = msgspec.json.Decoder[Any](bool)
_BOOT_REQUEST = msgspec.json.Decoder[Any](BootRequest | None)
_WORK = msgspec.json.Decoder[Any](Work)
_NOTHING = msgspec.json.Decoder[Any](None)


def carried_out(call: ProvisioningCall, provisioning: Provisioning) -> object:
    """The value of the call. Raises what Provisioning raises."""
    match call:
        case FindCall(is_sure=False):
            return provisioning.resembles(call.macs)
        case FindCall():
            return provisioning.find(call.uuid, call.macs)
        case ServesCall():
            return provisioning.serves(call.key, call.address)
        case BootRequestCall(is_unanswered=True):
            return provisioning.unanswered_boot_request(call.key)
        case BootRequestCall():
            return provisioning.boot_request(call.key)
        case WorkCall():
            return provisioning.work(call.key)
        case ReportCall():
            return provisioning.report(call.key, call.request_id, call.fact, call.detail)
        case AgentInventoryCall():
            provisioning.took_inventory(call.key, call.collected)
        case UndeclaredCall():
            provisioning.found(call.uuid, call.macs, call.collected)
        case RefusedCall():
            provisioning.refused(call.key, call.reason, call.message)
        case DiscoversCall():
            return provisioning.discovers(call.address, call.uuid, call.macs)
    return None


def value_of_reply(call: ProvisioningCall, value: msgspec.Raw) -> Any:
    """The value of a reply, in the type that the call has. Raises msgspec.MsgspecError."""
    match call:
        case FindCall():
            decoder = _KEY
        case ServesCall() | DiscoversCall() | ReportCall():
            decoder = _TRUTH
        case BootRequestCall():
            decoder = _BOOT_REQUEST
        case WorkCall():
            decoder = _WORK
        case AgentInventoryCall() | UndeclaredCall() | RefusedCall():
            decoder = _NOTHING
    return decoder.decode(value)
