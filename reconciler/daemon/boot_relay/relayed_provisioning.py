"""Machines' lifecycles for the boot service of a daemon that does not decide: the one that decides is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from reconciler.daemon.boot_relay.provisioning_calls import (
    AgentInventoryCall,
    BootRequestCall,
    DiscoversCall,
    FindCall,
    ProvisioningCall,
    RefusedCall,
    ReportCall,
    ServesCall,
    UndeclaredCall,
    WorkCall,
)
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.services.provisioning_port import Work
from reconciler.store.sql.store_errors import StoreError


class RelayedProvisioning:
    """Implements Provisioning. `ask` has a call carried out, and returns its value. Raises ProvisioningUnavailable and
    StoreError, and so does each method."""

    def __init__(self, ask: Callable[[ProvisioningCall], Any]) -> None:
        self._ask = ask

    def find(self, uuid: str, macs: Collection[str]) -> ResourceKey | None:
        """See Provisioning."""
        found: ResourceKey | None = self._ask(FindCall(tuple(macs), uuid))
        return found

    def resembles(self, macs: Collection[str]) -> ResourceKey | None:
        """See Provisioning."""
        found: ResourceKey | None = self._ask(FindCall(tuple(macs), is_sure=False))
        return found

    def serves(self, key: ResourceKey | None, address: str) -> bool:
        """See Provisioning."""
        return bool(self._ask(ServesCall(key, address)))

    def discovers(self, address: str, uuid: str, macs: Sequence[str]) -> bool:
        """See Provisioning."""
        return bool(self._ask(DiscoversCall(address, uuid, tuple(macs))))

    def unanswered_boot_request(self, key: ResourceKey) -> BootRequest | None:
        """See Provisioning."""
        found: BootRequest | None = self._ask(BootRequestCall(key, is_unanswered=True))
        return found

    def boot_request(self, key: ResourceKey) -> BootRequest | None:
        """See Provisioning."""
        found: BootRequest | None = self._ask(BootRequestCall(key))
        return found

    def work(self, key: ResourceKey) -> Work:
        """See Provisioning."""
        work: Work = self._ask(WorkCall(key))
        return work

    def report(self, key: ResourceKey, request_id: str, fact: FactType, detail: str = "") -> bool:
        """See Provisioning."""
        return bool(self._ask(ReportCall(key, request_id, fact, detail)))

    def took_inventory(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        """See Provisioning."""
        self._ask(AgentInventoryCall(key, collected))

    def found(self, uuid: str | None, macs: Collection[str], collected: Mapping[str, object]) -> None:
        """See Provisioning."""
        self._ask(UndeclaredCall(uuid, tuple(macs), collected))

    def refused(self, key: ResourceKey | None, reason: EventReason, message: str) -> None:
        """See Provisioning."""
        self._ask(RefusedCall(key, reason, message))

    def failed(self, what: str, error: BaseException) -> None:
        """See Provisioning."""
        if not isinstance(error, StoreError):  # There is no way to the ledger now.
            message = f"{what} failed because of {defect(error)}; report this bug; the machine asks again"
            self.refused(None, EventReason.BOOT_SERVICE_FAILED, message)
