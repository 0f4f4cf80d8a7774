"""What `get switches` shows, and the conditions of a switch alone."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import LinkState, SwitchScope, SwitchState
from reconciler.kinds.common.column import observed_column, spec_column
from reconciler.kinds.switch.spec import SwitchSpec, free_vlans
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.resource import Resource

ESTABLISHED = "Established"


def _up(state: SwitchState) -> str:
    return f"{sum(port.oper is LinkState.UP for port in state.ports.values())}/{len(state.ports)}"


def _peers(state: SwitchState) -> str | None:
    if state.peers is None:
        return None
    return f"{sum(peer.state == ESTABLISHED for peer in state.peers)}/{len(state.peers)}"


SWITCH_COLUMNS = (
    spec_column("partition", "PARTITION"),
    spec_column("rack", "RACK"),
    spec_column("role", "ROLE"),
    spec_column("manage", "MANAGE"),
    observed_column("UP", _up),
    observed_column("BGP", _peers),
    observed_column("VRFS", lambda state: len(state.vrfs), wide=True),
    observed_column("VERSION", lambda state: state.version, wide=True),
    spec_column("address", "ADDRESS", wide=True),
)


def switch_conditions(
    resource: Resource[SwitchSpec], _facts: ResourceFacts, seen: Observation | None
) -> Iterator[Condition]:
    """Whether people work on it, and whether another VRF could get a VLAN."""
    spec = resource.spec
    state = seen.value if seen is not None else None
    if isinstance(state, SwitchState) and spec.scope is not SwitchScope.NONE and not free_vlans(spec, state.vlans):
        message = (
            f"all VLANs of spec.localVlans ({spec.local_vlans}) are used on the switch. No further VRF can come to it. "
            "Enlarge spec.localVlans, or remove VLANs that are not needed from the switch"
        )
        yield Condition(ConditionType.VLAN_FREE, Status.FALSE, ConditionReason.EXHAUSTED, message)
    for word, pause in ((ConditionType.SUSPENDED, spec.suspend), (ConditionType.MAINTENANCE, spec.maintenance)):
        if pause is not None:
            yield Condition(word, Status.TRUE, ConditionReason.DECLARED, pause.reason)
