"""The SSH server before the consoles, with asyncssh's client and OpenSSH's: who gets in, and to what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import asyncssh
import msgspec
import pytest

from reconciler.model.event import EventReason
from reconciler.services.console.console_session import ServerLimits
from tests.console.console_world import FakeConsoles, Session, console, grant, new_key, now, served, until

ADA, ADA_LINE = new_key("ada@example")
BOB, BOB_LINE = new_key("bob@example")
EVE, EVE_LINE = new_key("eve@example")


@pytest.fixture
def consoles() -> FakeConsoles:
    found = FakeConsoles()
    found.states["r1-01"] = console("r1-01", grant(ADA_LINE), grant(BOB_LINE, "web"))
    return found


def test_a_key_of_the_machine_types_and_reads(tmp_path: Path, consoles: FakeConsoles) -> None:
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", ADA) as ada:
        ada.sees(b"you type")
        ada.sees(b"fake console")
        ada.type(b"uname -a\r")
        until(lambda: bytes(consoles.driver.lines["r1-01"].typed) == b"uname -a\r")
        ada.type(b"~.")
        until(ada.is_over.is_set)
        assert b"goodbye" in ada.heard
    assert consoles.reasons() == [
        EventReason.CONSOLE_OPENED,
        EventReason.CONSOLE_LINE_OPEN,
        EventReason.CONSOLE_CLOSED,
    ]
    opened = consoles.events[0][2]
    assert "ada@example (admin)" in opened
    assert "SHA256:" in opened
    assert not any("uname" in message for _, _, message in consoles.events), "typed bytes are nobody's business"


def test_a_claim_and_slot_name_the_machine_too(tmp_path: Path, consoles: FakeConsoles) -> None:
    consoles.users["web.0"] = "r1-01"
    with served(tmp_path, consoles) as service, Session(service.port, "web.0", BOB) as bob:
        bob.sees(b"r1-01 (claim-web-0)")


@pytest.mark.parametrize("user", ["r1-01", "r9-99", "", "..", "r1-01/../x", "web.0", "x" * 300])
def test_a_wrong_key_and_an_unknown_machine_get_the_same_answer(
    tmp_path: Path, consoles: FakeConsoles, user: str
) -> None:
    with served(tmp_path, consoles) as service:
        with Session(service.port, user, EVE) as eve:
            assert isinstance(eve.refused, asyncssh.PermissionDenied)
            said = str(eve.refused).replace(user, "")
        with Session(service.port, "r1-01", EVE) as other:
            assert str(other.refused).replace("r1-01", "") == said
        until(lambda: EventReason.CONSOLE_REFUSED in consoles.reasons())
    assert consoles.reasons() == [EventReason.CONSOLE_REFUSED], "and of a second one within ten minutes nothing"


def test_without_a_key_nobody_gets_in(tmp_path: Path, consoles: FakeConsoles) -> None:
    with served(tmp_path, consoles) as service:
        for more in ({"password": "x"}, {}):
            with Session(service.port, "r1-01", None, **more) as nobody:
                assert isinstance(nobody.refused, asyncssh.Error)


@pytest.mark.parametrize(("command", "subsystem"), [("id", None), (None, "sftp"), (None, "netconf")])
def test_commands_and_subsystems_are_refused(
    tmp_path: Path, consoles: FakeConsoles, command: str | None, subsystem: str | None
) -> None:
    """`ssh MACHINE id` does not attach."""
    more = {name: value for name, value in (("command", command), ("subsystem", subsystem)) if value is not None}
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", ADA, **more) as ada:
        until(ada.is_over.is_set)
        assert isinstance(ada.refused, asyncssh.Error)
    assert consoles.driver.lines == {}


def test_forwarding_is_refused(tmp_path: Path, consoles: FakeConsoles) -> None:
    import asyncio

    async def tries(port: int) -> list[str]:
        refused = []
        async with asyncssh.connect(
            "127.0.0.1", port, username="r1-01", client_keys=[ADA], known_hosts=None, config=None, agent_path=None
        ) as connection:
            for name, opening in (
                ("tcp", connection.open_connection("127.0.0.1", 22, encoding=None)),
                ("unix", connection.open_unix_connection("/run/docker.sock", encoding=None)),
                ("remote", connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 22)),
                ("remote unix", connection.forward_remote_path("/tmp/groundstate-test", "/tmp/other")),
                ("tun", connection.open_tun(0)),
            ):
                try:
                    await opening
                except (asyncssh.Error, asyncssh.ChannelListenError, OSError):
                    refused.append(name)
        return refused

    with served(tmp_path, consoles) as service:
        assert asyncio.run(tries(service.port)) == ["tcp", "unix", "remote", "remote unix", "tun"]


def test_a_grant_that_ends_ends_the_session_with_words(tmp_path: Path, consoles: FakeConsoles) -> None:
    with (
        served(tmp_path, consoles) as service,
        Session(service.port, "r1-01", BOB) as bob,
        Session(service.port, "r1-01", ADA) as ada,
    ):
        bob.sees(b"you type")
        ada.sees(b"bob@example (claim web) types")
        consoles.states["r1-01"] = console("r1-01", grant(ADA_LINE), tenancy="release-web-0")
        service.changed()
        until(bob.is_over.is_set)
        assert b"your access to r1-01 has ended" in bob.heard
        consoles.say("r1-01", b"the wipe")
        ada.sees(b"the wipe")
        assert b"the wipe" not in bob.heard
        with Session(service.port, "r1-01", BOB) as again:
            assert isinstance(again.refused, asyncssh.PermissionDenied)


def test_the_next_tenant_does_not_see_what_was_said_to_the_last_one(tmp_path: Path, consoles: FakeConsoles) -> None:
    """No anchor clears its replay; goconserver, conserver and NICo replay by machine."""
    consoles.held_now = {"r1-01"}
    with served(tmp_path, consoles) as service:
        with Session(service.port, "r1-01", BOB) as bob:
            bob.sees(b"you type")
            consoles.say("r1-01", b"password: hunter2")
            bob.sees(b"hunter2")
        consoles.states["r1-01"] = console("r1-01", grant(EVE_LINE, "next"), tenancy="claim-next-0")
        service.changed()
        with Session(service.port, "r1-01", EVE) as eve:
            eve.sees(b"you type")
            eve.type(b"\r~l")
            consoles.say("r1-01", b"hello")
            eve.sees(b"hello")
            assert b"hunter2" not in eve.heard
    recorded = {path.name: path.read_bytes() for path in (tmp_path / "console" / "r1-01").glob("*.log")}
    assert b"hunter2" in recorded["claim-web-0.log"]
    assert b"hunter2" not in recorded["claim-next-0.log"]


def test_a_key_ends_at_its_expiry_time(tmp_path: Path, consoles: FakeConsoles) -> None:
    """asyncssh does not know the option; a key that ended in 2020 would be let in."""
    soon = f"{now() + timedelta(seconds=3):%Y%m%d%H%M%SZ}"
    consoles.states["r1-01"] = console(
        "r1-01", grant(f'expiry-time="20200101" {EVE_LINE}'), grant(f'expiry-time="{soon}" {ADA_LINE}')
    )
    with served(tmp_path, consoles) as service:
        with Session(service.port, "r1-01", EVE) as eve:
            assert isinstance(eve.refused, asyncssh.PermissionDenied)
        with Session(service.port, "r1-01", ADA) as ada:
            ada.sees(b"you type")
            until(ada.is_over.is_set)
            assert b"your access to r1-01 has ended" in ada.heard


@pytest.mark.parametrize(
    ("option", "is_let_in"),
    [('from="127.0.0.0/8"', True), ('from="10.0.0.0/8"', False), ("restrict", True)],
)
def test_options_of_a_key_are_honoured(tmp_path: Path, consoles: FakeConsoles, option: str, is_let_in: bool) -> None:
    consoles.states["r1-01"] = console("r1-01", grant(f"{option} {ADA_LINE}"))
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", ADA) as ada:
        if is_let_in:
            ada.sees(b"you type")
        else:
            assert isinstance(ada.refused, asyncssh.PermissionDenied)


CA, CA_LINE = new_key("ca@example")


@pytest.mark.parametrize(
    ("principals", "valid_for", "is_let_in"),
    [
        (["groundstate-console"], 3600, True),
        (["another"], 3600, False),
        ([], 3600, False),
        (["r1-01"], 3600, False),
        (["groundstate-console"], -10, False),
    ],
)
def test_certificates_of_the_authority_are_let_in_by_their_principals(
    tmp_path: Path, consoles: FakeConsoles, principals: list[str], valid_for: int, is_let_in: bool
) -> None:
    certificate = CA.generate_user_certificate(
        EVE,
        "eve",
        principals=principals,
        valid_after=now() - timedelta(hours=1),
        valid_before=now() + timedelta(seconds=valid_for),
    )
    consoles.states["r1-01"] = console("r1-01", grant(CA_LINE, authority=True, principals=("groundstate-console",)))
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", (EVE, certificate)) as eve:  # type: ignore[arg-type]
        if is_let_in:
            eve.sees(b"you type")
        else:
            assert isinstance(eve.refused, asyncssh.PermissionDenied)


def test_the_key_of_an_authority_is_no_login_by_itself(tmp_path: Path, consoles: FakeConsoles) -> None:
    consoles.states["r1-01"] = console("r1-01", grant(CA_LINE, authority=True, principals=("x",)))
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", CA) as eve:
        assert isinstance(eve.refused, asyncssh.PermissionDenied)


def test_one_types_and_taking_over_is_told_to_all(tmp_path: Path, consoles: FakeConsoles) -> None:
    with (
        served(tmp_path, consoles) as service,
        Session(service.port, "r1-01", ADA) as ada,
    ):
        ada.sees(b"you type")
        with Session(service.port, "r1-01", BOB) as bob:
            bob.sees(b"you watch")
            bob.type(b"x")
            bob.sees(b"\x07")
            bob.type(b"\r~w")
            ada.sees(b"bob@example (claim web) types from now on")
            bob.sees(b"bob@example (claim web) types from now on")
            bob.type(b"bob\r")
            until(lambda: bytes(consoles.driver.lines["r1-01"].typed) == b"bob\r")
            bob.type(b"~r")
            bob.sees(b"ada@example (admin) watches")
    assert EventReason.CONSOLE_WRITER in consoles.reasons()


def test_a_key_that_only_watches_never_types(tmp_path: Path, consoles: FakeConsoles) -> None:
    consoles.states["r1-01"] = console("r1-01", grant(BOB_LINE, "web", write=False))
    with (
        served(tmp_path, consoles) as service,
        Session(service.port, "r1-01", BOB, env={"GROUNDSTATE_CONSOLE": "steal"}) as bob,
    ):
        bob.sees(b"you watch")
        bob.type(b"~w~s~b reboot\r")
        bob.sees(b"your key may only watch")
        bob.send_break()
        bob.type(b"\r~r")
        bob.sees(b"bob@example (claim web) watches")
        line = consoles.driver.lines["r1-01"]
        assert (bytes(line.typed), line.breaks) == (b"", 0)


def test_a_break_reaches_the_machine_by_either_way(tmp_path: Path, consoles: FakeConsoles) -> None:
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", ADA) as ada:
        ada.sees(b"the line is open")
        ada.type(b"~b")
        ada.sees(b"sent a break")
        ada.send_break()
        until(lambda: consoles.driver.lines["r1-01"].breaks == 2)
    assert consoles.reasons().count(EventReason.CONSOLE_BREAK) == 2


def test_a_line_that_another_session_has_is_taken_by_steal_alone(tmp_path: Path, consoles: FakeConsoles) -> None:
    """dsx-ai-factory/infra-controller#5527."""
    consoles.driver.others["r1-01"] = "0xdead"
    with served(tmp_path, consoles) as service:
        with Session(service.port, "r1-01", BOB) as bob:
            bob.sees(b"another session at the BMC has the line")
            assert b"0xdead" not in bob.heard, "what the BMC says is for admins"
        with Session(service.port, "r1-01", ADA) as ada:
            ada.sees(b"0xdead")
        with Session(service.port, "r1-01", ADA, env={"GROUNDSTATE_CONSOLE": "steal"}) as ada:
            ada.sees(b"the line is open")


def test_a_line_of_ours_from_before_a_crash_is_taken_without_asking(tmp_path: Path, consoles: FakeConsoles) -> None:
    folder = tmp_path / "console" / "r1-01"
    folder.mkdir(parents=True)
    (folder / "session").write_text("fake-77")
    consoles.driver.others["r1-01"] = "fake-77"
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", BOB) as bob:
        bob.sees(b"the line is open")
        until(lambda: (folder / "session").read_text() == "fake-1")
        assert (folder / "session").stat().st_mode & 0o777 == 0o600
    until(lambda: not (folder / "session").exists())


def test_a_lost_line_is_told_and_opened_again_while_sessions_stay(tmp_path: Path, consoles: FakeConsoles) -> None:
    """xcat2/goconserver#30, openbmc/openbmc#2197: BMCs end lines after seconds, or when the machine is powered on."""
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", BOB) as bob:
        bob.sees(b"the line is open")
        consoles.cut("r1-01")
        bob.sees(b"the line is not open (Unreachable); trying again in 1 s")
        until(lambda: bob.heard.count(b"the line is open") == 2)
    reasons = consoles.reasons()
    assert reasons.count(EventReason.CONSOLE_LINE_LOST) == 1
    assert reasons.count(EventReason.CONSOLE_LINE_OPEN) == 2


def test_stopping_tells_everybody_and_frees_the_lines(tmp_path: Path, consoles: FakeConsoles) -> None:
    with Session(0, "", None):
        pass
    with served(tmp_path, consoles) as service:
        session = Session(service.port, "r1-01", BOB)
        session.__enter__()
        session.sees(b"you type")
        session.sees(b"the line is open")
    until(session.is_over.is_set)
    assert b"groundstate stops" in session.heard
    assert consoles.driver.lines["r1-01"].is_closed
    session.__exit__()
    (said,) = [message for _, reason, message in consoles.events if reason is EventReason.CONSOLE_CLOSED]
    assert said.endswith("ended: groundstate stops; connect again later")


def test_logins_beyond_the_limit_are_cut_and_others_get_in_afterwards(tmp_path: Path, consoles: FakeConsoles) -> None:
    import socket

    limits = ServerLimits(logins=3, per_network=3)
    with served(tmp_path, consoles, limits) as service:
        idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(6)]
        for one in idle:
            one.settimeout(10)
        greeted = [one.recv(8) for one in idle]
        assert sum(one.startswith(b"SSH-2.0") for one in greeted) == 3
        for one in idle:
            one.close()

        def comes_in() -> bool:
            with Session(service.port, "r1-01", ADA) as ada:
                return ada.refused is None

        until(comes_in)


def test_connections_of_one_network_are_bounded_by_the_minute(tmp_path: Path, consoles: FakeConsoles) -> None:
    with served(tmp_path, consoles, ServerLimits(attempts=3)) as service:
        refused = []
        for _ in range(5):
            with Session(service.port, "r1-01", ADA) as ada:
                refused.append(ada.refused is not None)
    assert refused == [False, False, False, True, True]


def test_a_session_in_which_nothing_is_typed_ends(tmp_path: Path, consoles: FakeConsoles) -> None:
    """openbmc/obmc-console#18."""
    with (
        served(tmp_path, consoles, ServerLimits(idle=1.5)) as service,
        Session(service.port, "r1-01", ADA) as ada,
    ):
        until(ada.is_over.is_set)
        assert b"nothing was typed" in ada.heard


def test_what_the_service_is_can_be_read_by_other_commands(tmp_path: Path, consoles: FakeConsoles) -> None:
    with served(tmp_path, consoles) as service, Session(service.port, "r1-01", ADA):
        until(lambda: consoles.published[-1].consoles and consoles.published[-1].consoles[0].line == "open")
        report = consoles.published[-1]
        assert report.port == service.port
        assert report.host_key.startswith("ssh-ed25519 ")
        assert report.consoles[0].writer == "ada@example (admin)"
        assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_the_host_key_is_kept_and_is_nobody_elses(tmp_path: Path, consoles: FakeConsoles) -> None:
    with served(tmp_path, consoles) as first:
        before = first.host_key
    with served(tmp_path, consoles) as second:
        assert second.host_key == before
    assert (tmp_path / "host_key").stat().st_mode & 0o777 == 0o600


def test_a_line_is_held_while_it_is_asked_for_and_recorded(tmp_path: Path, consoles: FakeConsoles) -> None:
    consoles.held_now = {"r1-01"}
    consoles.states["r1-01"] = console("r1-01", order="Install 7")
    with served(tmp_path, consoles):
        until(lambda: consoles.driver.lines)
        consoles.say("r1-01", b"installing")
        recorded = tmp_path / "console" / "r1-01" / "claim-web-0.log"
        until(lambda: recorded.exists() and b"installing" in recorded.read_bytes())
        assert recorded.stat().st_mode & 0o777 == 0o600
    index = recorded.with_suffix(".index").read_text()
    assert "order Install 7" in index
