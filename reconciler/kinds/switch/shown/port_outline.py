"""The ports of one switch as `describe` shows them: machine, network, cabling and session below each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import SwitchNeighbour, SwitchState
from reconciler.kinds.common.column import OutlineBranch
from reconciler.kinds.common.kind import Inventories
from reconciler.kinds.switch.shown.port_table import PortRow, port_rows
from reconciler.kinds.switch.spec import SwitchSpec
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource

OUTLINED = ("ports", "neighbours", "peers")


def port_outline(
    resource: Resource[SwitchSpec], desired: DesiredState, observed: ObservedState, facts: Facts, known: Inventories
) -> Iterator[OutlineBranch]:
    """The listed ports, and then the uplinks."""
    for row in port_rows(desired, observed, facts.resources, known, frozenset((resource.key.name,))):
        yield OutlineBranch(row.port, _link_words(row), tuple(_lines(row)), row.bgp_since)
    seen = observed.get(resource.key)
    state = seen.value if seen is not None and isinstance(seen.value, SwitchState) else SwitchState()
    for name in resource.spec.uplinks:
        yield _uplink(name, state)


def _link_words(row: PortRow) -> str:
    if row.admin is None and row.link is None:
        return "not observed"
    return f"admin {row.admin or 'unknown'}, link {row.link or 'unknown'}"


def _lines(row: PortRow) -> Iterator[tuple[str, str]]:
    owner = f", {row.claim}" if row.claim is not None else ""
    nic = f" at {row.nic}" if row.nic is not None else ""
    yield "machine", f"{row.machine}{nic}{owner}" if row.machine is not None else "none"
    wanted = f"; must be in {row.must_be_in}" if row.must_be_in not in (None, row.network) else ""
    yield "network", f"{row.network or 'none'}{wanted}"
    if row.machine is not None:
        yield "cabled", f"{row.cabled}: {row.lldp}"
    if row.bgp is not None:
        yield "bgp", row.bgp


def _uplink(name: str, state: SwitchState) -> OutlineBranch:
    found = state.ports.get(name)
    words = f"admin {found.admin or 'unknown'}, link {found.oper or 'unknown'}" if found is not None else "not observed"
    names = (name, found.alias) if found is not None else (name,)
    peer = next((one for one in state.peers or () if one.neighbour in names), None)
    heard = [_neighbour(one) for one in state.neighbours or () if one.port in names]
    lines = [("hears", ", ".join(heard))] if heard else []
    lines += [("bgp", peer.state)] if peer is not None else []
    return OutlineBranch(name, f"uplink, {words}", tuple(lines), peer.since if peer is not None else None)


def _neighbour(one: SwitchNeighbour) -> str:
    return " ".join(filter(None, (one.system or one.mac or "an unnamed neighbour", one.remote_port)))
