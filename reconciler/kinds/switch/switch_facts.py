"""What is remembered of a switch: the machines for which its ports were put into VRFs, and doubts about ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import SwitchState
from reconciler.kinds.common.fact_rules import FactRules
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.switch.port_state import found_port
from reconciler.kinds.switch.spec import SwitchSpec
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import SetValue, item_path
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.plans.plan import digest
from reconciler.model.resource import Resource, ResourceKey

PORTS = "spec.ports"
BEHIND = "behind"
"""The part of an observed port that says which other machine is believed to be at the port."""
PORT, MACHINE, CUTS = "port", "machine", "cuts"
"""In the context of an action: the switch's own name of the port, and the machine with a tenant for which it is moved.
`cuts`: the running machine that the move cuts off."""


class PortDoubt(msgspec.Struct, frozen=True):
    """That another machine than the declared one is believed to be at a port that must be changed."""

    about: str
    """A digest of what is wanted, and of who is believed to be there."""
    since: datetime
    """When this was observed first. Overrides that began earlier were given for something else."""


class SwitchFacts(ResourceFacts, frozen=True, omit_defaults=True):
    """What is remembered of a switch. Ports are called as the switch calls them."""

    behind: Mapping[str, str] = {}
    """The machine with a tenant for which a port was put into its VRF, by port. It stays until the port is moved for
    another reason, whatever documents say meanwhile."""
    doubts: Mapping[str, PortDoubt] = {}
    """The doubts of the last observation, by the name of the port in the document."""


NO_SWITCH_FACTS = SwitchFacts()


def switch_facts(facts: ResourceFacts) -> SwitchFacts:
    """The facts as those of a switch; none where nothing is known of it."""
    return facts if isinstance(facts, SwitchFacts) else NO_SWITCH_FACTS


def machines_cut_off(action: Action) -> tuple[ResourceKey, ...]:
    """The running machine that loses a port by the action."""
    name = (action.context or {}).get(CUTS) if isinstance(action, SetValue) else None
    return (ResourceKey("Machine", name),) if name else ()


class SwitchFactRules(FactRules):
    """How actions and observations change the facts of a switch."""

    facts_type = SwitchFacts

    def repeatable(self, _action: Action, _value: Any) -> bool:
        """A configuration is whole: the same again does the rest, or nothing."""
        return True

    def confirmed(
        self, action: Action, facts: ResourceFacts, _seen: Observation, _resource: Resource[Any] | None
    ) -> ResourceFacts:
        """The port was moved: for the machine of a tenant, or for none."""
        if not isinstance(action, SetValue) or PORT not in (action.context or {}):
            return facts
        known, port, machine = switch_facts(facts), action.context[PORT], action.context.get(MACHINE)
        others = {name: one for name, one in known.behind.items() if name != port}
        behind = others | ({port: machine} if machine else {})
        return msgspec.structs.replace(known, behind=behind, disrupted_at=None)

    def observed(
        self, facts: ResourceFacts, resource: Resource[Any], value: Any, fields: tuple[Field, ...], now: datetime
    ) -> ResourceFacts:
        """A port that is in the VRF of its machine and was never moved is recorded as the documents have it."""
        if not isinstance(value, SwitchState):
            return facts
        known, by_path = switch_facts(facts), {field.path: field for field in fields}
        behind = {**dict(_first_records(resource.spec, value, by_path)), **known.behind}
        doubts = dict(_doubts(resource.spec, by_path, known, now))
        return msgspec.structs.replace(known, behind=behind, doubts=doubts)


def _first_records(spec: SwitchSpec, value: SwitchState, fields: dict[str, Field]) -> Iterator[tuple[str, str]]:
    for port in spec.ports:
        field, found = fields.get(item_path(PORTS, port.name)), found_port(port, value)
        if field is None or found is None or port.machine is None:
            continue
        if field.equal and "vrf" in field.desired:
            yield found.name, port.machine


def _doubts(
    spec: SwitchSpec, fields: dict[str, Field], known: SwitchFacts, now: datetime
) -> Iterator[tuple[str, PortDoubt]]:
    for port in spec.ports:
        field = fields.get(item_path(PORTS, port.name))
        if field is None or not isinstance(field.observed, dict) or BEHIND not in field.observed:
            continue
        about = digest((field.desired, port.machine, field.observed[BEHIND]))
        before = known.doubts.get(port.name)
        yield port.name, before if before is not None and before.about == about else PortDoubt(about, now)
