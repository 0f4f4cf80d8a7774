"""A fleet whose machines are cabled to the leaf of the lab: a daemon with its boot service, simulated BMCs, and what
would run on the machines, which does as the agent and the installed system do.
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from drivers.base import BootTarget, PowerState
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet
from drivers.bmc.simulator.simulated_system import SimulatedSystem
from reconciler.desired.manifest.manifests import dump_yaml
from tests.drivers.bmc_servers import LOGIN
from tests.drivers.served_bmcs import ServedBmcs
from tests.e2e.desk import document
from tests.lab.fleet import API, HTTP, LabFleet
from tests.lab.lab_world import ADDRESS, Lab
from tests.lab.leaf_vm import ADDRESS as LEAF
from tests.lab.leaf_vm import LeafVm

VLAN = 4000
VRFS = {"red": 101, "blue": 102}
PREFIXES = {"red": "10.20.1.0/24", "blue": "10.20.2.0/24"}
PROOF = "vda 1073741824 bytes: zero_out, then zeroes read back at 64 places"


class Inside:
    """What runs on one machine. `tick` does its next piece."""

    def __init__(self, fleet: SimulatedFleet, number: int, mac: str) -> None:
        self._fleet, self._number, self._mac = fleet, number, mac
        self._boots, self._session, self._order, self._home = 0, "", "", ""
        self.disk = False

    def tick(self) -> None:
        """Boot, when it was switched on, or do what the service says."""
        with self._fleet.lock:
            system = self._fleet.bmcs[self._number].systems[0]
        if system.state.power is not PowerState.ON:
            self._session, self._boots = "", len(system.booted_from)
        elif len(system.booted_from) > self._boots:
            self._boot(system)
            self._boots = len(system.booted_from)
        elif self._session:
            self._work()

    def _boot(self, system: SimulatedSystem) -> None:
        self._session = ""
        if system.booted_from[-1] in (BootTarget.PXE, BootTarget.UEFI_HTTP):
            script = _ask(f"http://{ADDRESS}:{HTTP}/boot/{system.state.uuid}?mac={self._mac}")
            token, order = (re.search(rf"gs\.{name}=(\S+)", script) for name in ("token", "order"))
            if token and order:
                own: dict[str, Any] = {"uuid": system.state.uuid, "serial": system.state.serial, "macs": [self._mac]}
                said = {**own, "order": order[1], "agent": "double", "inventory": {}}
                self._session = json.loads(_ask(f"{_api()}/agent/v1/register", token[1], said))["session"]
        elif self.disk:
            _ask(self._home, body={})

    def _work(self) -> None:
        work = dict(line.partition(" ")[::2] for line in _ask(f"{_api()}/agent/v1/work", self._session).splitlines())
        match work["work"]:
            case "install":
                seed = _ask(f"{_api()}/agent/v1/seed", self._session)
                home = re.search(r"http://\S+/phone-home/v1/[\w-]+", seed)
                assert home, "there is a way to phone home in the seed"
                self.disk, self._home = True, home[0]
                self._report("written", work["sha256"])
            case "wipe":
                self.disk = False
                self._report("wiped", PROOF)
            case "poweroff":
                with self._fleet.lock:
                    bmc = self._fleet.bmcs[self._number]
                    system = bmc.systems[0]
                    off = system.in_state(replace(system.state, power=PowerState.OFF))
                    self._fleet.bmcs[self._number] = bmc.with_system(0, off)
            case _:
                pass  # It waits.

    def _report(self, fact: str, detail: str) -> None:
        _ask(f"{_api()}/agent/v1/facts", self._session, {"type": fact, "detail": detail})


class LeafFleet(LabFleet):
    """Machines `m1` and so on, each at the port of the leaf with its number."""

    def __init__(self, lab: Lab, leaf: LeafVm, bmcs: ServedBmcs, machines: int) -> None:
        self._leaf, self._bmcs, self._machines = leaf, bmcs, machines
        super().__init__(lab)
        self.inside = [Inside(bmcs.fleet, n - 1, leaf.mac(n)) for n in range(1, machines + 1)]
        settings = lab.directory / "config" / "groundstate" / "config.toml"
        key = f'{{file = "{leaf.folder}/user", networks = ["{LEAF}"], drivers = ["linux"]}}'
        settings.write_text(f"{settings.read_text()}credentials.leaf = {key}\n")

    def claims(self, **machines: str) -> None:
        """Commit these claims alone: by their networks, the names of their machines."""
        found = {}
        for network, names in machines.items():
            spec = {"project": network, "partitions": ["lab"], "machines": names.split(), "image": "lab-1"}
            claim = document("MachineClaim", network, count=len(names.split()), networks=[{"network": network}], **spec)
            found[f"claim-{network}"] = dump_yaml(claim)
        there = {path.stem for path in self.repository.glob("claim-*.yaml")}
        self.commit(f"Claim {machines}", **{**dict.fromkeys(there - found.keys()), **found})

    def ports(self) -> list[str]:
        """In which VLAN or VRF the switch was last seen to have each port, in their order."""
        return [str(row["network"]) for row in self._items("get", "ports", "leaf01", "-o", "json")]

    def phases(self) -> list[str]:
        """The phase of each machine, in their order."""
        return [str(row["status"].get("phase")) for row in self._items("get", "machines", "-o", "json")]

    def told_all(self) -> str:
        """The ledger, as lines, for the figures of a run."""
        return self.ask("events", "--limit", "1000")

    def live(self) -> None:
        """The next piece of each machine's life."""
        for one in self.inside:
            one.tick()

    def wait(self, what: str, seconds: float, holds: Callable[[], bool]) -> None:
        """Let the machines live until it holds."""

        def ask() -> bool:
            self.live()
            return holds()

        self.lab.until(what, seconds, ask, self._shown)

    def _items(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask(*words))["items"]
        return found

    def _base(self) -> str:
        boot = {"networks": [{"cidr": "10.77.0.0/24", "range": "10.77.0.100-10.77.0.200"}], "server": ADDRESS}
        bmc = {"credentialRef": {"name": "lab"}, "tls": {"fingerprint": self._bmcs.fingerprint}}
        root = {"url": self.image, "checksum": self.checksum}
        ports = [{"name": f"swp{n}", "machine": f"m{n}", "nic": "eth0"} for n in range(1, self._machines + 1)]
        reach = {"address": f"ssh://root@{LEAF}", "hostKey": self._leaf.host_key, "credentialRef": {"name": "leaf"}}
        documents = [
            document("Tenant", "acme"),
            document("Partition", "lab", bmc=bmc, boot=boot, switching={"switchesPerMachine": 1}),
            document("Image", "lab-1.0.0", os="lab", version="1.0.0", classification="supported", root=root),
            document("Pool", "vrfs", ranges=["101-199"]),
            document(
                "Switch", "leaf01", partition="lab", rack="r1", driver="linux", manage="Ports",
                unprovisioned={"vlan": VLAN}, ports=ports, **reach,
            ),
        ]  # fmt: skip
        for name, number in VRFS.items():
            vrf = {"pool": "vrfs", "number": number}
            documents.append(document("Project", name, tenant="acme"))
            documents.append(document("Network", name, prefixes=[{"cidr": PREFIXES[name]}], vrf=vrf))
        return "---\n".join(map(dump_yaml, [*documents, *map(self._machine, range(1, self._machines + 1))]))

    def _machine(self, number: int) -> dict[str, Any]:
        bmc = {"address": self._bmcs.listen.url(number - 1)}
        macs, life = [self._leaf.mac(number)], {"mode": "Managed"}
        return document("Machine", f"m{number}", partition="lab", rack="r1", bmc=bmc, macs=macs, lifecycle=life)

    def _environment(self) -> dict[str, str]:
        login = {"BMC_USERNAME": LOGIN.username, "BMC_PASSWORD": LOGIN.password}
        return {**super()._environment(), **login}


def _api() -> str:
    return f"https://{ADDRESS}:{API}"


def _ask(url: str, token: str = "", body: object = None) -> str:
    """What the boot service answers. Raises AssertionError for a refusal."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    trusting = ssl._create_unverified_context()  # noqa: S323  its key is pinned by the real agent
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), context=trusting, timeout=20) as answer:
            return str(answer.read().decode("latin-1"))
    except urllib.error.HTTPError as refused:
        raise AssertionError(f"{url}: {refused.code} {refused.read().decode()}") from None
