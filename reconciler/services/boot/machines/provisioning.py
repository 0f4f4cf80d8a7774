"""The machines' lifecycles as the boot service sees them: who asks, what it is to do, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address, ip_network

from drivers.base import OUTSIDE_ERRORS
from reconciler.kinds.catalogue.image import ImageSpec
from reconciler.kinds.catalogue.size import quantity_number
from reconciler.kinds.claim.spec import MachineClaimSpec, of_claim, slot_addresses
from reconciler.kinds.common.machine_facts import BootRequest, FactType, MachineFacts
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState
from reconciler.kinds.machine.identity.machine_identity import with_last_identity
from reconciler.kinds.machine.lifecycle import cloud_init
from reconciler.kinds.machine.lifecycle.lifecycle_events import install_served
from reconciler.kinds.machine.lifecycle.phases import (
    AgentTask,
    BootStage,
    agent_task,
    boot_request_still_wanted,
    claim_spec,
    stage,
)
from reconciler.model.event import EventReason
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.retry import ASK_LATER
from reconciler.onboarding.undeclared import UndeclaredMachine, read_undeclared
from reconciler.services.boot.machines.machine_finder import Fleet, MachineFinder
from reconciler.services.boot.machines.machine_parts import MachineParts
from reconciler.services.boot.rate_limit import EventLimit
from reconciler.services.provisioning_port import Install, PowerOffNow, ProvisioningUnavailable, Wait, Wipe, Work


class MachineProvisioning:
    """Implements Provisioning. `moved` is informed which machine has something new, so that it is observed soon.
    `on_undeclared` is called with each undeclared machine, `on_failure` with what failed unexpectedly, and the error.
    Both may raise StoreError. `console_words`: what the recording of a machine's console ends with, in words."""

    def __init__(
        self,
        fleet: Fleet,
        moved: Callable[[Collection[ResourceKey]], None],
        report_event: Callable[[ResourceKey | None, EventReason, str, tuple[str, ...]], None],
        parts: MachineParts,
        now: Callable[[], datetime],
        on_undeclared: Callable[[UndeclaredMachine], None] = lambda _: None,
        on_failure: Callable[[str, BaseException], None] = lambda _what, _error: None,
        console_words: Callable[[str], str] = lambda _machine: "",
    ) -> None:
        self._fleet, self._moved, self._report_event, self._parts, self._now = fleet, moved, report_event, parts, now
        self._finder = MachineFinder(fleet, parts)
        self._on_undeclared, self._on_failure = on_undeclared, on_failure
        self._found, self._console_words = EventLimit(), console_words

    def find(self, uuid: str, macs: Collection[str]) -> ResourceKey | None:
        """See Provisioning."""
        self._require_desired()
        return self._finder.find(uuid, macs)

    def resembles(self, macs: Collection[str]) -> ResourceKey | None:
        """See Provisioning."""
        return self._finder.resembles(macs)

    def serves(self, key: ResourceKey | None, address: str) -> bool:
        """See Provisioning."""
        self._require_desired()
        return self._finder.serves(key, address)

    def discovers(self, address: str, uuid: str, macs: Sequence[str]) -> bool:
        """See Provisioning."""
        return self._finder.discovers(address, uuid, macs)

    def _require_desired(self) -> None:
        """Soon after the start no desired state is in force. A refusal then would end an agent for good."""
        if self._fleet.desired is None:
            raise ProvisioningUnavailable("no commit is in force yet; the machine asks again")

    def unanswered_boot_request(self, key: ResourceKey) -> BootRequest | None:
        """See Provisioning."""
        lifecycle = self._finder.facts_of(key).lifecycle
        return lifecycle.boot_request if stage(lifecycle) is BootStage.ORDERED and self._stands(key) else None

    def boot_request(self, key: ResourceKey) -> BootRequest | None:
        """See Provisioning."""
        lifecycle = self._finder.facts_of(key).lifecycle
        return lifecycle.boot_request if stage(lifecycle) is not BootStage.ORDERED or self._stands(key) else None

    def _stands(self, key: ResourceKey) -> bool:
        """Whether its order is still meant, by what git says and what was seen last."""
        desired, facts = self._fleet.desired, self._finder.facts_of(key)
        machine = desired.resources.get(key) if desired is not None else None
        if machine is None:
            return False
        state = with_last_identity(self._finder.seen_of(key), facts)
        return boot_request_still_wanted(machine.spec, facts, state, claim_spec(facts, desired), self._now())

    def work(self, key: ResourceKey) -> Work:
        """See Provisioning."""
        facts, desired = self._finder.facts_of(key), self._fleet.desired
        if stage(facts.lifecycle) is BootStage.WORKING and not self._stands(key):
            return Wait(ASK_LATER)
        claim = claim_spec(facts, desired)
        match agent_task(facts, claim):
            case AgentTask.WIPE:
                return Wipe(self._known(key, facts))
            case AgentTask.WAIT:
                return Wait()
            case AgentTask.INSTALL if claim is not None and desired is not None:
                return self._install(key, facts, claim, desired)
            case _:
                return PowerOffNow()

    def report(self, key: ResourceKey, request_id: str, fact: FactType, detail: str = "") -> bool:
        """See Provisioning."""
        if fact is FactType.SENT_TO_DISK:
            try:
                self._fleet.report(key, None, fact, detail)
            except OUTSIDE_ERRORS as error:  # a machine is to find its disk whatever becomes of the report
                with suppress(Exception):
                    self.failed(f"the report that {key} was sent to its disk", error)
            return True
        if fact is FactType.WIPED and (left := self._parts.unwiped(key.name, detail)):
            hint = f"check the disks; if they were removed permanently, run `groundstate inventory {key.name} --accept`"
            fact, detail = (
                FactType.AGENT_FAILED,
                f"the agent did not prove that these disks were wiped: {', '.join(left)}; {hint}",
            )
        if fact is FactType.AGENT_FAILED and (said := self._console_words(key.name)):
            detail = (
                f"{detail or 'the agent gave no reason'}; {said} (`groundstate console log {key.name} --last-order`)"
            )
        taken = self._fleet.report(key, request_id, fact, detail)
        self._moved([key])
        return taken

    def took_inventory(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        """See Provisioning."""
        self._parts.collected(key, collected)

    def found(self, uuid: str | None, macs: Collection[str], collected: Mapping[str, object]) -> None:
        """See Provisioning."""
        machine = read_undeclared(uuid, macs, collected, self._now())
        self._on_undeclared(machine)
        unreported = self._found.passes(EventReason.MACHINE_FOUND, str(machine), self._now())
        if unreported is not None:
            others = f"; {unreported} more reports of this kind were not recorded" if unreported else ""
            about = (uuid or "", *sorted(mac.lower() for mac in macs))
            self._report_event(None, EventReason.MACHINE_FOUND, f"an undeclared machine, {machine}{others}", about)

    def refused(self, key: ResourceKey | None, reason: EventReason, message: str) -> None:
        """See Provisioning."""
        self._report_event(key, reason, message, ())

    def failed(self, what: str, error: BaseException) -> None:
        """See Provisioning."""
        self._on_failure(what, error)

    def _install(self, key: ResourceKey, facts: MachineFacts, claim: MachineClaimSpec, desired: DesiredState) -> Work:
        request = facts.lifecycle.boot_request
        # A new revision can bring another image while the agent writes this one.
        image = desired.resources.get(ResourceKey("Image", (request and request.image) or facts.image or ""))
        machine = desired.resources.get(key)
        if image is None or machine is None or not isinstance(image.spec, ImageSpec):
            return Wait(ASK_LATER)  # A commit took it away; the plan says so.
        if not self._is_noted(key, request, image.key.name, claim.request):
            return Wait(ASK_LATER)
        lifecycle, partition = facts.lifecycle, desired.resources.get(ResourceKey("Partition", machine.spec.partition))
        host = cloud_init.Host(
            claim=lifecycle.claim or "",
            machine=key.name,
            slot=lifecycle.slot or 0,
            instance=request.id if request is not None else "",
            macs=tuple(self._finder.ordered_macs(machine)),
            addresses=tuple(self._addresses(facts, desired)),
            dns=partition.spec.dns_servers if partition is not None else (),
            ntp=partition.spec.ntp_servers if partition is not None else (),
        )
        root, disk_size, declared = image.spec.root, image.spec.disk_size, machine.spec.lifecycle
        return Install(
            image=image.key.name,
            url=root.url,
            checksum=root.checksum,
            seed=cloud_init.build(claim, host),
            known=self._known(key, facts),
            disk=(declared.install_on if declared is not None else None) or "auto",
            size=quantity_number(disk_size) if disk_size is not None else 0,
        )

    def _is_noted(self, key: ResourceKey, request: BootRequest | None, image: str, word: str | None) -> bool:
        """Remember what the agent gets, before it gets it: what it writes is taken for that. `word`: the claim's
        `request`. False: the boot request has ended meanwhile."""
        if request is None or (request.image, request.document_request) == (image, word):
            return True
        detail = install_served(image, word)
        return self._fleet.report(key, request.id, FactType.INSTALL_SERVED, detail)

    def _known(self, key: ResourceKey, facts: MachineFacts) -> tuple[str, ...]:
        """The instance-ids of what may be on its disks by what is remembered, and of what a person has named."""
        machine = self._fleet.desired.resources.get(key) if self._fleet.desired is not None else None
        lifecycle = machine.spec.lifecycle if machine is not None else None
        named = (lifecycle.request or "").split() if lifecycle is not None else []
        return (*(cloud_init.instance_id(key.name, order) for order in facts.lifecycle.installs), *named)

    def _addresses(self, facts: MachineFacts, desired: DesiredState) -> Iterable[cloud_init.SeedAddress]:
        lifecycle, looks = facts.lifecycle, {one.key: one.value for one in self._fleet.observations("IPAddress")}
        networks = {one.key.name: one.value for one in self._fleet.observations("Network")}
        for key in slot_addresses(desired, lifecycle):
            held, name = looks.get(key), _network_of(key)
            network = networks.get(name)
            if isinstance(held, AddressState) and held.address is not None and isinstance(network, NetworkState):
                yield _in_seed(name, held.address, network, desired)


def _network_of(address: ResourceKey) -> str:
    meant = of_claim(address)
    return meant.network if meant is not None else ""


def _in_seed(name: str, address: str, network: NetworkState, desired: DesiredState) -> cloud_init.SeedAddress:
    held = ip_address(address)
    resource = desired.resources.get(ResourceKey("Network", name))
    declared = resource.spec.prefixes if resource is not None and isinstance(resource.spec, NetworkSpec) else ()
    for prefix in network.prefixes or ():
        within = ip_network(prefix.cidr)
        if held in within:
            ways = (one.gateway for one in declared or () if ip_network(one.cidr) == within)
            return cloud_init.SeedAddress(name, address, within.prefixlen, next(ways, None))
    return cloud_init.SeedAddress(name, address, held.max_prefixlen)
