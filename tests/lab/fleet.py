"""A fleet of the lab's machines: a git repository that declares them, and a real daemon that keeps them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.lab.enter import ROOT
from tests.lab.lab_world import ADDRESS, CONSOLES, IPXE, Lab
from tests.lab.prepare import IMAGE, OS_IMAGE

HTTP, API = 9809, 9810
PLAIN_DHCP = "port=0\ninterface=br0\nbind-interfaces\ndhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,10m\n"
"""Of somebody who has never heard of starting machines from the network."""
HEAD = "apiVersion: groundstate/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


class LabFleet:
    """`steps` are told with the seconds since the start, for the figures of a run."""

    def __init__(self, lab: Lab, discovery: str = "Deny", start_from: str = "Network") -> None:
        self.lab, self._discovery, self._start_from = lab, discovery, start_from
        self._options: tuple[str, ...] = ()
        self.repository = lab.directory / "fleet"
        self.store = lab.directory / "state.db"
        self.files = lab.directory / "files"
        self._daemons = 0
        self.files.mkdir()
        self.repository.mkdir()
        digest = hashlib.sha256(OS_IMAGE.read_bytes()).hexdigest()
        shutil.copyfile(OS_IMAGE, self.files / digest)
        self.image = f"http://{ADDRESS}:{HTTP}/files/{digest}/os.raw.gz"
        self.checksum = f"sha256:{digest}"
        settings = lab.directory / "config" / "groundstate" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(
            f'console_lines = ["unix:{CONSOLES}/*"]\n'
            f'credentials.lab = {{env = "BMC", networks = ["{ADDRESS}", "127.0.0.0/8"]}}\n'
        )
        settings.chmod(0o600)
        self._git("init", "-q", "-b", "main")
        if lab.ca_file.exists():  # Without machines there is no BMC.
            shutil.copyfile(lab.ca_file, self.repository / "bmc-ca.pem")
        self.commit("Declare the place", base=self._base())

    # -- git

    def commit(self, subject: str, **files: str | None) -> None:
        """Write these files (`name` for name.yaml; None takes one away) and commit them."""
        for name, text in files.items():
            path = self.repository / f"{name}.yaml"
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "-q", "-m", subject)

    def machine(self, n: int) -> str:
        """The document of a managed machine."""
        machine = self.lab.machine(n)
        bmc = f"{{address: '{self.lab.bmc_url}', systemId: {machine.uuid}}}"
        console = f"{{address: 'unix:{machine.console}'}}"
        spec = f"{{partition: lab, rack: r{n % 2}, bmc: {bmc}, console: {console}, lifecycle: {{mode: Managed}}}}"
        return HEAD.format(kind="Machine", name=machine.name, spec=spec)

    def claim(self, name: str = "web", count: int = 1, **more: Any) -> str:
        """The document of a claim for machines of the lab's one size."""
        spec = {
            "project": "shop",
            "partitions": ["lab"],
            "size": "small",
            "count": count,
            "image": "lab-1",
            "networks": [{"network": "front"}],
            "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam ada"],
            **more,
        }
        return HEAD.format(kind="MachineClaim", name=name, spec=json.dumps(spec))

    def _base(self) -> str:
        bmc = "{credentialRef: {name: lab}, tls: {caFile: bmc-ca.pem}}"
        boot = f"{{networks: [{{cidr: 10.77.0.0/24, range: 10.77.0.100-10.77.0.200}}], server: {ADDRESS}"
        boot += f", discovery: {self._discovery}, startFrom: {self._start_from}}}"
        console = "{driver: tcp, hold: Orders}"
        sizes = [{"type": "cores", "min": 1, "max": 1}, {"type": "memory", "min": "512Mi", "max": "1Gi"}]
        sizes.append({"type": "storage", "min": "1Gi", "max": "4Gi"})
        front = "{prefixes: [{cidr: 10.77.0.0/24, reserved: [10.77.0.1-10.77.0.209]}]}"
        root = f"{{url: '{self.image}', checksum: '{self.checksum}'}}"
        image = f"{{os: lab, version: 1.0.0, classification: supported, root: {root}}}"
        documents = (
            ("Tenant", "acme", "{}"),
            ("Project", "shop", "{tenant: acme}"),
            ("Partition", "lab", f"{{bmc: {bmc}, boot: {boot}, console: {console}}}"),
            ("Size", "small", f"{{constraints: {json.dumps(sizes)}}}"),
            ("Network", "front", front),
            ("Image", "lab-1.0.0", image),
        )
        return "---\n".join(HEAD.format(kind=kind, name=name, spec=spec) for kind, name, spec in documents)

    def _git(self, *words: str) -> None:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@fleet.example"]
        self.lab.run("git", "-C", str(self.repository), *who, *words)

    # -- groundstate

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """The daemon, with its boot service; DHCP as its own command says."""
        self._daemons += 1
        self._options = more or self._options
        options = ["--boot-address", ADDRESS, "--boot-image", str(IMAGE), "--boot-files", str(self.files)]
        options += ["--boot-loaders", str(IPXE), "--listen", "127.0.0.1:0", "--log-format", "text"]
        options += ["--console-listen", "127.0.0.1:0"]
        process = self._process = self.lab.spawn(
            f"daemon-{self._daemons}",
            self._command("run", *options, *self._options, "--interval", "1", "--resync", "10"),
            self._environment(),
        )
        self.lab.wait_log(f"daemon-{self._daemons}", "Started", 60)
        if self._daemons == 1:
            network = self._start_from == "Network"
            self.lab.dhcp(self.ask("boot", "dnsmasq", "--tftp-root", str(self.lab.tftp)) if network else PLAIN_DHCP)
        return process

    def kill(self) -> None:
        """End the daemon as nobody should, and start another."""
        self._process.kill()
        self._process.wait(10)
        self.start()

    def ask(self, *words: str, codes: Sequence[int] = (0,)) -> str:
        """What a command prints."""
        done = subprocess.run(
            self._command(*words), capture_output=True, text=True, env=self._environment(), check=False
        )
        assert done.returncode in codes, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def events(self) -> list[dict[str, Any]]:
        """The ledger, oldest first."""
        return [json.loads(line) for line in self.ask("events", "--limit", "1000", "-o", "json").splitlines()]

    def told(self, machine: int | str, reason: str) -> list[str]:
        """The messages of this reason about a machine."""
        name = machine if isinstance(machine, str) else self.lab.machine(machine).name
        return [
            e["message"] for e in self.events() if e["reason"] == reason and (e.get("key") or {}).get("name") == name
        ]

    def neighbours(self, number: int) -> list[str]:
        """The switches and ports that its agent heard; all that is kept of it when there is no such list."""
        said = self.ask("inventory", self.lab.machine(number).name, "-o", "json")
        heard = json.loads(said)["sources"].get("in-band", {}).get("value", {}).get("neighbours")
        return [said] if heard is None else [f"{one['system']} {one['port']}" for one in heard]

    def reasons(self) -> list[str]:
        """The reason of every event, oldest first."""
        return [event["reason"] for event in self.events()]

    def token_of(self, n: int) -> str:
        """The boot token that the machine's agent was started with last."""
        found = re.findall(r"gs\.token=(\S+)", self.lab.serial(n))
        return found[-1] if found else "none"

    def recorded(self, n: int) -> str:
        """What the console of the machine has said since its last boot request, as the daemon recorded it."""
        return self.ask("console", "log", self.lab.machine(n).name, "--last-order")

    def figures(self, n: int) -> str:
        """Seconds since the first event of the machine, of each of them."""
        events = [one for one in self.events() if (one.get("key") or {}).get("name") == self.lab.machine(n).name]
        at = [datetime.fromisoformat(one["at"]) for one in events]
        return "\n".join(
            f"{(t - at[0]).total_seconds():6.1f} s  {e['reason']}" for t, e in zip(at, events, strict=True)
        )

    def wait_told(self, machine: int, reason: str, timeout: float, times: int = 1) -> str:
        """The message of the last of so many events of this reason."""
        found = self.lab.until(
            f"{times} x {reason} of {self.lab.machine(machine).name}",
            timeout,
            lambda: (told := self.told(machine, reason))[times - 1 :],
            self._shown,
        )
        return found[-1]

    def phase(self, n: int) -> str:
        """Where the machine is in its life."""
        found = json.loads(self.ask("get", f"machine/{self.lab.machine(n).name}", "-o", "json"))
        return str((found[0] if isinstance(found, list) else found)["status"].get("phase"))

    def wait_phase(self, n: int, phase: str, timeout: float) -> None:
        self.lab.until(f"{self.lab.machine(n).name} {phase}", timeout, lambda: self.phase(n) == phase, self._shown)

    def _shown(self) -> str:
        events = (f"{e['at']} {(e.get('key') or {}).get('name')} {e['reason']}: {e['message']}" for e in self.events())
        return "\n".join([*events, self.lab.log(f"daemon-{self._daemons}")[-2000:]])

    def _command(self, *words: str) -> list[str]:
        where = ["--repo", str(self.repository), "--store", str(self.store)]
        group = 2 if words[0] in ("boot", "console") else 1
        first = words[:group]
        wanted = where[:2] if words[0] == "boot" else where
        # In the repository, as relative paths of documents begin where the settings file is looked for.
        inside = ["env", "-C", str(self.repository)]
        return [*inside, sys.executable, str(ROOT / "cli.py"), *first, *wanted, *words[group:]]

    def _environment(self) -> dict[str, str]:
        user, password = self.lab.credentials
        login = {"BMC_USERNAME": user, "BMC_PASSWORD": password}
        settings = {"XDG_CONFIG_HOME": str(self.lab.directory / "config")}
        return {**os.environ, **login, **settings, "PYTHONUNBUFFERED": "1"}
