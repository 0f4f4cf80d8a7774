"""The seed for an installed machine's first boot: cloud-init NoCloud, or an Ignition config. Pure.

Structured files are JSON, which is also YAML (YAML 1.2.2, 1.2), so this module does not have to quote YAML.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from reconciler.kinds.claim.spec import MachineClaimSpec, host_name

META, USER, NETWORK, VENDOR, IGNITION = "meta-data", "user-data", "network-config", "vendor-data", "config.ign"

NO_USER_DATA = "#cloud-config\n{}\n"
"""The content of a user-data file without user data; cloud-init requires the file."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9:/._+=\[\]-]*")


class PhoneHome(msgspec.Struct, frozen=True):
    """How the installed system reports that it is up. It POSTs to `url` with the token as Bearer; the certificate's key
    has this pin (in curl's form). Systems that cannot send a header POST to `simple_url`."""

    url: str
    token: str
    pin: str
    simple_url: str


MARKS = PhoneHome(
    "GROUNDSTATE_PHONE_HOME_URL",
    "GROUNDSTATE_PHONE_HOME_TOKEN",
    "GROUNDSTATE_PHONE_HOME_PIN",
    "GROUNDSTATE_PHONE_HOME_SIMPLE_URL",
)
"""Stands in a seed until it is handed out: a token is made then, and is kept nowhere."""


class SeedAddress(msgspec.Struct, frozen=True):
    """An address of the machine: its Network, the prefix length there, and the gateway, if the Network has one."""

    network: str
    address: str
    length: int
    gateway: str | None = None


class Host(msgspec.Struct, frozen=True):
    """The machine as its system sees it. `instance` changes with each installation; by it cloud-init distinguishes an
    installation from a reboot. `macs`: of the network cards, the one with the addresses first."""

    claim: str
    machine: str
    slot: int
    instance: str
    macs: Sequence[str] = ()
    addresses: Sequence[SeedAddress] = ()
    dns: Sequence[str] = ()
    ntp: Sequence[str] = ()


def build(spec: MachineClaimSpec, host: Host, home: PhoneHome | None = MARKS) -> dict[str, str]:
    """The files, by name. An Ignition config of the claim says everything itself, and gets no other files for the
    system. The metadata beside the config identifies the installation for the agent. A unit of the config finds there
    how to report that the system is up."""
    data = spec.user_data
    if data is not None and is_ignition(data):
        instance = f"instance-id: {_json(instance_id(host.machine, host.instance))}"
        return {META: instance + _phone_home(home), IGNITION: data}
    files = {
        META: _meta(spec, host, home),
        USER: data if data is not None else NO_USER_DATA,
        NETWORK: _json(netplan(host)),
    }
    vendor = _vendor(host, home if data is None else None)
    return {**files, VENDOR: f"#cloud-config\n{_json(vendor)}"} if vendor else files


def fill_seed(seed: Mapping[str, str], home: PhoneHome) -> dict[str, str]:
    """The seed with these values in place of MARKS. The text of the claim's author is not changed."""
    marks, values = msgspec.structs.astuple(MARKS), msgspec.structs.astuple(home)
    done = dict(seed)
    for name in (META, VENDOR):
        if name in done:
            for mark, value in zip(marks, values, strict=True):
                done[name] = done[name].replace(mark, value)
    return done


def instance_id(machine: str, request_id: str) -> str:
    """The instance-id of the installation that this boot request makes."""
    return f"{machine}-{request_id}"


def hostname(spec: MachineClaimSpec, host: Host) -> str:
    """The host name that the claim gives to the machine."""
    return host_name(spec.hostname, host.claim, host.slot, host.machine)


def is_ignition(text: str) -> bool:
    """Whether the user data is an Ignition config: JSON with a key `ignition` (its specification, version 3.x)."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return isinstance(found, dict) and "ignition" in found


def netplan(host: Host) -> dict[str, Any]:
    """The network configuration in netplan's version 2: all addresses on the first card; without addresses, DHCP."""
    card: dict[str, Any] = {"match": {"macaddress": host.macs[0]} if host.macs else {"name": "e*"}}
    if not host.addresses:
        return {"version": 2, "ethernets": {"lan0": {**card, "dhcp4": True}}}
    card["addresses"] = [f"{one.address}/{one.length}" for one in host.addresses]
    if routes := list(_routes(host.addresses).values()):
        card["routes"] = routes
    if host.dns:
        card["nameservers"] = {"addresses": list(host.dns)}
    return {"version": 2, "ethernets": {"lan0": card}}


def _routes(addresses: Sequence[SeedAddress]) -> dict[int, dict[str, Any]]:
    """The default route of each family: the gateway of the first address that has one. With two routes, each packet
    could take either."""
    found: dict[int, dict[str, Any]] = {}
    for one in addresses:
        if one.gateway is None:
            continue
        way = ipaddress.ip_address(one.gateway)
        inside = way in ipaddress.ip_network((one.address, one.length), strict=False)
        route: dict[str, Any] = {"to": "0.0.0.0/0" if way.version == 4 else "::/0", "via": one.gateway}
        found.setdefault(way.version, route if inside or way.is_link_local else {**route, "on-link": True})
    return found


def _meta(spec: MachineClaimSpec, host: Host, home: PhoneHome | None) -> str:
    values: dict[str, Any] = {
        "instance-id": instance_id(host.machine, host.instance),
        "local-hostname": hostname(spec, host),
    }
    if spec.ssh_keys:
        values["public-keys"] = list(spec.ssh_keys)
    return "".join(f"{name}: {_json(value)}" for name, value in values.items()) + _phone_home(home)


def _phone_home(home: PhoneHome | None) -> str:
    """The lines of the metadata with which a system reports that it is up."""
    if home is None:
        return ""
    reported = {
        "phone_home_url": home.url,
        "phone_home_token": home.token,
        "phone_home_pin": home.pin,
        "phone_home_simple_url": home.simple_url,
    }
    # As they are, for a shell script that reads this with sed.
    return "".join(
        f"{name}: {value}\n" if _PLAIN.fullmatch(value) else f"{name}: {_json(value)}"
        for name, value in reported.items()
    )


def _vendor(host: Host, home: PhoneHome | None) -> dict[str, Any]:
    """The vendor data: defaults that the user data can replace."""
    found: dict[str, Any] = {}
    if host.ntp:
        found["ntp"] = {"enabled": True, "servers": list(host.ntp)}
    if home is not None:
        # The module can neither send a header nor pin a key (cloud-init 24.4, cc_phone_home).
        found["phone_home"] = {"url": home.simple_url, "post": ["instance_id", "hostname"], "tries": 10}
    return found


def _json(value: Any) -> str:
    return f"{_scalar(value)}\n"


def _scalar(value: Any) -> str:
    return msgspec.json.encode(value).decode()
