"""The DHCP servers' configurations. `pytest tests/boot --update-golden` writes the golden files anew."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.kinds.catalogue.partition import BootService, PartitionSpec, check_partition, service
from reconciler.model.resource import Resource, ResourceKey, Source
from reconciler.services.boot import dhcp
from reconciler.services.boot.boot_settings import BootError

GOLDEN = Path(__file__).parent / "golden"
NET = {"cidr": "10.77.0.0/24", "range": "10.77.0.100-10.77.0.200", "router": "10.77.0.1"}
FAR = {"cidr": "10.78.0.0/23", "range": "10.78.0.10-10.78.1.200"}
LAB = {
    "dnsServers": ["10.77.0.53", "2001:db8::53"],
    "ntpServers": ["ntp.example", "10.77.0.123"],
    "boot": {"server": "10.77.0.1", "interface": "br0", "networks": [NET, FAR]},
}
HALL = {"cidr": "10.79.0.0/24", "range": "10.79.0.2-10.79.0.9", "router": "10.79.0.1"}
OTHER = {"boot": {"server": "http://boot.example:8080/", "networks": [HALL]}}


def partition(name: str, spec: dict[str, Any]) -> Resource[PartitionSpec]:
    converted = msgspec.convert(spec, PartitionSpec)
    return Resource(ResourceKey("Partition", name), converted, {}, {}, Source("partition.yaml"))


def parts(**specs: dict[str, Any]) -> list[dhcp.DhcpPartition]:
    return dhcp.network_booted_partitions(partition(name, spec) for name, spec in specs.items())


CASES = {
    "one.dnsmasq.conf": lambda: dhcp.dnsmasq(parts(lab=LAB)),
    "two.dnsmasq.conf": lambda: dhcp.dnsmasq(parts(lab=LAB, other=OTHER), "/srv/tftp"),
    "one.kea.json": lambda: json.dumps(dhcp.kea(parts(lab=LAB)), indent=2) + "\n",
}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_as_it_was(name: str, update_golden: bool) -> None:
    made = CASES[name]()
    if update_golden:
        (GOLDEN / name).write_text(made, encoding="utf-8")
    assert (GOLDEN / name).read_text("utf-8") == made


@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="there is no dnsmasq")
@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(".conf")])
def test_dnsmasq_takes_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(CASES[name](), encoding="utf-8")
    done = subprocess.run(["dnsmasq", "--test", "-C", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_partitions_that_start_no_machines_are_left_out() -> None:
    assert [part.name for part in parts(lab=LAB, plain={})] == ["lab"]
    with pytest.raises(BootError, match=r"no partition has spec\.boot"):
        parts(plain={})


def test_kea_cannot_serve_partitions_with_different_boot_servers() -> None:
    with pytest.raises(BootError, match=r"lab, other have different boot servers.*give one of these partitions"):
        dhcp.kea(parts(lab=LAB, other=OTHER))


def test_kea_needs_the_tftp_server_s_address() -> None:
    with pytest.raises(BootError, match=r"boot\.example is a name"):
        dhcp.kea(parts(other=OTHER))
    assert dhcp.kea(parts(other=OTHER), "10.79.0.1")["Dhcp4"]["next-server"] == "10.79.0.1"


@pytest.mark.parametrize("server", ["10.77.0.1", "10.77.0.1:9809", "http://10.77.0.1", "http://10.77.0.1:9809/"])
def test_a_server_is_an_address_or_a_url(server: str) -> None:
    assert service(BootService(networks=(), server=server)) == "http://10.77.0.1:9809"


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"cidr": "2001:db8::/64"}, "boot-network-ipv6", "cidr"),
        ({"range": "10.77.0.0/28"}, "boot-range", "range"),
        ({"range": "10.77.0.5"}, "boot-range", "range"),
        ({"range": "10.77.0.5-10.77.1.5"}, "boot-range", "range"),
        ({"range": "10.76.0.5-10.77.0.5"}, "boot-range", "range"),
        ({"router": "10.78.0.1"}, "boot-router", "router"),
    ],
)
def test_what_a_schema_cannot_say_of_a_boot_network(change: dict[str, str], code: str, path: str) -> None:
    spec = {"boot": {"server": "10.77.0.1", "networks": [NET, {**NET, **change}]}}
    assert [(one.code, one.path) for one in check_partition(partition("lab", spec))] == [
        (code, f"spec.boot.networks.1.{path}")
    ]


def test_a_sound_boot_service_is_not_complained_of() -> None:
    assert check_partition(partition("lab", LAB)) == check_partition(partition("plain", {})) == []
