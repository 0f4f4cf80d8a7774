"""How the agent makes itself known, and what it makes of answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.agent.machine import DISCOVERY, Machine, needs_programs, told
from tests.agent.standin import StandIn, serving

SCRIPTS = sorted([*DISCOVERY.glob("lib/*.sh"), *(DISCOVERY / name for name in ("agent", "init", "udhcpc.script"))])
pytestmark = needs_programs


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_one_for_busybox(path: Path) -> None:
    done = subprocess.run(["busybox", "sh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_registers_once_and_then_does_as_it_is_told(tmp_path: Path) -> None:
    standin = StandIn(work=["work wait\nseconds 3", "work poweroff"])
    with serving(standin) as url:
        run = Machine(tmp_path / "m").run(url)
    assert standin.requests == ["POST /agent/v1/register", "GET /agent/v1/work", "GET /agent/v1/work"]
    assert standin.registered[0]["order"] == "order-7"
    assert standin.registered[0]["inventory"] == {"lshw": None}
    assert run.naps == [3]
    assert run.console.endswith("groundstate-agent: switching off: as told\n")


def test_a_server_in_trouble_is_asked_again_with_growing_pauses(tmp_path: Path) -> None:
    faults = [503, 0, 500, 429, 408, 502, 503]
    standin = StandIn(faults={"POST /agent/v1/register": faults})
    with serving(standin) as url:
        run = Machine(tmp_path / "m").run(url)
    assert len(standin.registered) == 1
    assert run.naps == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("status", [400, 401, 403, 409])
def test_a_refused_registration_is_said_and_the_machine_is_switched_off(tmp_path: Path, status: int) -> None:
    standin = StandIn(faults={"POST /agent/v1/register": [status]})
    with serving(standin) as url:
        run = Machine(tmp_path / "m").run(url)
    assert f"REFUSED: the registration was refused ({status}): as the test wants it" in run.console
    assert run.naps == [60]
    assert standin.requests == ["POST /agent/v1/register"]


def test_a_machine_whose_order_is_gone_is_switched_off(tmp_path: Path) -> None:
    standin = StandIn(faults={"GET /agent/v1/work": [409]})
    with serving(standin) as url:
        run = Machine(tmp_path / "m").run(url)
    assert run.console.endswith("switching off: the order is not this machine's any more\n")


def test_the_inventory_is_json_whatever_is_missing(tmp_path: Path) -> None:
    standin = StandIn()
    # No tool is found, and /proc is that of this machine.
    hooks = '. "$GS_LIB/inventory.sh"; member() { printf \'"%s":null,\' "$1"; }'
    with serving(standin) as url:
        Machine(tmp_path / "m").run(url, hooks)
    inventory = standin.registered[0]["inventory"]
    assert inventory["memory_kb"] > 0
    assert inventory["cpuinfo"]["threads"] > 0
    assert inventory["lldp"] is None


def test_any_text_is_sent_as_json(tmp_path: Path) -> None:
    text = 'a "quoted" back\\slash,\n a tab\tand a second line'
    hooks = f"fact_body alive '{text}' > \"$T/out\"; exit"
    Machine(tmp_path / "m", {}).run("http://127.0.0.1:9", f'mkdir -p "$T"; {hooks}')
    assert json.loads((tmp_path / "m" / "tmp" / "out").read_text())["detail"] == text.replace("\t", " ")


ID = "33333333-0000-4000-8000-000000000001"
KERNEL = "#!ipxe\nkernel {url}/files/k/vmlinuz {told} console=tty0\ninitrd {url}/files/i/initrd\nboot\n"
TO_DISK = "#!ipxe\necho groundstate: m1 has no boot request; starting from disk\nexit\n"


def machine(folder: Path) -> Machine:
    """One that says who it is."""
    made = Machine(folder)
    (made.root / "sys/class/dmi/id").mkdir(parents=True)
    (made.root / "sys/class/dmi/id/product_uuid").write_text(f"{ID}\n")
    (made.root / "sys/class/net/eth0/device").mkdir(parents=True)
    (made.root / "sys/class/net/eth0/address").write_text("52:54:00:77:01:01\n")
    return made


def test_started_from_a_cd_it_asks_for_the_script_that_a_boot_program_would_get(tmp_path: Path) -> None:
    path = f"boot/{ID}?mac=52:54:00:77:01:01"
    standin = StandIn(faults={f"GET /{path}": [503, 0]})
    with serving(standin) as url:
        standin.files[path] = KERNEL.format(url=url, told=told(url)).encode()
        run = machine(tmp_path / "m").run_with(f"console=ttyS0 gs.boot={url}")
    assert standin.registered[0]["order"] == "order-7"
    assert run.naps == [1, 2]
    assert run.console.endswith("switching off: as told\n")


def test_started_from_a_cd_with_nothing_to_do_it_goes_to_its_disk_after_a_while(tmp_path: Path) -> None:
    standin = StandIn()
    standin.files[f"boot/{ID}?mac=52:54:00:77:01:01"] = TO_DISK.encode()
    with serving(standin) as url:
        run = machine(tmp_path / "m").run_with(f"gs.boot={url}")
    assert run.console.endswith("starting again: m1 has no boot request; starting from disk\n")
    assert run.naps == [60]
    assert standin.registered == []
