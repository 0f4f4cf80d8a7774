"""`groundstate console` through a real daemon: OpenSSH's client in a pty, lines over TCP, IPMI and SSH."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drivers.base import ConsoleOffer, ConsoleUse, Inventory
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.common.machine_inventory import Kept, Origin
from reconciler.model.resource import ResourceKey
from reconciler.services.console.recording import Recorder
from reconciler.store import Store
from tests.drivers import ssh_bmc
from tests.drivers.sol_bmc import PASSWORD, USER, SolBmc
from tests.drivers.ssh_bmc import SshBmc
from tests.e2e.desk import PATIENCE, Desk, Running, document, machine, until

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
LISTEN = ("--console-listen", "127.0.0.1:0")


class Lines:
    """A terminal server, a BMC with Serial over LAN and one with a shell over SSH, in a thread of their own."""

    def __init__(self) -> None:
        self.typed = bytearray()
        self.writers: list[asyncio.StreamWriter] = []
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._line, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.bmc = await SolBmc((17,)).start()
        self.shell = await SshBmc("hpe").start()
        self._ready.set()
        await self._stop.wait()
        server.close()
        await self.bmc.stop()
        await self.shell.stop()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(b"terminal server\r\n")
        with suppress(OSError):
            while data := await reader.read(1024):
                self.typed += data
                writer.write(data)

    def say(self, data: bytes) -> None:
        self.loop.call_soon_threadsafe(lambda: self.writers[-1].write(data))

    def bmc_says(self, data: bytes) -> None:
        self.loop.call_soon_threadsafe(self.bmc.say, data)

    def shell_says(self, data: bytes) -> None:
        self.loop.call_soon_threadsafe(self.shell.say, data)

    def __enter__(self) -> Lines:  # noqa: PYI034
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self.loop.close()


class Terminal:
    """A command in a pty."""

    def __init__(self, desk: Desk, *arguments: str) -> None:
        self.said = bytearray()
        self._master, slave = pty.openpty()
        command = [sys.executable, str(Path(__file__).parents[2] / "cli.py"), *arguments]
        environment = {**desk.environment, "HOME": str(desk.repo.parent)}
        self.process = subprocess.Popen(
            command, cwd=desk.repo, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self._master, 4096):
                self.said += data

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def sees(self, text: bytes) -> None:
        until(
            lambda: text in self.said or None, f"{text!r} on the terminal", lambda: self.said.decode(errors="replace")
        )

    def end(self) -> int:
        """Wait until the command has ended by itself."""
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it, in whatever state a test leaves it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._thread.join(PATIENCE)
        os.close(self._master)


Opens = Callable[..., Terminal]


@pytest.fixture
def in_terminal(desk: Desk) -> Iterator[Opens]:
    """Run groundstate with these arguments in a pty. All of them have ended when the test has."""
    opened: list[Terminal] = []

    def opens(*arguments: str) -> Terminal:
        opened.append(Terminal(desk, *arguments))
        return opened[-1]

    yield opens
    for one in opened:
        one.close()


@pytest.fixture
def lines() -> Iterator[Lines]:
    with Lines() as found:
        yield found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@example", "-f", path], check=True)
    return path


def declare(desk: Desk, lines: Lines, key: Path, ssh: dict[str, Any] | None = None, **console: Any) -> None:
    desk.environment |= {"LAB_IPMI_USERNAME": USER, "LAB_IPMI_PASSWORD": PASSWORD}
    desk.environment |= {"LAB_SSH_USERNAME": ssh_bmc.USER, "LAB_SSH_PASSWORD": ssh_bmc.PASSWORD}
    desk.settings(
        'console_lines = ["127.0.0.1/32"]\n'
        'credentials.ipmi = {env = "LAB_IPMI", networks = ["127.0.0.0/8"], drivers = ["ipmi", "fake"]}\n'
        'credentials.shell = {env = "LAB_SSH", networks = ["127.0.0.0/8"], drivers = ["ssh", "fake"]}\n'
    )
    admins = {"sshKeys": [key.with_suffix(".pub").read_text().strip()]}
    shared = {"driver": "tcp", "hold": "Watched", "admins": admins, **console}
    by_tcp = {"address": "127.0.0.1", "port": lines.port}
    by_ipmi = {
        "driver": "ipmi",
        "address": "127.0.0.1",
        "port": lines.bmc.port,
        "credentialRef": {"name": "ipmi"},
    }
    by_ssh = {
        "driver": "ssh",
        "dialect": "hpe",
        "address": "127.0.0.1",
        "port": lines.shell.port,
        "hostKey": lines.shell.host_key,
        "credentialRef": {"name": "shell"},
    }
    desk.commit(
        lab=[
            document("Partition", "lab", bmc={"driver": "fake"}, console=shared),
            machine("m3", console=by_ssh | (ssh or {})),
            machine("m0", console=by_tcp),
            machine("m1", console=by_ipmi),
            machine("m2", console={"driver": "none"}),
        ]
    )


@contextmanager
def serving(desk: Desk) -> Iterator[Running]:
    with desk.daemon(*LISTEN) as daemon:
        daemon.logged("ConsoleServiceStarted")
        daemon.logged("RevisionApplied")
        until(lambda: desk.run("console", "hostkey").code == 0 or None, "the service to be known")
        yield daemon


def listed(desk: Desk) -> list[tuple[Any, ...]]:
    """What `get consoles` shows of each line: its machine, its state, who types, how many are connected."""
    items = json.loads(desk.run("get", "consoles", "-o", "json").out)["items"]
    return [(one["name"], one["line"], one["writer"], one["connected"]) for one in items]


def test_a_person_types_on_a_line_over_tcp(desk: Desk, lines: Lines, key: Path, in_terminal: Opens) -> None:
    declare(desk, lines, key)
    with serving(desk):
        terminal = in_terminal("console", "m0", "-i", str(key))
        terminal.sees(b"terminal server")
        terminal.sees(b"you type")
        terminal.type(b"hostname\r")
        until(lambda: bytes(lines.typed) == b"hostname\r" or None, "what was typed")
        until(lambda: listed(desk) == [("m0", "open", "ada@example (admin)", 1)] or None, "the line and its writer")
        watching = in_terminal("console", "m0", "--watch", "-i", str(key))
        watching.sees(b"you watch, ada@example (admin) types; 1 other connected")
        lines.say(b"\x1b[31mred\x1b[0m and done\r\n")
        watching.sees(b"and done")
        for one in (terminal, watching):
            one.type(b"\r~.")
            assert one.end() == 0
        until(lambda: len(desk.told("ConsoleClosed")) == 2 or None, "the ends of both sessions")
        until(lambda: "red and done" in desk.run("console", "log", "m0").out or None, "the recording")
    assert "\x1b" not in desk.run("console", "log", "m0").out
    assert "\x1b[31mred" in desk.run("console", "log", "m0", "--raw").out
    assert [one.key.name for one in desk.told("ConsoleOpened") if one.key] == ["m0", "m0"]
    assert not [one for one in desk.events() if "hostname" in one.message]


def test_a_person_types_on_a_line_over_ipmi(desk: Desk, lines: Lines, key: Path, in_terminal: Opens) -> None:
    declare(desk, lines, key)
    with serving(desk):
        terminal = in_terminal("console", "m1", "-i", str(key))
        terminal.sees(b"the line is open")
        lines.bmc_says(b"login: ")
        terminal.sees(b"login: ")
        terminal.type(b"root\r")
        until(lambda: bytes(lines.bmc.typed) == b"root\r" or None, "what was typed")
        terminal.type(b"~b")
        until(lambda: lines.bmc.breaks == 1 or None, "a break")
        terminal.type(b"\r~.")
        assert terminal.end() == 0
        until(lambda: lines.bmc.owner is None or None, "the line to be free")


def test_a_person_types_on_a_line_over_ssh_and_never_in_the_shell_of_the_bmc(
    desk: Desk, lines: Lines, key: Path
) -> None:
    declare(desk, lines, key)
    with serving(desk):
        terminal = Terminal(desk, "console", "m3", "-i", str(key))
        terminal.sees(b"the line is open")
        lines.shell_says(b"login: ")
        terminal.sees(b"login: ")
        terminal.type(b"root\x1b(power off\r")
        terminal.sees(b"leads from the console into the BMC's own shell")
        until(lambda: bytes(lines.shell.typed) == b"rootpower off\r" or None, "what was typed")
        assert lines.shell.shell == ["vsp"]
        terminal.type(b"\r~.")
        assert terminal.end() == 0
        until(lambda: lines.shell.owner is None or None, "the line to be free")
        until(lambda: lines.shell.shell[-1] == "exit" or None, "the end of the session at the BMC")


def test_a_host_with_another_key_gets_no_login(desk: Desk, lines: Lines, key: Path) -> None:
    other = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    declare(desk, lines, key, ssh={"hostKey": other})
    with serving(desk):
        terminal = Terminal(desk, "console", "m3", "-i", str(key))
        terminal.sees(b"but console.hostKey is SHA256:")
        terminal.type(b"~.")
        terminal.end()
    assert lines.shell.passwords == []


def test_a_daemon_that_was_killed_takes_its_own_line_again(desk: Desk, lines: Lines, key: Path) -> None:
    declare(desk, lines, key, hold="Always")
    with serving(desk) as daemon:
        until(lambda: desk.told("ConsoleLineOpen", "m1") or None, "the line to be held, and remembered")
        first = lines.bmc.owner
        daemon.end(signal.SIGKILL)
    assert lines.bmc.owner == first
    with serving(desk) as daemon:
        until(lambda: lines.bmc.owner not in (None, first) or None, "the line to be taken again")
        until(lambda: first not in lines.bmc.sessions or None, "the end of the session that was left behind")
        daemon.end(signal.SIGTERM)
    until(lambda: lines.bmc.owner is None or None, "the line to be free")


def test_a_commit_that_takes_the_key_away_ends_the_session(
    desk: Desk, lines: Lines, key: Path, in_terminal: Opens
) -> None:
    declare(desk, lines, key)
    with serving(desk):
        terminal = in_terminal("console", "m0", "-i", str(key))
        terminal.sees(b"you type")
        declare(desk, lines, key, admins={})
        terminal.sees(b"your access to m0 has ended")
        assert terminal.end() == 0
        again = in_terminal("console", "m0", "-i", str(key))
        again.sees(b"Permission denied (publickey)")
        assert again.end() == 255
        nowhere = in_terminal("console", "m2", "-i", str(key))
        nowhere.sees(b"Permission denied (publickey)")
        assert nowhere.end() == 255
        until(lambda: desk.told("ConsoleRefused") or None, "the refusal in the ledger")


def claimed(desk: Desk, lines: Lines, admin: Path, **claims: Path) -> None:
    """Commit a managed machine with a console, and a claim for one machine for each name, with this key."""
    desk.settings('console_lines = ["127.0.0.1/32"]\n')
    shared = {"driver": "tcp", "hold": "Watched", "admins": {"sshKeys": [public(admin)]}}
    root = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
    at = {"address": "127.0.0.1", "port": lines.port}
    asked = {"project": "shop", "partitions": ["lab"], "machines": ["m0"], "count": 1, "image": "debian-12"}
    desk.commit(
        lab=[
            document("Partition", "lab", bmc={"driver": "fake"}, console=shared),
            document("Tenant", "acme"),
            document("Project", "shop", tenant="acme"),
            document("Image", "debian-12.0.1", os="debian", version="12.0.1", classification="supported", root=root),
            machine("m0", console=at, lifecycle={"mode": "Managed"}),
            machine("spare"),
            *(document("MachineClaim", name, **asked, sshKeys=[public(key)]) for name, key in claims.items()),
        ]
    )


def public(key: Path) -> str:
    return key.with_suffix(".pub").read_text().strip()


def test_a_session_of_a_claim_ends_when_its_release_begins_and_nothing_it_saw_is_shown_again(
    desk: Desk, lines: Lines, key: Path, in_terminal: Opens
) -> None:
    tenant = key.with_name("tenant")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "eve@tenant", "-f", tenant], check=True)
    claimed(desk, lines, key)
    desk.run("plan")
    store = Store.open(f"sqlite:///{desk.store}")
    inspected = MachineFacts(lifecycle=LifecycleFacts(inspected_at=datetime.now(UTC)))
    store.put_facts({ResourceKey("Machine", "m0"): inspected})
    store.close()
    with serving(desk):
        claimed(desk, lines, key, web=tenant)
        until(lambda: desk.told("Claimed", "m0") or None, "the claim to have its machine")
        admin = in_terminal("console", "m0", "-i", str(key))
        admin.sees(b"m0 (claim web, slot 0), tcp; you type")
        terminal = in_terminal("console", "web.0", "-i", str(tenant))
        terminal.sees(b"you watch, ada@example (admin) types; 1 other connected")
        terminal.type(b"~w")
        admin.sees(b"eve@tenant (claim web) types from now on")
        lines.say(b"password of web: 4711\r\n")
        terminal.sees(b"4711")
        claimed(desk, lines, key)
        terminal.sees(b"your access to m0 has ended")
        assert terminal.end() == 0
        admin.sees(b"the machine is released by claim web, slot 0 from now on")
        for user in ("web.0", "m0"):
            again = in_terminal("console", user, "-i", str(tenant))
            again.sees(b"Permission denied (publickey)")
            assert again.end() == 255
        late = in_terminal("console", "m0", "-i", str(key))
        late.sees(b"m0 (released by claim web, slot 0), tcp")
        late.type(b"~l\r~.")
        assert late.end() == 0
        assert b"4711" not in late.said
    assert "4711" not in desk.run("console", "log", "m0").out
    (its,) = [one for one in desk.run("console", "log", "m0", "--list").out.split() if one.startswith("claim-web-0")]
    assert "4711" in desk.run("console", "log", "m0", "--recording", its).out


def _read_out_of_band(store: Store, key: ResourceKey) -> Kept | None:
    return store.inventories.of(key).out_of_band


def test_what_a_bmc_says_of_its_consoles_is_shown_and_not_used(
    desk: Desk, lines: Lines, key: Path, in_terminal: Opens
) -> None:
    declare(desk, lines, key)
    ipmi, ssh = (ConsoleOffer(ConsoleUse.SERIAL, *one) for one in (("IPMI", 623, False), ("SSH", 2200, True)))
    with serving(desk):
        store = Store.open(f"sqlite:///{desk.store}")
        for machine_key in (ResourceKey("Machine", name) for name in ("m0", "m2")):
            # Else the daemon's own first reading may come after this one.
            until(partial(_read_out_of_band, store, machine_key), "the daemon's own reading")
            inventory = Inventory(consoles=(ipmi, ssh))
            store.inventories.put(machine_key, Origin.OUT_OF_BAND, inventory, datetime.now(UTC))
        store.close()
        said = "the BMC says that it offers the serial console over IPMI on port 623 (off), SSH on port 2200"
        assert said in desk.run("describe", "machine/m2").out
        undeclared = in_terminal("console", "m2", "-i", str(key))
        undeclared.sees(b"Permission denied (publickey)")
        undeclared.sees(f"m2: {said}".encode())
        assert undeclared.end() == 255
        terminal = in_terminal("console", "m0", "-i", str(key))
        terminal.sees(b"terminal server")
        until(lambda: listed(desk) or None, "the line in the list")
        assert "IPMI on port 623 (off), SSH on port 2200" in desk.run("get", "consoles", "-o", "wide").out
        assert "IPMI" not in desk.run("get", "consoles").out
        terminal.type(b"\r~.")
        assert terminal.end() == 0


def test_a_line_that_the_settings_do_not_allow_is_not_connected_to(
    desk: Desk, lines: Lines, key: Path, in_terminal: Opens
) -> None:
    """A document cannot have people type into any port of the daemon's host."""
    declare(desk, lines, key)
    desk.settings("")
    with serving(desk):
        terminal = in_terminal("console", "m0", "-i", str(key))
        terminal.sees(b"console_lines")
        terminal.type(b"~.")
        terminal.end()
    assert lines.writers == []


def test_the_last_order_is_that_of_the_wipe_when_the_machine_is_free_again(desk: Desk) -> None:
    """The recording of the free machine is the newest then, and has no order."""
    desk.commit(lab=[document("Partition", "lab")])
    assert desk.run("plan").code in (0, 2)
    writing = Recorder(desk.store.parent / "console" / "m0", lambda: datetime.now(UTC))
    writing.begin("release-web-0", 1 << 20)
    writing.mark("order wipe 1")
    writing.write(b"zeroes read back\r\n")
    writing.begin("free-1", 1 << 20)
    writing.close()
    os.utime(desk.store.parent / "console" / "m0" / "release-web-0.log", (1, 1))
    assert "zeroes read back" in desk.run("console", "log", "m0", "--last-order").out
    assert desk.run("console", "log", "m0").out == ""
    assert "free-1 has no boot request" in desk.run("console", "log", "m0", "--last-order", "--recording", "free-1").err


def test_without_a_service_it_says_how_to_start_one(desk: Desk) -> None:
    desk.commit(lab=[document("Partition", "lab")])
    done = desk.run("console", "m0")
    assert done.code == 1
    assert "--console-listen" in done.err
    assert "No consoles." in desk.run("get", "consoles").err


def test_the_service_is_not_started_by_a_daemon_that_only_observes(desk: Desk) -> None:
    desk.commit(lab=[document("Partition", "lab")])
    done = desk.run("run", "--observe", *LISTEN)
    assert done.code == 1
    assert "leave out --console-listen" in done.err


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_that_cannot_be_is_refused(desk: Desk, listen: str) -> None:
    desk.commit(lab=[document("Partition", "lab")])
    done = desk.run("run", "--listen", "127.0.0.1:0", "--console-listen", listen)
    assert done.code == 1
    assert "HOST:PORT" in done.err
