"""How observations, actions and reports change the facts of a machine. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import BootEnabled, PowerState, SystemState
from reconciler.kinds.claim.spec import claim_key
from reconciler.kinds.common.fact_rules import FactRules, Ignored, Occasion, Recorded, ReportOutcome, Slot
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.machine_facts import MachineFacts, as_machine_facts
from reconciler.kinds.machine import machine_restart
from reconciler.kinds.machine.identity.machine_identity import identity_observed, recorded_identity
from reconciler.kinds.machine.lifecycle import phases, system_identity, virtual_media
from reconciler.kinds.machine.lifecycle.machine_reports import apply_report, facts_at_start, is_over
from reconciler.kinds.machine.rules.boot_rules import confirms_order
from reconciler.kinds.machine.rules.machine_records import record_machine_action
from reconciler.kinds.machine.rules.machine_rules import ordered_boot
from reconciler.kinds.machine.rules.resend import is_repeatable
from reconciler.kinds.machine.spec import MachineSpec, is_paused, once_order, one_time_boot
from reconciler.model.actions.action import Action
from reconciler.model.actions.bmc_actions import InsertMedia, PowerOff, PowerOn, SetBoot
from reconciler.model.actions.record_actions import AcceptSystem, MachineRecord, RequestBoot
from reconciler.model.event import EventReason
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import Resource, ResourceKey

LIFECYCLE_FIELDS = (RequestBoot.path, SetBoot.path, PowerOn.path, InsertMedia.path)
"""Fields that the lifecycle of a managed machine sets, and that its document cannot declare."""


_OTHER_SYSTEM = "spec.bmc now names another BMC or system, so the boot request of the former one ends"
_LEFT_TO_PEOPLE = (
    "Machine is powered on, but spec.suspend or spec.maintenance is set, so people may be using the machine; "
    "groundstate ends the boot request"
)


class MachineFactRules(FactRules):
    """The rules of machines."""

    facts_type = MachineFacts
    takes_slots = True
    takes_restarts = True

    def first(self, spec: Any, new_store: bool) -> ResourceFacts:
        """The facts of a machine that the store does not know. Its one-time boot override may be of any age."""
        order = one_time_boot(spec)
        return MachineFacts(found_order=order, found_new=new_store and order is not None)

    def moved(self, facts: ResourceFacts) -> ResourceFacts:
        """The facts of a machine whose BMC endpoint changed. An ignored shutdown, an observed power-off and a network
        boot belong to the former BMC, and are left out. The recorded system stays the same one. Where it was read is
        kept, until the new BMC reports it."""
        known = as_machine_facts(facts)
        lifecycle = phases.unattended(known.lifecycle)
        last = known.system_place or known.place if recorded_identity(known) is not None else None
        return msgspec.structs.replace(
            known, shutdown_ignored=None, lifecycle=lifecycle, reported=None, system_place=last
        )

    def slot(self, facts: ResourceFacts) -> Slot | None:
        """The claim and slot that the machine is bound to."""
        lifecycle = as_machine_facts(facts).lifecycle
        claim = claim_key(lifecycle)
        return Slot(claim, lifecycle.slot or 0) if claim is not None else None

    def leaves_slot(self, facts: ResourceFacts) -> bool:
        """Whether the claim has released the machine."""
        return as_machine_facts(facts).lifecycle.releasing_at is not None

    def sent(self, action: Action, facts: ResourceFacts) -> ResourceFacts:
        """The facts after an action was sent. From then on, an image may be in the virtual drive."""
        known = as_machine_facts(facts)
        if isinstance(action, PowerOff):
            return machine_restart.restart_sent(known, action)
        if not isinstance(action, InsertMedia):
            return facts
        inserting = virtual_media.media_inserting(known.lifecycle, action.url)
        return msgspec.structs.replace(known, lifecycle=inserting)

    def refused(
        self, action: Action, facts: ResourceFacts, why: str, *, is_final: bool, now: datetime
    ) -> ResourceFacts:
        """See `machine_restart.refused`."""
        known = as_machine_facts(facts)
        if not isinstance(action, PowerOff):
            return facts
        return machine_restart.refused(known, why, is_final=is_final, now=now)

    def confirmed(
        self, action: Action, facts: ResourceFacts, seen: Observation, resource: Resource[Any] | None
    ) -> ResourceFacts:
        """The facts after an action was confirmed. A machine that was powered on is in service again, unless its claim
        waits for the installed system."""
        known = as_machine_facts(facts)
        match action:
            case PowerOn():
                serves = known.lifecycle.claim is None or known.lifecycle.phoned_home_at is not None
                down = None if serves else known.disrupted_at
                return msgspec.structs.replace(known, disrupted_at=down, shutdown_ignored=None)
            case PowerOff():
                return machine_restart.restart_confirmed(known)
            case SetBoot(override=override) if action.once and resource is not None:
                boot = ordered_boot(resource, known, seen.value)
                if boot is None or boot.enabled is not BootEnabled.ONCE:
                    return known
                if not confirms_order(boot, override, seen.value):
                    return known
                lifecycle = known.lifecycle
                if lifecycle.boot_request is not None:  # Such an override is sent to a machine alone that is seen off.
                    lifecycle = msgspec.structs.replace(lifecycle, stopped_at=seen.taken_at)
                return msgspec.structs.replace(known, once_done=once_order(boot), lifecycle=lifecycle)
        return known

    def repeatable(self, action: Action, value: Any) -> bool:
        """See `resend.is_repeatable`."""
        return is_repeatable(action, value)

    def ignored(self, action: Action, facts: ResourceFacts, now: datetime) -> Ignored | None:
        """The facts after a graceful shutdown without effect: an operating system may ignore the power button."""
        if not isinstance(action, PowerOff) or not action.is_graceful:
            return None
        noted = msgspec.structs.replace(as_machine_facts(facts), shutdown_ignored=now)
        return Ignored(noted, EventReason.SHUTDOWN_IGNORED, "the machine did not shut down")

    def begun(self, action: Action, value: Any) -> bool:
        """Whether the effect of an action has begun: a machine that shuts down reports PoweringOff."""
        shuts_down = isinstance(value, SystemState) and value.power is PowerState.POWERING_OFF
        return shuts_down and isinstance(action, PowerOff)

    def to_send_again(self, action: Action, resource: Resource[Any] | None) -> str:
        """The field to change so that a one-time boot override is sent again; groundstate does not repeat such an
        override."""
        declared = resource is not None and isinstance(resource.spec, MachineSpec) and resource.spec.boot is not None
        return "change the text of spec.boot.request" if action.once and declared else ""

    def record(self, action: Action, facts: Mapping[ResourceKey, ResourceFacts], occasion: Occasion) -> Recorded:
        """The facts after an action on the store alone: bindings and boot requests."""
        if not isinstance(action, MachineRecord):
            return super().record(action, facts, occasion)
        return record_machine_action(action, facts, occasion)

    def restart_asked(self, facts: ResourceFacts, request: RestartRequest) -> ResourceFacts:
        """See `machine_restart.asked`."""
        return machine_restart.restart_taken_up(as_machine_facts(facts), request)

    def restart_cancelled(self, facts: ResourceFacts, open_: Collection[str]) -> ResourceFacts:
        """See `machine_restart.cancelled`."""
        return machine_restart.cancelled(as_machine_facts(facts), open_)

    def restart_result(self, facts: ResourceFacts, request: RestartRequest) -> RestartResult | None:
        """The result of the latest restart."""
        one = as_machine_facts(facts).restart
        if one is None or one.id != request.id or not one.ended:
            return None
        return RestartResult(request.id, request.key, one.failure)

    def on_behalf_of(self, action: Action, facts: ResourceFacts) -> str | ResourceKey | None:
        """The resource whose commit causes an action: the claim, for what is done for a claim; the commit that released
        the machine, for a release."""
        lifecycle, asked = as_machine_facts(facts).lifecycle, as_machine_facts(facts).restart
        if asked is not None and not asked.ended and action.path == PowerOff.path:
            return f"restart {asked.id} by {asked.by}: {asked.reason}"
        if action.path not in LIFECYCLE_FIELDS or isinstance(action, AcceptSystem):
            return None
        return lifecycle.release_cause if lifecycle.release_cause is not None else claim_key(lifecycle)

    def observed(
        self, facts: ResourceFacts, resource: Resource[Any], value: Any, fields: tuple[Field, ...], now: datetime
    ) -> ResourceFacts:
        """The facts after an observation: a running shutdown, the image in the virtual drive, the power state and the
        identity of the system."""
        known = identity_observed(as_machine_facts(facts), value, now)
        lifecycle = virtual_media.observe_media(known.lifecycle, fields)
        if isinstance(resource.spec, MachineSpec) and isinstance(value, SystemState):
            lifecycle = phases.observe_power(resource.spec, lifecycle, value, now)
        ignored = known.shutdown_ignored if _still_shutting_down(resource, fields) else None
        if ignored is not known.shutdown_ignored or lifecycle is not known.lifecycle:
            known = msgspec.structs.replace(known, shutdown_ignored=ignored, lifecycle=lifecycle)
        return machine_restart.restart_observed(known, resource.spec, value, now)

    def at_start(self, facts: ResourceFacts, now: datetime) -> ResourceFacts:
        """See `machine_reports.facts_at_start`, and `machine_restart.at_start`."""
        return machine_restart.at_start(facts_at_start(as_machine_facts(facts), now))

    def ended(self, before: ResourceFacts, after: ResourceFacts) -> tuple[EventReason, str] | None:
        """The facts without the boot request, which ends when the machine gets another system, or is left to people."""
        had, has = (as_machine_facts(one).lifecycle.boot_request is not None for one in (before, after))
        if not had or has:
            return None
        moved = before.place != after.place
        return EventReason.BOOT_REQUEST_ENDED, _OTHER_SYSTEM if moved else _LEFT_TO_PEOPLE

    def report(
        self, facts: ResourceFacts, request: str | None, fact: Any, detail: str, value: Any, now: datetime
    ) -> ReportOutcome | None:
        """The facts after a report of the boot service, the agent or the installed system."""
        known = as_machine_facts(facts)
        if is_over(known, fact, request):
            return None
        system = system_identity.system_of(value) if isinstance(value, SystemState) else None
        return apply_report(known, fact, detail, system, now)


def _still_shutting_down(resource: Resource[Any], fields: tuple[Field, ...]) -> bool:
    """Whether a graceful shutdown is still running. Not while people work on the machine: after that, a new shutdown is
    requested before the power is cut."""
    if is_paused(resource.spec):
        return False
    return any(f.path == PowerOff.path and not f.equal and bool(f.desired == PowerOff.goal) for f in fields)
