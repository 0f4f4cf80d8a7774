"""RMCP+ and SOL as bytes: whatever comes in, nothing but a value or a WireError comes out; what is sealed is read."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.console.ipmi import ipmi_wire as wire

IDS = st.binary(min_size=4, max_size=4)
RANDOM = st.binary(min_size=16, max_size=16)
SUITE = st.sampled_from(sorted(wire.SUITES))
BYTES = st.binary(max_size=300)


def keys(suite: int, password: str = "secret") -> wire.SessionKeys:  # noqa: S107
    shared = wire.Handshake(b"cccc", b"bbbb", b"1" * 16, b"2" * 16, b"3" * 16, b"ada")
    return shared.keys(wire.SUITES[suite], wire.password_key(password))


@given(SUITE, st.integers(0, 63), BYTES, IDS, st.integers(1, 2**32 - 1), RANDOM)
def test_what_is_sealed_is_read_again(
    suite: int, kind: int, payload: bytes, peer: bytes, number: int, vector: bytes
) -> None:
    sealed = wire.sealed_packet(kind, payload, peer, number, keys(suite), vector)
    assert wire.read_sealed(sealed, peer, keys(suite)) == wire.Packet(kind, payload, number)


@given(SUITE, BYTES, RANDOM, st.data())
def test_a_sealed_packet_with_one_changed_byte_is_no_packet(
    suite: int, payload: bytes, vector: bytes, data: st.DataObject
) -> None:
    sealed = bytearray(wire.sealed_packet(wire.SOL, payload, b"cccc", 7, keys(suite), vector))
    place = data.draw(st.integers(4, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    assert wire.read_sealed(bytes(sealed), b"cccc", keys(suite)) is None


@given(SUITE, BYTES, RANDOM)
def test_a_packet_of_another_session_or_key_is_no_packet(suite: int, payload: bytes, vector: bytes) -> None:
    sealed = wire.sealed_packet(wire.SOL, payload, b"cccc", 7, keys(suite), vector)
    assert wire.read_sealed(sealed, b"dddd", keys(suite)) is None
    assert wire.read_sealed(sealed, b"cccc", keys(suite, "another")) is None
    assert wire.read_plain(sealed) is None


@given(st.one_of(BYTES, BYTES.map(lambda rest: wire.RMCP + b"\x06" + rest)))
def test_any_datagram_is_read_or_refused(datagram: bytes) -> None:
    wire.read_plain(datagram)
    for suite in wire.SUITES:
        wire.read_sealed(datagram, datagram[6:10], keys(suite))
    wire.read_answer(datagram)
    wire.read_sol(datagram)
    for read in (wire.read_open_response, wire.read_rakp2, wire.read_rakp4):
        with suppress(wire.WireError):
            read(datagram, b"cccc")


@given(st.integers(0, 63), st.integers(0, 255), BYTES)
def test_an_answer_with_wrong_checksums_is_no_answer(number: int, code: int, data: bytes) -> None:
    sent = wire.command(number, code, data)
    assert sum(sent[:3]) & 0xFF == 0
    assert sum(sent[3:]) & 0xFF == 0
    assert wire.read_answer(sent) is None, "a request is not an answer"


@given(st.permutations(range(1, 40)), st.integers(1, 39))
def test_each_number_is_taken_once_and_never_far_behind(order: list[int], again: int) -> None:
    window = wire.Window()
    taken = [number for number in order if window.takes(number)]
    assert len(taken) == len(set(taken))
    assert not window.takes(again)
    assert window.takes(100)
    assert not window.takes(60)
    assert window.takes(99)
    assert not window.takes(99)


def test_a_number_that_was_passed_over_is_still_taken() -> None:
    window = wire.Window()
    assert [window.takes(number) for number in (1, 3, 2, 2, 0, 2**32 - 1)] == [True, True, True, False, False, True]


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=40), st.data())
def test_packets_that_come_again_are_heard_once(said: list[bytes], data: st.DataObject) -> None:
    heard = bytearray()
    receiver = wire.Receiver(heard.extend)
    for index, part in enumerate(said):
        packet = wire.SolPacket(index % 15 + 1, 0, 0, 0, part)
        for _ in range(data.draw(st.integers(1, 3))):
            answer = receiver.take(packet)
            assert answer is not None
            assert (answer.acknowledged, answer.accepted) == (packet.number, len(part))
    assert bytes(heard) == b"".join(said)


def test_a_packet_that_comes_again_with_more_bytes_gives_the_new_ones() -> None:
    heard = bytearray()
    receiver = wire.Receiver(heard.extend)
    receiver.take(wire.SolPacket(1, 0, 0, 0, b"ab"))
    receiver.take(wire.SolPacket(1, 0, 0, 0, b"abcd"))
    assert bytes(heard) == b"abcd"


def test_an_answer_alone_is_not_answered() -> None:
    assert wire.Receiver(lambda _: None).take(wire.SolPacket(0, 3, 1, 0)) is None


def test_a_password_of_more_than_20_bytes_is_refused() -> None:
    with pytest.raises(wire.WireError):
        wire.password_key("x" * 21)
    assert len(wire.password_key("x" * 20)) == 20
