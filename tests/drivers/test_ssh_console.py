"""The driver `ssh` against shells of BMCs that are odd, taken, silent or restarted, or of another host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import (
    AuthenticationFailed,
    Busy,
    ConsoleBusy,
    ConsoleEndpoint,
    Credential,
    DriverError,
    Peer,
    Rejected,
    Unreachable,
    Unsupported,
)
from drivers.console.ssh.ssh_console import SshConsole
from drivers.console.ssh.ssh_dialects import (
    DIALECTS,
    ShellAnswer,
    ends_with_prompt,
    has_prompt,
    last_line,
    of_the_machine,
    plain,
    shell_answer,
)
from drivers.testing.console_conformance import until
from tests.drivers.ssh_bmc import OPENED, PASSWORD, PROMPTS, TAKEN, USER, SshBmc
from tests.virtual_loop import in_virtual_time

SHELLS = sorted(PROMPTS)


def endpoint(bmc: SshBmc, password: str = PASSWORD, **more: Any) -> ConsoleEndpoint:
    return msgspec.structs.replace(
        ConsoleEndpoint(
            "ssh",
            "127.0.0.1",
            bmc.port,
            lambda _peer: Credential(USER, password),
            dialect=bmc.dialect,
            host_key=bmc.host_key,
        ),
        **more,
    )


def run(work: Callable[[SshBmc, SshConsole], Awaitable[None]], dialect: str = "hpe", **odd: Any) -> None:
    async def whole() -> None:
        bmc = await SshBmc(dialect, **odd).start()
        try:
            await work(bmc, SshConsole())
        finally:
            await bmc.stop()

    in_virtual_time(whole)


def refused(
    expected: type[DriverError],
    *words: str,
    dialect: str = "hpe",
    steal: bool = False,
    prepare: Callable[[SshBmc], None] = lambda _bmc: None,
    change: dict[str, Any] | None = None,
    **odd: Any,
) -> SshBmc:
    """Opening the line raises this error with these words. The BMC, for what it saw."""
    seen: list[SshBmc] = []

    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        seen.append(bmc)
        prepare(bmc)
        heard = bytearray()
        with pytest.raises(expected) as caught:
            await driver.open(endpoint(bmc, **(change or {})), heard.extend, steal=steal)
        assert type(caught.value) is expected
        for one in words:
            assert one in str(caught.value)
        assert PASSWORD not in str(caught.value)

    run(work, dialect, **odd)
    return seen[0]


# -- the host key and the login ----------------------------------------------------------------------------------------


def test_no_login_leaves_for_a_host_with_another_key() -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    bmc = refused(Unreachable, "the SSH host key is SHA256:", "console.hostKey", change={"host_key": other})
    assert bmc.passwords == []


def test_a_host_with_a_key_of_another_type_is_not_let_pass() -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    bmc = refused(Unreachable, "ecdsa-sha2-nistp256", "no login was sent", change={"host_key": other})
    assert bmc.passwords == []


@pytest.mark.parametrize("dialect", ["dell", "hpe"])
def test_a_wrong_password_is_sent_once_and_then_left_alone(dialect: str) -> None:
    """BMCs lock accounts; `dell` asks by keyboard-interactive, and the others for a password."""

    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        for words in ("refused the SSH login of root", "tries the login again in"):
            with pytest.raises(AuthenticationFailed, match=words):
                await driver.open(endpoint(bmc, "wrong"), bytearray().extend)
        assert bmc.passwords == ["wrong"]
        line = await driver.open(endpoint(bmc), bytearray().extend)
        await line.close()

    run(work, dialect)


def test_a_private_key_is_a_login_too() -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        bmc.user_key = asyncssh.generate_private_key("ssh-ed25519")
        line = await driver.open(endpoint(bmc, bmc.user_key.export_private_key().decode()), bytearray().extend)
        await line.close()
        other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        with pytest.raises(AuthenticationFailed):
            await driver.open(endpoint(bmc, other), bytearray().extend)

    run(work)


def test_a_key_that_needs_a_passphrase_is_refused_without_a_login() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", "secret").decode()
    refused(Rejected, "cannot be read", "without a passphrase", change={"password": key})


def test_a_server_that_takes_no_password_says_so() -> None:
    def prepare(bmc: SshBmc) -> None:
        bmc.user_key = asyncssh.generate_private_key("ssh-ed25519")

    refused(Rejected, "takes no password", "private key", prepare=prepare)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"credential": None}, "credentialRef"),
        ({"dialect": ""}, "console.dialect, one of dell"),
        ({"host_key": ""}, "console.hostKey"),
        ({"host_key": "ssh-ed25519 AAAA"}, "console.hostKey"),
    ],
)
def test_what_is_missing_in_the_document_is_named(change: dict[str, Any], words: str) -> None:
    refused(Rejected, words, change=change)


def test_nothing_is_sent_where_the_settings_do_not_allow_it() -> None:
    def gate(where: str) -> None:
        raise Rejected(f"{where} is not allowed")

    bmc = refused(Rejected, "127.0.0.1 is not allowed", change={"connects": gate})
    assert bmc.connections == []


def test_the_credential_is_asked_for_the_host_that_is_connected() -> None:
    asked: list[Peer] = []

    def login(peer: Peer) -> Credential:
        asked.append(peer)
        return Credential(USER, PASSWORD)

    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        line = await driver.open(endpoint(bmc, credential=login), bytearray().extend)
        await line.close()

    run(work)
    assert asked == [Peer("127.0.0.1", verified=True)]


# -- opening the line --------------------------------------------------------------------------------------------------

BANNER = (
    "\x1b[2J\x1b[H\x1b[1;32mUser:root logged-in to ILOX (10.1.0.11)\x1b[0m\r\niLO 5 2.72\r\nServer Power: On\r\n\r\n"
)


@pytest.mark.parametrize("dialect", SHELLS)
@pytest.mark.parametrize("is_split", [False, True])
def test_a_prompt_is_found_after_a_banner_in_colours_and_in_pieces(dialect: str, is_split: bool) -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        heard = bytearray()
        line = await driver.open(endpoint(bmc), heard.extend)
        bmc.say(b"login: ")
        await until(lambda: b"login: " in heard)
        assert b"logged-in" not in heard
        line.write(b"root\r")
        await until(lambda: bytes(bmc.typed) == b"root\r")
        await line.close()

    coloured = f"\x1b[36m{PROMPTS[dialect].strip()}\x1b[0m "
    run(work, dialect, banner=BANNER, prompt=coloured, is_split=is_split)


def test_a_shell_that_never_prompts_is_given_up_with_words() -> None:
    refused(Unreachable, "the BMC said nothing", "within 20 s", "console.dialect", is_silent=True)


def test_a_prompt_of_another_vendor_is_quoted() -> None:
    refused(Unreachable, 'the BMC said "user@bmc:~$"', "dialect hpe", prompt="user@bmc:~$ ")


def test_a_command_that_is_never_answered_is_given_up_with_words() -> None:
    refused(Unreachable, "did not answer the command vsp within 20 s", unanswered=("vsp",))


@pytest.mark.parametrize("dialect", SHELLS)
def test_a_taken_line_is_named_and_left(dialect: str) -> None:
    """dsx-ai-factory/infra-controller#5527."""

    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        first = await driver.open(endpoint(bmc), bytearray().extend)
        with pytest.raises(ConsoleBusy, match="another session has the serial line") as caught:
            await driver.open(endpoint(bmc), bytearray().extend)
        assert caught.value.owner == TAKEN[dialect].strip()
        assert bmc.owner is not None
        await first.close()

    run(work, dialect)


@pytest.mark.parametrize("dialect", ["hpe", "lenovo"])
def test_a_taken_line_is_taken_by_steal(dialect: str) -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        first = await driver.open(endpoint(bmc), bytearray().extend)
        second = await driver.open(endpoint(bmc), bytearray().extend, steal=True)
        assert "shell" in str(await first.lost())
        await second.close()

    run(work, dialect)


def test_where_the_bmc_cannot_take_a_line_the_words_say_so() -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        first = await driver.open(endpoint(bmc), bytearray().extend)
        with pytest.raises(ConsoleBusy, match="no command that takes the line"):
            await driver.open(endpoint(bmc), bytearray().extend, steal=True)
        await first.close()

    run(work, "dell")


def test_another_command_is_tried_where_the_first_is_not_known() -> None:
    """dsx-ai-factory/infra-controller#2919: SR650 V4."""

    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        line = await driver.open(endpoint(bmc), bytearray().extend)
        assert bmc.shell == ["console 1", "console start"]
        await line.close()

    run(
        work,
        "lenovo",
        opens=("console start",),
        unknown="The command line contains extraneous arguments\r\n",
    )


def test_a_bmc_that_knows_no_such_command_is_named() -> None:
    refused(Unsupported, "does not know the command connect com2", "console.dialect", dialect="dell", opens=())


def test_a_refusal_is_quoted() -> None:
    refused(Rejected, '"Insufficient user privilege."', refusal="Insufficient user privilege.\r\n")


def test_a_bmc_without_a_free_session_is_busy() -> None:
    refused(Busy, "maximum number of sessions reached", most_sessions=0)


# -- the open line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", SHELLS)
def test_people_do_not_type_into_the_shell_when_the_bmc_ends_the_line(dialect: str) -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        line = await driver.open(endpoint(bmc), bytearray().extend)
        known = list(bmc.shell)
        bmc.give(None)
        assert "prompt of its shell" in str(await line.lost())
        line.write(b"power off\r")
        await asyncio.sleep(1)
        assert bmc.shell == known

    run(work, dialect)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a_bmc_that_restarts_loses_the_line_and_has_it_again_afterwards(dialect: str) -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        line = await driver.open(endpoint(bmc), bytearray().extend)
        await bmc.restart()
        assert isinstance(await line.lost(), Unreachable)
        line.write(b"dropped")
        await line.close()
        line = await driver.open(endpoint(bmc), bytearray().extend)
        line.write(b"again")
        await until(lambda: bytes(bmc.typed) == b"again")
        await line.close()

    run(work, dialect)


def test_a_line_that_is_closed_is_left_with_its_own_keys() -> None:
    """An iLO keeps the virtual serial port in use for a while where a session only goes away."""

    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        line = await driver.open(endpoint(bmc), bytearray().extend)
        await line.close()
        assert (bmc.owner, bmc.shell) == (None, ["vsp", "exit"])
        assert bytes(bmc.typed) == b""

    run(work)


@asynccontextmanager
async def plain_server(said: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200, b"\xff" * 70_000, b"SSH-1.5-old\r\n"])
def test_what_is_no_ssh_server_is_unreachable(said: bytes) -> None:
    async def work(bmc: SshBmc, driver: SshConsole) -> None:
        async with plain_server(said) as port:
            with pytest.raises(Unreachable):
                await driver.open(endpoint(bmc, port=port), bytearray().extend)

    run(work)


# -- the words of the dialects -----------------------------------------------------------------------------------------


@given(st.sampled_from(SHELLS), st.data())
def test_wherever_the_answer_is_cut_it_means_the_same(dialect: str, data: st.DataObject) -> None:
    chosen = DIALECTS[dialect]
    answer = data.draw(st.sampled_from([OPENED[dialect], TAKEN[dialect] + PROMPTS[dialect]]))
    said = f"{chosen.commands[0]}\r\n{answer}".encode()
    whole = shell_answer(chosen, plain(said))
    for cut in range(len(said)):
        assert shell_answer(chosen, plain(said[:cut])) in (None, whole)


@pytest.mark.parametrize("dialect", SHELLS)
@pytest.mark.parametrize("before", ["\r\n", "\n\x1b[0m", "\x1b[24;1H", "\r\n\x1b[2J", "done\r"])
def test_a_prompt_is_seen_wherever_the_cursor_went(dialect: str, before: str) -> None:
    chosen = DIALECTS[dialect]
    text = plain(f"text{before}{PROMPTS[dialect]}".encode())
    assert ends_with_prompt(chosen, text)
    assert has_prompt(chosen, text)
    assert has_prompt(chosen, text + "power off\r\n"), "what was typed in the meantime may be echoed behind"
    assert not has_prompt(chosen, f"\nssh to {PROMPTS[dialect]}")


def test_what_the_machine_said_at_once_is_not_lost() -> None:
    said = f"console com2\r\n{OPENED['dell']}Booting".encode()
    assert of_the_machine(DIALECTS["dell"], said) == b"\r\nBooting"


def test_the_last_line_is_neither_prompt_nor_echo() -> None:
    text = "vsp\r\n\r\nNot now.\r\n</>hpiLO-> "
    assert last_line(DIALECTS["hpe"], text, "vsp") == "Not now."


def test_a_taken_line_is_not_an_open_one_whatever_the_machine_prints() -> None:
    text = f"vsp\r\n{OPENED['hpe']}the port is in use\r\n"
    assert shell_answer(DIALECTS["hpe"], text) is ShellAnswer.OPENED


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=str)
def test_the_keys_that_leave_a_line_are_among_those_that_never_pass(dialect: Any) -> None:
    assert not dialect.leave or any(dialect.leave.startswith(one) for one in dialect.leaves)
