"""What strangers, tenants and former tenants try at the SSH server before the consoles, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from reconciler.model.event import EventReason
from reconciler.services.console.console_session import COMMANDS, ServerLimits
from tests.console.console_world import FakeConsoles, Session, console, grant, new_key, now, served, until

ADA, ADA_LINE = new_key("ada@example")
BOB, BOB_LINE = new_key("bob@example")
EVE, EVE_LINE = new_key("eve@example")
CA, CA_LINE = new_key("ca@example")


@pytest.fixture
def consoles() -> FakeConsoles:
    found = FakeConsoles()
    found.states["r1-01"] = console("r1-01", grant(ADA_LINE), grant(BOB_LINE, "web"))
    return found


def connected(
    port: int, work: Callable[[asyncssh.SSHClientConnection], Awaitable[Any]], key: asyncssh.SSHKey = ADA, **more: Any
) -> Any:
    """What `work` returns with a connection that has logged in."""

    async def whole() -> Any:
        async with asyncssh.connect(
            "127.0.0.1",
            port,
            username="r1-01",
            client_keys=[key],
            known_hosts=None,
            config=None,
            agent_path=None,
            **more,
        ) as connection:
            return await work(connection)

    return asyncio.run(whole())


def test_a_login_before_the_change_is_noticed_sees_nothing_of_the_last_tenant(
    tmp_path: Path, consoles: FakeConsoles
) -> None:
    """Documents and facts change first, and the service learns of it later."""
    consoles.held_now = {"r1-01"}
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", BOB) as bob:
        bob.sees(b"you type")
        consoles.say("r1-01", b"password: hunter2")
        bob.sees(b"hunter2")
        service._check = lambda: None  # type: ignore[method-assign]
        consoles.states["r1-01"] = console("r1-01", grant(EVE_LINE, "next"), tenancy="claim-next-0")
        with Session(service.port, "r1-01", EVE) as eve:
            eve.sees(b"r1-01 (claim-next-0)")
            consoles.say("r1-01", b"of the next one")
            eve.sees(b"of the next one")
            assert b"hunter2" not in eve.heard
        until(bob.is_over.is_set)
        assert b"of the next one" not in bob.heard


def test_a_connection_that_never_starts_a_session_is_cut(tmp_path: Path, consoles: FakeConsoles) -> None:
    """A key that is let in may open 60 connections in a minute; each of them is a file of the daemon."""

    async def waits(connection: asyncssh.SSHClientConnection) -> bool:
        async with asyncio.timeout(10):
            await connection.wait_closed()
        return True

    with served(tmp_path, consoles, ServerLimits(unused=1.0)) as service:
        assert connected(service.port, waits)
        until(lambda: not service._server.connections)


def test_a_client_that_does_not_read_cannot_outlast_its_grant(tmp_path: Path, consoles: FakeConsoles) -> None:
    """Its session would keep one of the seats, and what it has not read yet, for ever."""

    async def stops_reading(connection: asyncssh.SSHClientConnection) -> None:
        class Stuck(asyncssh.SSHClientSession[bytes]):
            def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
                chan.pause_reading()

        await connection.create_session(Stuck, encoding=None, window=32768)
        until(lambda: "r1-01" in consoles.driver.lines)
        for _ in range(20):
            consoles.say("r1-01", b"x" * 16384)
            await asyncio.sleep(0.05)
        consoles.states["r1-01"] = console("r1-01", grant(BOB_LINE, "web"))
        async with asyncio.timeout(15):
            await connection.wait_closed()

    with served(tmp_path, consoles, ServerLimits(unused=1.0)) as service:
        connected(service.port, stops_reading)
        until(lambda: not service._server.sessions)


def test_a_session_does_not_begin_with_a_key_that_ended_after_the_login(tmp_path: Path, consoles: FakeConsoles) -> None:
    ends = now() + timedelta(seconds=2)
    consoles.states["r1-01"] = console("r1-01", grant(f'expiry-time="{ends:%Y%m%d%H%M%SZ}" {ADA_LINE}'))

    async def late(connection: asyncssh.SSHClientConnection) -> bytes:
        await asyncio.sleep(2.2)
        async with connection.create_process(encoding=None) as process:
            return bytes(await process.stdout.read())

    with served(tmp_path, consoles) as service:
        assert connected(service.port, late) == b""
    assert EventReason.CONSOLE_OPENED not in consoles.reasons()


@pytest.mark.parametrize("typed", [b"~b", b"~l", b"~r", b"~w"])
def test_a_flood_of_commands_costs_neither_time_nor_events(
    tmp_path: Path, consoles: FakeConsoles, typed: bytes
) -> None:
    with (
        served(tmp_path, consoles) as service,
        Session(service.port, "r1-01", ADA) as ada,
        Session(service.port, "r1-01", BOB) as bob,
    ):
        bob.sees(b"you watch")
        ada.sees(b"the line is open")
        consoles.say("r1-01", b"x" * 65536)
        ada.sees(b"x" * 65536)
        begun = time.monotonic()
        for one in (ada, bob):
            one.type(typed * 20_000)
        for one in (ada, bob):
            one.type(b"~.")
            until(one.is_over.is_set)
        most = 2 * (COMMANDS + 2 + time.monotonic() - begun)
    told = [
        reason for reason in consoles.reasons() if reason in (EventReason.CONSOLE_BREAK, EventReason.CONSOLE_WRITER)
    ]
    assert len(told) <= most


class Changing(asyncssh.SSHClient):
    """A client that logs in as another user with each key."""

    def __init__(self, keys: list[asyncssh.SSHKey]) -> None:
        self.keys, self.shown = keys, 0

    def connection_made(self, conn: Any) -> None:
        self.conn = conn

    def public_key_auth_requested(self) -> asyncssh.SSHKey | None:
        if self.shown == len(self.keys):
            return None
        self.shown += 1
        self.conn._username = f"r1-0{self.shown % 2 + 1}"
        return self.keys[self.shown - 1]


def test_another_user_name_does_not_begin_the_count_of_keys_anew(tmp_path: Path, consoles: FakeConsoles) -> None:
    client = Changing([new_key("x")[0] for _ in range(30)])

    async def tries(port: int) -> None:
        await asyncssh.create_connection(
            lambda: client, "127.0.0.1", port, username="r1-01", known_hosts=None, config=None, agent_path=None
        )

    with served(tmp_path, consoles, ServerLimits(tries=5)) as service:
        with pytest.raises((asyncssh.Error, OSError)):
            asyncio.run(tries(service.port))
        assert client.shown <= 6


def test_certificates_count_as_keys_and_their_refusal_is_an_event(tmp_path: Path, consoles: FakeConsoles) -> None:
    shown = []
    for number in range(8):
        key = new_key("x")[0]
        shown.append((key, EVE.generate_user_certificate(key, f"eve{number}", principals=["r1-01"])))
    more = {"client_keys": [*shown, ADA]}

    async def tries(port: int) -> None:
        await asyncssh.connect(
            "127.0.0.1", port, username="r1-01", known_hosts=None, config=None, agent_path=None, **more
        )

    with served(tmp_path, consoles, ServerLimits(tries=12)) as service:
        with pytest.raises((asyncssh.Error, OSError)):
            asyncio.run(tries(service.port))
        until(lambda: EventReason.CONSOLE_REFUSED in consoles.reasons())


@pytest.mark.parametrize(
    "more",
    [
        {"force_command": "id"},
        {"source_address": ["10.0.0.0/8"]},
        {"cert_type": "host"},
        {"valid_after": timedelta(hours=1)},
    ],
)
def test_what_a_certificate_forbids_is_forbidden(tmp_path: Path, consoles: FakeConsoles, more: dict[str, Any]) -> None:
    consoles.states["r1-01"] = console("r1-01", grant(CA_LINE, authority=True, principals=("ops",)))
    options = dict(more)
    make = CA.generate_host_certificate if options.pop("cert_type", "") else CA.generate_user_certificate
    if "valid_after" in options:
        options["valid_after"] = now() + options["valid_after"]
        options["valid_before"] = now() + timedelta(days=1)
    certificate = make(EVE, "eve", principals=["ops"], **options)
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", (EVE, certificate)) as eve:  # type: ignore[arg-type]
        until(eve.is_over.is_set)
        assert isinstance(eve.refused, asyncssh.Error)
    assert EventReason.CONSOLE_OPENED not in consoles.reasons()


@pytest.mark.parametrize(
    "options",
    ["verify-required", 'expirytime="20200101"', 'from="127.0.0.1",from="127.0.0.0/8"', 'command="id"', "unknown"],
)
def test_a_key_whose_options_cannot_be_honoured_is_not_let_in(options: str) -> None:
    """asyncssh lets a key in whatever an option says that it does not know; sshd does not."""
    from reconciler.kinds.common.consoles.ssh_keys import check_console_keys, key_line

    line = key_line(f"{options} {ADA_LINE}")
    assert line is None or not line.is_usable
    assert [one.code for one in check_console_keys("spec", [f"{options} {ADA_LINE}"])] == ["console-key"]


def test_an_exchange_of_keys_that_costs_only_the_server_is_not_offered(tmp_path: Path, consoles: FakeConsoles) -> None:
    async def nothing(_connection: asyncssh.SSHClientConnection) -> bool:
        return True

    with served(tmp_path, consoles, ServerLimits(logins=20, per_network=20)) as service:
        for name in ("diffie-hellman-group18-sha512", "diffie-hellman-group-exchange-sha256", "rsa2048-sha256"):
            with pytest.raises(asyncssh.DisconnectError):
                connected(service.port, nothing, kex_algs=[name])
        for name in ("curve25519-sha256", "ecdh-sha2-nistp256"):
            assert connected(service.port, nothing, kex_algs=[name])


def test_a_few_seats_stay_for_admins(tmp_path: Path, consoles: FakeConsoles) -> None:
    with (
        served(tmp_path, consoles, ServerLimits(sessions=3, for_admins=2)) as service,
        Session(service.port, "r1-01", BOB) as bob,
        Session(service.port, "r1-01", BOB) as second,
        Session(service.port, "r1-01", ADA) as ada,
    ):
        bob.sees(b"you type")
        until(second.is_over.is_set)
        assert isinstance(second.refused, asyncssh.ChannelOpenError)
        ada.sees(b"bob@example (claim web) types")


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0-x\r\n" + bytes(70000), b"\xff" * 200_000, b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_not_ssh_costs_one_connection(tmp_path: Path, consoles: FakeConsoles, sent: bytes) -> None:
    with served(tmp_path, consoles) as service:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", service.port)) as one:
                try:
                    one.sendall(sent)
                except OSError:
                    continue
        with Session(service.port, "r1-01", ADA) as ada:
            ada.sees(b"you type")


def test_only_groundstates_user_sees_which_machines_were_recorded(tmp_path: Path, consoles: FakeConsoles) -> None:
    import os

    before = os.umask(0o022)
    try:
        consoles.held_now = {"r1-01"}
        with served(tmp_path, consoles):
            until((tmp_path / "console" / "r1-01").exists)
    finally:
        os.umask(before)
    assert (tmp_path / "console").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "console" / "r1-01").stat().st_mode & 0o777 == 0o700


def test_a_storm_of_connections_is_one_event(tmp_path: Path, consoles: FakeConsoles) -> None:
    """A person whom the limit cuts sees no reason; the ledger has it."""
    with served(tmp_path, consoles, ServerLimits(attempts=2)) as service:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", service.port)) as one, contextlib.suppress(OSError):
                one.settimeout(5)
                one.recv(8)
        until(lambda: consoles.events)
    assert [(machine, reason) for machine, reason, _ in consoles.events] == [(None, EventReason.CONSOLE_REFUSED)]
    assert "2 connections of one network begin in a minute" in consoles.events[0][2]


def test_two_persons_of_one_authority_are_told_apart(tmp_path: Path, consoles: FakeConsoles) -> None:
    consoles.states["r1-01"] = console("r1-01", grant(CA_LINE, authority=True, principals=("ops",)))
    limits = ServerLimits(per_key=1)

    def signed(key: asyncssh.SSHKey, name: str) -> Any:
        return key, CA.generate_user_certificate(key, name, principals=[name, "ops"])

    with (
        served(tmp_path, consoles, limits) as service,
        Session(service.port, "r1-01", signed(ADA, "ada")) as ada,
        Session(service.port, "r1-01", signed(BOB, "bob")) as bob,
    ):
        ada.sees(b"you type")
        bob.sees(b"ada, ops (admin) types")
    assert any("bob, ops (admin) connected" in message for _, _, message in consoles.events)


def test_two_hostile_networks_do_not_lock_a_person_out(tmp_path: Path, consoles: FakeConsoles) -> None:
    """Each of them holds as many logins as one network may have, and says nothing."""
    limits = ServerLimits(logins=4, per_network=2, for_known=0)
    with served(tmp_path, consoles, limits) as service, contextlib.ExitStack() as open_ones:
        for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"):
            one = socket.create_connection(("127.0.0.1", service.port), source_address=(source, 0))
            open_ones.enter_context(one)
            one.settimeout(10)
            assert one.recv(7) == b"SSH-2.0"
        with Session(service.port, "r1-01", ADA) as ada:
            ada.sees(b"you type")
        assert EventReason.CONSOLE_REFUSED in consoles.reasons()


@pytest.mark.parametrize("then", ["key", "certificate"])
def test_a_session_ends_when_its_certificate_does(tmp_path: Path, consoles: FakeConsoles, then: str) -> None:
    """asyncssh looks at the end of a certificate only at the login."""
    consoles.states["r1-01"] = console(
        "r1-01", grant(CA_LINE, authority=True, principals=("ops",)), grant(BOB_LINE, "web")
    )
    ends = now() + timedelta(seconds=4)
    certificate = CA.generate_user_certificate(EVE, "eve", principals=["ops"], valid_before=ends)
    with (
        served(tmp_path, consoles) as service,
        Session(service.port, "r1-01", (EVE, certificate)) as eve,  # type: ignore[arg-type]
        Session(service.port, "r1-01", BOB) as bob,
    ):
        eve.sees(b"r1-01 (claim-web-0)")
        until(eve.is_over.is_set)
        assert b"your certificate has ended" in eve.heard
        assert now() >= ends
        assert not bob.is_over.is_set()
        again: Any = (EVE, certificate) if then == "certificate" else BOB
        with Session(service.port, "r1-01", again) as later:
            if then == "certificate":
                assert isinstance(later.refused, asyncssh.PermissionDenied)
            else:
                later.sees(b"r1-01 (claim-web-0)")


def test_variables_of_a_session_are_not_kept(tmp_path: Path, consoles: FakeConsoles) -> None:
    """A client may send any number of them before its session starts; asyncssh keeps them all."""

    async def floods(connection: asyncssh.SSHClientConnection) -> bytes:
        env = {f"N{number}": "x" * 1000 for number in range(500)} | {"GROUNDSTATE_CONSOLE": "watch"}
        async with connection.create_process(encoding=None, env=env) as process:
            said = b""
            while b"you watch" not in said:
                said += await process.stdout.read(1024)
            kept.append(dict(service._server.sessions[0]._channel.get_environment()))
            process.stdin.write(b"~.")
            return said

    kept: list[dict[str, str]] = []
    with served(tmp_path, consoles) as service:
        connected(service.port, floods)
    assert kept == [{"GROUNDSTATE_CONSOLE": "watch"}]
