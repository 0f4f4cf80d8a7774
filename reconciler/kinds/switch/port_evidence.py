"""Which machine is really at a port, where the documents name another one. Pure.

A commit can exchange two machines in the documents, and the cables stay as they are. Then each port would be moved into
the VRF of the other machine's tenant. The switch hears a machine at a port (LLDP), and groundstate remembers for which
machine it put the port into a VRF.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from drivers.base import SwitchNeighbour, SwitchPort, SwitchState
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.switch.cabling import heard_machine, heard_words, is_heard_by_mac
from reconciler.kinds.switch.spec import CabledPort
from reconciler.kinds.switch.switch_facts import switch_facts
from reconciler.model.resource import ResourceKey


class OtherMachine(msgspec.Struct, frozen=True):
    """A machine that is believed to be at a port, and who says so."""

    machine: str
    words: str


def others_behind(port: CabledPort, seen: SwitchPort, view: KindView) -> tuple[OtherMachine, ...]:
    """The machines other than the declared one that are believed to be at the port.

    None if the switch hears the declared machine there by its MAC address: what is heard now counts more than what was
    recorded."""
    if view.desired is None:
        return ()
    heard = _heard(seen, view)
    if port.machine is not None and any(is_heard_by_mac(one, port.machine, view.desired, {}) for one in heard):
        return ()
    found = [*_by_switch(port, heard, view), *_by_record(port, seen, view)]
    return tuple(found)


def _heard(seen: SwitchPort, view: KindView) -> list[SwitchNeighbour]:
    state = view.value if isinstance(view.value, SwitchState) else SwitchState()
    return [one for one in state.neighbours or () if one.port in (seen.name, seen.alias)]


def _by_switch(port: CabledPort, heard: list[SwitchNeighbour], view: KindView) -> Iterator[OtherMachine]:
    for one in heard:
        if view.desired is None:
            return
        machine = heard_machine(one, view.desired, {})
        if machine is not None and machine != port.machine:
            by = heard_words(one, machine, view.desired, {})
            yield OtherMachine(machine, f"the switch hears Machine/{machine} at the port {by}")


def _by_record(port: CabledPort, seen: SwitchPort, view: KindView) -> Iterator[OtherMachine]:
    machine = switch_facts(view.facts).behind.get(seen.name)
    if machine is None or machine == port.machine:
        return
    claim = machine_facts(view.remembered, ResourceKey("Machine", machine)).lifecycle.claim
    if claim is not None:
        words = f"groundstate put the port into a VRF for Machine/{machine}, which MachineClaim/{claim} still has"
        yield OtherMachine(machine, words)
