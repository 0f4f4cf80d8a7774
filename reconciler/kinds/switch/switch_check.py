"""What one Switch must keep to beyond its schema. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from drivers.base import SwitchScope
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.switch.port_state import is_management
from reconciler.kinds.switch.spec import FAKE, SwitchRole, SwitchSpec
from reconciler.model.resource import Resource

_PASSWORD = re.compile(r"^[^/]*//[^/?#@]*:[^/?#@]*@")
_SOURCES = ("name", "env", "file", "exec")
_VLANS = range(1, 4095)


def check_switch(resource: Resource[SwitchSpec]) -> list[RuleFinding]:
    """Everything that is wrong with the switch alone."""
    spec = resource.spec
    return [*_access(spec), *_ports(spec), *_vlans(spec), *_routing(spec)]


def _access(spec: SwitchSpec) -> Iterator[RuleFinding]:
    if _PASSWORD.match(spec.address):  # The text is not shown, because it may hold a password.
        hint = "remove the password; name its source in spec.credentialRef"
        yield RuleFinding("credentials-in-url", "spec.address", "spec.address holds a password", hint)
    elif spec.driver != FAKE and (fault := _address_fault(spec.address)):
        what = f"spec.address: {spec.address!r} cannot be connected to: {fault}"
        yield RuleFinding("switch-address", "spec.address", what, "write ssh://USER@HOST or ssh://USER@HOST:PORT")
    if spec.driver != FAKE and spec.host_key is None:
        what = f"the driver {spec.driver} needs spec.hostKey"
        hint = (
            "add the public host key of the switch, as `ssh-keyscan HOST` prints it, and compare the key at the switch"
        )
        yield RuleFinding("switch-host-key", "spec", what, hint)
    if (reference := spec.credential_ref) is not None:
        given = [name for name in _SOURCES if getattr(reference, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none of name, env, file and exec"
            hint = "give exactly one of name, env, file and exec"
            yield RuleFinding("credential-ref", "spec.credentialRef", f"credentialRef has {said}", hint)


def _address_fault(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme != "ssh":
        return "it does not begin with ssh://"
    if not user:
        return "it names no user"
    return "" if host else "it names no host"


def _ports(spec: SwitchSpec) -> Iterator[RuleFinding]:
    seen: dict[str, int] = {}
    for index, port in enumerate(spec.ports):
        path = f"spec.ports.{index}"
        for name in dict.fromkeys((port.name, *((port.alias,) if port.alias else ()))):
            if name in seen:
                what = f"the port {name} is listed twice"
                hint = f"keep one of spec.ports[{seen[name]}] and spec.ports[{index}]; a port has one machine"
                yield RuleFinding("switch-port", f"{path}.name", what, hint)
                break
            seen[name] = index
        if port.name in spec.uplinks or port.alias in spec.uplinks:
            what = f"{port.name} is an uplink, and groundstate never changes an uplink"
            hint = "remove the port from spec.ports, or from spec.uplinks"
            yield RuleFinding("switch-uplink", f"{path}.name", what, hint)
        if (name := next((one for one in (port.name, port.alias or "") if is_management(one)), None)) is not None:
            what = f"{name} is a management port: if it is changed, the switch cannot be reached any more"
            yield RuleFinding("switch-uplink", f"{path}.name", what, "remove the port from spec.ports")
        if port.machine is not None and spec.role is not SwitchRole.LEAF:
            what = f"a switch of the role {spec.role} has no ports of machines"
            hint = "remove spec.ports[].machine, or set spec.role to Leaf"
            yield RuleFinding("switch-port", f"{path}.machine", what, hint)
    if spec.manage != "None" and spec.role is not SwitchRole.LEAF:
        what = f"groundstate changes nothing on a switch of the role {spec.role}"
        yield RuleFinding("switch-role", "spec.manage", what, "set spec.manage to None, or spec.role to Leaf")


def _vlans(spec: SwitchSpec) -> Iterator[RuleFinding]:
    first, last = spec.local_range
    if first > last or first not in _VLANS or last not in _VLANS:
        what = f"{spec.local_vlans} is not a range of VLAN ids"
        yield RuleFinding("switch-vlan", "spec.localVlans", what, "write `first-last`, both from 1 to 4094")
    elif first <= spec.unprovisioned.vlan <= last:
        what = f"spec.localVlans {spec.local_vlans} contains the unprovisioned VLAN {spec.unprovisioned.vlan}"
        hint = "change one of the two: in one VLAN, machines of a tenant could reach machines that are being installed"
        yield RuleFinding("switch-vlan", "spec.localVlans", what, hint)


def _routing(spec: SwitchSpec) -> Iterator[RuleFinding]:
    if spec.asn is not None and spec.asn_number is not None:
        what = "spec.asn and spec.asnNumber are both set"
        yield RuleFinding("switch-routing", "spec.asn", what, "keep one of them")
    if spec.scope is not SwitchScope.ALL:
        return
    if spec.asn is None and spec.asn_number is None:
        hint = "add spec.asn or spec.asnNumber, or set spec.manage to Ports"
        yield RuleFinding("switch-routing", "spec.manage", "`manage: All` needs the ASN of the switch", hint)
    if spec.loopback is None:
        hint = "add spec.loopback, or set spec.manage to Ports"
        yield RuleFinding("switch-routing", "spec.manage", "`manage: All` needs the loopback address", hint)
