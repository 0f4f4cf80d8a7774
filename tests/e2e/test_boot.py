"""`groundstate boot`: configurations for DHCP servers, from git."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.desk import ROOT, Desk, document, partition

BOOT = {"server": "10.77.0.1", "networks": [{"cidr": "10.77.0.0/24", "range": "10.77.0.100-10.77.0.200"}]}


@pytest.fixture
def declared(desk: Desk) -> Desk:
    desk.commit(lab=[partition(), document("Partition", "hall", boot=BOOT)])
    return desk


def test_the_configurations_are_printed(declared: Desk) -> None:
    done = declared.run("boot", "dnsmasq", "--tftp-root", "/srv/tftp")
    assert (done.code, done.err) == (0, "")
    assert "tftp-root=/srv/tftp\n" in done.out
    assert "http://10.77.0.1:9809/boot.ipxe\n" in done.out
    kea = declared.run("boot", "kea", "hall")
    assert kea.code == 0
    assert kea.json["Dhcp4"]["subnet4"][0]["pools"] == [{"pool": "10.77.0.100 - 10.77.0.200"}]


@pytest.mark.parametrize("what", ["dnsmasq", "kea"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "no partition is named 'nowhere'; the declared partitions are hall, lab"),
        ("lab", "partition lab has no spec.boot"),
    ],
)
def test_what_cannot_be_made_is_said(declared: Desk, what: str, name: str, said: str) -> None:
    done = declared.run("boot", what, name)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_a_range_outside_of_its_network_is_a_diagnostic(desk: Desk) -> None:
    network = {"cidr": "10.77.0.0/24", "range": "10.78.0.100-10.78.0.200"}
    desk.commit(lab=[document("Partition", "hall", boot={**BOOT, "networks": [network]})])
    done = desk.run("validate")
    assert done.code == 1
    assert "boot-range" in done.out + done.err


def test_the_command_line_loads_no_server() -> None:
    servers = "{'werkzeug', 'cheroot', 'cryptography'}"
    script = f"import sys, reconciler.commands.serving.boot_commands; print({servers} & sys.modules.keys())"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    assert printed.stdout.strip() == "set()"
