"""Every reader of what others say, each with what it is fed and what it may raise. `./dev fuzz` runs them for long.

A target takes one input, and fails when its reader raises what it does not promise, or when what came of it cannot be
encoded, or steers a terminal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.message import Message
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from hypothesis import strategies as st

from drivers.base import (
    BootEnabled,
    BootOverride,
    BootTarget,
    Credential,
    DriverError,
    IndicatorLED,
    Inventory,
    IpamNetwork,
    Peer,
    Prefix,
    ResetType,
    SystemState,
    mac_address,
    mac_fault,
)
from drivers.base.support.clean_text import read_json
from drivers.bmc.redfish.redfish import RedfishSystem
from drivers.bmc.redfish.redfish_probe import _document, _is_root
from drivers.bmc.redfish.redfish_system import firmware_text
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector
from drivers.bmc.redfish.wire.redfish_errors import error_of_reply
from drivers.bmc.redfish.wire.redfish_http import BmcAddress, Reply
from drivers.ipam.netbox.netbox import NetboxIpam
from drivers.ipam.netbox.netbox_records import FIELDS, OBJECT_TYPES
from drivers.ipam.netbox.netbox_wire import _json, _Reply, netbox_words
from reconciler.commands import settings_files
from reconciler.commands.plan_command import plan_command
from reconciler.desired import report
from reconciler.desired.load import load_state
from reconciler.desired.manifest.manifests import dump_yaml, load_plain
from reconciler.kinds.catalogue.aggregate import AggregateItem, Function, item_value
from reconciler.kinds.catalogue.inventory_path import Malformed, element
from reconciler.kinds.common.field_types.label_selector import Unmatched, parse_selector
from reconciler.kinds.common.inventory_diff import inventory_differences
from reconciler.kinds.common.mac_vendor import mac_vendor
from reconciler.kinds.common.machine_inventory import as_json
from reconciler.model.plans.plan import Plan, PlanScope
from reconciler.model.resource import Revision
from reconciler.model.values.address_range import address_range, is_within
from reconciler.onboarding.dhcp_leases import read_leases
from reconciler.onboarding.discovery import parse_scan_range
from reconciler.onboarding.inband import read_dmi, read_inband
from reconciler.onboarding.inventory_comparison import summary
from reconciler.onboarding.undeclared import read_undeclared
from reconciler.services.boot import identifiers
from reconciler.services.boot.handlers.registration import read_registration, read_report
from reconciler.views.render.plans.form import plan_from_json, render_json
from reconciler.views.render.plans.text import render_text
from tests.drivers.bmc_servers import ROOT, SYSTEM, extended, service, system
from tests.fuzz.values import ODD_TEXTS, TEXTS, VALUES, around, as_bytes, mangled
from tests.unit.desired_worlds import MemorySnapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[2] / "desired-state"
IMAGE = "http://10.0.0.1/disc.iso"


class Target(NamedTuple):
    """Inputs, and what is done with each."""

    inputs: st.SearchStrategy[Any]
    run: Callable[[Any], None]


def shown(text: str) -> None:
    """It is fit for a terminal."""
    text.encode()
    assert all(line.isprintable() for line in text.split("\n")), repr(text)


def told(error: Exception) -> None:
    """An error for people."""
    assert str(error)
    shown(str(error))


def kept(value: Any) -> None:
    """It can be kept, and comes back as it was."""
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


# -- documents, settings and what people write -------------------------------------------------------------------------

DOCUMENTS = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.yaml"))]


def read_documents(content: bytes) -> None:
    loaded = load_state(MemorySnapshot({"a.yaml": content}))
    for form in report.REPORT_FORMATS:
        made = report.render_diagnostics(form, loaded.diagnostics, files=1, resources=1)
        made.encode()
        if form in ("text", "github"):
            shown(made)


def _parsed() -> list[Any]:
    import yaml

    return [one for content in DOCUMENTS for one in yaml.safe_load_all(content) if one]


PARSED = _parsed()


def read_plain(content: bytes) -> None:
    try:
        found = load_plain(content.decode(errors="surrogateescape"))
    except ValueError as error:
        error.__str__().encode(errors="backslashreplace")
        return
    with suppress(UnicodeEncodeError, RecursionError):
        dump_yaml(found)


def read_path(path: str) -> None:
    item = AggregateItem(source_path=path, target_path="x", aggregate=Function.SUM)
    try:
        element(path)
    except Malformed as error:
        told(error)
    item_value(item, INVENTORY)


PATHS = (
    "disks[?size > `1`].size",
    "disks[*].size",
    "disks[?starts_with(name, 'a') || !(model == 'x')]",
    "nics[0].speed",
)
PIECES = [*"[]?*()`'\"|&!@.,:{}<>=-0a", "disks", "size", "name", "length", "to_string", "map", "&&", "\\ud800", "nics"]


def read_selector(text: str) -> None:
    try:
        for one in parse_selector(text):
            one.accepts({"a": "b", "rack": "r1"})
    except Unmatched as error:
        str(error).encode(errors="backslashreplace")


SELECTORS = [*"!=(),ab -", "in", "notin", " in (a,b)", "rack", "r1", *ODD_TEXTS]


def read_saved_plan(content: bytes) -> None:
    try:
        plan = plan_from_json(content)
    except ValueError as error:
        str(error).encode(errors="backslashreplace")
        return
    shown(render_text(plan))


PLAN = json.loads(
    render_json(
        Plan(
            revision=Revision(id="a" * 40, ref="main", repository="r"),
            planned_at=NOW,
            observed_at=None,
            scope=PlanScope(1, 1, {"Machine": 1}, {"Machine": 1}),
            changes=(),
        )
    )
)

SETTINGS = b'repo = "."\nstore = "state.db"\nmax_disrupted = "10%"\noutput = "json"\nca_files = ["x"]\n'
SETTINGS += b'credentials.bmc = {env = "BMC", file = "~/f", networks = ["10.1.0.0/24"]}\n[a.b]\nc = [1, "x"]\n'


def read_settings(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "groundstate.toml"
        path.write_bytes(content)
        try:
            settings_files.read_settings(path).of(plan_command, lambda: [plan_command])
        except click.ClickException as error:
            error.message.encode(errors="backslashreplace")


# -- BMCs --------------------------------------------------------------------------------------------------------------

MEDIA = {
    "@odata.id": f"{SYSTEM}/VirtualMedia/1",
    "Id": "1",
    "MediaTypes": ["CD"],
    "Inserted": True,
    "ConnectedVia": "URI",
    "Image": IMAGE,
    "Actions": {"#VirtualMedia.InsertMedia": {"target": "/i"}, "#VirtualMedia.EjectMedia": {"target": "/e"}},
}
PART = {
    "@odata.id": f"{SYSTEM}/Part/1",
    "Id": "1",
    "Name": "p",
    "Model": "m",
    "TotalCores": 8,
    "ProcessorType": "CPU",
    "CapacityMiB": 1024,
    "CapacityBytes": 4096,
    "MACAddress": "52:54:00:00:00:01",
    "SpeedMbps": 1000,
    "Drives": [{"@odata.id": f"{SYSTEM}/Part/1"}],
    "Status": {"State": "Enabled", "Health": "OK"},
}
COLLECTIONS = ("Processors", "Memory", "EthernetInterfaces", "Storage", "SimpleStorage", "VirtualMedia")
BMC: dict[str, Any] = {
    "root": {**service()[f"{ROOT}/"]} if f"{ROOT}/" in service() else {**service()[ROOT]},
    "systems": {"Members": [{"@odata.id": SYSTEM}]},
    "system": {
        **system(**{"@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{SYSTEM}/Settings"}}}),
        **{name: {"@odata.id": f"{SYSTEM}/{name}"} for name in COLLECTIONS},
        "Links": {"ManagedBy": [{"@odata.id": "/redfish/v1/Managers/1"}]},
    },
    "list": {"Members": [{"@odata.id": f"{SYSTEM}/Part/1"}], "Members@odata.nextLink": None},
    "drives": {"Members": [{"@odata.id": f"{SYSTEM}/VirtualMedia/1"}]},
    "part": PART,
    "drive": MEDIA,
    "written": {"status": 204, "body": extended("no")},
    "session": {"headers": {"X-Auth-Token": "t", "Location": "/redfish/v1/SessionService/Sessions/1"}},
}


class FuzzedWire:
    """A BMC that answers each resource with its document, as it stands in the input."""

    address = BmcAddress("https", "10.0.0.1", 443)
    seconds = 30.0

    def __init__(self, documents: Any) -> None:
        self._documents = documents if isinstance(documents, dict) else {}

    def send(self, method: str, path: str, _headers: object, _body: object = None, _to: object = None) -> Reply:
        headers: Message[str, str] = Message()
        if method != "GET":
            said = self._documents.get("written" if "Sessions" not in path else "session")
            said = said if isinstance(said, dict) else {}
            given = said.get("headers")
            for name, text in (given if isinstance(given, dict) else {}).items():
                with suppress(ValueError, TypeError):
                    headers[name] = str(text).encode("ascii", "replace").decode()
            status = said.get("status", 201)
            return Reply(status if isinstance(status, int) else 201, headers, json.dumps(said.get("body")).encode())
        name = "part"
        if path.rstrip("/") == ROOT:
            name = "root"
        elif path.startswith(f"{ROOT}/Systems") and path.count("/") == 3:
            name = "systems"
        elif path.rstrip("/") in (SYSTEM, f"{SYSTEM}/Settings"):
            name = "system"
        elif "VirtualMedia" in path:
            name = "drive" if path.rstrip("/").endswith("1") else "drives"
        elif path.partition("?")[0].rpartition("/")[2] in COLLECTIONS:
            name = "list"
        return Reply(200, headers, json.dumps(self._documents.get(name)).encode())

    def peer(self) -> Peer:
        return Peer("127.0.0.1", True)

    def close(self) -> None:
        pass


def read_bmc(documents: Any) -> None:
    connector = OneShotConnector(FuzzedWire(documents), lambda _: Credential("u", "p"))  # type: ignore[arg-type]
    one = RedfishSystem(connector, None)
    override = BootOverride(BootTarget.PXE, BootEnabled.ONCE)
    calls: tuple[Callable[[], object], ...] = (
        lambda: _looked(one.read(media=True)),
        lambda: _inventoried(one.inventory()),
        lambda: one.reset(ResetType.ON),
        lambda: one.set_boot(override),
        lambda: one.set_indicator(IndicatorLED.LIT),
        lambda: one.insert_media("http://10.0.0.2/other.iso"),
        lambda: one.eject_media(IMAGE),
        connector.close,
    )
    for call in calls:
        try:
            call()
        except DriverError as error:
            told(error)


def _looked(state: SystemState) -> None:
    kept(state)
    state.holds(IMAGE)
    for said in (state.model, state.serial, state.uuid, state.health, *(state.media or ())):
        shown(said or "")


def _inventoried(inventory: Inventory) -> None:
    kept(inventory)
    shown(summary(inventory))
    for one in inventory_differences(inventory, Inventory()):
        str(one).encode()


def read_refusal(said: tuple[int, bytes, str]) -> None:
    status, body, header = said
    headers: Message[str, str] = Message()
    headers["Retry-After"] = header
    headers["Location"] = header
    told(error_of_reply("GET", "/x", "https://h", Reply(status, headers, body)))


REFUSALS = st.tuples(
    st.integers(300, 599),
    as_bytes(around(extended("no such thing"))),
    st.sampled_from([one for one in ODD_TEXTS if one.isascii() and one.isprintable()]),
)


def read_root(content: bytes) -> None:
    document = _document(Reply(200, Message(), content))
    _is_root(document)
    for name in ("Vendor", "Product", "Name"):
        shown(firmware_text(document.get(name)) or "")


# -- NetBox ------------------------------------------------------------------------------------------------------------

TAG = {"id": 1, "name": "groundstate", "slug": "groundstate"}
OURS = {
    "groundstate_owner": "groundstate:IPAddress/a",
    "groundstate_network": "lan",
    "groundstate_data": {"tags": ["x"]},
}
NETBOX: dict[str, Any] = {
    "ipam/prefixes/": [
        {
            "id": 7,
            "prefix": "10.0.0.0/24",
            "status": {"value": "active"},
            "vrf": {"id": 1, "name": "v"},
            "tags": [TAG],
            "custom_fields": {
                "groundstate_owner": "groundstate:lan 10.0.0.0/24",
                "groundstate_network": "lan",
                "groundstate_data": {"position": 0, "cidr": "10.0.0.0/24", "reserved": ["10.0.0.1"], "parent": None},
            },
        }
    ],
    "ipam/ip-ranges/": [
        {
            "id": 3,
            "start_address": "10.0.0.1/24",
            "end_address": "10.0.0.1/24",
            "vrf": {"id": 1},
            "tags": [TAG],
            "custom_fields": OURS,
        }
    ],
    "ipam/ip-addresses/": [
        {
            "id": 5,
            "address": "10.0.0.5/24",
            "vrf": {"id": 1},
            "dns_name": "a",
            "tenant": {"name": "t"},
            "tags": [TAG],
            "custom_fields": OURS,
        }
    ],
    "ipam/vrfs/": [{"id": 1, "name": "v"}],
    "tenancy/tenants/": [{"id": 1, "name": "t"}],
    "extras/tags/": [TAG],
    "extras/custom-fields/": [
        {"id": at, "name": name, "object_types": list(OBJECT_TYPES), "filter_logic": {"value": "exact"}, **one}
        for at, (name, one) in enumerate(FIELDS.items(), 1)
    ],
}


class FuzzedNetbox:
    """In the place of the wire: what each path holds, as a page of the wire has it."""

    url = "https://netbox"

    def __init__(self, held: Any) -> None:
        self._held = read_json(json.dumps(held)) if isinstance(held, dict) else {}

    def all(self, path: str, **_: Any) -> list[Any]:
        found = self._held.get(path)
        # The wire lets through objects with a whole number for an id.
        return (
            [one for one in found if isinstance(one, dict) and isinstance(one.get("id"), int)]
            if isinstance(found, list)
            else []
        )

    def available(self, path: str, limit: int) -> list[Any]:
        return self.all("ipam/ip-addresses/")[:limit]

    def count(self, path: str, **_: Any) -> int:
        return len(self.all(path))

    def one(self, path: str) -> tuple[Any, str | None] | None:
        found = self.all("/".join(path.split("/")[:2]) + "/")
        return (found[0], None) if found else None

    def post(self, path: str, body: Any) -> Any:
        found = self.all("ipam/ip-addresses/" if "available" in path else path)
        return found if isinstance(body, list) else (found or [None])[0]

    def patch(self, *_: Any, **__: Any) -> None:
        pass

    delete = close = patch


def read_netbox(held: Any) -> None:
    ipam = NetboxIpam("https://netbox", lambda: "t")
    wire: Any = FuzzedNetbox(held)
    ipam._wire = ipam._records.wire = wire
    calls: tuple[Callable[[], object], ...] = (
        ipam.networks,
        ipam.list,
        ipam.usage,
        ipam.check,
        lambda: ipam.network("lan"),
        lambda: ipam.holding("IPAddress/a"),
        lambda: ipam.acquire("lan", "IPAddress/b"),
        lambda: ipam.acquire("lan", "IPAddress/c", address="10.0.0.9"),
        lambda: ipam.release("IPAddress/a"),
        lambda: ipam.put_network(
            "lan", IpamNetwork(prefixes=(Prefix("10.0.0.0/24"), Prefix("10.1.0.0/24")), namespace="v")
        ),
        lambda: ipam.drop_network("lan"),
    )
    for call in calls:
        try:
            msgspec.json.encode(call())
        except DriverError as error:
            told(error)


def read_netbox_wire(content: bytes) -> None:
    reply = _Reply()
    reply._content, reply.status_code = content, 400
    shown(netbox_words(_json(reply)))


# -- the agent, leases -------------------------------------------------------------------------------------------------

COLLECTED: dict[str, Any] = {
    "lshw": {
        "class": "system",
        "children": [
            {"class": "processor", "product": "p", "configuration": {"cores": "4", "threads": "8"}},
            {
                "class": "memory",
                "size": 1024,
                "children": [{"class": "memory", "size": 512, "slot": "A", "serial": "1"}],
            },
            {"class": "network", "logicalname": "eth0", "businfo": "pci@0", "size": 10**9},
            {"class": "display", "vendor": "NVIDIA", "product": "g", "description": "3D controller"},
        ],
    },
    "lsblk": {"blockdevices": [{"name": "sda", "path": "/dev/sda", "type": "disk", "size": 4096, "rm": False}]},
    "serials": {"sda": "S1"},
    "link": [{"ifname": "eth0", "address": "52:54:00:00:00:01", "link_type": "ether"}],
    "addr": [],
    "lldp": {
        "lldp": {
            "interface": [
                {"eth0": {"chassis": {"sw": {"id": {"value": "1"}}}, "port": {"id": {"type": "mac", "value": "x"}}}}
            ]
        }
    },
    "dmi": {"uuid": "5a1f0000-0000-4000-8000-000000000001", "serial": "1", "product": "p"},
    "memory_kb": 1024,
}
REGISTRATION = {
    "order": "1",
    "uuid": "5a1f0000-0000-4000-8000-000000000001",
    "serial": "1",
    "macs": ["52:54:00:00:00:01"],
    "agent": "1",
    "inventory": COLLECTED,
}


def read_agent(content: bytes) -> None:
    for read in (read_registration, read_report):
        try:
            msgspec.json.encode(read(content))
        except ValueError as error:
            told(error)
    with suppress(ValueError):
        said = read_registration(content)
        _collected(said.inventory, said.uuid, said.macs)


def _collected(collected: Any, uuid: str, macs: Any) -> None:
    _inventoried(read_inband(collected))
    kept(read_dmi(collected))
    shown(str(read_undeclared(identifiers.uuid(uuid), identifiers.macs(macs), collected, NOW)))


def read_inventory_of_agent(collected: Any) -> None:
    if isinstance(collected, dict):
        # What was kept by an earlier release may not have been cleaned.
        _inventoried(read_inband(collected))
        kept(read_dmi(collected))


def read_lease_file(content: bytes) -> None:
    found = read_leases(content.decode(errors="replace"), NOW)
    msgspec.json.encode(found)
    for _, why in found.problems:
        shown(why)
    for one in found.found:
        shown(one.hostname)
        shown(one.mac)
        parse_scan_range(f"[{one.address}]" if ":" in one.address else one.address)


DNSMASQ = b"duid 00:01\n0 52:54:00:00:00:01 10.0.0.1 host 01:02\n1900000000 1 fe80::1 * 00:01\n"
KEA = (
    b"address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n"
    b"10.0.0.1,52:54:00:00:00:01,,3600,1900000000,1,0,0,host,0\n"
)


ADDRESSES = [
    *(b"52:54:00:ab:cd:ef", b"5254.00ab.cdef", b"525400-abcdef", b"52:54:0:ab:cd:ef", b"52 54 00 ab cd ef"),
    *(b"10.0.0.7", b"10.0.0.10-10.0.0.50", b"10.0.0.0/24", b"2001:db8::/64", b"::ffff:10.0.0.1", b"fe80::1%eth0"),
]


def read_address(content: bytes) -> None:
    """What takes a MAC address or a range takes one spelling of each, and says why it takes no other."""
    text = content.decode(errors="surrogateescape")
    mac = mac_address(text)
    assert mac == (None if mac_fault(text) else mac_address(mac or ""))
    mac_vendor(text)
    shown(mac_fault(text))
    try:
        found = address_range(text)
    except ValueError as error:
        shown(str(error))
        return
    assert found.first <= found.last
    last = IPv4Address(found.last) if found.version == 4 else IPv6Address(found.last)
    assert is_within(last, [text])


def _documents() -> st.SearchStrategy[bytes]:
    # JSON is YAML, and its escapes are YAML's.
    whole = st.sampled_from(PARSED).flatmap(around).map(lambda one: json.dumps(one).encode())
    return mangled(st.sampled_from(DOCUMENTS)) | whole


TARGETS: dict[str, Target] = {
    "documents": Target(_documents(), read_documents),
    "plain-yaml": Target(mangled(st.sampled_from(DOCUMENTS)), read_plain),
    "jmespath": Target(st.lists(st.sampled_from([*PIECES, *PATHS]), max_size=12).map("".join) | TEXTS, read_path),
    "settings": Target(mangled(st.just(SETTINGS)), read_settings),
    "selectors": Target(st.lists(st.sampled_from(SELECTORS), max_size=6).map("".join), read_selector),
    "saved-plans": Target(as_bytes(around(PLAN)), read_saved_plan),
    "redfish": Target(around(BMC), read_bmc),
    "redfish-refusals": Target(REFUSALS, read_refusal),
    "redfish-root": Target(as_bytes(around(BMC["root"])), read_root),
    "netbox": Target(around(NETBOX), read_netbox),
    "netbox-wire": Target(
        as_bytes(around({"detail": "no", "errors": [{"index": 0, "a": ["b"]}]}) | VALUES), read_netbox_wire
    ),
    "agent": Target(as_bytes(around(REGISTRATION) | around({"type": "wiped", "detail": "sda 1 bytes: 0"})), read_agent),
    "in-band": Target(around(COLLECTED), read_inventory_of_agent),
    "addresses": Target(mangled(st.sampled_from(ADDRESSES)), read_address),
    "leases": Target(mangled(mangled(st.sampled_from([DNSMASQ, KEA]))), read_lease_file),
}

INVENTORY = as_json(read_inband(COLLECTED))
