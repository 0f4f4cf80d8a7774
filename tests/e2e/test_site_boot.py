"""Machines boot from daemons that do not decide: at a site, and behind a load balancer."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.base import PowerState
from tests.e2e.agent_client import AgentClient
from tests.e2e.desk import Desk, Running, document, free_port, machine, network, until
from tests.e2e.shared_fleet import SharedFleet, shared_fleet

MAC = "52:54:00:77:00:01"
IMAGE = b"the image of an operating system"
SUM = hashlib.sha256(IMAGE).hexdigest()
CLAIM = {"project": "shop", "partitions": ["lab"], "size": "c1", "count": 1, "image": "debian-12"}
CONSTRAINTS = [{"type": "cores", "min": 1, "max": 8}, {"type": "memory", "min": "1Gi", "max": "8Gi"}]


class BootFleet:
    """One machine of a shared fleet, which groundstate may inspect, install and wipe."""

    def __init__(self, fleet: SharedFleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        self.agent_image = folder / "agent"
        self.agent_image.mkdir()
        for name in ("vmlinuz", "initrd"):
            (self.agent_image / name).write_text(name)

    def declare(self, *, own: bool = False, claimed: bool = False, **boot: Any) -> None:
        """Commit the machine in a partition with a boot service, which has daemons of its own or has none."""
        bmcs = self.fleet.bmcs
        bmc = {"credentialRef": {"name": "lab"}, "tls": {"fingerprint": bmcs.fingerprint}}
        net = {"cidr": "127.0.0.0/24", "range": "127.0.0.100-127.0.0.200"}
        served = {"server": "127.0.0.1", "networks": [net], **boot}
        root = {"url": f"http://elsewhere.example/{SUM}/os.raw", "checksum": f"sha256:{SUM}"}
        life = {"lifecycle": {"mode": "Managed"}, "size": "c1", "macs": [MAC]}
        claims = [document("MachineClaim", "web", **CLAIM)] if claimed else []
        self.fleet.desk.commit(
            fleet=[
                document("Partition", "lab", bmc=bmc, boot=served, **({"ownWorkers": True} if own else {})),
                document("Tenant", "acme"),
                document("Project", "shop", tenant="acme"),
                document("Size", "c1", constraints=CONSTRAINTS),
                document(
                    "Image", "debian-12.0.1", os="debian", version="12.0.1", classification="supported", root=root
                ),
                network("front", "10.9.0.0/24"),
                machine("m00001", bmcs.listen.url(0), **life),
                *claims,
            ]
        )

    def daemon(self, host: str, *options: str, boots: bool = True) -> Any:
        """A daemon on a host of this name, which serves machines that boot on free ports."""
        files = self.folder / host / "files"
        files.mkdir(parents=True, exist_ok=True)
        serve = ("--boot-address", "127.0.0.1", "--boot-image", str(self.agent_image), "--boot-files", str(files))
        ports = () if "--boot-port" in options else ("--boot-port", "0", "--boot-agent-port", "0")
        env = {"XDG_STATE_HOME": str(self.folder / host)}
        return self.fleet.daemon(host, *options, *((*serve, *ports) if boots else ()), env=env)

    def keep_image(self, host: str) -> None:
        """Copy the image to the folder of files of the daemon on this host."""
        (self.folder / host / "files" / SUM).write_bytes(IMAGE)

    def agent(self, daemon: Running) -> AgentClient:
        """The machine, which reaches this daemon alone."""
        uuid = self.fleet.bmcs.fleet.bmcs[0].systems[0].state.uuid
        return AgentClient(daemon.logged("BootServiceStarted")["http"], str(uuid), MAC)

    def until_on(self) -> None:
        """Wait until the machine is switched on."""
        desk = self.fleet.desk
        until(
            lambda: self.fleet.bmcs.fleet.bmcs[0].systems[0].state.power is PowerState.ON,
            "the machine is on",
            lambda: desk.run("describe", "machine/m00001").out + desk.run("plan").out,
        )

    def switch_off(self) -> None:
        """The agent switches the machine off."""
        self.fleet.switch_off_by_hand("m00001")

    def until_phase(self, phase: str) -> None:
        """Wait until the machine is in this phase."""
        desk = self.fleet.desk
        until(
            lambda: phase in desk.run("get", "machine/m00001").out,
            f"the phase {phase}",
            lambda: desk.run("describe", "machine/m00001").out,
            60.0,
        )

    def inspected_by(self, agent: AgentClient) -> None:
        """The agent boots for the first time."""
        self.until_on()
        agent.boot()
        assert agent.register().status == 200
        assert agent.insist("GET", "work").text == "work poweroff\n"
        self.switch_off()

    def installing(self, agent: AgentClient) -> str:
        """The agent boots, and gets its work."""
        self.until_phase("Provisioning")
        self.until_on()
        agent.boot()
        assert agent.register().status == 200
        work = agent.insist("GET", "work").text
        assert work.startswith("work install\n"), work
        return work

    def installing_goes_on(self, agent: AgentClient) -> None:
        """The agent asks for its work."""
        assert agent.insist("GET", "work").text.startswith("work install\n")

    def installed_by(self, agent: AgentClient) -> None:
        """The agent has written the image; the system starts, and reports."""
        seed = agent.insist("GET", "seed").text
        assert agent.insist("POST", "facts", {"type": "written", "detail": f"sha256:{SUM}"}).status == 200
        assert agent.insist("GET", "work").text == "work poweroff\n"
        self.switch_off()
        self.until_on()  # The system starts from the disk.
        home = re.search(r"phone_home_simple_url: *(\S+)", seed)
        assert home is not None, seed
        assert home[1].startswith(agent.http)
        assert agent.phone_home(home[1]).status == 200
        self.until_phase("Running")
        assert agent.phone_home(home[1]).status == 401


@contextmanager
def boot_fleet(desk: Desk, url: str, tmp_path: Path) -> Iterator[BootFleet]:
    with shared_fleet(desk, url, machines=1) as fleet:
        yield BootFleet(fleet, tmp_path)


def test_a_machine_of_a_site_is_inspected_and_installed_by_its_daemon_alone(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path
) -> None:
    with boot_fleet(desk, empty_postgresql_url, tmp_path) as boots:
        boots.declare(own=True, claimed=True)
        with (
            boots.daemon("host-a", boots=False) as first,
            boots.daemon("host-s", "--partitions", "lab") as site,
        ):
            first.logged("Started")
            boots.keep_image("host-s")
            agent = boots.agent(site)
            boots.inspected_by(agent)
            assert f"url {agent.http}/files/{SUM}/os.raw\n" in boots.installing(agent)
            boots.installed_by(agent)


def test_the_daemon_that_decides_is_killed_while_an_agent_of_a_site_works(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path
) -> None:
    with boot_fleet(desk, empty_postgresql_url, tmp_path) as boots:
        boots.declare(own=True, claimed=True)
        with (
            boots.daemon("host-a", boots=False) as first,
            boots.daemon("host-s", "--partitions", "lab") as site,
        ):
            first.logged("Started")
            agent = boots.agent(site)
            boots.inspected_by(agent)
            boots.until_on()
            agent.boot()
            first.send(signal.SIGKILL)
            with boots.daemon("host-b", boots=False) as second:
                # The token is good for the agent until its registration is taken up, and then for none.
                assert agent.registered().status == 200
                second.logged("Started")
                assert agent.register().status == 401
                boots.installing_goes_on(agent)
                boots.installed_by(agent)
            assert site.process.poll() is None
            assert boots.fleet.resets() == {"m00001": 3}


def test_a_token_of_one_daemon_is_accepted_once_by_all(desk: Desk, empty_postgresql_url: str, tmp_path: Path) -> None:
    with boot_fleet(desk, empty_postgresql_url, tmp_path) as boots:
        boots.declare()
        with boots.daemon("host-a") as first:
            first.logged("Started")
            with boots.daemon("host-b") as second:
                one, other = boots.agent(first), boots.agent(second)
                boots.until_on()
                one.boot()
                ticket = one.ticket
                other.boot()
                assert one.register().status == 401  # The second script has replaced the token of the first one.
                one.ticket = {**ticket, "gs.token": other.ticket["gs.token"]}
                assert one.register().status == 200
                assert other.register().status == 401
                other.session = one.session
                assert other.insist("GET", "work").text == "work poweroff\n"


def test_a_daemon_that_stands_by_serves_machines_and_goes_on_when_it_takes_over(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path
) -> None:
    """With a fleet that is not shared. The daemon that decides has no boot service."""
    with boot_fleet(desk, empty_postgresql_url, tmp_path) as boots:
        boots.declare()
        with boots.daemon("host-a", "--share-above", "1000", boots=False) as first:
            first.logged("Held", key="Machine/m00001")
            ports = ("--boot-port", str(free_port()), "--boot-agent-port", str(free_port()))
            with boots.daemon("host-b", "--share-above", "1000", *ports) as second:
                agent = boots.agent(second)
                boots.until_on()
                agent.boot()
                first.send(signal.SIGKILL)
                second.logged("Started")
                assert agent.registered().status == 200
                assert agent.insist("GET", "work").text == "work poweroff\n"


def test_a_machine_is_not_started_while_no_daemon_serves_its_partition(
    desk: Desk, empty_postgresql_url: str, tmp_path: Path
) -> None:
    with boot_fleet(desk, empty_postgresql_url, tmp_path) as boots:
        boots.declare(own=True)
        with (
            boots.daemon("host-a", boots=False) as first,
            boots.daemon("host-s", "--partitions", "lab", boots=False) as site,
        ):
            held = first.logged("Held", key="Machine/m00001")
            assert "network boot needs a boot service" in held["message"]
            site.end(signal.SIGTERM)
            with boots.daemon("host-s", "--partitions", "lab"):
                boots.until_on()
