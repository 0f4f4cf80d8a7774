"""Serial over LAN with BMCs and networks as they are: lost and repeated datagrams, wrong logins, lines taken away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

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
from drivers.console.ipmi.ipmi import IpmiConsole
from drivers.console.ipmi.ipmi_wire import PAYLOAD_INFO, RAKP2
from drivers.console.refused_logins import UNPROVEN
from drivers.testing.console_conformance import Heard, until
from tests.drivers.sol_bmc import PASSWORD, USER, SolBmc
from tests.virtual_loop import in_virtual_time

FLOOD = b"".join(b"line %d\r\n" % number for number in range(300))


def with_bmc(
    test: Callable[[SolBmc, ConsoleEndpoint], Awaitable[None]], suites: tuple[int, ...] = (3, 17), **settings: Any
) -> None:
    async def whole() -> None:
        there = await SolBmc(suites).start()
        for name, value in settings.items():
            setattr(there, name, value)
        try:
            await test(there, ConsoleEndpoint("ipmi", "127.0.0.1", there.port, lambda _: Credential(USER, PASSWORD)))
        finally:
            await there.stop()
            await asyncio.sleep(0.1)

    in_virtual_time(whole)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lost_datagrams_cost_time_and_nothing_else(seed: int) -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        heard, chance = Heard(), random.Random(seed)
        line = await IpmiConsole().open(endpoint, heard)
        there.drops = lambda _: chance.random() < 0.2
        there.say(FLOOD)
        line.write(FLOOD)
        async with asyncio.timeout(3600):
            while not (bytes(heard.data) == FLOOD and bytes(there.typed) == FLOOD):
                await asyncio.sleep(0.5)
        there.drops = lambda _: False
        await line.close()

    with_bmc(test)


def test_datagrams_that_come_twice_count_once() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        there.repeats = True
        heard = Heard()
        line = await IpmiConsole().open(endpoint, heard)
        there.say(FLOOD)
        line.write(b"once\r")
        await until(lambda: bytes(heard.data) == FLOOD and bytes(there.typed) == b"once\r")
        await line.close()

    with_bmc(test)


def test_what_somebody_in_between_sends_again_is_not_heard_again() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        heard = Heard()
        line = await IpmiConsole().open(endpoint, heard)
        for part in (b"one ", b"two ", b"three "):
            there.say(part)
            await until(lambda part=part: heard.data.endswith(part))  # type: ignore[misc]
        for datagram in there.log:
            there.replay(datagram)
        await asyncio.sleep(1)
        assert bytes(heard.data) == b"one two three "
        await line.close()

    with_bmc(test)


def test_a_bmc_that_takes_three_bytes_at_a_time_gets_all() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        line = await IpmiConsole().open(endpoint, Heard())
        line.write(b"a line that is longer than three bytes\r")
        await until(lambda: bytes(there.typed) == b"a line that is longer than three bytes\r")
        await line.close()

    with_bmc(test, accepts=3)


@pytest.mark.parametrize(
    ("login", "error"),
    [
        (Credential(USER, "wrong"), AuthenticationFailed),
        (Credential("nobody", PASSWORD), AuthenticationFailed),
        (Credential(USER, "x" * 21), Unreachable),
        (Credential("u" * 17, PASSWORD), Rejected),
    ],
)
def test_a_wrong_login_is_refused_with_words_and_without_the_password(
    login: Credential, error: type[DriverError]
) -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        mine = msgspec.structs.replace(endpoint, credential=lambda _: login)
        with pytest.raises(error) as caught:
            await IpmiConsole().open(mine, Heard())
        assert login.password not in str(caught.value)

    with_bmc(test)


def test_nothing_that_depends_on_the_password_goes_to_a_bmc_that_does_not_know_it() -> None:
    """RAKP 3 is an offline guess at the password for who asks with RAKP 2 without knowing it."""

    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        got: list[int] = []
        receive = there.datagram_received

        def noted(data: bytes, addr: Any) -> None:
            got.append(data[5])
            receive(data, addr)

        there.datagram_received = noted  # type: ignore[method-assign]
        with pytest.raises(AuthenticationFailed, match="nothing that depends on the password was sent"):
            await IpmiConsole().open(endpoint, Heard())
        assert got == [0x10, 0x12]

    with_bmc(test, password="another")


def test_a_suite_that_the_bmc_does_not_have_is_not_replaced_by_a_weaker_one() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        with pytest.raises(Unsupported, match="cipherSuite"):
            await IpmiConsole().open(endpoint, Heard())

    with_bmc(test, (3,))


@pytest.mark.parametrize("algorithms", [(1, 1, 1), (0, 0, 0), (3, 4, 0), (3, 0, 1)])
def test_a_bmc_that_answers_with_weaker_algorithms_is_refused(algorithms: tuple[int, int, int]) -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        with pytest.raises(Rejected, match="other algorithms"):
            await IpmiConsole().open(endpoint, Heard())

    with_bmc(test, answers_with=algorithms)


def test_serial_over_lan_that_is_off_is_said_so() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        with pytest.raises(Unsupported, match="Serial over LAN is off"):
            await IpmiConsole().open(endpoint, Heard())
        await asyncio.sleep(0.1)
        assert there.sessions == {}, "no session is left at the BMC"

    with_bmc(test, sol_off=True)


def test_a_silent_bmc_is_unreachable() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        with pytest.raises(Unreachable, match="IPMI over LAN"):
            await IpmiConsole().open(endpoint, Heard())

    with_bmc(test, silent=True)


def test_an_idle_line_that_another_took_is_noticed() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        line = await IpmiConsole().open(endpoint, Heard())
        there.take_away()
        why = await line.lost()
        assert isinstance(why, ConsoleBusy)
        assert why.owner == "99999999"
        await line.close()

    with_bmc(test)


def test_an_idle_line_of_a_dead_bmc_is_noticed() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        line = await IpmiConsole().open(endpoint, Heard())
        there.silent = True
        assert isinstance(await line.lost(), Unreachable)
        await line.close()

    with_bmc(test)


def test_the_connection_is_asked_for_before_a_login_is_read() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        def refuse(number: str) -> None:
            raise Rejected(f"not to {number}")

        def login(_peer: Peer) -> Credential:
            raise AssertionError

        mine = msgspec.structs.replace(endpoint, connects=refuse, credential=login)
        with pytest.raises(Rejected, match="not to 127"):
            await IpmiConsole().open(mine, Heard())

    with_bmc(test)


def test_an_opening_that_is_given_up_leaves_no_session() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        there.owner = b"\x01\x02\x03\x04"
        with pytest.raises(Busy):
            await IpmiConsole().open(endpoint, Heard())
        await asyncio.sleep(0.1)
        assert there.sessions == {}

    with_bmc(test)


def test_a_refused_login_is_left_alone_until_it_changes() -> None:
    """BMCs lock accounts after five refusals (ibm-openbmc/openbmc#90), and people connect as often as they like."""

    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        driver, wrong = IpmiConsole(), Credential(USER, "wrong")
        refused = msgspec.structs.replace(endpoint, credential=lambda _: wrong)
        for _ in range(20):
            with pytest.raises(AuthenticationFailed):
                await driver.open(refused, Heard())
            await asyncio.sleep(10)
        assert len(there.sessions) == UNPROVEN, "no more logins were sent"
        with pytest.raises(AuthenticationFailed, match="tries the login again in "):
            await driver.open(refused, Heard())
        line = await driver.open(endpoint, Heard())
        await line.close()
        for _ in range(UNPROVEN):
            with pytest.raises(AuthenticationFailed):
                await driver.open(refused, Heard())
        await asyncio.sleep(901)
        sent = len(there.sessions)
        with pytest.raises(AuthenticationFailed):
            await driver.open(refused, Heard())
        assert len(there.sessions) == sent + 1

    with_bmc(test)


def test_one_forged_refusal_does_not_keep_the_login_away() -> None:
    """Before the session has keys, whoever can send one packet can refuse a login in the name of the BMC."""

    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        driver = IpmiConsole()
        for _ in range(UNPROVEN - 1):
            there.password = "of another"
            with pytest.raises(AuthenticationFailed):
                await driver.open(endpoint, Heard())
        there.password = PASSWORD
        line = await driver.open(endpoint, Heard())
        await line.close()

    with_bmc(test)


def test_a_line_that_another_took_is_left_to_it() -> None:
    """Deactivate Payload ends the line of whoever has it: two daemons would take it from each other for ever."""

    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        line = await IpmiConsole().open(endpoint, Heard())
        mine = there.owner
        there.take_away()
        await line.lost()
        await line.close()
        assert there.owner == b"\x99\x99\x99\x99"
        assert mine not in there.sessions, "our own session is not left behind"

    with_bmc(test)


@pytest.mark.parametrize("named", [lambda line: line[:4][::-1], lambda line: line[:2]])
def test_a_bmc_may_name_the_owner_in_either_order_or_not_at_all(named: Callable[[bytes], bytes]) -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        line = await IpmiConsole().open(endpoint, Heard())
        command = there._command

        def answers(peer: Any, code: int, data: bytes) -> tuple[int, bytes]:
            completion, told = command(peer, code, data)
            return completion, named(told) if code == PAYLOAD_INFO else told

        there._command = answers  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await line.lost()
        await line.close()

    with_bmc(test)


def test_an_idle_line_that_nobody_has_any_more_is_lost() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        line = await IpmiConsole().open(endpoint, Heard())
        there.owner = None
        assert isinstance(await line.lost(), Unreachable)
        await line.close()

    with_bmc(test)


def test_what_was_typed_and_not_taken_is_not_for_the_next_tenant() -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        there.accepts = 1
        line = await IpmiConsole().open(endpoint, Heard())
        line.write(b"a" * 60_000)
        await until(lambda: len(there.typed) > 10)
        line.drop_unsent()
        line.write(b"next")
        await until(lambda: there.typed.endswith(b"next"))
        assert len(there.typed) < 1000
        await line.close()

    with_bmc(test)


def test_a_bmc_that_sends_anything_costs_one_line_at_most() -> None:
    """Truncated, long, of another session, with wrong lengths, and correctly signed nonsense."""

    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        chance, heard = random.Random(7), Heard()
        line = await IpmiConsole().open(endpoint, heard)
        peer = there.sessions[there.owner or b""]
        good = there.log[-1]
        sent = [b"", b"\x06", good[:-1], good[:20], good + b"x", bytes(65507), good[:4] + bytes(60000)]
        for _ in range(300):
            wrong = bytearray(good)
            wrong[chance.randrange(len(wrong))] ^= 1 << chance.randrange(8)
            sent.append(bytes(wrong))
        for datagram in sent:
            there._transport.sendto(datagram, peer.address)
        for kind in (0x00, 0x01, 0x10, 0x15, 0x3F):
            for size in (0, 1, 3, 4, 7, 8, 40, 30_000):
                there._seal(peer, kind, chance.randbytes(size).replace(b"\x10", b"\x00"))
        await asyncio.sleep(1)
        heard.data.clear()
        there.say(b"still here")
        await until(lambda: b"still here" in heard.data or line._lost.done())  # type: ignore[attr-defined]
        await line.close()

    with_bmc(test)


@pytest.mark.parametrize("size", [0, 1, 2, 8, 39, 41, 60_000])
@pytest.mark.parametrize("status", [0, 0x0D, 0x12, 0xFF])
def test_a_bmc_that_lies_at_the_login_is_an_error_in_words(size: int, status: int) -> None:
    async def test(there: SolBmc, endpoint: ConsoleEndpoint) -> None:
        plain = there._plain

        def lies(kind: int, payload: bytes, addr: Any) -> None:
            if kind == RAKP2:
                payload = (payload[:1] + bytes([status]) + payload[2:8] + bytes(60_000))[:size]
            plain(kind, payload, addr)

        there._plain = lies  # type: ignore[method-assign]
        with pytest.raises(DriverError):
            await IpmiConsole().open(endpoint, Heard())

    with_bmc(test)
